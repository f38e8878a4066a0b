"""Columns of dates: when, and at which time of the year, the week and the day."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np

from nshot.backbones.table_numbers import Finite, Spread, limited, rounded
from nshot.spec import Spec

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

Cycle = Literal["month", "weekday", "hour"]

_LENGTHS: dict[Cycle, int] = {"month": 12, "weekday": 7, "hour": 24}
_SECONDS_OF_A_DAY = 86_400
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


class Dates(Spec):
    """A column of dates: days, and sine and cosine of what comes round (month, weekday, hour) where it varies.

    Days are standardised like numbers. Every part is divided by the square root of the number of parts, so that the
    column weighs as much as one of numbers. The clock is the one that wrote the date: time zones are not looked at.
    """

    name: str
    """The column."""
    centre: Finite
    """Mean, in days since 1970-01-01."""
    scale: Spread
    """Standard deviation in days."""
    days: bool
    """Whether the day varies."""
    cycles: tuple[Cycle, ...]
    """What varies of month, weekday and hour."""
    missing: bool
    """Whether cells were missing: that is a feature, 0 or 1."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return a name per feature."""
        waves = [f"{self.name}: {wave} of the {cycle}" for cycle in self.cycles for wave in ("sine", "cosine")]
        return (
            *([self.name] if self.days else []),
            *waves,
            *([f"{self.name} is missing"] if self.missing else []),
        )

    @classmethod
    def learnt(cls, cells: Cells, name: str) -> Self | None:
        """Return when the dates are, or None where all are the same, or none can be read."""
        read = _read(cells.words(name))
        present = ~np.isnan(read.days)
        if not present.any():
            return None
        days = read.days[present]
        centre, scale = float(days.mean()), float(days.std())
        cycles = tuple(
            cycle for cycle, values in read.cycles.items() if len(np.unique(values[present & (values >= 0)])) > 1
        )
        varies = scale > 0
        has_missing = not present.all()
        if not (varies or has_missing):
            return None
        return cls(
            name=name,
            centre=rounded(centre, scale) if varies else float(round(centre)),
            scale=rounded(scale, scale) if varies else 1.0,
            days=varies,
            cycles=cycles,
            missing=has_missing,
        )

    def write(self, cells: Cells, features: NDArray[np.float32]) -> None:
        """Write the features of n rows, shape (n, number of features)."""
        read = _read(cells.words(self.name))
        is_missing = np.isnan(read.days)
        weight = 1 / math.sqrt(max(1, self.days + len(self.cycles)))
        column = 0
        if self.days:
            days = np.where(is_missing, self.centre, read.days)
            features[:, 0] = weight * limited((days - self.centre) / self.scale)
            column = 1
        for cycle in self.cycles:
            waves = weight * _WAVES[cycle]
            features[:, column : column + 2] = waves[read.cycles[cycle]]
            column += 2
        if self.missing:
            features[:, column] = is_missing


class _Read(NamedTuple):
    """Dates of n rows: days since 1970-01-01, NaN where missing, and the place in each cycle, -1 where not known."""

    days: NDArray[np.float64]
    cycles: dict[Cycle, NDArray[np.int64]]


def _waves(length: int) -> NDArray[np.float64]:
    """Return sine and cosine of each place in a cycle, shape (length + 1, 2); zeros in the end, for an unknown one."""
    angles = [2 * math.pi * place / length for place in range(length)]
    return np.array([*((math.sin(angle), math.cos(angle)) for angle in angles), (0.0, 0.0)])


_WAVES: dict[Cycle, NDArray[np.float64]] = {cycle: _waves(length) for cycle, length in _LENGTHS.items()}


def _read(words: pa.Array) -> _Read:
    """Read dates as ISO 8601 writes them (2012-09-04, 2012-09-04T10:30 ...)."""
    import pyarrow.compute as pc

    written = pc.utf8_slice_codeunits(words, 0, 10)
    day = pc.strptime(written, "%Y-%m-%d", "s", error_is_null=True)
    hours = _hours(words)
    # The 31st of February is read as a day in March.
    is_missing = ~np.asarray(pc.equal(pc.strftime(day, "%Y-%m-%d"), written).fill_null(False), dtype=bool)
    seconds = np.asarray(day.cast("int64").fill_null(0), dtype=np.int64)
    number = seconds // _SECONDS_OF_A_DAY
    days = np.where(is_missing, np.nan, number + np.maximum(hours, 0) / _LENGTHS["hour"])
    cycles: dict[Cycle, NDArray[np.int64]] = {
        "month": np.where(is_missing, -1, np.asarray(pc.month(day).fill_null(0), dtype=np.int64) - 1),
        "weekday": np.where(is_missing, -1, (number + _FIRST_WEEKDAY) % _LENGTHS["weekday"]),
        "hour": np.where(is_missing, -1, hours),
    }
    return _Read(days, cycles)


def _hours(words: pa.Array) -> NDArray[np.int64]:
    """Return the hour of each date, 0 to 23; -1 where it has none."""
    import pyarrow.compute as pc

    encoded = pc.utf8_slice_codeunits(words, 11, 13).dictionary_encode()
    known = [_hour(text) for text in encoded.dictionary.to_pylist()]
    places = np.asarray(encoded.indices.fill_null(len(known)), dtype=np.int64)
    return np.array([*known, -1], dtype=np.int64)[places]


def _hour(text: str) -> int:
    is_one = text.isascii() and text.isdigit() and int(text) < _LENGTHS["hour"]
    return int(text) if is_one else -1
