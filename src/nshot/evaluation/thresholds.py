"""From which anomaly score on to raise an alarm: where the user's own costs are expected to be least.

With recall R(t) and false-alarm rate F(t) of the threshold t, the share p of anomalies, and the costs of a miss and of
a false alarm, a row is expected to cost ``p c_miss (1 - R(t)) + (1 - p) c_alarm F(t)`` (Provost and Fawcett 2001,
Robust Classification for Imprecise Environments, equation 1). R and F are measured on rows that no fit has seen.

**Folds.** Scores of two fits are not on one scale: a distance to 800 rows is longer than one to 1,000. So rows are
pooled by their rank: the share of rows of their own fold that score lower. The threshold is chosen among ranks, and
handed over as the median of the scores that the folds have there. (Ranks within the pool would be wrong: a detector
knows the rows it has learnt from, and finds them less strange than new ones.)

**How sure.** The least of many costs is lower than what the choice will really cost. In resamples of the rows (of
their groups) the choice is made anew; by how much it then looks cheaper there than it is on all rows is added back
(Efron 1983, Estimating the Error Rate of a Prediction Rule, section 7). Intervals are percentiles of the resampled
figures at the threshold that was chosen, moved likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nshot.core import DataError, Interval
from nshot.metrics import Array
from nshot.spec import Spec

ROWS = 1_000
"""Costs are told for so many rows."""
_RESAMPLES = 500


class CostOptions(Spec):
    """What mistakes of a detection cost."""

    cost_of_miss: float | None = Field(default=None, gt=0)
    """What an anomaly costs that nobody is told of, beside --cost-of-false-alarm: chooses the score from which on a row
    is called an anomaly."""
    cost_of_false_alarm: float = Field(default=1.0, gt=0)
    """What an alarm costs about a normal row."""
    anomaly_share: float | None = Field(default=None, gt=0, lt=1)
    """The share of anomalies where the model is going to be used, such as 0.001; that of the data unless given."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows that one fit scored and had not seen.

    Attributes:
        rows: Which rows, int64, shape (n,).
        scores: Their scores, shape (n,), float64.
        anomalous: Which of them are anomalies, bool, shape (n,).
        groups: Which rows belong together, int64, shape (n,).
    """

    rows: NDArray[np.int64]
    scores: Array
    anomalous: NDArray[np.bool_]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A number and how sure it is."""

    value: float
    interval: Interval

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
            "anomaly_share": self.share,
            "cost_of_miss": self.costs[0],
            "cost_of_false_alarm": self.costs[1],
        }


def is_above(scores: Array, threshold: float) -> NDArray[np.bool_]:
    """Return which of n scores raise an alarm, bool, shape (n,)."""
    return np.asarray(np.asarray(scores, dtype=np.float64) > threshold)


def choose(folds: Sequence[Scored], options: CostOptions, *, seed: int = 0, level: float = 0.95) -> Threshold | None:
    """Return the threshold with the least expected cost, or None where `options` name no cost of a miss.

    Args:
        folds: What each fit scored; a hold-out has one of them.
        options: The costs, and the share of anomalies to reckon with.
        seed: Of the resampling.
        level: Coverage of the intervals.

    Raises:
        DataError: There is no anomaly among the rows, or no normal row.
    """
    if options.cost_of_miss is None:
        return None
    anomalous = np.concatenate([fold.anomalous for fold in folds])
    if anomalous.all() or not anomalous.any():
        raise DataError(
            f"A threshold needs anomalies and normal rows to be tested on; of the {len(anomalous):,} tested rows "
            f"{int(anomalous.sum()):,} are anomalies. Label some, or leave out --cost-of-miss."
        )
    share = float(anomalous.mean()) if options.anomaly_share is None else options.anomaly_share
    ranked = _Ranked.of(folds)
    costs = share * options.cost_of_miss, (1 - share) * options.cost_of_false_alarm
    chosen = int(ranked.figures(np.ones((1, ranked.n_groups)), costs).cost[0].argmin())
    figures = ranked.figures(_resamples(ranked, seed), costs)
    whole = ranked.figures(np.ones((1, ranked.n_groups)), costs)
    again = figures.cost.argmin(axis=1)
    turns = np.arange(len(again))

    def figure(resampled: Array, measured: Array, highest: float) -> Figure:
        moved = float((measured[0, again] - resampled[turns, again]).mean())
        low, high = np.quantile(resampled[:, chosen], [(1 - level) / 2, (1 + level) / 2]) + moved
        value = float(measured[0, chosen]) + moved
        low, value, high = (float(np.clip(end, 0.0, highest)) for end in (low, value, high))
        return Figure(value, Interval(min(low, value), max(high, value), level))

    return Threshold(
        threshold=_score_at(folds, float(ranked.levels[chosen])),
        cost=figure(figures.cost * ROWS, whole.cost * ROWS, np.inf),
        recall=figure(figures.recall, whole.recall, 1.0),
        false_alarms=figure(figures.false_alarms, whole.false_alarms, 1.0),
        alarms=figure(figures.alarms(share) * ROWS, whole.alarms(share) * ROWS, ROWS),
        cost_without=costs[0] * ROWS,
        share=share,
        costs=(options.cost_of_miss, options.cost_of_false_alarm),
    )


@dataclass(frozen=True)
class _Figures:
    """For b resamples and every level: shape (b, levels)."""

    recall: Array
    false_alarms: Array
    cost: Array

    def alarms(self, share: float) -> Array:
        return share * self.recall + (1 - share) * self.false_alarms


@dataclass(frozen=True)
class _Ranked:
    """Rows of all folds by their rank.

    Attributes:
        levels: The different ranks, ascending, and before them one that all rows are above, shape (levels,).
        anomalies: Of each group, how many anomalies have each rank, shape (groups, levels - 1).
        normals: The same of normal rows.
    """

    levels: Array
    anomalies: Array
    normals: Array

    @property
    def n_groups(self) -> int:
        return len(self.anomalies)

    @classmethod
    def of(cls, folds: Sequence[Scored]) -> _Ranked:
        ranks = np.concatenate([_ranks(fold.scores) for fold in folds])
        anomalous = np.concatenate([fold.anomalous for fold in folds])
        levels, level = np.unique(ranks, return_inverse=True)
        names, group = np.unique(np.concatenate([fold.groups for fold in folds]), return_inverse=True)
        shape = len(names), len(levels)
        cells = group * shape[1] + level
        counted = [
            np.bincount(cells[kind], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
            for kind in (anomalous, ~anomalous)
        ]
        return cls(np.concatenate([[-1.0], levels]), *counted)

    def figures(self, weights: Array, costs: tuple[float, float]) -> _Figures:
        """Return what happens above each level, groups counted `weights` times, shape (b, groups)."""
        recall, false_alarms = (_share_above(weights @ counted) for counted in (self.anomalies, self.normals))
        return _Figures(recall, false_alarms, costs[0] * (1 - recall) + costs[1] * false_alarms)


def _ranks(scores: Array) -> Array:
    """Return the share of rows that score lower, one half of the equal ones among them."""
    ordered = np.sort(scores)
    below, up_to = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    return np.asarray((below + up_to) / (2.0 * len(scores)))


def _share_above(counts: Array) -> Array:
    """Return the share of rows above no level, the first, and so on, for counts by level, shape (b, levels)."""
    total = counts.sum(axis=1, keepdims=True)
    up_to = np.cumsum(np.hstack([np.zeros((len(counts), 1)), counts]), axis=1)
    return np.asarray((total - up_to) / total)


def _resamples(ranked: _Ranked, seed: int) -> Array:
    """Return how often each group is drawn in each resample; one without both kinds of row is drawn anew."""
    rng, n = np.random.default_rng([seed, 3]), ranked.n_groups
    has_anomaly, has_normal = ranked.anomalies.sum(axis=1) > 0, ranked.normals.sum(axis=1) > 0
    drawn = np.empty((_RESAMPLES, n))
    for number in range(_RESAMPLES):
        while True:
            counts = np.bincount(rng.integers(n, size=n), minlength=n)
            if counts[has_anomaly].any() and counts[has_normal].any():
                break
        drawn[number] = counts
    return drawn


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
