"""Metrics of `extract`: labelled spans in a text.

The first is the default. Counts are summed over all texts before anything is divided, as the program of the CoNLL
shared tasks does (https://aclanthology.org/W03-0419).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Span, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.EXTRACT})


def _pairs(targets: Sequence[Any], prediction: Prediction) -> list[tuple[set[Span], set[Span]]]:
    """Return (true spans, answered spans) per example; a span counts once, however often it is given."""
    if prediction.spans is None:
        raise UnsupportedError("This metric needs spans, and this method has none.")
    if len(targets) != len(prediction.spans):
        raise ValueError(f"{len(prediction.spans)} answers for {len(targets)} targets")
    return [(set(true), set(answered)) for true, answered in zip(targets, prediction.spans, strict=True)]


def _span_counts(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (hits, answered spans, true spans) per example."""
    rows = [(len(true & given), len(given), len(true)) for true, given in _pairs(targets, prediction)]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _counts_by_label(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (hits, answered spans, true spans) per example and label, the three of a label side by side."""
    columns = task.index()
    pairs = _pairs(targets, prediction)
    counts = np.zeros((len(pairs), len(columns), 3))
    for row, (true, given) in enumerate(pairs):
        for place, spans in enumerate((true & given, given, true)):
            for span in spans:
                if span.label in columns:
                    counts[row, columns[span.label], place] += 1
    return counts.reshape(len(pairs), -1)


def _overlap_counts(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (answered spans that overlap a true one of their label, answered, true ones so found, true) of each."""
    rows = []
    for true, given in _pairs(targets, prediction):
        right = sum(any(_overlap(span, other) for other in true) for span in given)
        found = sum(any(_overlap(span, other) for other in given) for span in true)
        rows.append((right, len(given), found, len(true)))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _overlap(one: Span, other: Span) -> bool:
    return one.label == other.label and one.start < other.end and other.start < one.end


def _micro_f1(statistics: Array, weights: Array) -> Array:
    hits, given, wanted = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        # No span wanted and none given in all the rows: there is nothing to score.
        return np.asarray(2.0 * hits / (given + wanted))


def _precision(statistics: Array, weights: Array) -> Array:
    hits, given, wanted = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((given == 0) & (wanted > 0), 0.0, hits / given))


def _recall(statistics: Array, weights: Array) -> Array:
    hits, given, wanted = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((wanted == 0) & (given > 0), 0.0, hits / wanted))


def _macro_f1(statistics: Array, weights: Array) -> Array:
    totals = (weights @ statistics).reshape(len(weights), -1, 3)
    hits, given, wanted = np.moveaxis(totals, 2, 0)
    occurs = given + wanted > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(occurs, 2.0 * hits / np.where(occurs, given + wanted, 1.0), 0.0)
        return np.asarray(f1.sum(axis=1) / occurs.sum(axis=1))


def _overlap_f1(statistics: Array, weights: Array) -> Array:
    right, given, found, wanted = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(given > 0, right / given, 0.0)
        recall = np.where(wanted > 0, found / wanted, 0.0)
        f1 = np.where(precision + recall > 0, 2.0 * precision * recall / (precision + recall), 0.0)
        return np.asarray(np.where(given + wanted > 0, f1, np.nan))


def _with_spans(statistics: Array) -> float:
    """Return in how many rows a span is wanted or given: the others hardly move the score."""
    return max(1.0, float(statistics.any(axis=1).sum()))


def _with_answers(statistics: Array) -> float:
    return max(1.0, float((statistics[:, 1] > 0).sum()))


def _with_targets(statistics: Array) -> float:
    return max(1.0, float((statistics[:, 2] > 0).sum()))


entity_f1 = Metric(
    name="entity_f1",
    task_kinds=KINDS,
    signature="entity_f1|average:micro|match:exact bounds and label|v1",
    statistics=_span_counts,
    weighted=_micro_f1,
    needs="spans",
    effective_rows=_with_spans,
)
"""Micro F1 over spans; a hit has the same start, end and label (CoNLL-2003)."""

entity_precision = Metric(
    name="entity_precision",
    task_kinds=KINDS,
    signature="entity_precision|average:micro|match:exact bounds and label|no answer:0|v1",
    statistics=_span_counts,
    weighted=_precision,
    needs="spans",
    effective_rows=_with_answers,
)
"""The share of the answered spans that are right."""

entity_recall = Metric(
    name="entity_recall",
    task_kinds=KINDS,
    signature="entity_recall|average:micro|match:exact bounds and label|v1",
    statistics=_span_counts,
    weighted=_recall,
    needs="spans",
    effective_rows=_with_targets,
)
"""The share of the true spans that were found."""

macro_entity_f1 = Metric(
    name="macro_entity_f1",
    task_kinds=KINDS,
    signature="macro_entity_f1|average:macro over labels that occur or are answered|match:exact bounds and label|v1",
    statistics=_counts_by_label,
    weighted=_macro_f1,
    needs="spans",
    effective_rows=_with_spans,
)
"""Mean over labels of their F1: each label counts the same."""

entity_overlap_f1 = Metric(
    name="entity_overlap_f1",
    task_kinds=KINDS,
    signature="entity_overlap_f1|average:micro|match:overlap and label|v1",
    statistics=_overlap_counts,
    weighted=_overlap_f1,
    needs="spans",
    effective_rows=_with_spans,
)
"""F1 where a span is right that overlaps a true one of its label: what is lost to bounds alone is the rest."""

METRICS = (entity_f1, entity_precision, entity_recall, macro_entity_f1, entity_overlap_f1)
