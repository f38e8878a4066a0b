"""Cells that hold several labels: lists, labels with a separator between them, or a column of 0 and 1 per label.

A separator is recognised by what splitting makes: short parts that come back in other cells. Where they do not
("Health, Beauty" is a department, not two), a cell is one label.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nshot.core import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from nshot.data.held import HeldTable
    from nshot.data.options import Empty

SEPARATORS = ("|", ";", "\n", "\t", ",")
"""What may stand between labels without anybody saying so, the likeliest first."""
_NAMES = {"|": '"|"', ";": '";"', ",": '","', " ": "spaces", "\n": "line breaks", "\t": "tabs"}
_SPACE = " "
_SURELY = 0.8
"""The share of the parts, counted by rows, that come back in a different cell."""
_PERHAPS = 0.5
_MOST_WORDS = 5.0
_FEWEST_CELLS = 2
_MOST_LOOKED_AT = 20_000
_ROWS_LOOKED_AT = 100_000
_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d+(,\d+)*(\.\d+)?")
_TRUE = frozenset({"1", "1.0", "true", "yes", "y", "x"})
_FALSE = frozenset({"0", "0.0", "false", "no", "n"})


def named(separator: str) -> str:
    """Return what a sentence calls a separator: ``";"``, ``tabs``."""
    return _NAMES.get(separator, f'"{separator}"')


def holds_several(column: pa.ChunkedArray) -> bool:
    """Return whether a column of labels surely has several in a cell, without anybody having said so."""
    counts = _counts(column.slice(0, _ROWS_LOOKED_AT))
    return _are_lists(counts) or any(_recurring(counts, separator) >= _SURELY for separator in SEPARATORS)


def separator_of(column: pa.ChunkedArray, known: Sequence[str] = (), usual: str | None = None) -> str | None:
    """Return what stands between the labels of a column that is said to hold several; None: nothing does.

    Args:
        column: The cells, as strings.
        known: Labels that the cells should have, where they are known: what makes most of the parts known is taken.
        usual: What stood between labels of which these are known, or None: taken where it does no worse.
    """
    counts = _counts(column)
    if _are_lists(counts):
        return None
    if known:
        labels = frozenset(known)
        strange = {
            separator: sum(
                times * sum(part not in labels for part in labels_of(cell, separator)) for cell, times in counts.items()
            )
            for separator in (usual, None, *SEPARATORS, _SPACE)
        }
        return min(strange, key=lambda separator: strange[separator])
    for fewest, tried in ((_SURELY, SEPARATORS), (_SURELY, (_SPACE,)), (_PERHAPS, SEPARATORS)):
        for separator in tried:
            if _recurring(counts, separator) >= fewest:
                return separator
    return None


def read_cells(column: pa.ChunkedArray, separator: str | None, empty: Empty | None) -> list[tuple[str, ...] | None]:
    """Return the labels of each row, sorted and each once; None where a row is not labelled.

    Args:
        column: The cells, as strings.
        separator: What stands between labels; None: a cell that is no list is one label.
        empty: What an empty cell says; None: that no label applies, except in a column of lists, where an empty list
            says so and an empty cell that the row is not labelled.
    """
    counts = _counts(column)
    says_none = (not _are_lists(counts)) if empty is None else empty == "none"
    found: dict[str, tuple[str, ...] | None] = {cell: labels_of(cell, separator) for cell in counts}
    found[""] = () if says_none else None
    return [found[(cell or "").strip()] for chunk in column.chunks for cell in chunk.to_pylist()]


def labels_of(cell: str, separator: str | None) -> tuple[str, ...]:
    """Return the different labels of a cell, sorted.

    Args:
        cell: A list as JSON or Python writes it, or labels with the separator between them.
        separator: As in `read_cells`.
    """
    items = _list(cell)
    if items is None:
        items = [cell] if separator is None else cell.split(separator)
    return tuple(sorted({label for item in items if (label := item.strip())}))


def joined(labels: Sequence[str], separator: str | None) -> str:
    """Return labels as one cell: with the separator between them, as a JSON list where that would tear a label apart.

    Args:
        labels: Any number of them.
        separator: What stands between them; None: they are written as a list.
    """
    if separator is None or any(separator in label for label in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return separator.join(labels)


def as_one_column(table: HeldTable, named_columns: str, name: str) -> HeldTable:
    """Return the table with several columns of 0 and 1 as one of lists, under their names with commas between them.

    Args:
        table: The table; as it is, where it has a column of that name, or not all of these.
        named_columns: ``a,b,c``.
        name: What messages call the file.

    Raises:
        DataError: One of the columns holds something else.
    """
    import pyarrow as pa

    from nshot.data.held import HeldTable

    parts = list(dict.fromkeys(part.strip() for part in named_columns.split(",") if part.strip()))
    if named_columns in table or len(parts) < 2 or not all(part in table for part in parts):
        return table
    marks = [_marks(table[part], part, name) for part in parts]
    cells = [
        None
        if all(mark is None for mark in row)
        else json.dumps([part for part, mark in zip(parts, row, strict=True) if mark], ensure_ascii=False)
        for row in zip(*marks, strict=True)
    ]
    columns = {column: table.native(column) for column in table if column not in parts}
    columns[named_columns] = pa.chunked_array([pa.array(cells, pa.string())])
    return HeldTable(columns, table.nested - set(parts))


def _marks(column: pa.ChunkedArray, label: str, name: str) -> list[bool | None]:
    meanings: dict[str, bool | None] = {"": None}
    found: list[bool | None] = []
    for row, cell in enumerate(column.to_pylist()):
        written = (cell or "").strip()
        if written not in meanings:
            folded = written.casefold()
            if folded not in _TRUE | _FALSE:
                raise DataError(
                    "Of several label columns each must say with 1 or 0 whether its label applies. Found "
                    f"{written!r:.60} in column '{label}' of {name}, row {row + 1:,}. Name one column of labels "
                    "(--label COLUMN), or columns of 0 and 1."
                )
            meanings[written] = folded in _TRUE
        found.append(meanings[written])
    return found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return the different cells that are not empty, and in how many rows each stands."""
    import pyarrow.compute as pc

    counted = pc.value_counts(pc.utf8_trim_whitespace(column))
    found: dict[str, int] = {}
    for entry in counted.to_pylist():
        cell = (entry["values"] or "").strip()
        if cell:
            found[cell] = found.get(cell, 0) + entry["counts"]
    return found


def _are_lists(counts: Mapping[str, int]) -> bool:
    """Return whether all cells that are not empty are lists of labels."""
    return bool(counts) and all(_list(cell) is not None for cell in counts)


def _list(cell: str) -> list[str] | None:
    """Return the items of a list of texts or numbers, or None where a cell is none."""
    from nshot.data import tables

    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        items = json.loads(cell)
    except ValueError:
        try:
            items = ast.literal_eval(cell)  # as pandas writes lists into csv
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(items, list) or any(isinstance(item, list | dict | tuple | set) for item in items):
        return None
    return [tables.cell(item) or "" for item in items]


def _recurring(counts: Mapping[str, int], separator: str) -> float:
    """Return the share of the parts, counted by rows, that come back in a different cell; 0 where nothing is split."""
    cells_with: dict[str, int] = {}
    several: list[tuple[tuple[str, ...], int]] = []
    if separator == "," and all(_NUMBER_WITH_COMMA.fullmatch(cell) for cell in counts):
        return 0.0  # 1,5 and 1,204 are numbers
    for cell, rows in list(counts.items())[:_MOST_LOOKED_AT]:
        parts = labels_of(cell, separator)
        for part in parts:
            cells_with[part] = cells_with.get(part, 0) + 1
        if len(parts) > 1:
            several.append((parts, rows))
    if len(several) < _FEWEST_CELLS:
        return 0.0
    total = sum(rows * len(parts) for parts, rows in several)
    words = sum(rows * sum(len(part.split()) for part in parts) for parts, rows in several)
    if words > _MOST_WORDS * total:
        return 0.0
    return sum(rows * sum(cells_with[part] > 1 for part in parts) for parts, rows in several) / total
