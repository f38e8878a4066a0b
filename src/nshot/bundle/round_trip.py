"""Whether what was saved answers like what was fitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nshot.bundle.agreement import SHORT, Agreement, most_difference, refusal, unlike, unlikely
from nshot.bundle.loading import load
from nshot.bundle.manifest import ADAPTER_CONFIG, MODEL_CONFIG
from nshot.core import (
    Backbone,
    BackboneRef,
    Example,
    ModelError,
    OutOfMemoryError,
    Prediction,
    Predictor,
    Writer,
)
from nshot.training.writing import ModelWriter

if TYPE_CHECKING:
    import numpy as np

    from nshot.bundle.by_transformers import GgufReading

_NO_MEMORY = "there is not enough memory for a second copy of the model"
_SPARE = 1.5
"""A copy of a model takes so many times its file, for a moment."""


def verify(
    folder: Path,
    predictor: Predictor,
    examples: Sequence[Example],
    open_backbone: Callable[[BackboneRef], Backbone],
) -> Agreement:
    """Open what was saved in `folder` and compare its answers with those of `predictor`.

    A model that writes answers a few words to each example with the likeliest token; where the folder is one of
    transformers or peft, transformers opens it as well, puts the prompts by the folder's own template, and writes.

    Args:
        folder: What `save` wrote.
        predictor: What was saved.
        examples: A few.
        open_backbone: As in `load`.

    Raises:
        ModelError: The answers are others; the text says whose, to which example.
    """
    if (lacking := _lacking_memory(folder)) is not None:
        return Agreement(left_out=lacking)
    if not isinstance(predictor, Writer):
        largest = check_round_trip(folder, predictor, examples, open_backbone)
        if math.isinf(largest):
            raise ModelError(refusal("nshot") + " Its answers to the training's own examples are others.")
        return Agreement.over(examples).and_by("nshot", len(examples), largest)
    answers = written(predictor, examples)
    try:
        found = Agreement.over(examples).and_by(
            "nshot", *_by_nshot(folder, predictor, examples, answers, open_backbone)
        )
    except (MemoryError, OutOfMemoryError):
        return Agreement(left_out=_NO_MEMORY)
    is_ordinary = (folder / MODEL_CONFIG).exists() or (folder / ADAPTER_CONFIG).exists()
    if not is_ordinary or not isinstance(predictor, ModelWriter):
        return found
    return by_transformers_too(found, folder, predictor, examples, answers)


def by_transformers_too(
    found: Agreement,
    folder: Path,
    writer: ModelWriter,
    examples: Sequence[Example],
    answers: Sequence[str],
    gguf: GgufReading | None = None,
) -> Agreement:
    """Return the agreement with transformers, opening `folder` by itself, added to what was found.

    Args:
        found: By other readers.
        folder: A model of transformers or an adapter of peft.
        writer: What was written there.
        examples: n examples.
        answers: From `written`.
        gguf: The file in the folder to open, where it is one of GGUF.

    Raises:
        ModelError: transformers answers otherwise.
    """
    from nshot.bundle import by_transformers

    try:
        return found.and_by("transformers", *by_transformers.compare(folder, writer, examples, answers, gguf))
    except (MemoryError, OutOfMemoryError):
        return replace(found, left_out=_NO_MEMORY)


def written(predictor: Writer, examples: Sequence[Example]) -> list[str]:
    """Return the first words of the likeliest answer to each example."""
    return ["".join(predictor.stream(example, SHORT)) for example in examples]


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


def _by_nshot(
    folder: Path,
    predictor: Writer,
    examples: Sequence[Example],
    answers: Sequence[str],
    open_backbone: Callable[[BackboneRef], Backbone],
) -> tuple[int, float]:
    """Return how many answers are the same, and the largest difference in nats per token."""
    import numpy as np

    again = load(folder, open_backbone).predictor
    if not isinstance(again, Writer):
        raise ModelError(refusal("nshot") + " It writes nothing.")
    model = predictor.model if isinstance(predictor, ModelWriter) else None
    most = most_difference(model)
    before, after = predictor.likelihoods(examples, answers), again.likelihoods(examples, answers)
    difference = np.zeros(len(examples))
    if before is not None and after is not None:
        difference = np.abs(before[:, 0] - after[:, 0]) / np.maximum(before[:, 1], 1.0)
    texts = written(again, examples)
    for example, expected, found, by in zip(examples, answers, texts, difference, strict=True):
        if not by <= most:
            raise unlikely("nshot", example, float(by))
        # With the same likelihoods another text can only be a tie, which the same computation decides the same way.
        if expected != found and (before is None or by == 0.0):
            raise unlike("nshot", example, expected, found)
    same = sum(expected == found for expected, found in zip(answers, texts, strict=True))
    return same, float(difference.max(initial=0.0))


def _lacking_memory(folder: Path) -> str | None:
    """Return why the model cannot be opened a second time, or None; the system would end the process without asking."""
    import psutil

    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix == ".safetensors")
    free = psutil.virtual_memory().available
    if _SPARE * size <= free:
        return None
    return f"a second copy of the model takes {size / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"


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
