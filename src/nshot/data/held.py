"""A whole table in Arrow memory: numbers as they came, all else as strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from nshot.data import tables

if TYPE_CHECKING:
    from nshot.data.tables import Column, Opened

_READ_ROWS = 1 << 16


class HeldTable(Mapping[str, pa.ChunkedArray]):
    """Columns by name, as strings with null where a cell is missing: the label 1 is "1" whatever the format.

    Columns of numbers (parquet, a DataFrame, npz) become strings only when they are asked for as such.
    """

    def __init__(self, columns: Mapping[str, pa.ChunkedArray], nested: frozenset[str] = frozenset()) -> None:
        """Take columns of equal length: integers, floats or strings.

        Args:
            columns: The columns, in the order of the file.
            nested: Those that hold lists or objects, as JSON.
        """
        self._native = dict(columns)
        self._strings: dict[str, pa.ChunkedArray] = {}
        self.nested = nested

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self._native.values()))) if self._native else 0

    def native(self, name: str) -> pa.ChunkedArray:
        """Return a column as it came: integers, floats or strings."""
        return self._native[name]

    def is_number(self, name: str) -> bool:
        """Return whether a column came as numbers, not as texts that may be numbers."""
        return not pa.types.is_string(self._native[name].type)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        if name not in self._strings:
            column = self._native[name]
            chunks = column.chunks if pa.types.is_string(column.type) else [tables.as_strings(c) for c in column.chunks]
            self._strings[name] = pa.chunked_array(chunks, pa.string())
        return self._strings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._native)

    def __len__(self) -> int:
        return len(self._native)


def hold(opened: Opened) -> HeldTable:
    """Read everything, a chunk per batch."""
    chunks: dict[str, list[pa.Array]] = {name: [] for name in opened.columns}
    nested: set[str] = set()
    rows = 0
    for batch in opened.batches(_READ_ROWS):
        size = len(next(iter(batch.values()))) if batch else 0
        for name in batch:
            if name not in chunks:  # a key that jsonl rows have only from here on
                chunks[name] = [pa.nulls(rows, pa.string())] if rows else []
        nested.update(name for name in batch if name not in nested and tables.is_nested(batch[name]))
        for name, held in chunks.items():
            held.append(cells(batch[name]) if name in batch else pa.nulls(size, pa.string()))
        rows += size
    return HeldTable({name: _joined(held) for name, held in chunks.items()}, frozenset(nested))


def cells(column: Column) -> pa.Array:
    """Return a column of a batch as integers, floats or strings."""
    is_number = isinstance(column, pa.Array) and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
    return column if is_number else tables.as_strings(column)


def _joined(chunks: list[pa.Array]) -> pa.ChunkedArray:
    kinds = {chunk.type for chunk in chunks}
    if len(kinds) == 1:
        return pa.chunked_array(chunks)
    return pa.chunked_array([tables.as_strings(chunk) for chunk in chunks], pa.string())
