"""Whether what a model is asked, and what it answers, still looks like when it was made.

Three figures over the last inputs, each beside what chance alone would give: how far the shares of the labels have
moved, how far the numbers of the answers have (probabilities, values or scores), and which share of the inputs lies
farther away than 99 % of the training's. None of them says that the model got worse, which only labelled rows can tell
(``nshot evaluate MODEL LATER.csv --against EARLIER.csv``); they say that it is time to label some.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshot.bundle.reference import FAR, Reference, distances
from nshot.core import Prediction

if TYPE_CHECKING:
    import numpy as np

WINDOW = 1000
"""How many of the last inputs count."""
_LEVEL = 0.95
_Z = 1.959964
"""95 % of a normal distribution lie so many standard deviations around its mean."""


class Watch:
    """Counts the last answers of one model, and holds them against its reference; several threads may use one.

    Args:
        reference: From the model's manifest.
        window: How many of the last inputs count.
    """

    def __init__(self, reference: Reference, window: int = WINDOW) -> None:
        self._reference = reference
        self._lock = threading.Lock()
        self._labels = _Last(window)
        self._parts = _Last(window)
        self._far = _Last(window)

    @property
    def backbone(self) -> str | None:
        """Return the id of the backbone whose features are wanted, or None where none are.

        They cost a computation of their own unless the answer needed them anyway: those of a part of the inputs, drawn
        by chance, will do.
        """
        return self._reference.features.backbone if self._reference.features else None

    def saw(self, prediction: Prediction, features: np.ndarray | None = None) -> None:
        """Count some answers.

        Args:
            prediction: n answers.
            features: Shape (m, d): of any m inputs, from `backbone`.
        """
        labels = [label for label in prediction.labels or () if isinstance(label, str)]
        numbers = _numbers(prediction) if self._reference.numbers else ()
        bounds = self._reference.numbers.bounds if self._reference.numbers else ()
        parts = [bisect_right(bounds, number) for number in numbers if math.isfinite(number)]
        far = self._are_far(features) if features is not None and len(features) else ()
        with self._lock:
            self._labels.add(labels if self._reference.labels else ())
            self._parts.add(parts)
            self._far.add(far)

    def figures(self) -> dict[str, float]:
        """Return what there is to tell, by name; nothing before anything was seen.

        ``label_shift`` and ``answer_shift``: population stability index, 0 where the shares are those of the reference;
        with ``_by_chance``, below which it stays 95 times out of 100 where nothing has changed. ``far_share``: of the
        inputs, those beyond the training's 99th percentile, with both ends of its 95 % interval; 0.01 is expected.
        ``watched_answers``, ``watched_inputs``: how many these figures are about.
        """
        with self._lock:
            labels, parts, far = self._labels.counts(), self._parts.counts(), self._far.counts()
        found = _shift("label_shift", self._reference.labels, labels)
        if self._reference.numbers is not None:
            found |= _shift("answer_shift", dict(enumerate(self._reference.numbers.counts)), parts)
        answers = max(sum(labels.values()), sum(parts.values()))
        if answers:
            found["watched_answers"] = float(answers)
        if inputs := sum(far.values()):
            share = far[True] / inputs
            low, high = _wilson(share, inputs)
            found |= {
                "watched_inputs": float(inputs),
                "far_share": share,
                "far_share_low": low,
                "far_share_high": high,
                "far_share_expected": round(1 - FAR, 6),
            }
        return found

    def _are_far(self, features: np.ndarray) -> Sequence[bool]:
        import numpy as np

        spread = self._reference.features
        if spread is None or features.shape[1] != len(spread.means):
            return ()
        found: list[bool] = (
            distances(features, np.array(spread.means), np.array(spread.spreads)) > spread.usual
        ).tolist()
        return found


class _Last:
    """Counts of the last few things."""

    def __init__(self, window: int) -> None:
        self._things: deque[Hashable] = deque(maxlen=window)

    def add(self, things: Iterable[Hashable]) -> None:
        self._things.extend(things)

    def counts(self) -> Counter[Hashable]:
        return Counter(self._things)


def _numbers(prediction: Prediction) -> Sequence[float]:
    if prediction.probabilities is not None:
        found = prediction.probabilities.max(axis=1) if prediction.probabilities.size else ()
    elif prediction.values is not None:
        found = prediction.values
    else:
        found = prediction.scores if prediction.scores is not None else ()
    return [float(number) for number in found]


def _shift(name: str, expected: Mapping[Any, int], seen: Counter[Hashable]) -> dict[str, float]:
    """Return the population stability index of counts against expected ones, and what chance alone would give.

        sum_i (p_i - q_i) ln(p_i / q_i)

    with half a count added everywhere, so that a part nobody saw counts as rare. Without a change it is distributed as
    ``(1/n + 1/m) chi2(parts - 1)`` for n and m things (Yurdakul and Naranjo 2020, Statistical properties of the
    population stability index): the usual limits 0.1 and 0.25 are passed by chance alone where there are many labels.
    """
    names: set[Hashable] = {*expected, *seen}
    n, m = sum(expected.values()), sum(seen.values())
    if not n or not m or len(names) < 2:
        return {}
    before: Counter[Hashable] = Counter()
    before.update(expected)
    whole_before, whole_now = n + len(names) / 2, m + len(names) / 2
    shares = [((seen[each] + 0.5) / whole_now, (before[each] + 0.5) / whole_before) for each in names]
    from scipy.special import chdtri

    return {
        name: sum((now - then) * math.log(now / then) for now, then in shares),
        f"{name}_by_chance": (1 / n + 1 / m) * float(chdtri(len(names) - 1, 1 - _LEVEL)),
    }


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Return both ends of the 95 % interval of a share (Wilson 1927)."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
