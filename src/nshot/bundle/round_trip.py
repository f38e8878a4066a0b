"""Whether what was saved answers like what was fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nshot.bundle.loading import load
from nshot.core import Backbone, BackboneRef, Example, Prediction, Predictor

if TYPE_CHECKING:
    import numpy as np


def check_round_trip(
    folder: Path,
    predictor: Predictor,
    examples: Sequence[Example],
    open_backbone: Callable[[BackboneRef], Backbone],
) -> float:
    """Return the largest difference between the answers of `predictor` and of the bundle in `folder`.

    Returns:
        The largest absolute difference of a probability, score or value; infinite where a label, span or text
        differs by more than a tie that rounding decided, or where one of the two has no answer.

    Raises:
        ModelError: The bundle cannot be loaded.
    """
    bundle = load(folder, open_backbone)
    return _largest_difference(predictor.predict(examples), bundle.predictor.predict(examples), bundle.task.index())


def _largest_difference(before: Prediction, after: Prediction, columns: Mapping[str, int]) -> float:
    largest = max(
        _array_difference(before.probabilities, after.probabilities),
        _array_difference(before.scores, after.scores),
        _array_difference(before.values, after.values),
    )
    same = (
        len(before) == len(after)
        and _as_list(before.spans) == _as_list(after.spans)
        and _as_list(before.texts) == _as_list(after.texts)
        and _labels_agree(before, after, largest, columns)
    )
    return largest if same else math.inf


def _as_list(answers: Sequence[object] | None) -> list[object] | None:
    return None if answers is None else list(answers)


def _array_difference(before: np.ndarray | None, after: np.ndarray | None) -> float:
    import numpy as np

    if before is None and after is None:
        return 0.0
    if before is None or after is None or before.shape != after.shape:
        return math.inf
    if np.array_equal(before, after, equal_nan=True):
        return 0.0
    difference = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return math.inf if np.isnan(difference).any() else float(difference.max())


def _labels_agree(before: Prediction, after: Prediction, largest: float, columns: Mapping[str, int]) -> bool:
    if before.labels is None or after.labels is None:
        return before.labels is after.labels
    for row, (old, new) in enumerate(zip(before.labels, after.labels, strict=True)):
        if old == new:
            continue
        if before.probabilities is None or not (old in columns and new in columns):
            return False
        margin = abs(float(before.probabilities[row, columns[old]] - before.probabilities[row, columns[new]]))
        if margin > 2 * largest:
            return False
    return True
