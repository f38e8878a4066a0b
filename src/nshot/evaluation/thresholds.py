"""From which anomaly score on to raise an alarm: where the user's own costs are expected to be least.

With recall R(t) and false-alarm rate F(t) of the threshold t, the share p of anomalies, and the costs of a miss and of
a false alarm, a row is expected to cost ``p c_miss (1 - R(t)) + (1 - p) c_alarm F(t)`` (Provost and Fawcett 2001,
Robust Classification for Imprecise Environments, equation 1). R and F are measured on rows that no fit has seen.

**Folds.** Scores of two fits are not on one scale: a distance to 800 rows is longer than one to 1,000. So rows are
pooled by their rank: the share of rows of their own fold that score lower. The threshold is chosen among ranks, and
handed over as the median of the scores that the folds have there. (Ranks within the pool would be wrong: a detector
knows the rows it has learnt from, and finds them less strange than new ones.)

**How sure.** The least of many costs is lower than what the choice will really cost. So the choice is made anew in
resamples of the rows (of their groups), and recall and false alarms are those of the rows left out of each, as
Tsamardinos, Greasidou and Borboudakis 2018, Bootstrapping the out-of-sample predictions, do for scores. Their intervals
are those of shares of as many groups as there are; the interval of the cost, a weighted sum of both, is put together
from them (Zou and Donner 2008, Construction of confidence limits about effect measures, equations 4 and 5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import DataError, Interval
from nshot.evaluation.costs import CostOptions
from nshot.evaluation.intervals import score_interval
from nshot.metrics import Array

ROWS = 1_000
"""Costs and alarms are told for so many rows."""
_RESAMPLES = 200
_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows that one fit scored and had not seen.

    Attributes:
        scores: Shape (n,), float64.
        anomalous: Which of the rows are anomalies, bool, shape (n,).
        groups: Which rows belong together, int64, shape (n,).
    """

    scores: Array
    anomalous: NDArray[np.bool_]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A number and how sure it is."""

    value: float
    interval: Interval

    def times(self, factor: float) -> Figure:
        """Return the number in another unit."""
        ends = self.interval.low * factor, self.interval.high * factor
        return Figure(self.value * factor, Interval(*ends, self.interval.level))

    def as_json(self) -> dict[str, Any]:
        """Return the number with both ends of its interval, for a record."""
        ends = [round(self.interval.low, 6), round(self.interval.high, 6)]
        return {"value": round(self.value, 6), "interval": ends}


@dataclass(frozen=True)
class Threshold:
    """From which score on to raise an alarm, and what is to be expected of it.

    Attributes:
        threshold: Alarms are raised above this score.
        cost: Expected for 1,000 rows, in the unit of the costs.
        recall: The share of anomalies that raise an alarm.
        false_alarms: The share of normal rows that do.
        alarms: Expected among 1,000 rows, right and false ones.
        cost_without: Of 1,000 rows where no alarm is ever raised.
        share: Of anomalies, that costs are reckoned with.
        costs: Of a miss, and of a false alarm.
    """

    threshold: float
    cost: Figure
    recall: Figure
    false_alarms: Figure
    alarms: Figure
    cost_without: float
    share: float
    costs: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """Return the record that ``verdict.json`` keeps."""
        return {
            "threshold": self.threshold,
            "cost_per_1000_rows": self.cost.as_json(),
            "recall": self.recall.as_json(),
            "false_alarm_rate": self.false_alarms.as_json(),
            "alarms_per_1000_rows": self.alarms.as_json(),
            "cost_per_1000_rows_without_alarms": round(self.cost_without, 6),
            "anomaly_share": round(self.share, 6),
            "cost_of_miss": self.costs[0],
            "cost_of_false_alarm": self.costs[1],
        }


def is_above(scores: Array, threshold: float) -> NDArray[np.bool_]:
    """Return which of n scores raise an alarm, bool, shape (n,)."""
    return np.asarray(np.asarray(scores, dtype=np.float64) > threshold)


def choose(folds: Sequence[Scored], options: CostOptions, *, seed: int = 0) -> Threshold | None:
    """Return the threshold with the least expected cost, or None where `options` name no cost of a miss.

    Args:
        folds: What each fit scored; a hold-out has one of them.
        options: The costs, and the share of anomalies to reckon with.
        seed: Of the resampling.

    Raises:
        DataError: Fewer than two groups of the rows have an anomaly, or a normal row.
    """
    if options.cost_of_miss is None:
        return None
    ranked = _Ranked.of(folds)
    anomalies, normals = (len(np.unique(ranked.group[kind])) for kind in (ranked.anomalous, ~ranked.anomalous))
    if min(anomalies, normals) < 2:
        raise DataError(
            f"A threshold needs two anomalies and two normal rows or more to be tested on; found {anomalies:,} and "
            f"{normals:,}. Label some, or leave out --cost-of-miss."
        )
    measured = float(ranked.anomalous.mean())
    share = measured if options.anomaly_share is None else options.anomaly_share
    costs = share * options.cost_of_miss, (1 - share) * options.cost_of_false_alarm
    level = float(ranked.levels[ranked.cheapest(np.ones((1, ranked.n_groups)), costs)[0]])
    left_out = _of_rows_left_out(ranked, costs, seed)
    recall, false_alarms = (_share(one.share, n) for one, n in zip(left_out, (anomalies, normals), strict=True))
    missed = Figure(1 - recall.value, Interval(1 - recall.interval.high, 1 - recall.interval.low))
    # Where the threshold ends up is chance too. It moves both shares, and the cost hardly: there they make up.
    shown = [_share(one.share, n, one.by_choice) for one, n in zip(left_out, (anomalies, normals), strict=True)]
    return Threshold(
        threshold=_score_at(folds, level),
        cost=_sum(missed.times(costs[0]), false_alarms.times(costs[1])).times(ROWS),
        recall=shown[0],
        false_alarms=shown[1],
        alarms=_sum(recall.times(share), false_alarms.times(1 - share)).times(ROWS),
        cost_without=costs[0] * ROWS,
        share=share,
        costs=(options.cost_of_miss, options.cost_of_false_alarm),
    )


@dataclass(frozen=True)
class _Ranked:
    """Rows of all folds by their rank, ascending.

    Attributes:
        levels: The different ranks, ascending, and before them one that all rows are above, shape (levels,).
        ends: How many rows have up to each of these ranks, shape (levels,).
        anomalous: Shape (rows,).
        group: From 0 up, shape (rows,).
        n_groups: Number of groups.
    """

    levels: Array
    ends: NDArray[np.int64]
    anomalous: NDArray[np.bool_]
    group: NDArray[np.int64]
    n_groups: int

    @classmethod
    def of(cls, folds: Sequence[Scored]) -> _Ranked:
        ranks = np.concatenate([_ranks(fold.scores) for fold in folds])
        order = np.argsort(ranks, kind="stable")
        levels, counts = np.unique(ranks, return_counts=True)
        names, group = np.unique(np.concatenate([fold.groups for fold in folds]), return_inverse=True)
        anomalous = np.concatenate([fold.anomalous for fold in folds])
        ends = np.concatenate([[0], np.cumsum(counts)])
        return cls(np.concatenate([[-1.0], levels]), ends, anomalous[order], group[order], len(names))

    def cheapest(self, counts: Array, costs: tuple[float, float]) -> NDArray[np.int64]:
        """Return the level with the least expected cost, groups counted `counts` times, shape (b, groups)."""
        recall, false_alarms = self.shares_above(counts)
        return np.asarray((costs[0] * (1 - recall) + costs[1] * false_alarms).argmin(axis=1))

    def shares_above(self, counts: Array) -> tuple[Array, Array]:
        """Return the shares of the anomalies and of the normal rows above each level, shape (b, levels)."""
        weights = counts[:, self.group]
        return self._share_above(weights * self.anomalous), self._share_above(weights * ~self.anomalous)

    def _share_above(self, weights: Array) -> Array:
        up_to = np.cumsum(np.hstack([np.zeros((len(weights), 1)), weights]), axis=1)
        total = up_to[:, -1:]
        # Of no weight at all there is no share; such a resample is never asked for one.
        return np.asarray((total - up_to[:, self.ends]) / np.where(total > 0, total, 1.0))


@dataclass(frozen=True)
class _LeftOut:
    """The share of rows above the threshold among those that had no part in its choice.

    Attributes:
        share: Of all resamples together.
        by_choice: Variance of the share by where the choice falls.
    """

    share: float
    by_choice: float


def _of_rows_left_out(ranked: _Ranked, costs: tuple[float, float], seed: int) -> tuple[_LeftOut, _LeftOut]:
    """Return how many anomalies and how many normal rows raise an alarm, of those that had no part in the choice."""
    rng, n = np.random.default_rng([seed, 3]), ranked.n_groups
    of_group = [np.bincount(ranked.group[kind], minlength=n) for kind in (ranked.anomalous, ~ranked.anomalous)]
    of_all = ranked.shares_above(np.ones((1, n)))
    above, rows, chosen = np.zeros(2), np.zeros(2), []
    for _ in range(_RESAMPLES // _AT_ONCE):
        counts = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(_AT_ONCE)]).astype(float)
        # A choice needs rows of both kinds.
        counts = counts[[all(draw @ rows_of > 0 for rows_of in of_group) for draw in counts]]
        level = ranked.cheapest(counts, costs)
        chosen.append(level)
        left_out = (counts == 0).astype(float)
        shares = ranked.shares_above(left_out)
        for kind, rows_of in enumerate(of_group):
            size = left_out @ rows_of
            above[kind] += float((shares[kind][np.arange(len(level)), level] * size).sum())
            rows[kind] += float(size.sum())
    found = above / np.maximum(rows, 1.0)
    levels = np.concatenate(chosen)
    one, other = (_LeftOut(float(found[kind]), float(np.var(of_all[kind][0, levels]))) for kind in (0, 1))
    return one, other


def _share(share: float, groups: int, more_variance: float = 0.0) -> Figure:
    """Return a share of so many groups with its interval."""
    variance = share * (1 - share) / groups + more_variance
    interval = score_interval(share, variance, groups - 1, metric=metrics.get("auroc"), mistake=1 / groups)
    return Figure(share, interval or Interval(0.0, 1.0))


def _sum(one: Figure, other: Figure) -> Figure:
    """Return the sum of two numbers that are estimated apart from each other."""
    value = one.value + other.value
    below = math.hypot(one.value - one.interval.low, other.value - other.interval.low)
    above = math.hypot(one.interval.high - one.value, other.interval.high - other.value)
    return Figure(value, Interval(max(0.0, value - below), value + above))


def _ranks(scores: Array) -> Array:
    """Return the share of rows that score lower, one half of the equal ones among them."""
    ordered = np.sort(scores)
    below, up_to = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    return np.asarray((below + up_to) / (2.0 * len(scores)))


def _score_at(folds: Sequence[Scored], level: float) -> float:
    """Return the median over the folds of the score in the middle between the last row up to a rank and the next."""
    found = []
    for fold in folds:
        ranks = _ranks(fold.scores)
        up_to, above = fold.scores[ranks <= level], fold.scores[ranks > level]
        if not len(up_to):
            found.append(np.nextafter(above.min(), -np.inf))
        elif not len(above):
            found.append(up_to.max())  # nothing as strange was seen: what is stranger yet raises an alarm
        else:
            middle = (up_to.max() + above.min()) / 2
            found.append(middle if middle < above.min() else up_to.max())
    return float(np.median(found))
