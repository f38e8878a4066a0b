"""Metrics of `tag`: several labels per example, or none.

Conventions:

- A label that occurs neither among the targets nor among the answers does not count; one that occurs among either
  does, with 0 / 0 = 0. So a test set without an example of a label says nothing of it as long as nobody answers it, and
  each wrong answer of it costs macro F1 a zero. In scikit-learn's words: ``average="macro", zero_division=nan``.
- Where no label occurs at all, F1 is not defined.
- An answer outside `Task.labels` is wrong, and is no label of its own.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import DataError, Prediction, Task, TaskKind, UnsupportedError, closest
from nshot.metrics import detect
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.TAG})
_PER_NUMBER = 26
"""Labels of which one number keeps two bits each: 52 bits, what float64 holds exactly."""
_FEWEST_EXAMPLES = 2


def marks(labels: Sequence[Sequence[str]], task: Task) -> NDArray[np.bool_]:
    """Return which labels of the task each row has, shape (n, labels); those outside the task are left out."""
    index = task.index()
    found = np.zeros((len(labels), len(index)), dtype=bool)
    for row, names in enumerate(labels):
        for name in names:
            if name in index:
                found[row, index[name]] = True
    return found


def _true(targets: Sequence[Any], task: Task) -> NDArray[np.bool_]:
    known = task.index()
    strange = next((name for names in targets for name in names if name not in known), None)
    if strange is not None:
        raise DataError(
            f"Every target must hold labels of the {len(known)} that the task has. Found {strange!r}."
            f"{closest(str(strange), known)} Add it to the task's labels, or leave these rows out."
        )
    return marks(targets, task)


def _answered(prediction: Prediction, task: Task) -> NDArray[np.bool_]:
    if prediction.labels is None:
        return np.asarray(_probabilities(prediction, task) >= 0.5)
    return marks(prediction.labels, task)


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


def packed(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return what is true and what is answered of every label, in base 4, 26 labels a number: shape (n, m)."""
    answered = _answered(prediction, task)
    _same_length(targets, answered)
    digits = _true(targets, task) + 2.0 * answered
    size = -(-max(1, digits.shape[1]) // _PER_NUMBER)
    padded = np.zeros((len(digits), size * _PER_NUMBER))
    padded[:, : digits.shape[1]] = digits
    powers = 4.0 ** np.arange(_PER_NUMBER)
    return np.asarray(padded.reshape(len(digits), size, _PER_NUMBER) @ powers)


def unpacked(statistics: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what is true and what is answered, each of shape (n, labels or a few more that nobody has)."""
    numbers = statistics.astype(np.int64)[:, :, None]
    digits = (numbers >> (2 * np.arange(_PER_NUMBER))) & 3
    flat = digits.reshape(len(statistics), statistics.shape[1] * _PER_NUMBER)
    return (flat & 1).astype(bool), (flat & 2).astype(bool)


def _per_row(statistics: Array) -> tuple[Array, Array]:
    """Return twice the hits, and targets plus answers, of each row: shape (n, labels that occur)."""
    true, answered = unpacked(statistics)
    occurring = (true | answered).any(axis=0)
    true, answered = true[:, occurring], answered[:, occurring]
    hits = np.asarray(true & answered, dtype=np.float64)
    return 2.0 * hits, true.astype(np.float64) + answered


def _counts(statistics: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weighted sums of these, shape (b, labels that occur)."""
    hits, both = _per_row(statistics)
    return weights @ hits, weights @ both


def _macro(hits: Array, both: Array) -> Array:
    f1 = np.divide(hits, both, out=np.zeros_like(hits), where=both > 0)
    n_labels = (both > 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(f1.sum(axis=1) / np.where(n_labels > 0, n_labels, np.nan))


def _micro(hits: Array, both: Array) -> Array:
    total = both.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits.sum(axis=1) / np.where(total > 0, total, np.nan))


def _without_one(statistics: Array) -> tuple[Array, Array]:
    """Return what `_counts` does for the rows without each one in turn."""
    hits, both = _per_row(statistics)
    return hits.sum(axis=0) - hits, both.sum(axis=0) - both


def _macro_f1(statistics: Array, weights: Array) -> Array:
    return _macro(*_counts(statistics, weights))


def _micro_f1(statistics: Array, weights: Array) -> Array:
    return _micro(*_counts(statistics, weights))


def _macro_f1_without_one(statistics: Array) -> Array:
    return _macro(*_without_one(statistics))


def _micro_f1_without_one(statistics: Array) -> Array:
    return _micro(*_without_one(statistics))


def _rows_of_equal_labels(statistics: Array) -> float:
    """Return k^2 / sum(1 / n_k): how many labels would be given in all, if each of the k had as many examples."""
    true, _ = unpacked(statistics)
    sizes = true.sum(axis=0)
    sizes = sizes[sizes > 0]
    return float(len(sizes) ** 2 / np.sum(1.0 / sizes)) if len(sizes) else 1.0


def _all_right(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    wrong = _wrong(targets, prediction, task)
    return np.asarray((wrong == 0), dtype=np.float64)[:, None]


def _shares_wrong(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    return np.asarray(_wrong(targets, prediction, task) / max(1, len(task.labels)))[:, None]


def _wrong(targets: Sequence[Any], prediction: Prediction, task: Task) -> NDArray[np.int64]:
    """Return how many labels are wrong in each row: given and not true, or true and not given."""
    answered = _answered(prediction, task)
    _same_length(targets, answered)
    strange = np.zeros(len(answered), dtype=np.int64)
    if prediction.labels is not None:
        known = set(task.labels)
        strange += np.array([len(set(names) - known) for names in prediction.labels], dtype=np.int64)
    return np.asarray((_true(targets, task) ^ answered).sum(axis=1) + strange)


def _signed_probabilities(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return the probability of each label, plus 2 where it is true: shape (n, labels)."""
    probabilities = _probabilities(prediction, task)
    _same_length(targets, probabilities)
    # Rounded to float32, as predictors have them: the sum is then exact.
    return np.asarray(probabilities.astype(np.float32).astype(np.float64) + 2.0 * _true(targets, task))


def _by_label(statistics: Array) -> list[Array]:
    """Return (truth, probability) of each label with two examples or more, shape (n, 2)."""
    true = statistics >= 2.0
    enough = np.flatnonzero(true.sum(axis=0) >= _FEWEST_EXAMPLES)
    return [np.stack([true[:, k], statistics[:, k] - 2.0 * true[:, k]], axis=1) for k in enough]


def _mean_over_labels(found: list[Array], n: int) -> Array:
    """Return the mean over the labels for which there is a number, shape (n,); nan where there is none."""
    if not found:
        return np.full(n, np.nan)
    by_label = np.stack(found)
    there = np.isfinite(by_label)
    number = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
    return np.asarray(np.where(there, by_label, 0.0).sum(axis=0) / number)


def _macro_average_precision(statistics: Array, weights: Array) -> Array:
    return _mean_over_labels([detect.precision_recall(label, weights) for label in _by_label(statistics)], len(weights))


def _macro_average_precision_without_one(statistics: Array) -> Array:
    found = [detect.precision_recall_without_one(label) for label in _by_label(statistics)]
    return _mean_over_labels(found, len(statistics))


macro_tag_f1 = Metric(
    name="macro_tag_f1",
    task_kinds=KINDS,
    signature="f1|average:macro over labels|labels:in targets or answers|0/0:0|v1",
    statistics=packed,
    weighted=_macro_f1,
    leave_one_out=_macro_f1_without_one,
    effective_rows=_rows_of_equal_labels,
)
"""Mean over the labels of F1 = 2 hits / (targets + answers): a rare label counts as much as a frequent one."""

micro_tag_f1 = Metric(
    name="micro_tag_f1",
    task_kinds=KINDS,
    signature="f1|average:micro over labels|v1",
    statistics=packed,
    weighted=_micro_f1,
    leave_one_out=_micro_f1_without_one,
)
"""F1 of all labels of all rows together: frequent labels count more."""

subset_accuracy = Metric(
    name="subset_accuracy",
    task_kinds=KINDS,
    signature="subset_accuracy|v1",
    statistics=_all_right,
    is_mean=True,
)
"""Share of the rows whose labels are all right, none missing and none too many."""

hamming_loss = Metric(
    name="hamming_loss",
    task_kinds=KINDS,
    signature="hamming_loss|v1",
    statistics=_shares_wrong,
    higher_is_better=False,
    is_mean=True,
)
"""Share of the decisions, one per row and label, that are wrong (Schapire and Singer 1999)."""

macro_average_precision = Metric(
    name="macro_average_precision",
    task_kinds=KINDS,
    signature="average_precision|average:macro over labels with two examples|step-wise, ties as one threshold|v1",
    statistics=_signed_probabilities,
    weighted=_macro_average_precision,
    needs="probabilities",
    ranks=True,
    leave_one_out=_macro_average_precision_without_one,
)
"""Mean of the average precision over the labels with two examples or more: how well probabilities rank."""

METRICS = (macro_tag_f1, micro_tag_f1, subset_accuracy, hamming_loss, macro_average_precision)
