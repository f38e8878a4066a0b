"""An anomaly scorer: how far a row lies from what is usual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Embeds,
    Example,
    Family,
    FitContext,
    ModelError,
    Needs,
    Prediction,
    State,
    Task,
    TaskKind,
    TrainingError,
)
from nshot.spec import Method


class DistanceToPool(Method):
    """Score an example by its distance to the k-th nearest example of the pool.

    **Idea.** s(x) = |e(x) - e(x_(k))|, the pool being fixed at fit time, so that no row of a batch sees another.

    **Needs.** A backbone that embeds, unlabelled examples, no label.

    **Wins.** Where anomalies lie in empty regions; loses where they form a dense group.

    **Source.** Ramaswamy, Rastogi and Shim (2000), Efficient Algorithms for Mining Outliers from Large Data Sets.

    **Example.** ``nshot fit events.csv --method distance_to_pool --set neighbour=2``
    """

    needs = Needs(tasks=frozenset({TaskKind.DETECT}), abilities=frozenset({Ability.EMBEDS}), fewest_labels=0, pool=True)
    family = Family.UNSUPERVISED

    neighbour: int = 1
    """Which nearest neighbour counts."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> DistanceToPoolPredictor:
        """Return the pool's vectors."""
        self.require(task, train, backbone)
        if len(pool) < self.neighbour:
            raise TrainingError(
                f"distance_to_pool needs at least {self.neighbour} unlabelled examples. Found {len(pool)}."
            )
        model = _embedding(backbone)
        return DistanceToPoolPredictor(model, _ref(backbone), model.embed(pool.examples), self.neighbour)

    def restore(
        self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> DistanceToPoolPredictor:
        """Return the saved predictor."""
        backbone = open_backbone(BackboneRef.from_json(state.settings["backbone"]))
        return DistanceToPoolPredictor(_embedding(backbone), backbone.ref, state.tensors["pool"], self.neighbour)


@dataclass(frozen=True)
class DistanceToPoolPredictor:
    """The vectors of what is usual."""

    model: Embeds
    ref: BackboneRef
    pool: np.ndarray
    neighbour: int

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return one score per example, higher is stranger."""
        scores = np.zeros(len(examples))
        for row, vector in enumerate(self.model.embed(examples)):
            distances = np.sqrt(((self.pool.astype(np.float64) - vector) ** 2).sum(axis=1))
            scores[row] = np.sort(distances)[self.neighbour - 1]
        return Prediction(scores=scores)

    def state(self) -> State:
        """Return the pool's vectors."""
        return State({"backbone": self.ref.as_json()}, {"pool": self.pool})


def _embedding(backbone: Backbone | None) -> Embeds:
    if not isinstance(backbone, Embeds):
        raise ModelError("distance_to_pool was saved with a backbone that embeds, and this one does not.")
    return backbone


def _ref(backbone: Backbone | None) -> BackboneRef:
    if backbone is None:
        raise ModelError("distance_to_pool needs its backbone.")
    return backbone.ref
