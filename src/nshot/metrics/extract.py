"""Metrics of `extract`: labelled spans in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.EXTRACT})


def _span_counts(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (hits, answered spans, true spans) per example; a span counts once, however often it is given."""
    if prediction.spans is None:
        raise UnsupportedError("This metric needs spans, and this method has none.")
    if len(targets) != len(prediction.spans):
        raise ValueError(f"{len(prediction.spans)} answers for {len(targets)} targets")
    rows = []
    for true, answered in zip(targets, prediction.spans, strict=True):
        wanted, given = {tuple(span) for span in true}, {tuple(span) for span in answered}
        rows.append((len(wanted & given), len(given), len(wanted)))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _micro_f1(statistics: Array, weights: Array) -> Array:
    hits, given, wanted = (weights @ statistics).T
    with np.errstate(invalid="ignore", divide="ignore"):
        # No span wanted and none given in all the rows: there is nothing to score.
        return np.asarray(2.0 * hits / (given + wanted))


entity_f1 = Metric(
    name="entity_f1",
    task_kinds=KINDS,
    signature="entity_f1|average:micro|match:exact bounds and label|v1",
    statistics=_span_counts,
    weighted=_micro_f1,
    needs="spans",
)
"""Micro F1 over spans; a hit has the same start, end and label (CoNLL-2003)."""

METRICS = (entity_f1,)
