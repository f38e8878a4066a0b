"""What a metric is: per-example statistics, and an aggregate of them that takes resampling weights.

Predictions are turned into numbers once (`statistics`); jackknife, bootstrap and bagged selection then only
re-weight those numbers. This is sacrebleu's idea of sufficient statistics per sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nshot.core import Prediction, Task, TaskKind, UnsupportedError

Array: TypeAlias = NDArray[np.float64]

# Rows of weights aggregated at once: bounds memory to about chunk x examples numbers.
CHUNK = 1024


def weighted_mean(statistics: Array, weights: Array) -> Array:
    """Return sum(w x) / sum(w) of the only column, for weights of shape (b, n); nan where all weights are 0."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ statistics[:, 0]) / total, dtype=np.float64)


@dataclass(frozen=True)
class Metric:
    """A score of answers against targets that can be resampled.

    Attributes:
        name: The public name.
        task_kinds: The kinds of task it judges.
        signature: Everything that could change the number, in one string.
        statistics: ``statistics(targets, prediction, task)``: shape (n, m), one row per example, float64.
        weighted: ``weighted(statistics, weights)`` with weights of shape (b, n), how often each example counts in
            each of b resamples: b scores. nan where the score is not defined.
        needs: The field of `Prediction` it reads.
        higher_is_better: False for errors and losses.
        is_mean: The score is the plain mean of the only column.
        ranks: A ranking metric: scores of different fits are not on one scale, so folds are averaged, not pooled.
        lowest: The smallest possible value.
        highest: The largest possible value.
        leave_one_out: ``leave_one_out(statistics)``: the n scores without one example each, where there is a
            formula faster than weighting; None otherwise.
        point: What people call a point of it: 0.01 of a share, 1 of what goes from 0 to 100.
        effective_rows: How many examples share the weight evenly, as far as one more mistake is concerned: the
            score moves by about 1 / effective rows. None: all of them. Macro averages have fewer, because a
            mistake in a small class costs more.
        in_units: The score is in the unit of the targets, so that it depends on them what is a large one, and what a
            point of it is: see `on_scale_of`.
        is_quality: A better value is a better answer, so that one may be ranked by it. False for what only informs,
            such as lengths.
        signed: ``signed(targets)``: the signature, where the targets decide a part of it, such as how many references
            there are; None where they do not. See `signature_on`.
    """

    name: str
    task_kinds: frozenset[TaskKind]
    signature: str
    statistics: Callable[[Sequence[Any], Prediction, Task], Array]
    weighted: Callable[[Array, Array], Array] = weighted_mean
    needs: str = "labels"
    higher_is_better: bool = True
    is_mean: bool = False
    ranks: bool = False
    lowest: float = 0.0
    highest: float = 1.0
    point: float = 0.01
    leave_one_out: Callable[[Array], Array] | None = None
    effective_rows: Callable[[Array], float] | None = None
    in_units: bool = False
    is_quality: bool = True
    signed: Callable[[Sequence[Any]], str] | None = None

    def __str__(self) -> str:
        return self.signature

    def signature_on(self, targets: Sequence[Any]) -> str:
        """Return the signature of a score on these targets."""
        return self.signature if self.signed is None else self.signed(targets)

    def on_scale_of(self, targets: Sequence[Any]) -> Metric:
        """Return the metric with a point of it that suits these targets.

        For an error in their unit that is a hundredth of their mean distance from their median: of the error that the
        best constant answer would make.
        """
        if not self.in_units or not len(targets):
            return self
        values = np.asarray(list(targets), dtype=np.float64)
        spread = float(np.abs(values - np.median(values)).mean())
        return replace(self, point=0.01 * spread) if spread > 0 else self

    @property
    def bounded(self) -> bool:
        """Whether both ends of the range are finite."""
        return bool(np.isfinite(self.lowest) and np.isfinite(self.highest))

    def unavailable(self, prediction: Prediction) -> str | None:
        """Return why this prediction cannot be judged by this metric, or None."""
        if getattr(prediction, self.needs) is not None:
            return None
        if self.needs == "labels" and prediction.probabilities is not None:
            return None
        return f"{self.name} needs {self.needs}, and this method has none."

    def aggregate(self, statistics: Array, weights: NDArray[Any] | None = None) -> float:
        """Return the score of these rows, each counted `weights` times (once if None).

        Args:
            statistics: Shape (n, m), from `statistics`.
            weights: Shape (n,), or None.
        """
        if weights is None:
            weights = np.ones(len(statistics))
        return float(self.weighted(statistics, np.asarray(weights, dtype=np.float64)[None, :])[0])

    def aggregate_many(self, statistics: Array, weights: NDArray[Any]) -> Array:
        """Return b scores for weights of shape (b, n).

        Weights whose transpose is contiguous (built as (n, b) and handed over as ``.T``) are fastest.
        """
        if len(weights) <= CHUNK:
            return self.weighted(statistics, weights)
        parts = [self.weighted(statistics, weights[i : i + CHUNK]) for i in range(0, len(weights), CHUNK)]
        return np.concatenate(parts)

    def score(self, targets: Sequence[Any], prediction: Prediction, task: Task) -> float:
        """Return the score of n answers against n targets."""
        reason = self.unavailable(prediction)
        if reason:
            raise UnsupportedError(reason)
        return self.aggregate(self.statistics(targets, prediction, task))
