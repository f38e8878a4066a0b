"""Metrics of `classify`: one label per example.

Conventions, the same for every metric here:

- A label that occurs neither among the targets nor among the answers does not count; one that occurs among either
  does (scikit-learn's default). So a never-predicted class of the test set costs macro F1 a zero.
- 0 / 0 is 0, for a class that counts.
- An answer outside `Task.labels` (a generator's) is wrong, and is no class of its own.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import DataError, Prediction, Task, TaskKind, UnsupportedError, closest
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.CLASSIFY})
BINS = 15


def _true_codes(targets: Sequence[Any], task: Task) -> NDArray[np.int64]:
    index = task.index()
    try:
        return np.array([index[target] for target in targets], dtype=np.int64)
    except KeyError as error:
        name = error.args[0]
        raise DataError(
            f"Every target must be one of the {len(index)} labels of the task. Found {name!r}."
            f"{closest(str(name), index)} Add it to the task's labels, or leave these rows out."
        ) from None


def _predicted_codes(prediction: Prediction, task: Task) -> NDArray[np.int64]:
    if prediction.labels is None:
        return np.asarray(np.argmax(_probabilities(prediction, task), axis=1), dtype=np.int64)
    index = task.index()
    return np.fromiter((index.get(label, -1) for label in prediction.labels), np.int64, count=len(prediction.labels))


def _probabilities(prediction: Prediction, task: Task) -> Array:
    if prediction.probabilities is None:
        raise UnsupportedError("This metric needs probabilities, and this method has none.")
    probabilities = np.asarray(prediction.probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(task.labels):
        raise ValueError(f"probabilities have shape {probabilities.shape} for {len(task.labels)} labels")
    return probabilities


def _same_length(targets: Sequence[Any], answers: Sized) -> None:
    if len(targets) != len(answers):
        raise ValueError(f"{len(answers)} answers for {len(targets)} targets")


def codes(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (true index, predicted index) per example; -1 for an answer outside the labels."""
    predicted = _predicted_codes(prediction, task)
    _same_length(targets, predicted)
    return np.stack([_true_codes(targets, task), predicted], axis=1).astype(np.float64)


def correct(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return 1.0 for each right answer, shape (n, 1)."""
    pairs = codes(targets, prediction, task)
    return np.asarray(pairs[:, :1] == pairs[:, 1:], dtype=np.float64)


def _sums(keys: NDArray[np.int64], size: int, weights: Array) -> Array:
    """Return the (b, size) sums of the (b, n) weights by key; negative keys are left out."""
    if len(weights) == 1:
        counted = keys >= 0
        return np.bincount(keys[counted], weights=weights[0][counted], minlength=size)[None, :].astype(np.float64)
    from scipy.sparse import csr_array

    kept = np.flatnonzero(keys >= 0)
    shape = (size, len(keys))
    indicator = csr_array((np.ones(len(kept), dtype=weights.dtype), (keys[kept], kept)), shape=shape)
    return np.asarray((indicator @ np.ascontiguousarray(weights.T)).T)


def _counts(statistics: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """Return weighted (targets, answers, hits) per class, shape (b, k), and the weight in all, shape (b,)."""
    pairs = statistics.astype(np.int64)
    size = int(pairs.max()) + 1 if len(pairs) else 1
    # Few different pairs stand behind many rows: sum the rows of each pair once, then work on pairs.
    different, which = np.unique(pairs[:, 0] * (size + 1) + pairs[:, 1] + 1, return_inverse=True)
    true, predicted = different // (size + 1), different % (size + 1) - 1
    by_pair = _sums(which.astype(np.int64), len(different), weights)
    hits = _sums(np.where(true == predicted, true, -1), size, by_pair)
    return _sums(true, size, by_pair), _sums(predicted, size, by_pair), hits, by_pair.sum(axis=1)


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, dtype=np.float64), where=denominator > 0)


def _nan_where_empty(score: Array, total: Array) -> Array:
    return np.where(total > 0, score, np.nan)


def _macro_f1(statistics: Array, weights: Array) -> Array:
    true, predicted, hits, total = _counts(statistics, weights)
    both = true + predicted
    f1 = _ratio(2 * hits, both)
    return _nan_where_empty(_ratio(f1.sum(axis=1), (both > 0).sum(axis=1).astype(np.float64)), total)


def _weighted_f1(statistics: Array, weights: Array) -> Array:
    true, predicted, hits, total = _counts(statistics, weights)
    f1 = _ratio(2 * hits, true + predicted)
    return _nan_where_empty(_ratio((true * f1).sum(axis=1), total), total)


def _balanced_accuracy(statistics: Array, weights: Array) -> Array:
    true, _, hits, total = _counts(statistics, weights)
    recall = _ratio(hits, true)
    return _nan_where_empty(_ratio(recall.sum(axis=1), (true > 0).sum(axis=1).astype(np.float64)), total)


def _mcc(statistics: Array, weights: Array) -> Array:
    true, predicted, hits, total = (np.asarray(x, dtype=np.float64) for x in _counts(statistics, weights))
    outside = total - predicted.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (true * predicted).sum(axis=1)
    of_true = total**2 - (true**2).sum(axis=1)
    of_predicted = total**2 - (predicted**2).sum(axis=1) - outside**2
    return _nan_where_empty(_ratio(covariance, np.sqrt(np.maximum(of_true * of_predicted, 0.0))), total)


def _rows_of_equal_classes(statistics: Array) -> float:
    """Return k^2 / sum(1 / n_k): the number of rows, if the k classes were equally large."""
    sizes = np.unique(statistics[:, 0], return_counts=True)[1]
    return float(len(sizes) ** 2 / np.sum(1.0 / sizes))


def _log_losses(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    probabilities = _probabilities(prediction, task)
    _same_length(targets, probabilities)
    of_truth = probabilities[np.arange(len(targets)), _true_codes(targets, task)]
    floor = np.finfo(np.float64).eps
    return -np.log(np.clip(of_truth, floor, 1.0))[:, None]


def _squared_distances(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    probabilities = _probabilities(prediction, task)
    _same_length(targets, probabilities)
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(targets)), _true_codes(targets, task)] = 1.0
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1, keepdims=True))


def _confidences(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    probabilities = _probabilities(prediction, task)
    _same_length(targets, probabilities)
    right = np.argmax(probabilities, axis=1) == _true_codes(targets, task)
    return np.stack([probabilities.max(axis=1), right.astype(np.float64)], axis=1)


def _bins(statistics: Array) -> NDArray[np.int64]:
    """Return the bin of each confidence; bins are (lower, upper], as in Guo et al."""
    return np.clip(np.ceil(statistics[:, 0] * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _calibration_error(statistics: Array, weights: Array) -> Array:
    gaps = _sums(_bins(statistics), BINS, weights * (statistics[:, 1] - statistics[:, 0])[None, :])
    total = weights.sum(axis=1)
    return _nan_where_empty(_ratio(np.abs(gaps).sum(axis=1), total), total)


def _calibration_error_without_one(statistics: Array) -> Array:
    bins = _bins(statistics)
    gaps = statistics[:, 1] - statistics[:, 0]
    sums = np.bincount(bins, weights=gaps, minlength=BINS)
    without = np.abs(sums).sum() - np.abs(sums[bins]) + np.abs(sums[bins] - gaps)
    return np.asarray(without / (len(statistics) - 1), dtype=np.float64)


accuracy = Metric(
    name="accuracy",
    task_kinds=KINDS,
    signature="accuracy|v1",
    statistics=correct,
    is_mean=True,
)
"""Share of right answers."""

balanced_accuracy = Metric(
    name="balanced_accuracy",
    task_kinds=KINDS,
    signature="balanced_accuracy|average:macro recall|v1",
    statistics=codes,
    weighted=_balanced_accuracy,
    effective_rows=_rows_of_equal_classes,
)
"""Mean recall of the classes among the targets (Brodersen et al. 2010, not adjusted for chance)."""

macro_f1 = Metric(
    name="macro_f1",
    task_kinds=KINDS,
    signature="f1|average:macro|classes:in targets or answers|0/0:0|v1",
    statistics=codes,
    weighted=_macro_f1,
    effective_rows=_rows_of_equal_classes,
)
"""Mean over the classes of F1 = 2 hits / (targets + answers).

The mean of F1s, not the F1 of mean precision and mean recall (Opitz & Burst 2019, "Macro F1 and Macro F1").
"""

weighted_f1 = Metric(
    name="weighted_f1",
    task_kinds=KINDS,
    signature="f1|average:weighted by targets|0/0:0|v1",
    statistics=codes,
    weighted=_weighted_f1,
)
"""F1 per class, averaged by the classes' share of the targets."""

mcc = Metric(
    name="mcc",
    task_kinds=KINDS,
    signature="mcc|multiclass:R_K|0/0:0|v1",
    statistics=codes,
    weighted=_mcc,
    lowest=-1.0,
)
"""Matthews correlation coefficient; for more than two classes Gorodkin's R_K (2004)."""

log_loss = Metric(
    name="log_loss",
    task_kinds=KINDS,
    signature="log_loss|log:natural|clip:2.2e-16|v1",
    statistics=_log_losses,
    needs="probabilities",
    higher_is_better=False,
    is_mean=True,
    highest=float("inf"),
)
"""Mean of -log(probability of the true label), natural logarithm."""

brier = Metric(
    name="brier",
    task_kinds=KINDS,
    signature="brier|sum over classes, 0 to 2|v1",
    statistics=_squared_distances,
    needs="probabilities",
    higher_is_better=False,
    is_mean=True,
    highest=2.0,
)
"""Mean squared distance of the probabilities from the truth, summed over classes (Brier 1950): 0 to 2.

For two classes this is twice what scikit-learn's `brier_score_loss` gives with its default scale.
"""

expected_calibration_error = Metric(
    name="expected_calibration_error",
    task_kinds=KINDS,
    signature=f"ece|top label|bins:{BINS} of equal width, right-closed|v1",
    statistics=_confidences,
    weighted=_calibration_error,
    needs="probabilities",
    higher_is_better=False,
    leave_one_out=_calibration_error_without_one,
)
"""Gap between confidence and accuracy over 15 equal bins of confidence, weighted by size (Guo et al. 2017, eq. 3).

Biased upwards on few rows: even a calibrated model shows some gap in every bin.
"""

METRICS = (
    macro_f1,
    accuracy,
    balanced_accuracy,
    weighted_f1,
    mcc,
    log_loss,
    brier,
    expected_calibration_error,
)
