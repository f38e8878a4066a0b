"""The references that outputs are held against: one text or several per input, in Arrow memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from nshot.core import USER, DataError, counted, listed
from nshot.data.outputs import (
    OUTPUT_NAMES,
    Given,
    OutputOptions,
    Outputs,
    Table,
    cells_of,
    is_message,
    messages_of,
    named_column,
    opened_table,
    require_rows,
    text_in,
)
from nshot.data.recognition import ANSWER_NAMES, MESSAGES_NAMES, PROMPT_NAMES, is_named
from nshot.data.texts import ArrowTexts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from nshot.data import tables

_WEAK_NAMES = ("label", "labels")
_CHATS = tuple(name for name in MESSAGES_NAMES if name not in PROMPT_NAMES)
_REFERENCE_NAMES = (
    *("references", "reference", "refs", "ref", "gold", "expected"),
    *(name for name in ANSWER_NAMES if name not in _WEAK_NAMES),
    *_CHATS,
    *_WEAK_NAMES,
)
_FURTHER_INPUTS = ("input", "inputs", "context")
_NUMBERED_REFERENCE = re.compile(r"(ref|reference|human_reference|target|answer|gold)s?[_ -]?\d+", re.IGNORECASE)
_AT_ONCE = 4096
_MOST_ALIGNED = 50_000
_SURE = 4.0
"""Standard errors by which outputs must fit better some rows further for a message to say where they moved."""


class ArrowLists(Sequence[tuple[str, ...]]):
    """n lists of texts in Arrow memory, just as they were read."""

    __slots__ = ("_lists",)

    def __init__(self, lists: pa.ListArray) -> None:
        self._lists = lists

    def __len__(self) -> int:
        return len(self._lists)

    @overload
    def __getitem__(self, index: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, ...] | Sequence[tuple[str, ...]]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return [tuple(texts) for texts in self._lists[start:stop].to_pylist()]
            return [self[i] for i in range(start, stop, step)]
        return tuple(self._lists[index].as_py())

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]


@dataclass(frozen=True, eq=False)
class References:
    """What the outputs are held against.

    Attributes:
        name: What messages call it.
        targets: Of each input one reference or several.
        columns: Where they stood; none for a text per line.
        inputs: The inputs as texts, or None where the file has none.
        input_columns: Where these stood.
        groups: Which inputs belong together, or None: each is its own.
        joined: Whether rows with the same input were made one.
        total: Number of references of all inputs together.
    """

    name: str
    targets: Sequence[tuple[str, ...]]
    columns: tuple[str, ...]
    inputs: Sequence[str] | None
    input_columns: tuple[str, ...]
    groups: Sequence[int] | None
    joined: bool
    total: int

    @property
    def recognised(self) -> str:
        """Return a sentence that says what was read."""
        where = f"column {listed(self.columns)}" if self.columns else "one per line"
        words = f"{self.name}: {counted(self.total, 'reference')} ({where})"
        if self.total > len(self.targets):
            of = f" (column {listed(self.input_columns)})" if self.joined else ""
            words += f" of {counted(len(self.targets), 'input')}{of}"
        return words


def read_references(source: Given, options: OutputOptions, outputs: Outputs) -> References:
    """Return the references of each output.

    A row with several references has them in a list, or in several columns. Where there are more rows than outputs and
    as many different inputs as outputs, the rows of an input are its references, in the order of first appearance.

    Args:
        source: As in `read_outputs`, or a list of lists of texts.
        options: Columns and format, where they should not be recognised.
        outputs: What is to be held against them: decides whether rows with the same input are one.

    Raises:
        DataError: There is nothing to read, no column of references, or another number than there are outputs.
    """
    table = opened_table(source, options, options.reference or (*_REFERENCE_NAMES, *OUTPUT_NAMES))
    read = _read_rows(table, options)
    if len(read.targets) != len(outputs.texts):
        read = _joined(read, len(outputs.texts)) or read
    references = References(
        table.name,
        ArrowLists(read.targets),
        () if table.is_lines else read.columns,
        None if read.inputs is None else ArrowTexts(read.inputs),
        read.input_columns,
        None if read.groups is None else _codes(read.groups),
        read.joined,
        total=len(read.targets.flatten()),
    )
    require_one_each(outputs, references)
    return references


def _reference_columns(table: Table, options: OutputOptions) -> tuple[str, ...]:
    if options.reference and not table.is_lines:
        return tuple(named_column(name, table, "reference") for name in options.reference)
    if len(table.columns) == 1:
        return table.columns
    several = tuple(column for column in table.columns if _NUMBERED_REFERENCE.fullmatch(column.strip()))
    if several:
        return several
    for wanted in _REFERENCE_NAMES:
        for column in table.columns:
            if is_named(column, (wanted,)) and column not in options.input:
                return (column,)
    raise DataError(
        f"Which column of {table.name} holds the references? Found: {listed(table.columns)}. Name it: "
        f"--reference {table.columns[-1]} (several are separated by commas)."
    )


def _texts(value: Any, table: Table, row: int, *, is_json: bool) -> list[str]:
    """Return the references in a cell; none for an empty cell."""
    if is_json and _is_json_list(value):
        value = json.loads(value)
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list) and not any(map(is_message, value)):
        return [text_in(entry, table, row) for entry in value if entry is not None]
    return [] if value is None else [text_in(value, table, row)]


def _is_json_list(value: Any) -> bool:
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return False
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list)


# --- references -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a file of references: lists of texts, and other columns as texts."""

    name: str
    targets: pa.ListArray
    columns: tuple[str, ...]
    others: Mapping[str, pa.ChunkedArray]
    inputs: pa.ChunkedArray | None
    input_columns: tuple[str, ...]
    groups: pa.ChunkedArray | None
    joined: bool = False


def _read_rows(table: Table, options: OutputOptions) -> _Rows:
    import pyarrow as pa
    from pyarrow import compute as pc

    from nshot.data import tables

    columns = _reference_columns(table, options)
    for name in options.input:
        named_column(name, table, "input")
    if options.group is not None:
        named_column(options.group, table, "group")
    input_columns = options.input or _input_columns([name for name in table.columns if name not in columns])
    # Any other column may be the one whose values are as many as the outputs.
    others = input_columns if options.input else [name for name in table.columns if name not in columns]
    kept = dict.fromkeys([*input_columns, *others, *([options.group] if options.group else [])])
    chunks: list[pa.Array] = []
    parts_of: dict[str, list[pa.Array]] = {name: [] for name in kept}
    questions: list[pa.Array] = []
    is_json: dict[str, bool] = {}
    row = 0
    for batch in table.batches:
        cells = {column: cells_of(batch, column, table) for column in columns}
        for column, values in cells.items():
            filled = [value for value in values if value not in (None, "")]
            is_json.setdefault(column, bool(filled) and all(map(_is_json_list, filled)))
        chunks.append(pa.array(_lists(cells, is_json, table, row), pa.list_(pa.string())))
        n = len(chunks[-1])
        for name, parts in parts_of.items():
            column_of: tables.Column = batch[name] if name in batch else [None] * n
            parts.append(tables.as_strings(column_of).fill_null(""))
        if not input_columns and len(columns) == 1:
            asked_in = [_question(value, table, row + i) for i, value in enumerate(cells[columns[0]])]
            questions.append(pa.array(asked_in, pa.string()))
        row += n
    require_rows(row, table.name)
    columns_of = {name: pa.chunked_array(parts, pa.string()) for name, parts in parts_of.items()}
    inputs = None
    if input_columns:
        inputs = pc.binary_join_element_wise(*(columns_of[name] for name in input_columns), "\n")
    elif questions and not any(part.null_count for part in questions):
        inputs, input_columns = pa.chunked_array(questions, pa.string()), columns
    groups = columns_of.pop(options.group) if options.group else None
    targets = pa.chunked_array(chunks).combine_chunks()
    return _Rows(table.name, targets, columns, columns_of, inputs, input_columns, groups)


def _input_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns with what was asked, by their usual names; none where no column has one."""
    usual = [name for wanted in PROMPT_NAMES for name in names if is_named(name, (wanted,))]
    if "instruction" in names:
        return ("instruction", *(name for name in names if is_named(name, _FURTHER_INPUTS)))[:2]
    return tuple(usual[:1])


def _lists(cells: Mapping[str, list[Any]], is_json: Mapping[str, bool], table: Table, start: int) -> list[list[str]]:
    """Return the references of each row; a row without any has an empty one.

    Args:
        cells: The columns of references.
        is_json: Of each column, whether its texts are lists written as JSON.
        table: Where they are from.
        start: Number of the first row.
    """
    lists = []
    for row, values in enumerate(zip(*cells.values(), strict=True), start):
        found = [
            text
            for column, value in zip(cells, values, strict=True)
            for text in _texts(value, table, row, is_json=is_json[column])
            # An empty cell beside others is no further reference.
            if text.strip() or len(cells) == 1
        ]
        lists.append(found or [""])
    return lists


def _question(value: Any, table: Table, row: int) -> str | None:
    """Return what the user said last in chat messages, or None where there are none."""
    if not isinstance(value, list) or not value or not all(map(is_message, value)):
        return None
    asked = [message.content for message in messages_of(value, table, row) if message.role == USER]
    return asked[-1] if asked else None


def _joined(rows: _Rows, wanted: int) -> _Rows | None:
    """Return the rows with those of one input joined, where that comes closer to the number of outputs.

    None where it does not. The inputs count first, then any other column whose values are just as many as the outputs.
    """
    import numpy as np

    inputs = [] if rows.inputs is None else [(rows.input_columns, rows.inputs)]
    for names, column in (*inputs, *(((name,), column) for name, column in rows.others.items())):
        codes = np.array(_codes(column))
        different = int(codes.max()) + 1
        if different == wanted:
            return _by(codes, rows, names, column)
    if inputs:
        codes = np.array(_codes(inputs[0][1]))
        # Neither number is right: the message speaks of what is nearer.
        if abs(int(codes.max()) + 1 - wanted) < abs(len(codes) - wanted):
            return _by(codes, rows, *inputs[0])
    return None


def _by(codes: NDArray[np.int64], rows: _Rows, names: tuple[str, ...], inputs: pa.ChunkedArray) -> _Rows:
    """Return the rows joined by `codes`, which count the inputs in the order of their first appearance."""
    import numpy as np
    import pyarrow as pa

    n = int(codes.max()) + 1
    first = pa.array(np.unique(codes, return_index=True)[1])
    sizes = np.diff(rows.targets.offsets.to_numpy())
    # Lists in the order of their inputs; what changes is where a list ends.
    lists = rows.targets.take(pa.array(np.argsort(codes, kind="stable")))
    ends = np.cumsum(np.bincount(codes, weights=sizes, minlength=n)).astype(np.int32)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    targets = pa.ListArray.from_arrays(offsets, lists.flatten())
    groups = None if rows.groups is None else rows.groups.take(first)
    return _Rows(rows.name, targets, rows.columns, {}, inputs.take(first), names, groups, joined=True)


def _codes(column: pa.ChunkedArray) -> list[int]:
    """Return the number of each value in the order of their first appearance."""
    codes: list[int] = column.combine_chunks().dictionary_encode().indices.to_pylist()
    return codes


# --- one each ---------------------------------------------------------------------------------------------------------


def require_one_each(outputs: Outputs, references: References) -> None:
    """Refuse outputs that are not one for each input.

    Raises:
        DataError: Their numbers differ; the message says where a line may be missing or too many.
    """
    n, wanted = len(outputs.texts), len(references.targets)
    if n == wanted:
        return
    rows = f"{counted(wanted, 'input')} with references" if references.joined else counted(wanted, "row")
    message = (
        f"{outputs.name} has {counted(n, 'output')}, {references.name} has {rows}. "
        "Expected one output for each, in the same order."
    )
    filled = n - outputs.empty
    if outputs.empty and filled == wanted:
        raise DataError(
            f"{message} {counted(outputs.empty, 'output is', 'outputs are')} empty, and the numbers agree without: "
            "remove empty lines that are no answers."
        )
    place = _first_mismatch(outputs.texts, references.targets)
    if place is not None:
        what = "may be missing" if n < wanted else "too many may stand"
        message += f" {counted(abs(n - wanted), 'output')} {what} around row {place + 1:,}: those below fit other rows."
    elif not references.joined and not references.input_columns and len(references.columns):
        message += " If several rows belong to one input, name the column of the inputs: --input COLUMN."
    raise DataError(message)


def _first_mismatch(texts: Sequence[str], targets: Sequence[tuple[str, ...]]) -> int | None:
    """Return the 0-based row from which on outputs fit the references some rows further, or None.

    The row is the one that makes the words shared by outputs and references most, if everything after it moves by the
    difference of the two numbers.
    """
    import numpy as np

    n, shift = min(len(texts), len(targets)), len(targets) - len(texts)
    if not 0 < abs(shift) <= n // 2 or n > _MOST_ALIGNED:
        return None
    said = [frozenset(text.lower().split()) for text in texts]
    wanted = [frozenset(" ".join(target).lower().split()) for target in targets]

    def fit(a: frozenset[str], b: frozenset[str]) -> float:
        return 2 * len(a & b) / max(1, len(a) + len(b))

    in_place = np.array([fit(said[i], wanted[i]) for i in range(n)])
    moved_texts, moved_targets = (
        (range(n), range(shift, n + shift)) if shift > 0 else (range(-shift, n - shift), range(n))
    )
    moved = np.array([fit(said[i], wanted[j]) for i, j in zip(moved_texts, moved_targets, strict=True)])
    before = np.concatenate([[0.0], np.cumsum(in_place)])
    after = moved.sum() - np.concatenate([[0.0], np.cumsum(moved)])
    place = int(np.argmax(before + after))
    gain = moved[place:] - in_place[place:]
    # Outputs that only stop early fit where they stand, and so do those of another file, which fit nowhere.
    error = gain.std() / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return place if gain.sum() > 0 and gain.mean() > _SURE * error else None
