"""The cells of some rows, column by column: of a table that a reader holds in memory, or of rows that stand alone.

A number may stand there as a text and a category as a number (a form on a web page, a file whose column looked
otherwise): what a column is was settled when it was learnt, and its cells are read as that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nshot.backbones.tokens import encodable
from nshot.core import ColumnKind, Example, ExampleError, Row, Selection, Tabular

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_LARGEST = 1e100
"""Numbers beyond this count as this: so no arithmetic on them overflows."""
_ALMOST_ALL = 0.95
"""A column is one of numbers, or of dates, if this share of its cells is."""
_SEEN_FOR_A_KIND = 10_000
_WORDS_OF_A_TEXT = 3.0
_DISTINCT_TEXTS = 0.5
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:\d\d.*)?)?")


class Cells(Protocol):
    """The cells of n rows."""

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The kind of each column."""

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int) -> Cells:
        """Return the rows from `start` to before `stop`."""

    def spread(self, most: int) -> Cells:
        """Return all rows, or `most` of them, evenly spaced."""

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column as numbers, shape (n,); NaN where there is none, and where the column is not there."""

    def words(self, name: str) -> pa.Array:
        """Return a column as n strings; null where there is none, and where the column is not there."""


def cells(examples: Sequence[Example]) -> Cells:
    """Return the cells of rows: mappings, or sequences of numbers, whose columns are then called x1, x2 ...

    Raises:
        ExampleError: An example is no row.
    """
    if isinstance(examples, Selection) and isinstance(examples.source, Tabular):
        return _TableCells(examples.source, np.fromiter(examples.positions, np.int64, len(examples)))
    if isinstance(examples, Tabular):
        return _TableCells(examples, None, 0, len(examples))
    return _RowCells([_row(position, example) for position, example in enumerate(examples)])


class _TableCells:
    """Rows of a table in memory: those at some positions, or those of a stretch."""

    def __init__(
        self, source: Tabular, positions: NDArray[np.int64] | None, start: int = 0, stop: int | None = None
    ) -> None:
        self._source = source
        self._positions = positions
        self._start = start
        self._stop = len(source) if stop is None else stop

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        return self._source.kinds

    def __len__(self) -> int:
        return self._stop - self._start if self._positions is None else len(self._positions)

    def part(self, start: int, stop: int) -> Cells:
        if self._positions is not None:
            return _TableCells(self._source, self._positions[start:stop])
        return _TableCells(self._source, None, self._start + start, self._start + stop)

    def spread(self, most: int) -> Cells:
        if len(self) <= most:
            return self
        chosen = _evenly(len(self), most)
        return _TableCells(self._source, chosen if self._positions is None else self._positions[chosen])

    def numbers(self, name: str) -> NDArray[np.float64]:
        import pyarrow as pa

        column = self._column(name)
        if column is None:
            return np.full(len(self), np.nan)
        if pa.types.is_floating(column.type):
            return _sane(column.to_numpy(zero_copy_only=False).astype(np.float64))
        encoded = column.dictionary_encode()
        known = np.array([*(_number(value) for value in encoded.dictionary.to_pylist()), np.nan])
        return _sane(known[_or_last(encoded.indices, len(known) - 1)])

    def words(self, name: str) -> pa.Array:
        import pyarrow as pa

        column = self._column(name)
        if column is None:
            return pa.nulls(len(self), pa.string())
        if pa.types.is_string(column.type):
            return column
        encoded = column.dictionary_encode()
        known = pa.array([_word(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return known.take(encoded.indices)

    def _column(self, name: str) -> pa.Array | None:
        import pyarrow as pa

        if name not in self._source.kinds:
            return None
        whole = self._source.column(name)
        if self._positions is None:
            found = whole.slice(self._start, len(self))
        else:
            found = whole.take(pa.array(self._positions))
        return found.combine_chunks()


class _RowCells:
    """Rows that stand alone."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    @cached_property
    def kinds(self) -> Mapping[str, ColumnKind]:
        names = dict.fromkeys(name for row in self._rows for name in row if isinstance(name, str))
        n = len(self)
        seen = [self._rows[i] for i in _evenly(n, min(n, _SEEN_FOR_A_KIND))]
        found = {name: _kind([row.get(name) for row in seen]) for name in names}
        return {name: kind for name, kind in found.items() if kind is not None}

    def __len__(self) -> int:
        return len(self._rows)

    def part(self, start: int, stop: int) -> Cells:
        return _RowCells(self._rows[start:stop])

    def spread(self, most: int) -> Cells:
        return self if len(self) <= most else _RowCells([self._rows[i] for i in _evenly(len(self), most)])

    def numbers(self, name: str) -> NDArray[np.float64]:
        return _sane(np.fromiter((_number(row.get(name)) for row in self._rows), np.float64, len(self._rows)))

    def words(self, name: str) -> pa.Array:
        import pyarrow as pa

        return pa.array([_word(row.get(name)) for row in self._rows], pa.string())


def _row(position: int, example: Example) -> Row:
    if isinstance(example, Mapping):
        return example
    if isinstance(example, Sequence | np.ndarray) and not isinstance(example, str | bytes):
        return {f"x{number}": value for number, value in enumerate(example, start=1)}
    raise ExampleError(
        position,
        f" is no row of a table but {type(example).__name__}. Hand over a mapping from the names of columns to cells.",
    )


def _evenly(n: int, wanted: int) -> NDArray[np.int64]:
    """Return `wanted` different positions below n, evenly spaced."""
    return np.arange(wanted, dtype=np.int64) * n // wanted


def _or_last(indices: pa.Array, last: int) -> NDArray[np.int64]:
    return np.asarray(indices.fill_null(last).to_numpy(zero_copy_only=False), dtype=np.int64)


def _sane(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with infinities as missing and none so large that arithmetic overflows."""
    return np.clip(np.where(np.isfinite(values), values, np.nan), -_LARGEST, _LARGEST)


def _number(value: object) -> float:
    if not isinstance(value, str | Real | np.bool_):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _word(value: object) -> str | None:
    """Return a cell as a text, the same whether it came as 3, 3.0 or "3"; None where it is missing."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, Real):
        number = _number(value)
        if math.isfinite(number):
            return str(int(number)) if number == int(number) else repr(number)
        value = None
    text = value.isoformat() if isinstance(value, date) else "" if value is None else str(value)
    return encodable(text) if text.strip() else None


def _kind(values: Iterable[object]) -> ColumnKind | None:
    """Return what a column is by its values, or None where all are missing."""
    present = [(value, word) for value in values if (word := _word(value)) is not None]
    if not present:
        return None
    wanted = _ALMOST_ALL * len(present)
    if sum(math.isfinite(_number(value)) for value, _ in present) >= wanted:
        return ColumnKind.NUMBER
    words = [word for _, word in present]
    if sum(_DATE.fullmatch(word) is not None for word in words) >= wanted:
        return ColumnKind.DATE
    is_long = sum(len(word.split()) for word in words) >= _WORDS_OF_A_TEXT * len(words)
    return ColumnKind.TEXT if is_long and len(set(words)) >= _DISTINCT_TEXTS * len(words) else ColumnKind.CATEGORY
