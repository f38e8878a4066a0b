"""Whether an ONNX folder answers like the model it was made of, and what it costs: agreement, speed, the script."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nshot.bundle.agreement import Agreement
from nshot.core import Example, ModelError, Prediction, Predictor, Task, shortened
from nshot.training.values import Scale

TOLERANCE = 1e-4
"""By how much a probability or score computed in float32 may differ; of a value, times the spread of the targets."""
_SCRIPT_TEXTS = 3
_SCRIPT_TOLERANCE = 1e-2
"""With another number of threads rounding differs, and in 8 bits a rounding may become a step."""
_TIMED = 40
_SHOWN = 60


@dataclass(frozen=True)
class Speed:
    """How fast a model answers.

    Attributes:
        milliseconds: Median time of one text alone.
        texts_per_second: Of many texts together.
    """

    milliseconds: float
    texts_per_second: float

    def as_json(self) -> dict[str, float]:
        """Return the record."""
        return {"milliseconds": round(self.milliseconds, 3), "texts_per_second": round(self.texts_per_second, 1)}


def agreement(
    examples: Sequence[Example],
    expected: Prediction,
    found: Prediction,
    task: Task,
    *,
    scale: Scale | None,
    exact: bool,
) -> Agreement:
    """Return how far two sets of answers to n examples agree.

    Args:
        examples: n examples.
        expected: By the model.
        found: By what was exported.
        task: What is answered.
        scale: Of the targets, where the answers are values: differences are in units of its spread.
        exact: Whether they have to agree up to rounding.

    Raises:
        ModelError: They have to, and do not; the text says on which example.
    """
    before, after = _numbers(expected), _numbers(found)
    unit = scale.spread if scale is not None else 1.0
    by_row = np.abs(before - after).max(axis=1, initial=0.0) / unit
    same = int((by_row <= TOLERANCE).sum())
    if expected.labels is not None and found.labels is not None:
        same = sum(one == other for one, other in zip(expected.labels, found.labels, strict=True))
    worst = int(by_row.argmax()) if len(by_row) else 0
    largest = float(by_row.max(initial=0.0))
    if exact and not largest <= TOLERANCE:
        columns = before[worst] - after[worst]
        at = int(np.abs(columns).argmax())
        of = f" of '{task.labels[at]}'" if expected.labels is not None else ""
        raise ModelError(
            f"The export is not put in place: opened by onnxruntime, its answer{of} to "
            f"{shortened(str(examples[worst]), _SHOWN)!r} is {after[worst, at]:.6g} where the model says "
            f"{before[worst, at]:.6g}. Expected a difference of {TOLERANCE:g} at most. Please report this with the "
            "name of the pre-trained model."
        )
    return Agreement.over(examples).and_by("onnxruntime", same, round(largest, 9))


def require_script(folder: Path, texts: Sequence[Example], exported: Predictor, *, scale: Scale | None) -> int:
    """Run the folder's own script on a few of these texts, and return on how many.

    Args:
        folder: From `onnx_folder.write`.
        texts: n texts.
        exported: The same folder, opened from here.
        scale: As in `agreement`.

    Raises:
        ModelError: It does not run, or answers otherwise.
    """
    from nshot.bundle.onnx_reading import by_script

    # A text of several lines, or one like an option, is nothing to hand over on a command line.
    some = [str(text) for text in texts if _fits_on_a_line(str(text))][:_SCRIPT_TEXTS]
    if not some:
        return 0
    # Handed over together here too: in 8 bits an answer depends a little on the texts beside it.
    expected = _numbers(exported.predict(some)).max(axis=1)
    most = _SCRIPT_TOLERANCE * (scale.spread if scale is not None else 1.0)
    for text, answer, number in zip(some, by_script(folder, some), expected, strict=True):
        if not abs(answer - number) <= most:
            raise ModelError(
                f"The export is not put in place: its predict.py answers {shortened(text, _SHOWN)!r} with "
                f"{answer:.6g}, and onnxruntime, asked from here, with {number:.6g}."
            )
    return len(some)


def speed(predict: Callable[[Sequence[Example]], Prediction], examples: Sequence[Example]) -> Speed:
    """Return how fast `predict`, which was called before, answers these examples."""
    each = []
    for example in examples[:_TIMED]:
        began = time.perf_counter()
        predict([example])
        each.append(time.perf_counter() - began)
    began = time.perf_counter()
    predict(examples)
    together = time.perf_counter() - began
    return Speed(1e3 * statistics.median(each), len(examples) / together)


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what the record of a check says, for people."""
    read, speeds, size = record["read_back"], record["speed"], record["network_bytes"]
    graph = next(file["bytes"] for file in record["files"] if file["name"] == "model.onnx")
    told = [
        f"onnxruntime gives the same answer to {read['same']:,} of {read['examples']:,} texts as the model; the "
        f"largest difference is {read['largest_difference']:.2g}.",
        f"predict.py was run on {record['script_texts']} of them and answers the same.",
    ]
    score = record["score"]
    if score is not None:
        told.append(
            f"On {score['n']:,} rows of {score['data']}: {score['metric']} "
            f"{_with_ends(score['score'], score['interval'])}, the model "
            f"{_with_ends(score['model_score'], score['model_interval'])}; difference "
            f"{_with_ends(score['difference'], score['difference_interval'], sign='+')}."
            + (" The model was trained on these rows: others tell more." if score["trained_on"] else "")
        )
    elif record["int8"]:
        told.append(
            "The score was not measured, and 8 bits change answers: name labelled rows that it was not trained on "
            "(--data FILE)."
        )
    told.append(f"{graph / 2**20:,.1f} MiB; the network in float32 has {size / 2**20:,.1f} MiB.")
    told.append(
        f"One text alone takes {speeds['export']['milliseconds']:.3g} ms, in nshot "
        f"{speeds['nshot']['milliseconds']:.3g} ms; many together {speeds['export']['texts_per_second']:,.0f} texts "
        f"a second, in nshot {speeds['nshot']['texts_per_second']:,.0f} (in float32; both on "
        f"{_threads(speeds['threads'])} of the machine that exported it)."
    )
    return told


def _with_ends(score: float, interval: Sequence[float] | None, sign: str = "") -> str:
    ends = "" if interval is None else f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"
    return f"{score:{sign}.3f}{ends}"


def _threads(threads: int | None) -> str:
    return "all processor cores" if threads is None else f"{threads} processor thread{'s' * (threads != 1)}"


def _fits_on_a_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable() and not text.startswith("-")


def _numbers(answers: Prediction) -> np.ndarray:
    """Return the numbers of the answers, float64, shape (n, columns)."""
    found = next(each for each in (answers.probabilities, answers.values, answers.scores) if each is not None)
    wide = np.asarray(found, dtype=np.float64)
    return wide if wide.ndim == 2 else wide[:, None]
