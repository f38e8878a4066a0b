"""Where the time goes: whom to try first, and whom not to run again.

A candidate that trains a network is worth a first run by its expected improvement over the best that was measured
(Jones, Schonlau & Welch 1998), for which the usual advantage of its method on other data sets is the prior, divided by
the seconds that the run takes.

It is not run again once its lead over the best other one is settled. The lead after J folds of m rows each has a
variance of

    s^2 / m x (1 / J + n_test / n_train)

(s^2: variance of the rows' differences; the second term because the fits overlap, Nadeau & Bengio 2003) and the degrees
of freedom of its rows, so that it can be judged after one fold. A study looks often: the j-th look at each of c
candidates may be wrong with probability RISK / (c j (j + 1)), which adds up to RISK.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from nshot.evaluation.comparison import Difference, paired_difference
from nshot.evaluation.intervals import Block, common_blocks, t_quantile
from nshot.metrics import Metric
from nshot.study.evidence import Evidence
from nshot.study.options import StudyOptions
from nshot.study.pick import standings
from nshot.study.plan import Contender
from nshot.study.prior import expected_advantage

RISK = 0.01
"""Probability that a study stops a candidate wrongly at any of its looks."""
_WORTH_TRYING = 0.5
"""Go on while the distance to the decision is more than this share of the interval's expected half-width."""
_REFERENCE = "linear_probe"
"""Advantages are measured from this method."""
_UNKNOWN_ADVANTAGE = (0.0, 0.06)
"""Mean and standard deviation for a method of which nothing is known."""


class Judge(Protocol):
    """Knows what the runs so far say about each candidate."""

    def promise(self, contender: Contender) -> float:
        """Return how much better than all others it may be expected to come out, at least 0."""

    def in_order(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Return candidates that were measured at all rows, the best first."""

    def reason_to_stop(self, contender: Contender, more: float) -> str | None:
        """Return why a candidate need not be run again, or None; `more` is how many draws the budget still holds."""


class EvidenceJudge:
    """Judges by the evidence of the moment.

    Args:
        latest: Returns the evidence of all runs so far.
        metric: The primary metric.
        options: For `worth`.
        n_racing: How many candidates share the risk.
    """

    def __init__(self, latest: Callable[[], Evidence], metric: Metric, options: StudyOptions, *, n_racing: int) -> None:
        self._latest = latest
        self._metric = metric
        self._options = options
        self._n_racing = n_racing

    def promise(self, contender: Contender) -> float:
        """Return the expected improvement over the best that was measured today."""
        evidence, blocks, sign = self._latest(), self._blocks(), self._sign
        known = expected_advantage(contender.candidate.method, evidence.design.n_train, evidence.design.classes)
        mean, spread = known or _UNKNOWN_ADVANTAGE
        scores = {name: sign * _score(own, self._metric) for name, own in blocks.items()}
        references = [scores[name] for name in scores if evidence.entrants[name].method == _REFERENCE]
        if not references or not self._metric.bounded:
            return spread
        return expected_improvement(mean - (max(scores.values()) - max(references)), spread)

    def in_order(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Return candidates that were measured at all rows, the best first."""
        blocks = self._blocks()
        own = [contender for contender in contenders if contender.name in blocks]
        if len(own) < 2:
            return own
        fold_sizes = self._latest().fold_sizes
        found = standings(blocks, self._metric, target="this model", rho=1.0, fold_sizes=fold_sizes)
        return sorted(own, key=lambda who: (-self._sign * found[who.name].adjusted, who.name))

    def reason_to_stop(self, contender: Contender, more: float) -> str | None:
        """Return why further draws of a candidate would not change today's answer, or None."""
        blocks = self._blocks()
        if contender.name not in blocks or len(blocks) < 2:
            return None
        return reason_to_stop(
            contender.name,
            blocks,
            self._metric,
            fold_sizes=self._latest().fold_sizes,
            options=self._options,
            more=more,
            round_of=self._latest().design.folds,
            n_racing=self._n_racing,
        )

    @property
    def _sign(self) -> float:
        return 1.0 if self._metric.higher_is_better else -1.0

    def _blocks(self) -> dict[str, list[Block]]:
        evidence, metric = self._latest(), self._metric
        names = [name for name in evidence.measured_today() if evidence.has(name, evidence.sizes[name][-1], metric)]
        return {name: evidence.comparable(name, metric) for name in names}


def _score(blocks: Sequence[Block], metric: Metric) -> float:
    return float(np.mean([metric.aggregate(block.statistics) for block in blocks]))


def expected_improvement(lead: float, spread: float) -> float:
    """Return E max(0, X) for X normal with mean `lead` and standard deviation `spread`."""
    if spread <= 0.0:
        return max(0.0, lead)
    z = lead / spread
    density = math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return spread * density + lead * 0.5 * math.erfc(-z / math.sqrt(2.0))


def reason_to_stop(
    name: str,
    blocks: Mapping[str, Sequence[Block]],
    metric: Metric,
    *,
    fold_sizes: tuple[int | None, int | None],
    options: StudyOptions,
    more: float,
    round_of: int,
    n_racing: int,
) -> str | None:
    """Return why further draws of `name` would not change today's answer, or None.

    The answer turns on whether its lead over the best other candidate is above or below `worth`. Further draws are
    pointless when the interval of that lead excludes `worth` already, when it is clearly behind, or, once every row was
    tested, when the interval expected after all further draws that the budget holds would still be wide around it.

    Args:
        name: A candidate that trains a network.
        blocks: The blocks of all candidates in today's comparison.
        metric: The primary metric.
        fold_sizes: Rows that a fold trains on and is tested on; None for a hold-out.
        options: For `worth`.
        more: How many further draws the budget holds.
        round_of: How many draws test every row once.
        n_racing: How many candidates share the risk.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    leads = {other: _difference(blocks[name], own, metric) for other, own in blocks.items() if other != name}
    rival = min(leads, key=lambda other: (sign * leads[other].mean, other))
    difference, done = leads[rival], len(common_blocks([blocks[name], blocks[rival]])[0])
    if difference.standard_error is None:
        return None
    n_train, n_test = fold_sizes
    overlap = n_test / n_train if n_train and n_test else 0.0

    def half_width(draws: float) -> float:
        # The rows of all draws were taken as one test: a fold's own variance is `done` times as large.
        of_a_fold = (difference.standard_error or 0.0) ** 2 * done
        risk = RISK / (n_racing * draws * (draws + 1.0))
        freedom = difference.degrees_of_freedom or 1.0
        return t_quantile(1.0 - risk / 2.0, freedom) * math.sqrt(of_a_fold * (1.0 / draws + overlap))

    lead, half = sign * difference.mean, half_width(done)
    draws = f"{done} draw" + ("s" if done > 1 else "")
    if lead + half < 0:
        return f"behind {rival} after {draws} ({difference.mean:+.2f}); not run again."
    distance = abs(lead - options.worth_in(metric))
    if distance > half:
        return f"settled against {rival} after {draws} ({difference.mean:+.2f}); not run again."
    # Until every row was tested, each further draw makes the pick better, whether or not it can be settled.
    if done >= round_of and distance < _WORTH_TRYING * half_width(done + max(0.0, more)):
        return f"too close to {rival} to be settled within the budget ({difference.mean:+.2f} after {draws})."
    return None


def _difference(own: Sequence[Block], other: Sequence[Block], metric: Metric) -> Difference:
    """Return the paired difference on the rows of all common draws, each draw's rows taken as further test rows."""
    left, right = common_blocks([own, other])
    return paired_difference(_as_one(left), _as_one(right), metric, rho=1.0, target="this model")


def _as_one(blocks: Sequence[Block]) -> list[Block]:
    """Return one block with the rows of all; a row that several rounds tested counts as so many, of one group."""
    groups = [block.rows if block.groups is None else block.groups for block in blocks]
    statistics = np.concatenate([block.statistics for block in blocks])
    merged = replace(blocks[0], rows=np.arange(len(statistics)), statistics=statistics, groups=np.concatenate(groups))
    return [merged]
