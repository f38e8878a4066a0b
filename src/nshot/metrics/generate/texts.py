"""What the metrics of written texts share: which texts are compared, and statistics that are one number per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array

KINDS = frozenset({TaskKind.GENERATE})

_LEAST_SPREAD = 0.1
"""Rows that are all alike, by chance or because there are few, do not make an interval of nothing."""

Statistics: TypeAlias = Callable[[Sequence[Any], Prediction, Task], Array]


def accepted(target: Any) -> tuple[str, ...]:
    """Return the texts that are accepted for a row: its target's, or the target itself where that is one text."""
    return (target,) if isinstance(target, str) else tuple(target)


def written(targets: Sequence[Any], prediction: Prediction) -> Sequence[str]:
    """Return the n texts that were written for n targets.

    Raises:
        UnsupportedError: The method writes none.
    """
    if prediction.texts is None:
        raise UnsupportedError("This metric needs texts, and this method has none.")
    if len(targets) != len(prediction.texts):
        raise ValueError(f"{len(prediction.texts)} answers for {len(targets)} targets")
    return prediction.texts


def one_number(score: Callable[[str, tuple[str, ...]], float]) -> Statistics:
    """Return the statistics, shape (n, 1), of a metric that is the mean of a score per row.

    Args:
        score: ``score(text, references)`` of one row.
    """

    def statistics(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
        pairs = zip(written(targets, prediction), targets, strict=True)
        scores = (score(text, accepted(target)) for text, target in pairs)
        return np.fromiter(scores, np.float64, count=len(targets)).reshape(-1, 1)

    return statistics


def weight_of_rows(spread: float, at_an_end: NDArray[np.bool_]) -> float:
    """Return how many rows share the weight, as far as one more mistake is concerned; see `Metric.effective_rows`.

    A row with the lowest or the highest score can fall, or rise, all the way by one mistake. Others differ by their
    spread only, and allowing for the whole way there would widen every comparison of two systems: on 100 rows of the
    E2E challenge 1.5 times (BLEU) to 2.3 times (chrF), while intervals by this formula cover 96 to 100 % as well. Of
    the share s at an end, and the spread r as a part of the range, one mistake counts sqrt(s + (1 - s) r^2) of a row.

    Args:
        spread: Standard deviation of the rows' scores, as a part of the metric's range.
        at_an_end: Shape (n,), which rows have the lowest or the highest score.
    """
    share = float(at_an_end.mean())
    return len(at_an_end) / math.sqrt(min(1.0, share + (1.0 - share) * max(spread, _LEAST_SPREAD) ** 2))


def weight_of_mean_rows(statistics: Array) -> float:
    """Return `weight_of_rows` of a mean of scores from 0 to 1."""
    scores = statistics[:, 0]
    return weight_of_rows(float(scores.std()), (scores <= 0.0) | (scores >= 1.0))


def ratio(statistics: Array, weights: Array) -> Array:
    """Return sum(w x) / sum(w y) of the columns x and y, for weights of shape (b, n); nan where the latter is 0."""
    above, below = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan), dtype=np.float64)


def without_each(statistics: Array) -> Array:
    """Return the column sums without each row in turn, of the same shape."""
    return np.asarray(statistics.sum(axis=0) - statistics, dtype=np.float64)


def ratio_without_one(statistics: Array) -> Array:
    """Return `ratio` without each row in turn, shape (n,)."""
    above, below = without_each(statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan), dtype=np.float64)
