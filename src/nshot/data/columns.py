"""Which columns form a row, and what each of them holds: numbers, categories, dates, texts, or nothing that helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nshot.core import ColumnKind, counted
from nshot.data.held import HeldTable
from nshot.data.recognition import words_of
from nshot.data.rows import KIND_WORDS, ArrowRows
from nshot.data.written import MISSING, Written, as_dates, as_numbers, date_style, number_style

_LOOKED_AT = 100_000
_MOST_ARE = 0.95
"""Share of cells that must be numbers (or dates) for the others to count as missing."""
_TEXT_WORDS = 3.0
_VARIED = 0.5
_FEWEST_ROWS_OF_AN_ID = 20
_SHOWN = 3
_ID_NAMES = frozenset({"id", "ids", "uuid", "guid", "idx", "index", "key", "rowid", "rownum", "rownames", "unnamed"})


@dataclass(frozen=True)
class RowColumn:
    """A column that is part of the rows: enough to read the same column of another file in the same way.

    Attributes:
        name: Its name.
        kind: What its cells are.
        written: How they are written.
    """

    name: str
    kind: ColumnKind
    written: Written = Written.PLAIN

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RowColumn:
        """Return what `as_json` wrote."""
        return cls(record["name"], ColumnKind(record["kind"]), Written(record["written"]))

    def as_json(self) -> dict[str, str]:
        """Return the column as a json-able record."""
        return {"name": self.name, "kind": self.kind.value, "written": self.written.value}


@dataclass(frozen=True)
class OddCells:
    """Cells of a column that count as missing, or were read in a way that somebody may not have meant.

    Attributes:
        infinite: How many numbers are infinite.
        unreadable: How many cells are no number or date in a column of such.
        examples: Some of the unreadable ones, as they are written.
        share_of_numbers: In a column of categories, the share of the cells that are numbers; 0 where none is odd.
    """

    infinite: int = 0
    unreadable: int = 0
    examples: tuple[str, ...] = ()
    share_of_numbers: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.infinite or self.unreadable or self.share_of_numbers)


@dataclass(frozen=True, eq=False)
class RowsRead:
    """The rows of a table.

    Attributes:
        rows: All of them.
        columns: Their columns.
        left_out: Name -> reason of the columns that say nothing of a row.
        odd_cells: Name -> what is odd, where anything is.
    """

    rows: ArrowRows
    columns: tuple[RowColumn, ...]
    left_out: Mapping[str, str]
    odd_cells: Mapping[str, OddCells]


def recognised_rows(
    table: HeldTable, names: Sequence[str], *, are_named: bool, label: pa.ChunkedArray | None
) -> RowsRead:
    """Return the rows that columns form, each column looked at in at most 100,000 rows.

    Args:
        table: All columns.
        names: Those to look at.
        are_named: A person named them: one that looks like an identifier is then taken as what its cells are.
        label: The column with the answers, as strings, or None: a copy of it is no part of a row.
    """
    columns: list[RowColumn] = []
    left_out: dict[str, str] = {}
    arrays: dict[str, pa.ChunkedArray] = {}
    odd: dict[str, OddCells] = {}
    answers = None if label is None else _Answers(label)
    for name in names:
        if name in table.nested:
            left_out[name] = "holds lists or objects"
            continue
        column = table.native(name)
        found, share_of_numbers = _recognised(name, column, is_number=table.is_number(name), is_named=are_named)
        if isinstance(found, str):
            left_out[name] = found
            continue
        values, cells = _read(column, found)
        reason = _says_nothing(found, values, is_named=are_named)
        if reason is None and answers is not None and answers.are(found.kind, values):
            reason = "is a copy of the label"
        if reason is not None:
            left_out[name] = reason
            continue
        cells = OddCells(cells.infinite, cells.unreadable, cells.examples, share_of_numbers)
        columns.append(found)
        arrays[name] = values
        if cells:
            odd[name] = cells
    return RowsRead(_rows(arrays, columns, table.rows), tuple(columns), left_out, odd)


def known_rows(table: HeldTable, columns: Sequence[RowColumn]) -> RowsRead:
    """Return the rows of a table whose columns are known from another one; `table` has all of them."""
    arrays: dict[str, pa.ChunkedArray] = {}
    odd: dict[str, OddCells] = {}
    for column in columns:
        arrays[column.name], cells = _read(table.native(column.name), column)
        if cells:
            odd[column.name] = cells
    return RowsRead(_rows(arrays, columns, table.rows), tuple(columns), {}, odd)


def holds_numbers(column: pa.ChunkedArray) -> bool:
    """Return whether nearly all cells of a column of strings that are there are numbers, however they are written."""
    found = number_style(_counts(column))
    return found is not None and found[1] >= _MOST_ARE


def holds_numbers_or_dates(column: pa.ChunkedArray) -> bool:
    """Return whether nearly all cells of a column of strings that are there are numbers, or dates."""
    counts = _counts(column)
    return any(found is not None and found[1] >= _MOST_ARE for found in (number_style(counts), date_style(counts)))


def number_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the numbers in a column of strings however they are written; null where there is none."""
    style = Written.PLAIN if _are_all_numbers(column) else (number_style(_counts(column)) or (Written.PLAIN,))[0]
    return as_numbers(column, style)[0]


def described(columns: Sequence[RowColumn], most: int = 6) -> list[str]:
    """Return a line per kind of column with the names: ``12 numbers: Age, Income, ...``."""
    lines = []
    for kind, several in KIND_WORDS.items():
        names = [_with_style(column) for column in columns if column.kind is kind]
        if names:
            more = f" and {len(names) - most:,} more" if len(names) > most else ""
            lines.append(f"{counted(len(names), kind.value, several)}: {', '.join(names[:most])}{more}")
    return lines


def _with_style(column: RowColumn) -> str:
    return column.name if column.written is Written.PLAIN else f"{column.name} ({column.written.value})"


def _rows(arrays: Mapping[str, pa.ChunkedArray], columns: Sequence[RowColumn], rows: int) -> ArrowRows:
    if not arrays:  # an Arrow table without columns has no rows
        return ArrowRows(pa.table({"": pa.nulls(rows)}).select([]), {})
    return ArrowRows(pa.table(dict(arrays)), {column.name: column.kind for column in columns})


def _recognised(
    name: str, column: pa.ChunkedArray, *, is_number: bool, is_named: bool
) -> tuple[RowColumn | str, float]:
    """Return what a column is, or why it says nothing; and which share of a mixed column's cells are numbers."""
    sample = column
    if len(column) > _LOOKED_AT:
        sample = column.take(np.linspace(0, len(column) - 1, _LOOKED_AT).astype(np.int64))
    if is_number or _are_all_numbers(sample):
        return RowColumn(name, ColumnKind.NUMBER), 0.0
    counts = _counts(sample)
    numbers, dates = number_style(counts), date_style(counts)
    for kind, found in ((ColumnKind.NUMBER, numbers), (ColumnKind.DATE, dates)):
        if found and found[1] >= _MOST_ARE:
            return RowColumn(name, kind, found[0]), 0.0
    mixed = numbers[1] if numbers and numbers[1] > 1 - _MOST_ARE else 0.0
    return _words(name, counts, is_named=is_named), mixed


def _words(name: str, counts: Mapping[str, int], *, is_named: bool) -> RowColumn | str:
    """Return whether cells that are neither numbers nor dates are texts or categories, or why they say nothing."""
    there = {value: count for value, count in counts.items() if value}
    filled, distinct = sum(there.values()), len(there)
    if not filled:
        return "is empty in all rows"
    words = sum(len(value.split()) * count for value, count in there.items()) / filled
    if words >= _TEXT_WORDS and distinct >= _VARIED * filled and distinct > 1:
        return RowColumn(name, ColumnKind.TEXT)
    enough = filled >= (2 if _is_called_id(name) else _FEWEST_ROWS_OF_AN_ID)
    if not is_named and enough and distinct >= _MOST_ARE * filled:
        return f"is an identifier: {counted(distinct, 'different value')} in {counted(filled, 'cell')}"
    return RowColumn(name, ColumnKind.CATEGORY)


def _are_all_numbers(column: pa.ChunkedArray) -> bool:
    """Whether all cells are numbers that no code is: leading zeros make codes."""
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return not pc.any(pc.match_substring_regex(column, r"^0\d")).as_py()


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each cell occurs, without spaces around it; missing ones are empty."""
    counted_values = pc.value_counts(pc.fill_null(pc.utf8_trim_whitespace(column), ""))
    return dict(
        zip(counted_values.field("values").to_pylist(), counted_values.field("counts").to_pylist(), strict=True)
    )


def _read(column: pa.ChunkedArray, form: RowColumn) -> tuple[pa.ChunkedArray, OddCells]:
    """Return the values of a column: null where a cell is missing, and never infinite."""
    if form.kind is ColumnKind.NUMBER:
        values, unreadable = as_numbers(column, form.written)
        finite, infinite = _finite(values)
        examples = _unreadable(column, values) if unreadable else ()
        return finite, OddCells(infinite, unreadable, examples)
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    if form.kind is ColumnKind.DATE:
        values, unreadable = as_dates(column, form.written)
        return values, OddCells(unreadable=unreadable, examples=_unreadable(column, values) if unreadable else ())
    cells = pc.utf8_trim_whitespace(column)
    # The same truth value is True in one program and true in another.
    is_truth = pc.match_substring_regex(cells, "^(true|false)$", ignore_case=True)
    cells = pc.if_else(is_truth, pc.utf8_lower(cells), cells)
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells), OddCells()


def _finite(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Return numbers with null in place of what is not finite, and how many are infinite."""
    held = values.to_numpy()
    finite = np.isfinite(held)
    if finite.all():
        return values, 0
    return pa.chunked_array([pa.array(held, mask=~finite)]), int(np.isinf(held).sum())


def _unreadable(column: pa.ChunkedArray, values: pa.ChunkedArray) -> tuple[str, ...]:
    cells = pc.unique(pc.utf8_trim_whitespace(column.filter(pc.is_null(values)))).to_pylist()
    return tuple(cell for cell in cells if cell is not None and cell.lower() not in MISSING)[:_SHOWN]


def _says_nothing(column: RowColumn, values: pa.ChunkedArray, *, is_named: bool) -> str | None:
    """Return why a column cannot tell one row from another, or None; all rows are looked at."""
    n = len(values)
    missing = values.null_count
    if missing == n:
        return "is empty in all rows"
    if n == 1:
        return None
    if column.kind is not ColumnKind.NUMBER:
        # Nearly always two cells near the beginning differ, and the rest need not be looked at.
        differs = len(pc.unique(values.slice(0, 1000))) > 1 or missing or len(pc.unique(values)) > 1
        return None if differs else f"has the same value in all rows: {values[0].as_py()}"
    held = values.to_numpy()
    lowest, highest = np.nanmin(held), np.nanmax(held)
    if lowest == highest and not missing:
        return f"has the same value in all rows: {lowest:.10g}"
    return None if is_named or missing else _is_identifier(column.name, held, lowest, highest)


def _is_identifier(name: str, held: np.ndarray, lowest: float, highest: float) -> str | None:
    n = len(held)
    counts_rows = n >= _FEWEST_ROWS_OF_AN_ID and highest - lowest + 1 == n
    if not (counts_rows or _is_called_id(name)) or (held != np.floor(held)).any():
        return None
    distinct = len(np.unique(held))
    if counts_rows and distinct == n:
        return f"numbers the rows: {lowest:.10g} to {highest:.10g}"
    if _is_called_id(name) and distinct >= _MOST_ARE * n:
        return f"is an identifier: {counted(distinct, 'different value')} in {counted(n, 'row')}"
    return None


def _is_called_id(name: str) -> bool:
    words = words_of(name)
    return bool(words) and (words[-1] in _ID_NAMES or words[0] in {"id", "uuid", "unnamed"})


class _Answers:
    """The label column, as what other columns may be copies of."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._strings = pc.utf8_trim_whitespace(column).combine_chunks()
        try:
            self._numbers: np.ndarray | None = column.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            self._numbers = None

    def are(self, kind: ColumnKind, values: pa.ChunkedArray) -> bool:
        if kind is ColumnKind.NUMBER:
            if self._numbers is None or values.null_count:
                return False
            return bool(np.array_equal(self._numbers, values.to_numpy()))
        return not values.null_count and pc.all(pc.equal(values, self._strings)).as_py() is True
