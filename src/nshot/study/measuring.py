"""How fast a fitted predictor answers, and what has to be there for it: measured once per candidate, cache off.

None of this is part of a run: it happens after the answers that are scored, and within a fraction of a second.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nshot.core import BackboneRef, Example, Generates, Selection, State, Trains

_ALONE_SECONDS = 0.1
_FEWEST_ALONE, _MOST_ALONE = 3, 100
_FOR_A_PERCENTILE = 20
"""The 95th percentile of fewer times than this would be the longest of them."""
_TOGETHER_SECONDS, _LONGEST_BATCH_SECONDS = 0.2, 0.8
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 4096
_CLOSE = 1.05
"""A larger batch is the better one only if it is this much faster: in a smaller one the first example waits less."""
_TRIED_IN_VAIN = 2
_SLOW_SECONDS = 0.5
"""What takes longer for one example alone, such as writing an answer, is not tried in batches."""
_SHORTEST = 1e-9
"""Seconds that stand for what is too short for the clock."""
_COUNTED_EXAMPLES = 256


@dataclass(frozen=True)
class Speed:
    """How fast a predictor answers, from raw example to answer.

    Attributes:
        milliseconds_alone: Median time for one example at a time.
        milliseconds_alone_p95: 95th percentile of that; None where too few were timed.
        examples_per_second: The most that any batch size gave.
        best_batch: The smallest batch size that comes close to that.
    """

    milliseconds_alone: float
    milliseconds_alone_p95: float | None
    examples_per_second: float
    best_batch: int


def speed(
    predict: Callable[[Sequence[Example]], Any],
    examples: Sequence[Example],
    *,
    all_at_once: float,
    now: Callable[[], float] = time.perf_counter,
) -> Speed | None:
    """Time a predictor on examples such as it is going to see: one at a time, then in rising batches.

    The first answers are not timed: they pay for what is loaded once. One at a time takes about a tenth of a second,
    the batches a fifth; what would not end by then is not tried.

    Args:
        predict: Answers any number of examples.
        examples: The test examples.
        all_at_once: Seconds that it took for all of them at once: the largest batch, which has been tried already.
        now: Tells the time in seconds.

    Returns:
        None without examples.
    """
    if not len(examples):
        return None
    looked_at = _looked_at(examples, _LARGEST_BATCH)
    predict(_spread(looked_at, 1))
    alone = _alone(predict, looked_at, now)
    median = statistics.median(alone)
    percentile = statistics.quantiles(alone, n=20, method="inclusive")[-1] if len(alone) >= _FOR_A_PERCENTILE else None
    per_second = {len(examples): len(examples) / max(all_at_once, _SHORTEST), 1: 1 / median}
    if median <= _SLOW_SECONDS:
        predict(_spread(looked_at, min(_SMALLEST_BATCH, len(looked_at))))
        per_second |= _together(predict, looked_at, 1 / median, now)
    most = max(per_second.values())
    return Speed(
        milliseconds_alone=1000 * median,
        milliseconds_alone_p95=None if percentile is None else 1000 * percentile,
        examples_per_second=most,
        best_batch=min(batch for batch, found in per_second.items() if _CLOSE * found >= most),
    )


def _alone(
    predict: Callable[[Sequence[Example]], Any], examples: Sequence[Example], now: Callable[[], float]
) -> list[float]:
    """Return the seconds that single examples took, drawn at random."""
    seconds: list[float] = []
    for row in random.Random(0).sample(range(len(examples)), min(_MOST_ALONE, len(examples))):
        if len(seconds) >= _FEWEST_ALONE and sum(seconds) >= _ALONE_SECONDS:
            break
        seconds.append(_timed(predict, [examples[row]], now))
    return seconds


def _together(
    predict: Callable[[Sequence[Example]], Any],
    examples: Sequence[Example],
    one_at_a_time: float,
    now: Callable[[], float],
) -> dict[int, float]:
    """Return the examples a second by batch size, for rising sizes until they bring nothing or time is up."""
    found: dict[int, float] = {}
    best, in_vain, batch = one_at_a_time, 0, _SMALLEST_BATCH
    # Slow predictors get the time for the smallest batch at least: else nothing would be known of their batches.
    left = max(_TOGETHER_SECONDS, min(_LONGEST_BATCH_SECONDS, batch / one_at_a_time))
    while batch <= min(_LARGEST_BATCH, len(examples)) and batch / best <= left and in_vain < _TRIED_IN_VAIN:
        seconds = _timed(predict, _spread(examples, batch), now)
        found[batch] = batch / seconds
        left -= seconds
        in_vain = 0 if found[batch] > _CLOSE * best else in_vain + 1
        best = max(best, found[batch])
        batch *= 2
    return found


def _timed(predict: Callable[[Sequence[Example]], Any], examples: Sequence[Example], now: Callable[[], float]) -> float:
    started = now()
    predict(examples)
    return max(now() - started, _SHORTEST)


def _looked_at(examples: Sequence[Example], most: int) -> list[Example]:
    """Return at most so many examples, evenly spaced, the shortest first."""
    step = max(1, -(-len(examples) // most))
    return sorted(Selection(examples, range(0, len(examples), step)), key=_length)


def _length(example: Example) -> int:
    return len(example) if isinstance(example, bytes) else len(str(example))


def _spread(by_length: Sequence[Example], wanted: int) -> list[Example]:
    """Return examples of all lengths in the proportions in which they occur, in no order of length.

    A small batch that happens to have short texts would look fast, and one in order of length faster than it is.
    """
    taken = [by_length[(2 * i + 1) * len(by_length) // (2 * wanted)] for i in range(wanted)]
    return random.Random(0).sample(taken, wanted)


def tokens_per_example(backbone: object, examples: Sequence[Example]) -> float | None:
    """Return the mean number of tokens that the backbone reads of an example, or None where it reads none.

    Counted on 256 examples of all lengths. An example longer than the backbone's longest input counts as that: the
    rest of it is not read.
    """
    if not len(examples) or not isinstance(backbone, Generates | Trains):
        return None
    counted = _looked_at(examples, _COUNTED_EXAMPLES)
    if isinstance(backbone, Generates):
        return sum(backbone.prompt_tokens(counted)) / len(counted)
    prepared = backbone.tokenize(counted)
    return sum(len(item) for item in prepared) / len(prepared)


def artefact_bytes(state: State) -> int:
    """Return the size of what a predictor keeps of its own."""
    return sum(tensor.nbytes for tensor in state.tensors.values()) + sum(len(blob) for blob in state.blobs.values())


def shipped_bytes(state: State, backbones: Iterable[BackboneRef]) -> int:
    """Return the size of everything that has to be there to answer: what it keeps, and the files of its backbones.

    Raises:
        ModelError: The files of a backbone are gone.
    """
    from nshot.backbones.locate import locate
    from nshot.backbones.pixels import ID as PIXELS

    # What a backbone learnt stands in the state, with its reference; pixels are taken as they are.
    with_files = (ref for ref in backbones if ref.learnt is None and ref.id != PIXELS)
    files = {path for ref in with_files for path in locate(ref).files()}
    return artefact_bytes(state) + sum(path.stat().st_size for path in files)
