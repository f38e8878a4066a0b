"""Rows of a table: what a cell is, and how whole columns are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, overload, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = Mapping[str, Any]
"""An example of the modality ``row``: cells by the names of their columns; None, or no cell, where one is missing.

Numbers are `float` or `int`; categories, dates (ISO 8601) and texts are `str`.
"""


class ColumnKind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    CATEGORY = "category"
    DATE = "date"
    TEXT = "text"


@runtime_checkable
class Tabular(Protocol):
    """A sequence of `Row` whose columns can be had whole: what a reader hands over as `Dataset.examples`."""

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The kind of each column, in the order of the file; columns that say nothing of a row are not among them."""

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column: float64 of numbers (never infinite), strings of all others; null where a cell is missing."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...
