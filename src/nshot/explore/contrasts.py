"""What sets a group of rows apart from the others, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.explore.cells import MISSING, Categories, Cells, Numbers

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_MOST_CELLS = 20_000_000
_MOST_ROWS = 20_000
_MOST_VALUES = 20
_FEWEST = 5
_SMALLEST_EFFECT = 0.1
_LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    """How a group differs from the other rows in a column.

    Attributes:
        column: Which.
        words: In words: ``Income 74,000 (all: 52,000)``.
        effect: Probability that a row of the group has the larger value than one of the others, minus the probability
            that it has the smaller one, -1 to 1 (Cliff's delta); of a category the difference of its shares.
        interval: Of the effect, with a level that holds for all columns and groups together with 95 %. The groups were
            found in the same rows, so that it says what can be told from chance, not what a new sample would show.
    """

    column: str
    words: str
    effect: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class _Sides:
    """A group's rows, all others, and how many standard errors an interval reaches."""

    own: Array
    rest: Array
    reach: float


def contrasts(cells: Cells, labels: Array, n_groups: int, *, seed: int = 0, most: int = 8) -> list[list[Contrast]]:
    """Return for each group what sets it apart, the largest effect first.

    Only what can be told from chance after a correction for the number of comparisons (Bonferroni), and is no smaller
    than an effect of 0.1. A missing number counts as the median, and that it is missing as a category of its own.

    Source: Cliff 1993, Dominance Statistics; its standard error by DeLong, DeLong and Clarke-Pearson 1988.

    Args:
        cells: Of n rows.
        labels: Shape (n,), int64: the group of each row, -1 of a row in none.
        n_groups: How many groups.
        seed: Decides which rows are compared where there are very many.
        most: How many contrasts of a group at most.
    """
    from scipy.stats import norm

    columns = len(cells.numbers) + len(cells.categories)
    if n_groups < 2 or not columns:
        return [[] for _ in range(n_groups)]
    rows = np.random.default_rng(seed).permutation(cells.n)[: max(100, min(_MOST_ROWS, _MOST_CELLS // columns))]
    rows.sort()
    of_group = labels[rows]
    features = _features(cells, rows)
    reach = float(norm.isf(_LEVEL / 2 / max(1, len(features) * n_groups)))
    found: list[list[Contrast]] = []
    ranks = _Ranks(features)
    for group in range(n_groups):
        sides = _Sides(np.flatnonzero(of_group == group), np.flatnonzero(of_group != group), reach)
        found.append(_of_group(features, ranks, sides, most) if min(len(sides.own), len(sides.rest)) >= _FEWEST else [])
    return found


@dataclass(frozen=True)
class _Feature:
    """A column, or one value of a column of categories, as a number per row."""

    column: Numbers | Categories
    values: Array
    value: str | None = None

    def words(self, own: Array, everybody: Array) -> str:
        """Say what the group has, and what all rows have."""
        if isinstance(self.column, Numbers) and self.value is None:
            here, all_rows = float(np.median(own)), float(np.median(everybody))
            middles = self.column.shown(here), self.column.shown(all_rows)
            if middles[0] != middles[1]:
                return f"{self.column.name} {middles[0]} (all: {middles[1]})"
            own_mean, mean = (self.column.shown(float(values.mean()), further=1) for values in (own, everybody))
            return f"{self.column.name} on average {own_mean} (all: {mean})"
        is_missing = self.value == ""
        what = f"{self.column.name} is missing in" if is_missing else f"{self.column.name} = {self.value} in"
        return f"{what} {_percent(own.mean())} (all: {_percent(everybody.mean())})"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "less than 1%"


def _features(cells: Cells, rows: Array) -> list[_Feature]:
    """Return what is compared: constant ones are left out."""
    found: list[_Feature] = []
    for numbers in cells.numbers:
        values = numbers.values[rows]
        missing = np.isnan(values)
        if missing.any():
            found.append(_Feature(numbers, missing.astype(np.float64), ""))
            values = np.where(missing, np.nanmedian(values) if not missing.all() else 0.0, values)
        found.append(_Feature(numbers, values))
    for categories in cells.categories:
        codes = categories.codes[rows]
        counts = np.bincount(codes[codes != MISSING], minlength=len(categories.values))
        if (codes == MISSING).any():
            found.append(_Feature(categories, (codes == MISSING).astype(np.float64), ""))
        frequent = [code for code in np.argsort(-counts, kind="stable")[:_MOST_VALUES] if counts[code] >= _FEWEST]
        found += [
            _Feature(categories, (codes == code).astype(np.float64), categories.values[code]) for code in frequent
        ]
    return [feature for feature in found if len(feature.values) and np.ptp(feature.values) > 0]


class _Ranks:
    """Ranks of each feature among all rows, computed a block of features at a time."""

    def __init__(self, features: Sequence[_Feature]) -> None:
        from scipy.stats import rankdata

        self.values = np.stack([feature.values for feature in features], axis=1) if features else np.zeros((0, 0))
        self.among_all = rankdata(self.values, axis=0)

    def effects(self, sides: _Sides) -> tuple[Array, Array]:
        """Return Cliff's delta of each feature and its standard error, shapes (features,).

        A row's placement is the share of the other side that it exceeds, ties counting half; their spread within each
        side gives the standard error.
        """
        from scipy.stats import rankdata

        placements = []
        for here, there in ((sides.own, sides.rest), (sides.rest, sides.own)):
            within = rankdata(self.values[here], axis=0)
            placements.append((self.among_all[here] - within) / len(there))
        effect = 2 * placements[0].mean(axis=0) - 1
        variance = sum(placed.var(axis=0, ddof=1) / len(placed) for placed in placements)
        return effect, 2 * np.sqrt(variance)


def _of_group(features: Sequence[_Feature], ranks: _Ranks, sides: _Sides, most: int) -> list[Contrast]:
    effects, errors = ranks.effects(sides)
    found: list[Contrast] = []
    columns: set[str] = set()
    # Of a column with two values, the one that the group has more often.
    for i in np.lexsort((-effects, -np.abs(effects).round(6))):
        effect, reach = float(effects[i]), sides.reach * float(errors[i])
        if abs(effect) < _SMALLEST_EFFECT or len(found) == most:
            break
        name = features[i].column.name
        if abs(effect) <= reach or name in columns:
            continue
        columns.add(name)
        words = features[i].words(features[i].values[sides.own], features[i].values)
        found.append(Contrast(name, words, effect, (max(-1.0, effect - reach), min(1.0, effect + reach))))
    return found


def extremes(cells: Cells, rows: Sequence[int], most: int = 3) -> list[list[str]]:
    """Return for each of these rows the values that are far outside of what is usual, in words.

    A number is so beyond 3.5 robust standard deviations from the median (1.4826 times the median absolute deviation;
    Iglewicz and Hoaglin 1993), a category where fewer than 1 % of the rows have it.

    Args:
        cells: Of n rows.
        rows: Positions among them.
        most: How many values of a row at most.
    """
    found: list[list[tuple[float, str]]] = [[] for _ in rows]
    at = np.asarray(rows, dtype=np.int64)
    for numbers in cells.numbers if len(at) else ():
        present = numbers.values[~np.isnan(numbers.values)]
        if not len(present):
            continue
        low, middle, high = (float(value) for value in np.quantile(present, (0.05, 0.5, 0.95)))
        spread = 1.4826 * float(np.median(np.abs(present - middle))) or float(present.std())
        for i, value in enumerate(numbers.values[at]):
            far = abs(value - middle) / spread if spread else 0.0
            if far > 3.5 and not low <= value <= high:
                usual = f"nine in ten: {numbers.shown(low)} to {numbers.shown(high)}"
                found[i].append((far, f"{numbers.name} {numbers.shown(value)} ({usual})"))
    for categories in cells.categories if len(at) else ():
        counts = np.bincount(categories.codes[categories.codes != MISSING], minlength=len(categories.values))
        for i, code in enumerate(categories.codes[at]):
            if code != MISSING and counts[code] < cells.n / 100:
                rare = f"{categories.name} = {categories.values[code]} ({counts[code]:,} of {cells.n:,} rows)"
                found[i].append((3.5 * cells.n / 100 / counts[code], rare))
    return [[words for _, words in sorted(one, reverse=True)[:most]] for one in found]
