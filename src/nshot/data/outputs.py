"""Texts that some system wrote, one per input, and the references that they are held against, from files of any form.

Both stay in Arrow memory: a row becomes Python strings when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator

from nshot.core import ASSISTANT, DataError, Message, counted, listed, shortened
from nshot.data.conversations import FormProblem, messages_in
from nshot.data.options import FormatOptions, ReadOptions, as_names
from nshot.data.reading import no_column
from nshot.data.recognition import is_named
from nshot.data.texts import ArrowTexts

if TYPE_CHECKING:
    from nshot.data import tables

Given: TypeAlias = Any
"""A path, ``-`` for standard input, a list of texts (or of lists of texts, for references), or a table in memory."""

_ROWS = 1 << 14
_LINE_SUFFIXES = frozenset({".txt", ".text", ".out", ".hyp", ".ref", ".sys", ".pred", ""})
OUTPUT_NAMES = (
    "prediction", "predictions", "predicted", "hypothesis", "hyp", "generated_text", "generation", "generated",
    "output", "outputs", "response", "answer", "completion", "system_output", "translation", "summary", "text",
    "content", "messages", "conversations", "choices", "message",
)  # fmt: skip
_NESTED_TEXT = ("choices", "message", "content", "text", "value", "generated_text", "body", "response", "output")


class OutputOptions(FormatOptions):
    """How to read outputs and references; everything left out is recognised."""

    prediction: str | None = None
    """Column with the outputs, in files that have several."""
    reference: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Column with the references; several, separated by commas, are several references of a row."""
    input: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Column with the inputs in the file of references (several, separated by commas, are joined): rows with the same
    input are one input with several references."""
    group: str | None = None
    """Column in the file of references whose equal values count as one observation (a document, a person)."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a system wrote.

    Attributes:
        name: What messages call it.
        texts: One text per input.
        column: Where they stood, or None for a text per line.
        empty: How many are empty.
    """

    name: str
    texts: Sequence[str]
    column: str | None
    empty: int

    @property
    def recognised(self) -> str:
        """Return a sentence that says what was read."""
        where = f"column '{self.column}'" if self.column else "one per line"
        kept = f", of which {counted(self.empty, 'is', 'are')} empty and count as such" if self.empty else ""
        return f"{self.name}: {counted(len(self.texts), 'output')} ({where}){kept}"


def read_outputs(source: Given, options: OutputOptions) -> Outputs:
    """Return the texts that a system wrote.

    Args:
        source: A file with a text per line; jsonl, json, csv or parquet with a column of texts, of chat messages (the
            last answer counts) or of records as OpenAI's interface returns them; or a list of texts.
        options: Columns and format, where they should not be recognised.

    Raises:
        DataError: There is nothing to read, or no column of outputs.
    """
    import pyarrow as pa

    table = opened_table(source, options, (options.prediction,) if options.prediction else OUTPUT_NAMES)
    column = _output_column(table, options)
    chunks = []
    row = 0
    for batch in table.batches:
        values = [text_in(value, table, row + i) for i, value in enumerate(cells_of(batch, column, table))]
        row += len(values)
        chunks.append(pa.array(values, pa.string()))
    texts = pa.chunked_array(chunks, pa.string())
    require_rows(len(texts), table.name)
    empty = sum(not text.strip() for text in ArrowTexts(texts))
    return Outputs(table.name, ArrowTexts(texts), None if table.is_lines else column, empty)


# --- what is given ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """What was given, ready to be read once.

    Attributes:
        name: What messages call it.
        columns: Names of the columns.
        is_lines: Whether it is a text per line, without names of columns.
        batches: The rows.
    """

    name: str
    columns: tuple[str, ...]
    is_lines: bool
    batches: Iterator[Mapping[str, tables.Column]]


def opened_table(source: Given, options: OutputOptions, names: Sequence[str]) -> Table:
    """Return what was given, ready to be read.

    Args:
        source: See `read_outputs`.
        options: Encoding and delimiter.
        names: What the wanted columns may be called.

    Raises:
        DataError: It is not there, or holds nothing.
    """
    from nshot.data import tables

    reading = ReadOptions(encoding=options.encoding, delimiter=options.delimiter)
    if isinstance(source, Sequence) and not isinstance(source, str) and not _is_rows(source):
        values = list(source)
        require_rows(len(values), "The list")
        return Table("the list", ("text",), True, iter([{"text": values}]))
    path = Path(source).expanduser() if isinstance(source, str | Path) and str(source) != tables.STDIN else None
    if path is not None and path.is_file() and not path.stat().st_size:
        raise DataError(f"{path.name} is empty. Expected a text for each input.")
    if path is not None and _is_text_per_line(path):
        opened = tables.open_lines(path, reading)
    else:
        opened = tables.open_table(source, reading, expected=tuple(names))
    batches = opened.batches(_ROWS)
    first = next(batches, None)
    if first is None:
        raise DataError(f"{opened.name} has no rows. Expected a text for each input.")
    return Table(opened.name, tuple(first), opened.format == "lines", chain([first], batches))


def _is_rows(source: Sequence[Any]) -> bool:
    return bool(len(source)) and isinstance(source[0], Mapping)


def _is_text_per_line(path: Path) -> bool:
    """Whether each line is a text: by the name of the file, unless its first line is a record."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix == ".txt":
        return True
    if suffix not in _LINE_SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    return not head.startswith((b"PAR1", b"\x1f\x8b")) and head.lstrip()[:1] != b"{"


def _output_column(table: Table, options: OutputOptions) -> str:
    if options.prediction is not None and not table.is_lines:
        return named_column(options.prediction, table, "prediction")
    if len(table.columns) == 1:
        return table.columns[0]
    for wanted in OUTPUT_NAMES:
        for column in table.columns:
            if is_named(column, (wanted,)):
                return column
    raise DataError(
        f"Which column of {table.name} holds the outputs? Found: {listed(table.columns)}. Name it: "
        f"--prediction {table.columns[-1]}."
    )


def named_column(name: str, table: Table, flag: str) -> str:
    """Return the column that a person named.

    Raises:
        DataError: There is none of that name.
    """
    if name not in table.columns:
        raise no_column(name, table.name, table.columns, flag)
    return name


def cells_of(batch: Mapping[str, tables.Column], column: str, table: Table) -> list[Any]:
    """Return a column as Python values; a row without it has None."""
    if column not in batch:
        return [None] * len(next(iter(batch.values())))
    values = batch[column]
    if isinstance(values, list):
        return values
    found: list[Any] = values.to_pylist()
    return found


# --- one cell ---------------------------------------------------------------------------------------------------------


def text_in(value: Any, table: Table, row: int) -> str:
    """Return the text in a cell: of messages the last answer, of a record of OpenAI's interface what it says.

    Raises:
        DataError: There is none in it.
    """
    from nshot.data import tables

    if not isinstance(value, dict | list):
        return tables.cell(value) or ""
    messages = value if isinstance(value, list) else [value]
    if messages and all(map(is_message, messages)):
        return _last_answer(messages, table, row)
    if isinstance(value, list) and len(value) == 1:
        return text_in(value[0], table, row)
    if isinstance(value, dict):
        inside = next((value[key] for key in _NESTED_TEXT if value.get(key) is not None), None)
        if inside is not None:
            return text_in(inside, table, row)
    found = shortened(json.dumps(value, ensure_ascii=False, default=str), 60)
    raise DataError(
        f"Row {row + 1:,} of {table.name} has no text: {found}. "
        "Expected a text, chat messages that end with an answer, or a record of OpenAI's interface."
    )


def is_message(value: Any) -> bool:
    """Return whether a value is a chat message."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def messages_of(value: list[Any], table: Table, row: int) -> list[Message]:
    """Return chat messages.

    Raises:
        DataError: One of them cannot be understood.
    """
    try:
        return messages_in(value, "messages")
    except FormProblem as problem:
        raise DataError(f"Row {row + 1:,} of {table.name} {problem}") from None


def _last_answer(value: list[Any], table: Table, row: int) -> str:
    messages = messages_of(value, table, row)
    if not messages or messages[-1].role != ASSISTANT:
        raise DataError(
            f"Row {row + 1:,} of {table.name} has messages that do not end with an answer of the assistant. "
            "The last message is what is scored."
        )
    return messages[-1].said


# --- in words ---------------------------------------------------------------------------------------------------------


def require_rows(rows: int, name: str) -> None:
    """Refuse what has no rows.

    Raises:
        DataError: There are none.
    """
    if not rows:
        raise DataError(f"{name} has no rows. Expected a text for each input.")
