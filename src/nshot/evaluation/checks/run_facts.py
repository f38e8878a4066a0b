"""What the checks of runs look at: plain facts about what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import Family, Interval
from nshot.evaluation.comparison import Difference, independent_difference, paired_difference
from nshot.evaluation.intervals import Block, Estimate, Target, estimate
from nshot.metrics import Array, Metric

TODAY: Target = "this model"
"""Checks speak of the models that were measured with all labels."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """One completed fit.

    Attributes:
        n_labels: How many labels it had.
        block: What it answered on its test rows, as statistics of the primary metric.
        restarts: How often its training was begun again; None where no network was trained.
    """

    n_labels: int
    block: Block
    restarts: int | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """One candidate.

    Attributes:
        name: The name shown to people.
        method: Its method's name.
        family: What kind of answer it is.
        n_labels: The most labels it was measured with.
        blocks: Its blocks in today's comparison (with all labels, or none for zero-shot); empty if it is not in it.
        fittings: Its completed fits.
        own_rows: Shape (n, m), the primary metric's statistics of some rows that it was fitted on, or None.
        trials: How many settings it tried inside its labels; None where it tried none.
        also_tried: Other options of the same method that were tested with as many labels in this study's folder.
    """

    name: str
    method: str
    family: Family
    n_labels: int
    blocks: Sequence[Block] = ()
    fittings: tuple[Fitting, ...] = ()
    own_rows: Array | None = None
    trials: int | None = None
    also_tried: tuple[str, ...] = ()

    @property
    def trains_network(self) -> bool:
        """Whether its fits train a network."""
        return any(fitting.restarts is not None for fitting in self.fittings)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a backbone reads of some test texts.

    Attributes:
        at: Shape (n,), positions among the pick's answers.
        cut: Shape (n,), bool: the text is longer than what is read.
        most_tokens: How many tokens are read.
    """

    at: NDArray[np.int64]
    cut: NDArray[np.bool_]
    most_tokens: int


@dataclass(frozen=True, eq=False)
class Answers:
    """What the pick answered on n test rows, each once (in k-fold: the first round).

    Attributes:
        file_rows: Shape (n,), positions of the rows in their file.
        in_test: That file is the test that the user gave.
        groups: Shape (n,), which rows belong together.
        truth: Shape (n,), column of the right label.
        answer: Shape (n,), column of the answer; -1 for one that is no label.
        statistics: Shape (n, m), of the primary metric.
        probabilities: Shape (n, labels), or None.
        confidence: Shape (n,), probability of the most probable label, or None.
        times: Shape (n,), or None.
        reading: What the pick's backbone reads of the texts, or None.
    """

    file_rows: NDArray[np.int64]
    in_test: bool
    groups: NDArray[np.int64]
    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    statistics: Array
    probabilities: Array | None = None
    confidence: Array | None = None
    times: Array | None = None
    reading: Reading | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which rows were answered rightly, shape (n,)."""
        return np.asarray(self.truth == self.answer)


@dataclass(frozen=True, eq=False)
class Features:
    """The backbone's vectors of some rows: those that the pick was fitted on, and a given test's.

    Attributes:
        train: Shape (n, d).
        train_groups: Shape (n,).
        test: Shape (m, d).
        test_groups: Shape (m,), ids shared with `train_groups`.
        at: Shape (m,), positions of the test rows among the pick's answers.
    """

    train: Array
    train_groups: NDArray[np.int64]
    test: Array
    test_groups: NDArray[np.int64]
    at: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RunAudit:
    """What was measured.

    Attributes:
        metric: The primary metric.
        labels: All labels.
        n_labels: With how many labels today's question is asked.
        n_test: Number of different test rows.
        fold_sizes: Rows that a fold trains on and is tested on; None for a hold-out.
        pick: Name of the pick.
        candidates: All candidates that were measured, by name.
        detectable: The smallest difference that the test could have shown, or None.
        detectable_rows: Number of different test rows that speak of it; None: all.
        chance: What always giving the most frequent label scores, by (repeat, fold); empty where that has no score.
        answers: What the pick answered, or None.
        features: For a given test, or None.
    """

    metric: Metric
    labels: tuple[str, ...]
    n_labels: int
    n_test: int
    fold_sizes: tuple[int | None, int | None]
    pick: str
    candidates: Mapping[str, Measured]
    detectable: float | None = None
    detectable_rows: int | None = None
    chance: Mapping[tuple[int, int], float] = field(default_factory=dict)
    answers: Answers | None = None
    features: Features | None = None

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.metric.higher_is_better else -1.0

    @property
    def width(self) -> float:
        """Length of the metric's range; 1 where it has no ends."""
        return self.metric.highest - self.metric.lowest if self.metric.bounded else 1.0

    @cached_property
    def today(self) -> list[Measured]:
        """The candidates in today's comparison, the best first."""
        found = [candidate for candidate in self.candidates.values() if candidate.blocks]
        scores = {candidate.name: self.estimate(candidate).score for candidate in found}
        return sorted(found, key=lambda candidate: (-self.sign * scores[candidate.name], candidate.name))

    def estimate(self, candidate: Measured, level: float = 0.95) -> Estimate:
        """Return today's score of a candidate."""
        n_train, n_test = self.fold_sizes
        rho = 0.0 if candidate.n_labels == 0 else 1.0
        return estimate(
            candidate.blocks, self.metric, rho=rho, target=TODAY, n_train=n_train, n_test=n_test, level=level
        )

    def difference(self, a: Measured, b: Measured, level: float = 0.95) -> Difference:
        """Return by how much a scores above b in today's comparison, on the rows and draws that both have."""
        n_train, n_test = self.fold_sizes
        return paired_difference(
            a.blocks, b.blocks, self.metric, rho=1.0, target=TODAY, n_train=n_train, n_test=n_test, level=level
        )


def on_rows(statistics: Array, metric: Metric, level: float, groups: NDArray[Any] | None = None) -> Estimate:
    """Return the score of rows that one model answered; the interval covers the rows."""
    block = Block(0, 0, np.arange(len(statistics)), statistics, groups)
    return estimate([block], metric, rho=None, target=TODAY, level=level)


@dataclass(frozen=True)
class Beside:
    """The scores of two sets of rows that one model answered.

    Attributes:
        first: With the 95 % interval.
        second: Likewise.
        difference: The first minus the second.
        interval: 95 %, of the difference; None where there is none.
        surely: The same at the level that a check decides by.
    """

    first: Estimate
    second: Estimate
    difference: float
    interval: Interval | None
    surely: Interval | None


def beside(
    statistics: Array,
    groups: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    metric: Metric,
    level: float,
) -> Beside:
    """Return the scores of the rows at the positions `first` and `second`, and the interval of their difference."""

    def of(rows: NDArray[np.int64], level: float) -> Estimate:
        return on_rows(statistics[rows], metric, level, groups[rows])

    a, b = of(first, 0.95), of(second, 0.95)
    return Beside(a, b, a.score - b.score, between_rows(a, b), between_rows(of(first, level), of(second, level)))


def between_rows(a: Estimate, b: Estimate) -> Interval | None:
    """Return the interval of score a minus score b, measured on different rows; None where one has no interval."""
    if a.interval is None or b.interval is None:
        return None
    return independent_difference(a.score, a.interval, b.score, b.interval)


def scored(found: Estimate) -> str:
    """Return a score with both ends, such as ``0.86 [0.83, 0.89]``."""
    return f"{found.score:.2f} {ends(found.interval)}"


def ends(interval: Interval | None) -> str:
    """Return both ends of a score's interval."""
    return "(no interval)" if interval is None else f"[{interval.low:.2f}, {interval.high:.2f}]"


def change(mean: float, interval: Interval | None) -> str:
    """Return a difference with both ends, such as ``+0.012 [-0.003, +0.027]``."""
    if interval is None:
        return f"{mean:+.3f} (no interval)"
    return f"{mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def as_list(interval: Interval | None) -> list[float] | None:
    """Return both ends for a record."""
    return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]
