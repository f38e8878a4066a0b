"""How long answers are: they inform about a score, and are no score themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Task, UnsupportedError
from nshot.metrics.generate.texts import KINDS, accepted, ratio, ratio_without_one, written
from nshot.metrics.metric import Array, Metric


def _words(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (words of the answer, words of the reference nearest in length, the shorter of two) per row."""
    rows = []
    for text, target in zip(written(targets, prediction), targets, strict=True):
        given = len(text.split())
        wanted = (len(reference.split()) for reference in accepted(target))
        rows.append((given, min(wanted, key=lambda words: (abs(words - given), words))))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _stopped(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    if prediction.stopped is None:
        raise UnsupportedError("This metric needs to know which answers stopped, and this method does not tell.")
    if len(targets) != len(prediction.stopped):
        raise ValueError(f"{len(prediction.stopped)} answers for {len(targets)} targets")
    return np.array(prediction.stopped, dtype=np.float64).reshape(-1, 1)


length_ratio = Metric(
    name="length_ratio",
    task_kinds=KINDS,
    signature="length_ratio|words:white space|references:nearest length|v1",
    statistics=_words,
    weighted=ratio,
    leave_one_out=ratio_without_one,
    needs="texts",
    is_quality=False,
    highest=float("inf"),
)
"""Words of all answers over words of their references: 1 is right, so neither more nor less is better."""

stopped = Metric(
    name="stopped",
    task_kinds=KINDS,
    signature="stopped|v1",
    statistics=_stopped,
    needs="stopped",
    is_mean=True,
    is_quality=False,
)
"""Share of answers that ended by themselves, not at the longest length allowed."""
