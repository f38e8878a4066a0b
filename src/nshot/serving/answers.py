"""What a model says about examples, as records for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshot.core import Example, Prediction, Span, TaskKind
from nshot.evaluation.thresholds import is_above

if TYPE_CHECKING:
    import numpy as np

    from nshot.serving.predicting import ServedPredictor


def records(
    model: ServedPredictor,
    prediction: Prediction,
    examples: Sequence[Example],
    first: int,
    *,
    probabilities: bool,
    top: int | None,
) -> list[dict[str, Any]]:
    """Return one record per example.

    Args:
        model: Who says it.
        prediction: About these examples, and possibly others before and behind them.
        examples: n examples.
        first: Where the first of them stands in the prediction.
        probabilities: Tell the probability of every label.
        top: Tell the probabilities of so many labels, the likeliest first; None: of all, in their order, if at all.
    """
    positions = range(first, first + len(examples))
    if prediction.spans is not None:
        return [_spans(prediction.spans[i], example) for i, example in zip(positions, examples, strict=True)]
    if prediction.texts is not None:
        return [{"text": prediction.texts[i]} for i in positions]
    if prediction.scores is not None:
        return _scores(model, prediction.scores[first : positions.stop])
    for name, numbers in (("value", prediction.values), ("bits", prediction.bits)):
        if numbers is not None:
            return [{name: _finite(numbers[i])} for i in positions]
    return _labels(model, prediction, positions, probabilities=probabilities, top=top)


def _scores(model: ServedPredictor, scores: np.ndarray) -> list[dict[str, Any]]:
    if model.manifest.threshold is None:
        return [{"score": _finite(score)} for score in scores]
    told = is_above(scores, model.manifest.threshold).tolist()
    return [{"score": _finite(score), "anomaly": anomaly} for score, anomaly in zip(scores, told, strict=True)]


def _labels(
    model: ServedPredictor, prediction: Prediction, positions: range, *, probabilities: bool, top: int | None
) -> list[dict[str, Any]]:
    labels = prediction.labels
    if labels is None:
        return [{} for _ in positions]
    kind = model.task.kind
    if kind is TaskKind.CLUSTER:
        return [{"group": labels[i]} for i in positions]
    is_tag = kind is TaskKind.TAG
    found: list[dict[str, Any]] = [{"labels": list(labels[i])} if is_tag else {"label": labels[i]} for i in positions]
    if prediction.probabilities is None:
        return found
    for record, row in zip(found, prediction.probabilities[positions.start : positions.stop].tolist(), strict=True):
        if not is_tag:
            record["probability"] = row[model.columns[record["label"]]]
        if probabilities or top is not None:
            record["probabilities"] = _told(model.columns, row, top)
    return found


def _told(columns: Mapping[str, int], row: Sequence[float], top: int | None) -> dict[str, float]:
    told = {label: row[column] for label, column in columns.items()}
    if top is None:
        return told
    likeliest = sorted(told, key=lambda label: -told[label])[:top]
    return {label: told[label] for label in likeliest}


def _spans(spans: Sequence[Span], text: str) -> dict[str, Any]:
    return {"spans": [span.as_json(text) for span in spans]}


def _finite(number: float) -> float | None:
    """Return a number as JSON has it: null where it is none, or not finite."""
    plain = float(number)
    return plain if math.isfinite(plain) else None
