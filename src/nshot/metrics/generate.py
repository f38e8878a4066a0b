"""Metrics of `generate`: a text per example, against one accepted text or several."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.GENERATE})

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def squad_normalised(text: str) -> str:
    """Return the text in lower case without ASCII punctuation, English articles and extra white space (SQuAD 1.1)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _accepted(target: Any) -> Sequence[str]:
    return [target] if isinstance(target, str) else list(target)


def _texts(targets: Sequence[Any], prediction: Prediction) -> Sequence[str]:
    if prediction.texts is None:
        raise UnsupportedError("This metric needs texts, and this method has none.")
    if len(targets) != len(prediction.texts):
        raise ValueError(f"{len(prediction.texts)} answers for {len(targets)} targets")
    return prediction.texts


def _matches(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = zip(targets, _texts(targets, prediction), strict=True)
    return np.array(
        [[float(squad_normalised(text) in {squad_normalised(t) for t in _accepted(target)})] for target, text in pairs],
        dtype=np.float64,
    ).reshape(-1, 1)


def _overlap(truth: str, answer: str) -> float:
    wanted, given = squad_normalised(truth).split(), squad_normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    shared = sum((Counter(wanted) & Counter(given)).values())
    return 2.0 * shared / (len(wanted) + len(given))


def _best_overlaps(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    pairs = zip(targets, _texts(targets, prediction), strict=True)
    return np.array(
        [[max((_overlap(t, text) for t in _accepted(target)), default=0.0)] for target, text in pairs], dtype=np.float64
    ).reshape(-1, 1)


exact_match = Metric(
    name="exact_match",
    task_kinds=KINDS,
    signature="exact_match|normalised:squad-1.1|references:any|v1",
    statistics=_matches,
    needs="texts",
    is_mean=True,
)
"""Share of answers equal to an accepted text after SQuAD's normalisation (Rajpurkar et al. 2016)."""

token_f1 = Metric(
    name="token_f1",
    task_kinds=KINDS,
    signature="token_f1|normalised:squad-1.1|tokens:white space|references:best|v1",
    statistics=_best_overlaps,
    needs="texts",
    is_mean=True,
)
"""Mean F1 of the words shared with the nearest accepted text (Rajpurkar et al. 2016)."""

METRICS = (exact_match, token_f1)
