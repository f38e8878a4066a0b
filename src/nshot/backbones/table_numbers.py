"""Columns of numbers, and what each is scaled by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from nshot.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

LIMIT = 10.0
"""Up to so many standard deviations a number is taken as it is; what is further out grows with its logarithm."""
_HEAVY = 30.0
"""Columns with a larger kurtosis (a normal distribution has 3) are taken on a logarithmic scale."""
_FENCE = 0.01
_SAME = 1e-12
"""A spread that is smaller beside the size of the numbers is rounding."""
_SMALLEST_SPREAD = 1e-90
_ELEMENTS = 1 << 21
"""Largest number of cells at once: 16 MiB."""
_DIGITS = 9

Finite = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def rounded(value: float) -> float:
    """Return a number as it is kept in a record: nine digits say all that float32 can."""
    return float(f"{value:.{_DIGITS}g}")


def limited(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers whose part beyond ten standard deviations is logarithmic: ``10 + log(1 + |z| - 10)``.

    What is strange stays strange, and in its order, and one cell cannot outweigh all other columns together.
    """
    beyond = np.maximum(np.abs(standardised) - LIMIT, 0.0)
    return np.where(beyond > 0, np.sign(standardised) * (LIMIT + np.log1p(beyond)), standardised)


class Numbers(Spec):
    """Columns of numbers: ``z = limited((t(x) - shift) / scale)``, one feature each.

    t(x) = x - centre, the centre being the median; of a column with far-out values (incomes, counts, bytes)
    ``sign(x - centre) log(1 + |x - centre| / unit)``, the unit being the median distance to the centre. Shift and scale
    are mean and standard deviation of t(x). A missing number counts as the median, and has a feature of its own.
    """

    names: tuple[str, ...] = ()
    """The k columns."""
    centres: tuple[Finite, ...] = ()
    """k medians."""
    units: tuple[Spread | None, ...] = ()
    """k units of the logarithm; None for a column without."""
    shifts: tuple[Finite, ...] = ()
    """k means."""
    scales: tuple[Spread, ...] = ()
    """k standard deviations."""
    missing: tuple[int, ...] = ()
    """Which columns lacked numbers (0-based): they have a second feature, 1 where the number is missing."""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        k = len(self.names)
        if any(len(each) != k for each in (self.centres, self.units, self.shifts, self.scales)):
            raise ValueError(f"centre, unit, shift and scale of each of {k} columns")
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
        found = []
        step = max(1, _ELEMENTS // max(1, len(cells)))
        for start in range(0, len(names), step):
            part = names[start : start + step]
            values = np.stack([cells.numbers(name) for name in part])
            found += [each for each in _spreads(part, values) if each is not None]
        return cls(
            names=tuple(each.name for each in found),
            centres=tuple(each.centre for each in found),
            units=tuple(each.unit for each in found),
            shifts=tuple(each.shift for each in found),
            scales=tuple(each.scale for each in found),
            missing=tuple(column for column, each in enumerate(found) if each.has_missing),
        )

    def write(self, cells: Cells, features: NDArray[np.float32]) -> None:
        """Write the features of n rows, shape (n, k + columns that lacked numbers)."""
        if not self.names:
            return
        k = len(self.names)
        step = max(1, _ELEMENTS // k)
        for start in range(0, len(cells), step):
            rows = slice(start, min(start + step, len(cells)))
            part = cells.part(rows.start, rows.stop)
            values = np.empty((len(part), k))
            for column, name in enumerate(self.names):
                values[:, column] = part.numbers(name)
            features[rows, k:] = np.isnan(values[:, list(self.missing)])
            features[rows, :k] = self._standardised(values)

    def _standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        scaling = self._scaling
        values -= scaling.centres
        values[np.isnan(values)] = 0.0
        values[:, scaling.logged] = _logarithmic(values[:, scaling.logged], scaling.units)
        return limited((values - scaling.shifts) / scaling.scales)

    @cached_property
    def _scaling(self) -> _Scaling:
        units = [(column, unit) for column, unit in enumerate(self.units) if unit is not None]
        return _Scaling(
            np.array(self.centres, dtype=np.float64),
            np.array([column for column, _ in units], dtype=np.int64),
            np.array([unit for _, unit in units], dtype=np.float64),
            np.array(self.shifts, dtype=np.float64),
            np.array(self.scales, dtype=np.float64),
        )


class _Scaling(NamedTuple):
    """The scaling of k columns as arrays; `logged` says which of them have a unit."""

    centres: NDArray[np.float64]
    logged: NDArray[np.int64]
    units: NDArray[np.float64]
    shifts: NDArray[np.float64]
    scales: NDArray[np.float64]


class _Spread(NamedTuple):
    name: str
    centre: float
    unit: float | None
    shift: float
    scale: float
    has_missing: bool


def _logarithmic(centred: NDArray[np.float64], units: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sign(centred) * np.log1p(np.abs(centred) / units))


def _spreads(names: Sequence[str], values: NDArray[np.float64]) -> list[_Spread | None]:
    """Return where numbers lie and how widely, or None where all are the same.

    Args:
        names: k columns.
        values: Shape (k, n), NaN where missing.
    """
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    ordered = np.sort(values, axis=1)
    low, centres, high = (_quantile(ordered, counts, share) for share in (_FENCE, 0.5, 1 - _FENCE))
    centres = np.array([rounded(centre) for centre in centres])
    # Far beyond the outer percentiles a number says nothing of how widely the others lie.
    fence = np.where(high > low, high - low, np.inf)
    kept = np.clip(values, (low - fence)[:, None], (high + fence)[:, None]) - centres[:, None]
    shifts, scales = _moments(kept, counts)
    sizes = np.nan_to_num(np.abs(values)).max(axis=1, initial=0.0)
    varies = scales > np.maximum(_SMALLEST_SPREAD, _SAME * sizes)
    heavy = np.flatnonzero(varies & (_kurtosis(kept, shifts, scales, counts) > _HEAVY))
    units: dict[int, float] = {}
    if len(heavy):
        found = [max(_SMALLEST_SPREAD, rounded(unit)) for unit in _distances(values[heavy], centres[heavy])]
        units = dict(zip(heavy.tolist(), found, strict=True))
        logged = _logarithmic(kept[heavy], np.array(found)[:, None])
        shifts[heavy], scales[heavy] = _moments(logged, counts[heavy])
    return [
        _Spread(
            name,
            float(centres[column]),
            units.get(column),
            rounded(shifts[column]),
            rounded(scales[column]),
            bool(counts[column] < values.shape[1]),
        )
        if varies[column]
        else None
        for column, name in enumerate(names)
    ]


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


def _distances(values: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median distance to the centre of each row, among the values that do not lie on it."""
    away = np.abs(values - centres[:, None])
    away[away == 0] = np.nan
    return _quantile(np.sort(away, axis=1), np.count_nonzero(~np.isnan(away), axis=1), 0.5)


def _moments(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each row, NaN left out."""
    n = np.maximum(counts, 1)
    means = np.nansum(values, axis=1) / n
    return means, np.sqrt(np.nansum(np.square(values - means[:, None]), axis=1) / n)


def _kurtosis(
    values: NDArray[np.float64],
    means: NDArray[np.float64],
    deviations: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    safe = np.maximum(deviations, _SMALLEST_SPREAD)[:, None]
    return np.asarray(np.nansum(((values - means[:, None]) / safe) ** 4, axis=1) / np.maximum(counts, 1))
