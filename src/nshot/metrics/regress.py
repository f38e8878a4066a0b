"""Metrics of `regress`: one number per example.

The first is the default: the share of the spread that is explained means the same whatever the unit of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.REGRESS})


def _pairs(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (target, answer) per example."""
    if prediction.values is None:
        raise UnsupportedError("This metric needs values, and this method has none.")
    answers = np.asarray(prediction.values, dtype=np.float64).reshape(-1)
    if len(targets) != len(answers):
        raise ValueError(f"{len(answers)} answers for {len(targets)} targets")
    return np.stack([np.asarray(list(targets), dtype=np.float64), answers], axis=1)


def _absolute_errors(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = _pairs(targets, prediction, task)
    return np.abs(pairs[:, :1] - pairs[:, 1:])


def _squared_errors(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = _pairs(targets, prediction, task)
    return (pairs[:, :1] - pairs[:, 1:]) ** 2


def _root_mean(statistics: Array, weights: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt((weights @ statistics[:, 0]) / weights.sum(axis=1)))


def _explained(statistics: Array, weights: Array) -> Array:
    truth, answers = statistics[:, 0], statistics[:, 1]
    truth, answers = truth - truth.mean(), answers - truth.mean()  # against cancellation in the sum of squares
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weights.sum(axis=1)
        mean = (weights @ truth) / total
        spread = weights @ truth**2 - total * mean**2
        scale = max(float(np.sum(truth**2)), np.finfo(np.float64).tiny)
        # One and the same target everywhere leaves nothing to explain.
        spread = np.where(spread > 1e-12 * scale, spread, np.nan)
        return np.asarray(1.0 - (weights @ (truth - answers) ** 2) / spread)


def _root_mean_without_one(statistics: Array) -> Array:
    errors = statistics[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sqrt(np.maximum(0.0, errors.sum() - errors) / (len(errors) - 1)))


def _explained_without_one(statistics: Array) -> Array:
    """Return the share that is explained without each row in turn: sums lose a term, the mean moves by a little."""
    truth, answers = statistics[:, 0], statistics[:, 1]
    n = len(truth)
    if n < 3:
        return np.full(n, np.nan)
    errors, apart = (truth - answers) ** 2, truth - truth.mean()
    # The squared distances from the mean of the others: each row's own counts n / (n - 1) times.
    spread = np.sum(apart**2) - apart**2 * n / (n - 1)
    scale = max(float(np.sum(apart**2)), np.finfo(np.float64).tiny)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(spread > 1e-12 * scale, spread, np.nan)
        return np.asarray(1.0 - (errors.sum() - errors) / left)


mae = Metric(
    name="mae",
    task_kinds=KINDS,
    signature="mae|v1",
    statistics=_absolute_errors,
    needs="values",
    higher_is_better=False,
    is_mean=True,
    highest=float("inf"),
    in_units=True,
)
"""Mean absolute error, in the target's unit."""

rmse = Metric(
    name="rmse",
    task_kinds=KINDS,
    signature="rmse|v1",
    statistics=_squared_errors,
    weighted=_root_mean,
    leave_one_out=_root_mean_without_one,
    needs="values",
    higher_is_better=False,
    highest=float("inf"),
    in_units=True,
)
"""Root of the mean squared error, in the target's unit."""

r2 = Metric(
    name="r2",
    task_kinds=KINDS,
    signature="r2|constant targets:undefined|v1",
    statistics=_pairs,
    weighted=_explained,
    leave_one_out=_explained_without_one,
    needs="values",
    lowest=-float("inf"),
)
"""Coefficient of determination: 1 - squared error / squared distance from the mean of the test targets."""

METRICS = (r2, mae, rmse)
