"""Training an encoder by itself, with no head on it; what a method then needs to use it and to keep it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from nshot.core import Backbone, Embeds, Trains, UnsupportedError
from nshot.training import loop
from nshot.training.averaging import drawn_back
from nshot.training.batching import Batch, Step
from nshot.training.losses import Loss

if TYPE_CHECKING:
    import numpy as np

    from nshot.core import FitContext
    from nshot.training.frozen import Encoder
    from nshot.training.options import LoopOptions

_NETWORK = "network."
"""Before the names of a network's weights among saved tensors."""


def train(
    network: nn.Module,
    plan: Sequence[Step],
    *,
    encoder: Sequence[nn.Parameter],
    besides: loop.Group | None = None,
    batch: Callable[[Sequence[int]], Batch],
    loss: Loss,
    learning_rate: float,
    options: LoopOptions,
    context: FitContext,
) -> loop.TrainingRecord:
    """Train `network` in place; the encoder's weights are drawn back as far as the options say.

    Args:
        network: An encoder, perhaps with something on it that only the training needs.
        plan: The steps.
        encoder: The parameters of the encoder that are trained.
        besides: Other parameters that are trained, and how fast.
        batch: Builds the batch of some positions.
        loss: Sums over a batch.
        learning_rate: The highest rate.
        options: How the loop goes.
        context: Seed, device and so on.

    Raises:
        TrainingError: The training diverged.
    """
    with drawn_back(encoder, options.keep):
        return loop.train(
            network,
            plan,
            groups=[loop.Group(encoder), *([besides] if besides else [])],
            batch=batch,
            loss=loss,
            settings=options.settings(learning_rate),
            context=context,
        )


def adapted(source: Trains, weights: Mapping[str, np.ndarray]) -> Encoder:
    """Return the backbone that `source` becomes with these weights.

    Raises:
        UnsupportedError: It is no backbone any more.
    """
    found: object = source.adapted(weights)
    if not isinstance(found, Backbone) or not isinstance(found, Embeds):
        raise UnsupportedError(f"A backbone that embeds was expected from adapting {type(source).__name__}.")
    return found


def as_tensors(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a network under the names that they are saved by."""
    return {_NETWORK + name: value for name, value in weights.items()}


def of_tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a network from among saved tensors."""
    return {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
