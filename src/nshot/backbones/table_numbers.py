"""Columns of numbers, and what each is scaled by.

Measured on twelve sets with known anomalies (ADBench): isolation forest, nearest neighbours, local outlier factor and
histograms lose at most 0.003 of the area under the ROC curve beside plainly standardised columns, and win up to 0.03.
Skewed columns on a logarithmic scale won half a point of accuracy on one set (NSL-KDD) and cost 0.06 of the area on
another (thyroid, nearest neighbours), so none is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from nshot.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

LIMIT = 30.0
"""Up to so many standard deviations a number is taken as it is; what is further out grows with its logarithm."""
_OUTER = 0.01
_FENCE = 3.0
"""What lies further outside the outer percentiles than so many times their distance does not widen a column."""
_SAME = 1e-14
"""A spread that is smaller beside the size of the numbers is rounding."""
_SMALLEST_SPREAD = 1e-90
_ELEMENTS = 1 << 21
"""Largest number of cells at once: 16 MiB."""
_DIGITS = 7

Finite = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def rounded(value: float, spread: float) -> float:
    """Return a number as it is kept in a record: to a ten-millionth of the spread of what it belongs to."""
    return round(value, _DIGITS - math.floor(math.log10(spread)))


def limited(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers whose part beyond 30 standard deviations is logarithmic: ``30 + log(1 + |z| - 30)``.

    What is strange stays strange, and in its order, and no cell outweighs all other columns together.
    """
    beyond = np.maximum(np.abs(standardised) - LIMIT, 0.0)
    return np.where(beyond > 0, np.sign(standardised) * (LIMIT + np.log1p(beyond)), standardised)


class Numbers(Spec):
    """Columns of numbers: ``limited((x - mean) / deviation)``, one feature each.

    Mean and standard deviation are those of the numbers drawn back to three times the distance of the 1st and the 99th
    percentile outside these, so that one wrong cell (999999999) does not flatten its column. A missing number counts
    as the median, and has a feature of its own.
    """

    names: tuple[str, ...] = ()
    """The k columns."""
    means: tuple[Finite, ...] = ()
    """k means."""
    deviations: tuple[Spread, ...] = ()
    """k standard deviations."""
    medians: tuple[Finite, ...] = ()
    """k medians."""
    missing: tuple[int, ...] = ()
    """Which columns lacked numbers (0-based): they have a second feature, 1 where the number is missing, else 0."""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        k = len(self.names)
        if any(len(each) != k for each in (self.means, self.deviations, self.medians)):
            raise ValueError(f"mean, deviation and median of each of {k} columns")
        if any(not 0 <= column < k for column in self.missing):
            raise ValueError(f"columns that lack numbers from among {k}")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return a name per feature."""
        return (*self.names, *(f"{self.names[column]} is missing" for column in self.missing))

    @classmethod
    def learnt(cls, cells: Cells, names: Sequence[str]) -> Self:
        """Return what these columns are scaled by; a column whose numbers are all the same is left out."""
        found: list[_Column] = []
        step = max(1, _ELEMENTS // max(1, len(cells)))
        for start in range(0, len(names), step):
            part = names[start : start + step]
            found += _columns(part, np.stack([cells.numbers(name) for name in part]))
        return cls(
            names=tuple(each.name for each in found),
            means=tuple(each.mean for each in found),
            deviations=tuple(each.deviation for each in found),
            medians=tuple(each.median for each in found),
            missing=tuple(column for column, each in enumerate(found) if each.has_missing),
        )

    def write(self, cells: Cells, features: NDArray[np.float32]) -> None:
        """Write the features of n rows, shape (n, k + columns that lacked numbers)."""
        if not self.names:
            return
        k, lacking = len(self.names), list(self.missing)
        means, deviations, medians = self._scaling
        step = max(1, _ELEMENTS // k)
        for start in range(0, len(cells), step):
            part = cells.part(start, min(start + step, len(cells)))
            values = np.empty((len(part), k))
            for column, name in enumerate(self.names):
                values[:, column] = part.numbers(name)
            into = features[start : start + step]
            is_missing = np.isnan(values)
            into[:, k:] = is_missing[:, lacking]
            into[:, :k] = limited((np.where(is_missing, medians, values) - means) / deviations)

    @cached_property
    def _scaling(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.means), np.array(self.deviations), np.array(self.medians)


class _Column(NamedTuple):
    name: str
    mean: float
    deviation: float
    median: float
    has_missing: bool


def _columns(names: Sequence[str], values: NDArray[np.float64]) -> list[_Column]:
    """Return where the numbers of columns lie and how widely, without those whose numbers are all the same.

    Args:
        names: k columns.
        values: Shape (k, n), NaN where missing.
    """
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    ordered = np.sort(values, axis=1)
    low, medians, high = (_quantile(ordered, counts, share) for share in (_OUTER, 0.5, 1 - _OUTER))
    # With nearly all numbers alike (a rare count) the percentiles say nothing of how widely the others lie.
    fence = np.where(high > low, _FENCE * (high - low), np.inf)
    # Sums are taken around the median: of years or times in seconds little else is left of float64.
    near = np.clip(values, (low - fence)[:, None], (high + fence)[:, None]) - medians[:, None]
    n = np.maximum(counts, 1)
    shifts = np.nansum(near, axis=1) / n
    deviations = np.sqrt(np.nansum(np.square(near - shifts[:, None]), axis=1) / n)
    sizes = np.nan_to_num(np.abs(values)).max(axis=1, initial=0.0)
    found = []
    for column in np.flatnonzero(deviations > np.maximum(_SMALLEST_SPREAD, _SAME * sizes)).tolist():
        deviation = float(deviations[column])
        found.append(
            _Column(
                names[column],
                rounded(float(medians[column] + shifts[column]), deviation),
                rounded(deviation, deviation),
                rounded(float(medians[column]), deviation),
                bool(counts[column] < values.shape[1]),
            )
        )
    return found


def _quantile(ordered: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
    """Return a quantile of each row, interpolated; NaN of a row without numbers.

    Args:
        ordered: Shape (k, n): ascending, NaN at the end.
        counts: How many numbers each row has.
        share: Which quantile, 0 to 1.
    """
    place = share * np.maximum(counts - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    rows = np.arange(len(ordered))
    first, second = ordered[rows, below], ordered[rows, above]
    return np.asarray(first + (place - below) * (second - first))
