"""Rows of a table that stay in Arrow memory behind a `Sequence`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from nshot.core import ColumnKind, Row, Selection, shortened

if TYPE_CHECKING:
    import pyarrow as pa

KIND_WORDS = {
    ColumnKind.NUMBER: "numbers",
    ColumnKind.CATEGORY: "categories",
    ColumnKind.DATE: "dates",
    ColumnKind.TEXT: "texts",
}
"""What several columns of a kind are called, in the order in which they are listed."""
_CELLS_AT_ONCE = 1 << 18
_SHOWN_CELLS = 12
_SHOWN_CHARACTERS = 40


class ArrowRows(Sequence[Row]):
    """n rows in Arrow memory (`nshot.core.Tabular`).

    A million rows as Python mappings take ten times their Arrow size and seconds to make, so they become mappings only
    when they are asked for; what computes takes whole columns.
    """

    __slots__ = ("_kinds", "_table")

    def __init__(self, table: pa.Table, kinds: Mapping[str, ColumnKind]) -> None:
        """Take a table.

        Args:
            table: float64 columns of numbers, strings of all others; null where a cell is missing.
            kinds: The kind of each of its columns, in its order.
        """
        self._table = table
        self._kinds = dict(kinds)

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The kind of each column, in the order of the file."""
        return self._kinds

    @property
    def arrow(self) -> pa.Table:
        """The table itself."""
        return self._table

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a whole column: float64 of numbers, strings of all others; null where a cell is missing."""
        return self._table.column(name)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        n = len(self)
        if isinstance(index, slice):
            start, stop, step = index.indices(n)
            if step == 1:
                return ArrowRows(self._table.slice(start, max(0, stop - start)), self._kinds)
            return self.take(range(start, stop, step))
        position = index + n if index < 0 else index
        if not 0 <= position < n:
            raise IndexError(f"position {index} of {n} rows")
        row: Row = self._table.slice(position, 1).to_pylist()[0]
        return row

    def __iter__(self) -> Iterator[Row]:
        # A block at a time, so that iterating a large table never makes all of it Python objects at once.
        block = max(1, _CELLS_AT_ONCE // max(1, len(self._kinds)))
        for start in range(0, len(self), block):
            yield from self._table.slice(start, block).to_pylist()

    def take(self, positions: Iterable[int]) -> ArrowRows:
        """Return the rows at `positions` (0-based), in that order."""
        import numpy as np

        return ArrowRows(self._table.take(np.fromiter(positions, np.int64)), self._kinds)


def gathered(examples: Sequence[Any]) -> ArrowRows:
    """Return rows that a reader handed over, or some of them (`Dataset.take`), with their columns whole.

    Raises:
        TypeError: They do not come from a reader.
    """
    if isinstance(examples, ArrowRows):
        return examples
    if isinstance(examples, Selection) and isinstance(examples.source, ArrowRows):
        return examples.source.take(examples.positions)
    raise TypeError(f"expected rows of a reader, found {type(examples).__name__}")


def joined(first: Sequence[Any], second: Sequence[Any]) -> Sequence[Any]:
    """Return examples one after the other; rows of one table stay in Arrow memory."""
    if not len(first) or not len(second):
        return first if len(first) else second
    try:
        tables = [gathered(examples) for examples in (first, second)]
    except TypeError:
        return [*first, *second]
    import pyarrow as pa

    return ArrowRows(pa.concat_tables([rows.arrow for rows in tables]), tables[0].kinds)


def shown(row: Row) -> str:
    """Return a row as people read it: ``Age = 19; Gender = Male``, without what is missing, long rows shortened."""
    cells = [(name, value) for name, value in row.items() if value is not None]
    parts = [f"{name} = {_cell(value)}" for name, value in cells[:_SHOWN_CELLS]]
    more = len(cells) - len(parts)
    return "; ".join(parts) + (f"; and {more:,} more" if more else "")


def _cell(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else shortened(str(value), _SHOWN_CHARACTERS)
