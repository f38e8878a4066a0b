"""Metrics of `detect`: an anomaly score per example, higher is stranger.

All of them rank, so scores of two fits cannot be pooled: folds are scored one by one and averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import DataError, OptionError, Prediction, Task, TaskKind, UnsupportedError, names_anomaly
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.DETECT})
RECALL_AT = "recall_at_far"
_ROUNDING = 1e-9


def is_anomalous(target: Any) -> bool:
    """Return whether a target names an anomaly: a true value, 1, or a word such as `anomaly`, `outlier`, `yes`."""
    if isinstance(target, str):
        named = names_anomaly(target)
        if named is None:
            raise DataError(
                f"A target of 'detect' must be 1 or 0, true or false, anomaly or normal. Found {target!r}. "
                "Rename the labels."
            )
        return named
    return bool(target)


def _marks_and_scores(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    if prediction.scores is None:
        raise UnsupportedError("This metric needs scores, and this method has none.")
    scores = np.asarray(prediction.scores, dtype=np.float64).reshape(-1)
    if len(targets) != len(scores):
        raise ValueError(f"{len(scores)} answers for {len(targets)} targets")
    return np.stack([np.array([float(is_anomalous(target)) for target in targets]), scores], axis=1)


def _levels(statistics: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weight of anomalies and of normal rows at each different score, ascending, shape (b, levels)."""
    order = np.argsort(statistics[:, 1], kind="stable")
    scores, marks = statistics[order, 1], statistics[order, 0]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(scores) > 0]))
    ordered = np.asarray(weights, dtype=np.float64)[:, order]
    return np.add.reduceat(ordered * marks, starts, axis=1), np.add.reduceat(ordered * (1.0 - marks), starts, axis=1)


def _of_the_rarer(statistics: Array) -> float:
    """Return how many anomalies there are, or normal rows where these are fewer: one mistake costs one of them."""
    anomalous = float((statistics[:, 0] > 0).sum())
    return max(1.0, min(anomalous, len(statistics) - anomalous))


def _area(statistics: Array, weights: Array) -> Array:
    anomalies, normals = _levels(statistics, weights)
    below = np.cumsum(normals, axis=1) - 0.5 * normals  # a tie counts one half
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((anomalies * below).sum(axis=1) / (anomalies.sum(axis=1) * normals.sum(axis=1)))


def _area_without_one(statistics: Array) -> Array:
    """Return the area without each row in turn: the sum of pairs loses that row's pairs (DeLong's components)."""
    anomalous, scores = statistics[:, 0] > 0, statistics[:, 1]
    if anomalous.sum() < 2 or (~anomalous).sum() < 2:
        return np.full(len(scores), np.nan)

    def share_below(values: Array, others: Array) -> Array:
        others = np.sort(others)
        return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / 2.0

    wins = np.empty(len(scores))
    wins[anomalous] = share_below(scores[anomalous], scores[~anomalous])
    wins[~anomalous] = anomalous.sum() - share_below(scores[~anomalous], scores[anomalous])
    pairs = wins[anomalous].sum()
    n_anomalous = np.where(anomalous, anomalous.sum() - 1, anomalous.sum())
    n_normal = np.where(anomalous, (~anomalous).sum(), (~anomalous).sum() - 1)
    return np.asarray((pairs - wins) / (n_anomalous * n_normal), dtype=np.float64)


def precision_recall(statistics: Array, weights: Array) -> Array:
    """Return the average precision of (truth, score) rows under weights of shape (b, n); nan without a positive."""
    anomalies, normals = _levels(statistics, weights)
    found, alarms = np.cumsum(anomalies[:, ::-1], axis=1), np.cumsum((anomalies + normals)[:, ::-1], axis=1)
    precision = np.divide(found, alarms, out=np.zeros_like(found), where=alarms > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((anomalies[:, ::-1] * precision).sum(axis=1) / anomalies.sum(axis=1))


def precision_recall_without_one(statistics: Array) -> Array:
    """Return the average precision without each row in turn.

    A missing row takes one from the counts of its own level and of all below it; the levels above stay as they are. So
    two running sums over the levels tell all answers.
    """
    anomalous = statistics[:, 0] > 0
    if anomalous.sum() < 2:
        return np.full(len(statistics), np.nan)
    _, level = np.unique(-statistics[:, 1], return_inverse=True)  # 0: the strangest
    own = np.bincount(level, weights=anomalous)
    found, alarms = np.cumsum(own), np.cumsum(np.bincount(level))

    def precision(fewer_found: int, fewer_alarms: int) -> Array:
        left = alarms - fewer_alarms
        return np.divide(found - fewer_found, left, out=np.zeros(len(own)), where=left > 0)

    above = np.cumsum(own * precision(0, 0)) - own * precision(0, 0)

    def from_there_on(fewer_found: int) -> Array:
        terms = own * precision(fewer_found, 1)
        return np.cumsum(terms[::-1])[::-1]

    total = float(anomalous.sum())
    of_anomalies = (above + from_there_on(1) - precision(1, 1)) / (total - 1)
    of_normals = (above + from_there_on(0)) / total
    return np.asarray(np.where(anomalous, of_anomalies[level], of_normals[level]), dtype=np.float64)


average_precision = Metric(
    name="average_precision",
    task_kinds=KINDS,
    signature="average_precision|step-wise, ties as one threshold|v1",
    statistics=_marks_and_scores,
    weighted=precision_recall,
    needs="scores",
    ranks=True,
    leave_one_out=precision_recall_without_one,
    effective_rows=_of_the_rarer,
)
"""Sum over thresholds of (gain in recall) x precision; its value by chance is the share of anomalies."""

auroc = Metric(
    name="auroc",
    task_kinds=KINDS,
    signature="auroc|ties:0.5|v1",
    statistics=_marks_and_scores,
    weighted=_area,
    needs="scores",
    ranks=True,
    leave_one_out=_area_without_one,
    effective_rows=_of_the_rarer,
)
"""Probability that an anomaly scores higher than a normal row, ties counting one half (Mann-Whitney)."""


@cache
def recall_at(rate: str) -> Metric:
    """Return the metric of how many anomalies are found while a given share of normal rows raises a false alarm.

    It is read off the curve of recall over false alarms, of which each different score is a point: rows with equal
    scores raise the alarm together. Between two points the line is straight, which is what tossing a coin between their
    thresholds achieves (Provost and Fawcett 2001, Robust Classification for Imprecise Environments).

    Args:
        rate: The share of normal rows, such as ``0.01``.

    Raises:
        OptionError: It is no number between 0 and 1.
    """
    try:
        share = float(rate)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise OptionError(
            f"The false-alarm rate must be a number between 0 and 1, such as {RECALL_AT}:0.01. Got '{rate}' instead."
        )

    def recall(statistics: Array, weights: Array) -> Array:
        anomalies, normals = (levels[:, ::-1] for levels in _levels(statistics, weights))
        nothing = np.zeros((len(anomalies), 1))
        found = np.hstack([nothing, np.cumsum(anomalies, axis=1)])
        alarms = np.hstack([nothing, np.cumsum(normals, axis=1)])
        wanted = share * alarms[:, -1:]
        after = np.argmax(alarms > wanted + _ROUNDING, axis=1)[:, None]
        low, high = (np.take_along_axis(alarms, at, axis=1) for at in (after - 1, after))
        below, above = (np.take_along_axis(found, at, axis=1) for at in (after - 1, after))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(((below + (above - below) * (wanted - low) / (high - low)) / found[:, -1:])[:, 0])

    return Metric(
        name=f"{RECALL_AT}:{share:g}",
        task_kinds=KINDS,
        signature=f"{RECALL_AT}|false-alarm rate:{share:g}|straight between thresholds, ties as one threshold|v1",
        statistics=_marks_and_scores,
        weighted=recall,
        needs="scores",
        ranks=True,
        leave_one_out=lambda statistics: _recall_without_one(statistics, share),
        effective_rows=_of_the_rarer,
    )


def _recall_without_one(statistics: Array, share: float) -> Array:
    """Return the recall without each row in turn.

    A missing row takes one from the counts of its own level and of all that follow, so that the false-alarm rate is
    passed at one of two levels only: where it is passed with all rows, or where one alarm more would pass it.
    """
    marks, scores = statistics[:, 0] > 0, statistics[:, 1]
    if marks.sum() < 2 or (~marks).sum() < 2:
        return np.full(len(scores), np.nan)
    different, level = np.unique(-scores, return_inverse=True)
    own = level + 1
    found, alarms = (
        np.concatenate([[0.0], np.cumsum(np.bincount(level[kind], minlength=len(different)))])
        for kind in (marks, ~marks)
    )
    wanted = share * (alarms[-1] - ~marks)
    first = np.searchsorted(alarms, wanted + _ROUNDING, "right")
    one_more = np.searchsorted(alarms, wanted + 1 + _ROUNDING, "right")
    after = np.where(~marks & (own <= first), one_more, first)

    def at(counts: Array, where: NDArray[np.intp], kind: NDArray[np.bool_]) -> Array:
        return np.asarray(counts[where] - (kind & (where >= own)))

    low, high = (at(alarms, where, ~marks) for where in (after - 1, after))
    below, above = (at(found, where, marks) for where in (after - 1, after))
    return np.asarray((below + (above - below) * (wanted - low) / (high - low)) / (found[-1] - marks))


METRICS = (average_precision, auroc, recall_at("0.01"))
