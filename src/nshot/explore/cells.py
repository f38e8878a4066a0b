"""The cells of a table's rows as numbers and codes, column by column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import ColumnKind, Example, Selection, Tabular

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

MISSING = -1
"""Code of a category that is missing."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, or of dates as days since 1970.

    Attributes:
        name: Of the column.
        values: Shape (n,), float64; NaN where one is missing.
        is_date: Whether they are days.
    """

    name: str
    values: Array
    is_date: bool = False

    @cached_property
    def digits(self) -> int:
        """How many digits after the point tell the values apart."""
        there = self.values[~np.isnan(self.values)]
        spread = float(there.std()) if len(there) else 0.0
        whole = bool((there == np.round(there)).all())
        return 0 if whole or not spread else max(0, 1 - math.floor(math.log10(spread)))

    def shown(self, value: float, further: int = 0) -> str:
        """Return a value as people write it, to the digits that tell the column's values apart, and some more."""
        if self.is_date:
            return str(np.datetime64(round(value), "D"))
        digits = min(12, self.digits + further)
        rounded = round(value, digits) + 0.0  # no minus before a zero
        # Four digits may be a year.
        written = f"{rounded:,.{digits}f}" if abs(rounded) >= 10_000 else f"{rounded:.{digits}f}"
        return written.rstrip("0").rstrip(".") if "." in written else written


@dataclass(frozen=True)
class Categories:
    """A column of categories.

    Attributes:
        name: Of the column.
        codes: Shape (n,), int64: which of `values`; `MISSING` where one is missing.
        values: The different values.
    """

    name: str
    codes: Array
    values: tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """The cells of n rows.

    Attributes:
        numbers: Columns of numbers and dates.
        categories: Columns of categories.
        texts: Columns of texts, by name: n texts each, None where one is missing.
        n: Number of rows.
    """

    numbers: tuple[Numbers, ...]
    categories: tuple[Categories, ...]
    texts: dict[str, list[str | None]]
    n: int

    def exact_groups(self) -> Array:
        """Return a group id per row, shape (n,), int64: equal exactly where all cells are (64 bits of a hash)."""
        mixed = np.zeros(self.n, dtype=np.uint64)
        # All ways to write a missing number, and both zeros, are one.
        columns: list[Array] = [
            (np.where(np.isnan(numbers.values), np.nan, numbers.values) + 0.0).view(np.uint64)
            for numbers in self.numbers
        ]
        columns += [categories.codes.astype(np.uint64) for categories in self.categories]
        for texts in self.texts.values():
            ids: dict[str | None, int] = {}
            columns.append(np.fromiter((ids.setdefault(text, len(ids)) for text in texts), np.uint64, self.n))
        for column in columns:
            mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        return np.unique(mixed, return_inverse=True)[1].astype(np.int64)


def cells_of(examples: Sequence[Example], rows: Array) -> Cells | None:
    """Return the cells of some rows of a table, or None where the examples have no columns.

    Args:
        examples: A `Tabular`, or a selection of its rows.
        rows: Shape (n,), int64: positions among the examples.
    """
    table, at = examples, rows
    if isinstance(examples, Selection):
        table, at = examples.source, np.asarray(examples.positions, dtype=np.int64)[rows]
    if not isinstance(table, Tabular):
        return None
    numbers: list[Numbers] = []
    categories: list[Categories] = []
    texts: dict[str, list[str | None]] = {}
    for name, kind in table.kinds.items():
        column = table.column(name).take(at)
        if kind is ColumnKind.NUMBER:
            numbers.append(Numbers(name, column.to_numpy().astype(np.float64)))
        elif kind is ColumnKind.DATE:
            numbers.append(Numbers(name, _days(column), is_date=True))
        elif kind is ColumnKind.CATEGORY:
            categories.append(_coded(name, column))
        else:
            texts[name] = column.to_pylist()
    return Cells(tuple(numbers), tuple(categories), texts, len(at))


def _days(column: Any) -> Array:
    """Return ISO dates as days since 1970, float64, NaN where one is missing; the time of day is left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.utf8_slice_codeunits(column, 0, 10).cast(pa.date32()).cast(pa.int32())
    found: Array = days.cast(pa.float64()).to_numpy()
    return found


def _coded(name: str, column: Any) -> Categories:
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int64)
    return Categories(name, codes, tuple(encoded.dictionary.to_pylist()))
