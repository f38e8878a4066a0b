"""A classifier on rows of numbers that needs no backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nshot.core import (
    Backbone,
    BackboneRef,
    DataError,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method


class RowCentroids(Method):
    """Answer the class whose mean row is nearest.

    **Idea.** p(c | x) is proportional to exp(-sharpness |z(x) - mean_c|^2), z being the rows scaled to unit variance.

    **Needs.** Rows of numbers, one label; no backbone.

    **Wins.** With few rows and round classes; loses where classes have several centres.

    **Source.** Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning,
    section 4.3.

    **Example.** ``nshot fit rows.csv --method row_centroids --set sharpness=0.5``
    """

    needs = Needs(tasks=frozenset({TaskKind.CLASSIFY}), modalities=frozenset({"row"}))
    family = Family.BASELINE

    sharpness: float = 1.0
    """How fast the probability falls with the squared distance."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> RowCentroidsPredictor:
        """Return the class means; raise where the rows have different lengths."""
        self.require(task, train, backbone)
        rows = _matrix(train.examples, None)
        centre, scale = rows.mean(axis=0), rows.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = (rows - centre) / scale
        targets = np.array([task.index()[target] for target in train.labelled_targets()])
        present = sorted(set(targets.tolist()))
        means = np.stack([scaled[targets == column].mean(axis=0) for column in present])
        return RowCentroidsPredictor(task.labels, self.sharpness, centre, scale, means, np.array(present))

    def restore(
        self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> RowCentroidsPredictor:
        """Return the saved predictor."""
        arrays = state.tensors
        return RowCentroidsPredictor(
            task.labels, self.sharpness, arrays["centre"], arrays["scale"], arrays["means"], arrays["present"]
        )


@dataclass(frozen=True)
class RowCentroidsPredictor:
    """Class means in scaled coordinates."""

    labels: tuple[str, ...]
    sharpness: float
    centre: np.ndarray
    scale: np.ndarray
    means: np.ndarray
    present: np.ndarray

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return labels and probabilities, shape (n, labels); a class without rows has probability zero."""
        scaled = (_matrix(examples, len(self.centre)) - self.centre) / self.scale
        logits = -self.sharpness * ((scaled[:, None] - self.means) ** 2).sum(axis=2)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = np.zeros((len(examples), len(self.labels)), dtype=np.float32)
        probabilities[:, self.present] = weights / weights.sum(axis=1, keepdims=True)
        return Prediction([self.labels[column] for column in probabilities.argmax(axis=1)], probabilities)

    def state(self) -> State:
        """Return the means."""
        return State(tensors={"centre": self.centre, "scale": self.scale, "means": self.means, "present": self.present})


def _matrix(rows: Sequence[Any], width: int | None) -> np.ndarray:
    matrix = np.zeros((len(rows), width if width is not None else len(rows[0])))
    for position, row in enumerate(rows):
        if not isinstance(row, tuple | list) or len(row) != matrix.shape[1]:
            raise DataError(f"A row of {matrix.shape[1]} numbers was expected, {row!r:.80} was found.")
        if not all(isinstance(value, int | float) and abs(value) < 1e100 for value in row):
            raise DataError(f"Numbers below 1e100 were expected, {row!r:.80} was found. Fill or drop such rows.")
        matrix[position] = row
    return matrix
