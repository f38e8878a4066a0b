"""A classifier as a detector: the labelled anomalies are one class, the pool is the other.

The method that is asked to detect is fitted as the classifier that it is; what it chooses, it chooses by the study's
metric of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nshot.core import (
    Backbone,
    BackboneRef,
    Dataset,
    Example,
    FitContext,
    Prediction,
    Predictor,
    State,
    Task,
    UnsupportedError,
)
from nshot.training.anomalies import ANOMALY, NORMAL, against_the_pool, scores, two_classes
from nshot.training.readout import Readout, required

if TYPE_CHECKING:
    from nshot.spec import Method

MOST_OF_THE_POOL = 20_000
"""More rows say little more about what is normal, and cost time and memory in every fit."""


@dataclass(frozen=True)
class Detector:
    """A classifier of two classes that answers with scores.

    Attributes:
        classifier: Knows the classes of `anomalies.two_classes`.
        pool: Json-able: how many rows of the pool there were, and how many it learnt from.
    """

    classifier: Predictor
    pool: Mapping[str, int]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the score of each example: log-odds of being an anomaly."""
        return scores(self.classifier.predict(examples))

    def readout(self) -> Readout:
        """Return the score as plain numbers.

        Raises:
            UnsupportedError: The classifier has no such form.
        """
        found = required(self.classifier)
        if found.label_smoothing:
            raise UnsupportedError("The head behind this detector was trained on smoothed labels.")
        coefficients, offsets = found.over((ANOMALY, NORMAL))
        return replace(found, coefficients=coefficients, offsets=offsets, classes=(), log_odds=True)

    def state(self) -> State:
        """Return the state of the classifier, and what it learnt from of the pool."""
        inner = self.classifier.state()
        return replace(inner, settings={**inner.settings, "pool": dict(self.pool)})


def fitted(
    method: Method, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
) -> Detector:
    """Return `method` fitted as a classifier of anomalies against the pool.

    Args:
        method: Can classify.
        task: The detection.
        train: n labelled anomalies, n > 0; normal rows may be among them.
        pool: Unlabelled rows. At most `MOST_OF_THE_POOL` of them, evenly spaced, are learnt from.
        backbone: As in `Method.fit`.
        context: As in `Method.fit`.
    """
    step = max(1, -(-len(pool) // MOST_OF_THE_POOL))
    normal = pool.take(range(0, len(pool), step))

    def objective(targets: Sequence[Any], prediction: Prediction) -> float:
        return context.objective([target == ANOMALY for target in targets], scores(prediction))

    classifier = method.fit(
        two_classes(task), against_the_pool(train, normal), normal, backbone, replace(context, objective=objective)
    )
    return Detector(classifier, {"rows": len(pool), "learnt_from": len(normal)})


def restored(method: Method, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Detector:
    """Return the detector of `fitted` whose `state` was saved."""
    return Detector(method.restore(two_classes(task), state, open_backbone), state.settings["pool"])
