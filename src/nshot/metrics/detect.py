"""Metrics of `detect`: an anomaly score per example, higher is stranger.

Both rank, so scores of two fits cannot be pooled: folds are scored one by one and averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import DataError, Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.DETECT})

ANOMALOUS = frozenset({"1", "1.0", "true", "yes", "anomaly", "anomalous", "abnormal", "outlier"})
NORMAL = frozenset({"0", "0.0", "-1", "false", "no", "normal", "inlier", "ok"})


def is_anomalous(target: Any) -> bool:
    """Return whether a target names an anomaly: a true value, 1, or a word such as `anomaly`, `outlier`, `yes`."""
    if isinstance(target, str):
        word = target.strip().lower()
        if word in ANOMALOUS:
            return True
        if word in NORMAL:
            return False
        raise DataError(
            f"A target of 'detect' must be 1 or 0, true or false, anomaly or normal. Found {target!r}. "
            "Rename the labels."
        )
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


def _precision_recall(statistics: Array, weights: Array) -> Array:
    anomalies, normals = _levels(statistics, weights)
    found, alarms = np.cumsum(anomalies[:, ::-1], axis=1), np.cumsum((anomalies + normals)[:, ::-1], axis=1)
    precision = np.divide(found, alarms, out=np.zeros_like(found), where=alarms > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((anomalies[:, ::-1] * precision).sum(axis=1) / anomalies.sum(axis=1))


average_precision = Metric(
    name="average_precision",
    task_kinds=KINDS,
    signature="average_precision|step-wise, ties as one threshold|v1",
    statistics=_marks_and_scores,
    weighted=_precision_recall,
    needs="scores",
    ranks=True,
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
)
"""Probability that an anomaly scores higher than a normal row, ties counting one half (Mann-Whitney)."""

METRICS = (average_precision, auroc)
