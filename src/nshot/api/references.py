"""What is measured of a model's training, so that later inputs and answers can be held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nshot import bundle
from nshot.core import Ability, Backbone, Dataset
from nshot.spec import Method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.core import Task

_MOST_ROWS = 500
"""So many inputs, evenly spaced, say where the features lie."""


def feature_spread(method: Method, backbone: Backbone | None, data: Dataset) -> bundle.FeatureSpread | None:
    """Return where the inputs of a training lie as the frozen network of its method sees them.

    Args:
        method: One that reads the features of `backbone`; None is returned for others.
        backbone: With its cache, where it has one.
        data: Labelled examples or a pool.
    """
    import numpy as np

    from nshot.training import frozen

    reads = method.needs.abilities is not None and Ability.EMBEDS in method.needs.abilities
    if backbone is None or not reads or backbone.ref.is_remote or not len(data):
        return None
    encoder = frozen.encoder(backbone)
    places = np.unique(np.linspace(0, len(data) - 1, min(_MOST_ROWS, len(data))).astype(int))
    features = frozen.embed(encoder, data.take(places).examples)
    return bundle.FeatureSpread.of(features, backbone.ref.id)


def of_answers(task: Task, answered: dict[str, NDArray[Any]], spread: bundle.FeatureSpread | None) -> bundle.Reference:
    """Return the reference of a model whose answers to held-out rows are known.

    Args:
        task: With its labels.
        answered: As `Study.answered` returns it.
        spread: From `feature_spread`.
    """
    labels = [task.labels[code] for code in answered["label"].tolist()] if "label" in answered else []
    numbers = next((answered[name] for name in ("confidence", "value", "score") if name in answered), None)
    return bundle.Reference.of_answers(labels, numbers, spread)


def of_training(method: Method, backbone: Backbone | None, train: Dataset, pool: Dataset) -> bundle.Reference:
    """Return the reference of a model of which only the training is known.

    Args:
        method: What was fitted.
        backbone: What it was fitted with.
        train: The labelled examples.
        pool: The examples without their targets; may be empty.
    """
    spread = feature_spread(method, backbone, pool if len(pool) else train)
    return bundle.Reference.of_training(train.targets or (), spread)
