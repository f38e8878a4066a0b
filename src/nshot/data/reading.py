"""From a file to a data set: read, recognise the task and the columns, separate labelled rows from the pool."""

from __future__ import annotations

import re
import tomllib
from array import array
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import ASSISTANT, DataError, Dataset, Example, Task, TaskKind, closest, counted, listed
from nshot.data import forms, recognition
from nshot.data.conversations import ArrowConversations, Form, FormProblem, last_role, look_at
from nshot.data.options import ReadOptions
from nshot.data.texts import ArrowTexts

if TYPE_CHECKING:
    import pyarrow as pa

    from nshot.data import tables

_READ_ROWS = 1 << 16
_SAMPLE_ROWS = 1000
_LOOKED_AT = 20
_METRIC = "bleu"
# A column with more different values is no label column; how many more need not be known exactly.
_MOST_DISTINCT = 20_000
_TRUTHS = frozenset({"true", "false"})
_WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")


@dataclass(frozen=True, eq=False)
class Source:
    """A table that was read, and what was recognised in it.

    Attributes:
        dataset: The labelled rows: texts, labels as `str`, groups and times where columns were named for them. To
            generate: conversations, tuples of accepted answers (a row's own first), and where no column was named for
            groups, a key per input. A running text has none.
        unlabelled: The rows whose label is empty, in the order of the file. To generate: conversations without an
            answer, or with one that is marked as bad; of a running text its pieces, as texts.
        positions: For each labelled row its 0-based position in the file (header and blank lines not counted).
        unlabelled_positions: The same for each unlabelled row.
        task: Classification into the sorted labels, or generation; of the training file where this is a test.
        text_columns: Columns that form the texts, in this order; the one that holds lists of messages.
        label_column: Column with the labels or answers; the one with the messages where their last turn is the answer,
            and None of a running text.
        group_column: Column with the groups, or None.
        time_column: Column with the times, or None.
        rows: Number of rows in the file.
        columns: Names of all columns.
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet``, ``folder``, ``text`` (running text) or ``memory``.
        encoding: Name of the encoding, for text formats.
        delimiter: Character between the columns, for csv and tsv.
        recognised: A sentence that says what was recognised and which flags override it.
        empty_texts: Positions in the file of rows without any text; without a prompt.
        form: How its rows become conversations, to generate; None of other tasks and of a running text.
        refused: Positions in the file of rows whose answer is marked as bad.
        inputs: To generate, 64 bits for each row of the file that are equal where the inputs are; else none.
    """

    dataset: Dataset
    unlabelled: Dataset
    positions: Sequence[int]
    unlabelled_positions: Sequence[int]
    task: Task
    text_columns: tuple[str, ...]
    label_column: str | None
    group_column: str | None
    time_column: str | None
    rows: int
    columns: tuple[str, ...]
    format: str
    encoding: str | None
    delimiter: str | None
    recognised: str
    empty_texts: tuple[int, ...]
    _table: Mapping[str, pa.ChunkedArray] = field(repr=False)
    form: Form | None = None
    refused: tuple[int, ...] = ()
    inputs: Sequence[int] = ()

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.dataset.name

    def column(self, name: str) -> Sequence[str]:
        """Return all cells of a column as strings, in the order of the file; a missing cell is an empty string.

        Raises:
            DataError: There is no such column.
        """
        if name not in self._table:
            raise no_column(name, self.name, self.columns, "text")
        return ArrowTexts(self._table[name])


@dataclass(frozen=True)
class Trained:
    """What the data that a model was fitted on called its columns.

    Attributes:
        text: Columns that formed the texts; empty where it is not known.
        label: Column with the labels, or None.
    """

    text: tuple[str, ...] = ()
    label: str | None = None


def read(
    source: tables.Source,
    options: ReadOptions | None = None,
    *,
    like: Source | None = None,
    trained: Trained | None = None,
) -> Source:
    """Return the labelled and unlabelled examples of `source`.

    Args:
        source: csv, tsv, jsonl, json or parquet (text formats also gzipped), a folder with one folder of text files per
            label, a pandas DataFrame, an Arrow table, a pair (texts, labels), or a list of dicts.
        options: Columns and format, where they should not be recognised.
        like: The training data this is the test of: the same columns, and no labels that it does not have.
        trained: Columns that a model was fitted on: used where the source has them and `options` names none.

    Raises:
        DataError: There is nothing to read, or it cannot be understood; the message names the flag that helps.
    """
    from nshot.data import tables

    options = options or ReadOptions()
    opened = tables.open_table(source, options)
    table, nested = _whole(opened)
    name = opened.name
    columns = tuple(table)
    rows = len(next(iter(table.values()))) if table else 0
    if not rows:
        header = f" Its header: {listed(columns)}." if columns else ""
        raise DataError(f"{name} has no rows.{header} Expected a row per example, with a text and a label.")
    if like is not None:
        return _read_like(like, opened, table, options)

    named = _as_trained(options, trained, columns, name) if trained else options
    _require(columns, named, name)
    if opened.format == "text":
        return _running_text(opened, table, _generating(options, name))
    facts = {column: _facts(column, table[column], is_nested=column in nested) for column in columns}
    form = _form(facts, rows, name, named)
    if form is None:
        return _classification(opened, table, _choose(facts, rows, name, named), options)
    return _conversations(opened, table, form, _generating(options, name), group=options.group, time=options.time)


def _read_like(
    like: Source, opened: tables.Opened, table: Mapping[str, pa.ChunkedArray], options: ReadOptions
) -> Source:
    """Return a test, with the columns of its training data."""
    columns = tuple(table)
    for wanted in (*like.text_columns, like.label_column):
        if wanted is not None and wanted not in columns:
            raise DataError(
                f"Column '{wanted}' is missing from {opened.name}. It is used in {like.name}."
                f"{closest(wanted, columns)} Found: {listed(columns)}. Rename the column, so that both files agree."
            )
    group = like.group_column if like.group_column in columns else None
    time = like.time_column if like.time_column in columns else None
    if like.form is not None:
        form = like.form.without_missing(columns)
        return _conversations(opened, table, form, like.task, group=group, time=time)
    if like.label_column is None:
        return _running_text(opened, table, like.task)
    return _classification(opened, table, _Chosen(like.text_columns, like.label_column, group, time), options, like)


def _classification(
    opened: tables.Opened,
    table: Mapping[str, pa.ChunkedArray],
    chosen: _Chosen,
    options: ReadOptions,
    like: Source | None = None,
) -> Source:
    """Return texts with a label each."""
    name, columns = opened.name, tuple(table)
    rows = len(table[chosen.label])
    texts = _texts(table, chosen.text)
    labels = _labels(table[chosen.label])
    empty = _empty(texts)
    if len(empty) == rows:
        raise DataError(f"The column {_quoted(chosen.text)} of {name} is empty in all {rows:,} rows. {_FLAGS}")
    labelled = array("q", (i for i, label in enumerate(labels) if label is not None))
    blank = array("q", (i for i, label in enumerate(labels) if label is None))
    if not labelled:
        raise DataError(
            f"All {rows:,} rows of {name} have an empty label (column '{chosen.label}'). "
            f"Found the columns: {listed(columns)}. Name the label column: --label {_example(columns, chosen)}."
        )
    targets = [label for label in labels if label is not None]
    task = like.task if like else _task(targets, options, name, chosen.label)
    if like:
        _check_known(targets, task, name, like.name)

    whole = Dataset(
        texts,
        groups=_groups(table[chosen.group]) if chosen.group else None,
        times=_times(table[chosen.time], chosen.time, name) if chosen.time else None,
        name=name,
    )
    positions: Sequence[int] = labelled if blank else range(rows)
    dataset = replace(_part(whole, labelled) if blank else whole, targets=targets)
    return Source(
        dataset=dataset,
        unlabelled=_part(whole, blank),
        positions=positions,
        unlabelled_positions=blank,
        task=task,
        text_columns=chosen.text,
        label_column=chosen.label,
        group_column=chosen.group,
        time_column=chosen.time,
        rows=rows,
        columns=columns,
        format=opened.format,
        encoding=opened.encoding,
        delimiter=opened.delimiter,
        recognised=_recognised(opened, chosen, len(task.labels)),
        empty_texts=tuple(empty),
        _table=table,
    )


# --- answers to write -------------------------------------------------------------------------------------------------


def _generating(options: ReadOptions, name: str) -> Task:
    if options.labels:
        raise DataError(
            f"{options.labels} describes labels (--labels), but the answers in {name} are texts that a model writes. "
            "Leave --labels out, or say that they are labels: --task classify."
        )
    return Task(TaskKind.GENERATE, metric=_METRIC, unit="answers", instruction=options.instruction or "")


def _conversations(
    opened: tables.Opened,
    table: Mapping[str, pa.ChunkedArray],
    form: Form,
    task: Task,
    *,
    group: str | None,
    time: str | None,
) -> Source:
    """Return conversations with their accepted answers."""
    name, columns = opened.name, tuple(table)
    examples = ArrowConversations(form, table)
    rows = len(examples)
    found = look_at(examples, name)
    if len(found.empty) == rows:
        raise DataError(f"The column {_quoted(form.inputs)} of {name} is empty in all {rows:,} rows. {_FLAGS}")
    labelled = found.answered()
    answered = set(labelled) if len(labelled) < rows else ()
    blank = array("q", (i for i in range(rows) if i not in answered) if answered or not labelled else ())
    if not labelled:
        where = f"column '{form.answer}'" if form.answer else f"no turn of an assistant ends '{form.inputs[0]}'"
        raise DataError(
            f"None of the {rows:,} rows of {name} has an answer to learn from ({where}). Found the columns: "
            f"{listed(columns)}. Name the column with the answers: --label COLUMN."
        )
    groups: Sequence[Hashable] = _groups(table[group]) if group else found.inputs
    times = _times(table[time], time, name) if time else None
    whole = Dataset(examples, modality="conversation", groups=groups, times=times, name=name)
    described = forms.described(
        form, rows=rows, answered=len(labelled), inputs=len(set(found.inputs)), refused=len(found.refused)
    )
    return Source(
        dataset=replace(whole.take(labelled) if blank else whole, targets=found.targets(labelled)),
        unlabelled=whole.take(blank),
        positions=labelled if blank else range(rows),
        unlabelled_positions=blank,
        task=task,
        text_columns=form.inputs,
        label_column=form.answer or form.inputs[0],
        group_column=group,
        time_column=time,
        rows=rows,
        columns=columns,
        format=opened.format,
        encoding=opened.encoding,
        delimiter=opened.delimiter,
        recognised=f"{_how(opened)}: {described}",
        empty_texts=found.empty,
        _table=table,
        form=form,
        refused=found.refused,
        inputs=found.inputs,
    )


def _running_text(opened: tables.Opened, table: Mapping[str, pa.ChunkedArray], task: Task) -> Source:
    """Return the pieces of a text, none of them with an answer."""
    pieces = Dataset(ArrowTexts(table["text"]), name=opened.name)
    return Source(
        dataset=replace(pieces.take(()), targets=()),
        unlabelled=pieces,
        positions=(),
        unlabelled_positions=range(len(pieces)),
        task=task,
        text_columns=("text",),
        label_column=None,
        group_column=None,
        time_column=None,
        rows=len(pieces),
        columns=tuple(table),
        format=opened.format,
        encoding=opened.encoding,
        delimiter=None,
        recognised=f"{_how(opened)}: a running text in {len(pieces):,} pieces, to train a language model further; no "
        "answers. Columns of a table are named by --text and --label",
        empty_texts=(),
        _table=table,
    )


# --- for predicting ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InputBatch:
    """Some rows to answer.

    Attributes:
        examples: One text per row, empty where the cell is; one conversation per row where answers are to be written.
        columns: All columns of these rows by name, as they were in the input: an Arrow array or a list of values.
    """

    examples: list[Example]
    columns: Mapping[str, tables.Column]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class InputStream:
    """Rows to answer, read while they are asked for.

    Attributes:
        name: What messages call the input.
        format: As in `Source`, or ``lines`` for a text per line.
        text_columns: Columns that form the texts; the one that holds lists of messages.
        columns: Columns of the first batch.
        types: Arrow types of columns that are not strings (parquet, DataFrame).
        batches: The rows; can be iterated once.
    """

    name: str
    format: str
    text_columns: tuple[str, ...]
    columns: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    batches: Iterator[InputBatch]


def stream_inputs(
    source: tables.Source,
    text_columns: Sequence[str] = (),
    options: ReadOptions | None = None,
    *,
    batch_rows: int = 4096,
) -> InputStream:
    """Return the rows of `source` batch by batch, in the memory of a batch (json and in-memory tables are held whole).

    Args:
        source: As in `read`, or ``-`` for standard input: jsonl, csv whose header names columns, or a text per line.
        text_columns: What the text columns were called in training; used where the input has them. Otherwise
            ``options.text`` counts, and otherwise the text column is recognised.
        options: Encoding, delimiter and text columns, where they should not be recognised; with the task ``generate``
            the examples are conversations, up to the last answer where they have one.
        batch_rows: Most rows of a batch.

    Raises:
        DataError: There is nothing to read, no text column, or (while iterating) a broken row.
    """
    from nshot.data import tables

    options = options or ReadOptions()
    opened = tables.open_table(source, options, expected=(*options.text, *text_columns))
    batches = opened.batches(batch_rows)
    first = next(batches, None)
    if first is None:
        header = f" Its header: {listed(opened.columns)}." if opened.columns else ""
        raise DataError(f"{opened.name} has no rows.{header} Expected a text per row.")
    if options.task == "generate":
        form = _asking_form(first, tuple(text_columns), options, opened)
        inputs = _asked(first, batches, form, opened.name)
        return InputStream(opened.name, opened.format, form.inputs, tuple(first), opened.types, inputs)
    names = _text_columns(first, tuple(text_columns), options, opened)
    return InputStream(opened.name, opened.format, names, tuple(first), opened.types, _inputs(first, batches, names))


def _inputs(first: tables.Batch, rest: Iterator[tables.Batch], names: tuple[str, ...]) -> Iterator[InputBatch]:
    for batch in chain((first,), rest):
        yield InputBatch(list(_joined(batch, names)), batch)


def _asked(first: tables.Batch, rest: Iterator[tables.Batch], form: Form, name: str) -> Iterator[InputBatch]:
    from nshot.data import tables

    row = 0
    for batch in chain((first,), rest):
        columns = {column: tables.as_strings(batch[column]).to_pylist() for column in form.columns if column in batch}
        examples: list[Example] = []
        for cells in zip(*columns.values(), strict=True):
            row += 1
            try:
                exchange = form.exchange({column: cell or "" for column, cell in zip(columns, cells, strict=True)})
            except FormProblem as problem:
                raise DataError(f"Row {row:,} of {name} {problem}") from None
            examples.append(exchange.asked)
        yield InputBatch(examples, batch)


def _asking_form(first: tables.Batch, trained: tuple[str, ...], options: ReadOptions, opened: tables.Opened) -> Form:
    """Return how rows become conversations that are to be answered."""
    import pyarrow as pa

    from nshot.data import tables

    columns = tuple(first)
    _require(columns, options, opened.name)
    rows = len(next(iter(first.values())))
    facts = {
        name: _facts(name, pa.chunked_array([tables.as_strings(column)]), is_nested=tables.is_nested(column))
        for name, column in first.items()
    }
    text = options.text or _trained_texts(trained, columns, opened.name) or (columns if len(columns) == 1 else ())
    form = forms.asking_form(facts, rows, forms.Named(text))
    if form is None:
        raise DataError(
            f"No column of {opened.name} looks like prompts. Found: {listed(columns)}. Name their column: "
            f"--text {columns[0]}."
        )
    return form


def _joined(batch: tables.Batch, names: tuple[str, ...]) -> list[str]:
    from nshot.data import tables

    columns = [[value or "" for value in tables.as_strings(batch[name]).to_pylist()] for name in names]
    if len(columns) == 1:
        return columns[0]
    return ["\n".join(parts).strip() for parts in zip(*columns, strict=True)]


def _text_columns(
    first: tables.Batch, trained: tuple[str, ...], options: ReadOptions, opened: tables.Opened
) -> tuple[str, ...]:
    import pyarrow as pa

    from nshot.data import tables

    columns = tuple(first)
    for wanted in options.text:
        if wanted not in columns:
            raise no_column(wanted, opened.name, columns, "text")
    if options.text:
        return options.text
    found = _trained_texts(trained, columns, opened.name)
    if found:
        return found
    if len(columns) == 1:
        return columns
    facts = [_facts(name, pa.chunked_array([tables.as_strings(column)])) for name, column in first.items()]
    rows = len(next(iter(first.values())))
    choice = recognition.choose({column.name: recognition.text_score(column, rows) for column in facts})
    if choice is None:
        wanted = f"Column '{trained[0]}' is missing from" if trained else "No column looks like texts in"
        raise DataError(f"{wanted} {opened.name}. Found: {listed(columns)}. Name the text column: --text {columns[0]}.")
    return (choice.name,)


def _trained_texts(trained: tuple[str, ...], columns: Sequence[str], name: str) -> tuple[str, ...]:
    """Return the text columns of a model's training, or none where its only one is called otherwise here.

    Raises:
        DataError: It reads several columns together, and one is missing.
    """
    missing = [column for column in trained if column not in columns]
    if len(trained) > 1 and missing:
        raise DataError(
            f"Column '{missing[0]}' is missing from {name}; the model reads {_quoted(trained)}."
            f"{closest(missing[0], columns)} Found: {listed(columns)}. Name the text columns: --text A,B."
        )
    return () if missing else trained


def _as_trained(options: ReadOptions, trained: Trained, columns: tuple[str, ...], name: str) -> ReadOptions:
    """Return the options with the columns of a model's training, where the file has them and nobody named others."""
    found: dict[str, Any] = {}
    if not options.text:
        found["text"] = _trained_texts(trained.text, columns, name)
    if options.label is None and trained.label in columns:
        found["label"] = trained.label
    return options.model_copy(update=found)


# --- the table --------------------------------------------------------------------------------------------------------


def _whole(opened: tables.Opened) -> tuple[dict[str, pa.ChunkedArray], Collection[str]]:
    """Read everything into Arrow strings, a chunk per batch; also return which columns hold lists or objects."""
    import pyarrow as pa

    from nshot.data import tables

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
            held.append(tables.as_strings(batch[name]) if name in batch else pa.nulls(size, pa.string()))
        rows += size
    return {name: pa.chunked_array(held, pa.string()) for name, held in chunks.items()}, nested


def _texts(table: Mapping[str, pa.ChunkedArray], columns: tuple[str, ...]) -> ArrowTexts:
    import pyarrow.compute as pc

    if len(columns) == 1:
        return ArrowTexts(table[columns[0]])
    filled = [pc.fill_null(table[name], "") for name in columns]
    joined = pc.binary_join_element_wise(*filled, "\n")
    return ArrowTexts(pc.utf8_trim_whitespace(joined))


def _empty(texts: ArrowTexts) -> list[int]:
    """Return the positions of texts without any visible character."""
    import pyarrow.compute as pc

    positions: list[int] = []
    start = 0
    for chunk in texts.arrow.chunks:
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(chunk, ""))), 0)
        positions.extend(start + i for i in pc.indices_nonzero(blank).to_pylist())
        start += len(chunk)
    return positions


def _labels(column: pa.ChunkedArray) -> list[str | None]:
    """Return a label per row, None where it is empty; equal labels are one object."""
    import pyarrow.compute as pc

    encoded = pc.utf8_trim_whitespace(column).combine_chunks().dictionary_encode()
    chunks = encoded.chunks if isinstance(encoded, type(column)) else [encoded]
    canonical = _canonical([value for chunk in chunks for value in chunk.dictionary.to_pylist()])
    labels: list[str | None] = []
    for chunk in chunks:
        names = [canonical[value] for value in chunk.dictionary.to_pylist()]
        labels.extend(None if code is None else names[code] for code in chunk.indices.to_pylist())
    return labels


def _canonical(values: Sequence[str]) -> dict[str, str | None]:
    """Return the label that each written value stands for, None where it stands for no label.

    Programs write the same labels differently: a column of whole numbers with gaps comes out of pandas as 1.0, 0.0 and
    nan, truth values as True or TRUE. Words are never touched: "NA", "null" and "None" are labels like any other.
    """
    written = [value for value in values if value]
    numbers = [value for value in written if value.casefold() != "nan"]
    if numbers and all(_WHOLE_NUMBER.fullmatch(value) for value in numbers):
        return {value: value.split(".")[0] if value in numbers else None for value in [*values, ""]}
    if written and all(value.casefold() in _TRUTHS for value in written):
        return {value: value.casefold() or None for value in [*values, ""]}
    return {value: value or None for value in [*values, ""]}


def _part(dataset: Dataset, positions: array[int]) -> Dataset:
    """Return some examples, their texts gathered in Arrow memory."""

    def of(column: Sequence[Any] | None) -> list[Any] | None:
        return None if column is None else [column[i] for i in positions]

    texts = dataset.examples
    picked = texts.take(positions) if isinstance(texts, ArrowTexts) else [texts[i] for i in positions]
    return replace(dataset, examples=picked, targets=None, groups=of(dataset.groups), times=of(dataset.times))


def _groups(column: pa.ChunkedArray) -> list[str]:
    """Return a key per row; a row without one is a group of its own."""
    values = column.to_pylist()
    return [value if value and value.strip() else f"\x00row {i}" for i, value in enumerate(values)]


def _times(column: pa.ChunkedArray, name: str, file: str) -> list[float]:
    values = [(value or "").strip() for value in column.to_pylist()]
    times = []
    for i, value in enumerate(values):
        try:
            times.append(float(value))
        except ValueError:
            try:
                times.append(datetime.fromisoformat(value).timestamp())
            except ValueError:
                raise DataError(
                    f"The time column '{name}' of {file} must hold numbers or ISO dates such as 2024-05-31. "
                    f"Got {value!r} in row {i + 1} instead."
                ) from None
    return times


# --- columns ----------------------------------------------------------------------------------------------------------

_FLAGS = "Name the columns: --text COLUMN --label COLUMN."


@dataclass(frozen=True)
class _Chosen:
    text: tuple[str, ...]
    label: str
    group: str | None = None
    time: str | None = None
    other_texts: tuple[str, ...] = ()
    other_labels: tuple[str, ...] = ()
    answers: str | None = None


def _require(columns: tuple[str, ...], options: ReadOptions, name: str) -> None:
    """Refuse names of columns that are not there."""
    for flag, wanted in (
        *(("text", column) for column in options.text),
        ("label", options.label),
        ("group", options.group),
        ("time", options.time),
    ):
        if wanted is not None and wanted not in columns:
            raise no_column(wanted, name, columns, flag)


def _form(facts: Mapping[str, recognition.ColumnFacts], rows: int, name: str, options: ReadOptions) -> Form | None:
    """Return how rows become conversations with answers that a model writes, or None where they are classified.

    Raises:
        DataError: Answers are to be written, and no column looks like them.
    """
    further = tuple(column for column in (options.group, options.time) if column is not None)
    named = forms.Named(options.text, options.label, further)
    if options.task == "classify":
        return None
    if options.task is None:
        labels = _likely_labels(facts, rows, options)
        return forms.to_write(facts, rows, named, labels.name if labels else None)
    form = forms.messages_form(facts, named) or forms.prompt_form(facts, rows, named)
    if form is None:
        raise DataError(
            f"No columns of {name} look like prompts and answers to write. Found: {listed(tuple(facts))}. "
            "Name them: --text COLUMN --label COLUMN."
        )
    return form


def _free(facts: Mapping[str, recognition.ColumnFacts], options: ReadOptions) -> list[recognition.ColumnFacts]:
    taken = {options.label, options.group, options.time, *options.text}
    return [column for name, column in facts.items() if name not in taken]


def _likely_texts(
    facts: Mapping[str, recognition.ColumnFacts], rows: int, options: ReadOptions
) -> recognition.Choice | None:
    return recognition.choose({column.name: recognition.text_score(column, rows) for column in _free(facts, options)})


def _likely_labels(
    facts: Mapping[str, recognition.ColumnFacts], rows: int, options: ReadOptions
) -> recognition.Choice | None:
    """Return the column besides the texts that looks most like labels."""
    texts = None if options.text else _likely_texts(facts, rows, options)
    last = next(reversed(tuple(facts)), None)
    left = [column for column in _free(facts, options) if texts is None or column.name != texts.name]
    return recognition.choose(
        {column.name: recognition.label_score(column, rows, last=column.name == last) for column in left}
    )


def _choose(facts: Mapping[str, recognition.ColumnFacts], rows: int, name: str, options: ReadOptions) -> _Chosen:
    """Return the columns of texts and labels."""
    columns = tuple(facts)
    if len(columns) == 1:
        raise DataError(
            f"{name} has one column ('{columns[0]}'). Expected two or more: the texts and their labels. "
            "Another delimiter is named by --delimiter."
        )
    free = [column.name for column in _free(facts, options)]
    likely = recognition.Choice("") if options.text else _likely_texts(facts, rows, options)
    if likely is None:
        raise DataError(
            f"No column of {name} looks like texts. Found: {listed(columns)}. Name the text column: "
            f"--text {free[0] if free else 'COLUMN'}."
        )
    text = options.text or (likely.name,)
    label = recognition.Choice(options.label) if options.label else _likely_labels(facts, rows, options)
    if label is None:
        left = [column for column in free if column not in text]
        raise DataError(
            f"No column of {name} looks like labels (few values that repeat). Found: {listed(columns)}; "
            f"texts: {_quoted(text)}. Name the label column: --label {left[-1] if left else 'COLUMN'}. If the answers "
            "are texts that a model is to write, say so: --task generate."
        )
    others = tuple(column for column in likely.others if column != label.name)
    answers = forms.answers_beside(facts, text, label.name)
    return _Chosen(text, label.name, options.group, options.time, others, label.others, answers)


def _facts(name: str, column: pa.ChunkedArray, *, is_nested: bool = False) -> recognition.ColumnFacts:
    """Return what a column looks like, a chunk at a time, so that no copy of a large column is made."""
    import pyarrow.compute as pc

    filled = characters = counted = 0
    seen: set[str] = set()
    some: list[str] = []
    for chunk in column.chunks:
        trimmed = pc.utf8_trim_whitespace(chunk)
        lengths = pc.utf8_length(trimmed)
        present = trimmed.filter(pc.fill_null(pc.greater(lengths, 0), False))
        filled += len(present)
        characters += pc.sum(lengths).as_py() or 0
        if len(seen) < _MOST_DISTINCT:
            seen.update(pc.unique(present).to_pylist())
            counted += len(present)
        if len(some) < _SAMPLE_ROWS:
            some.extend(present.slice(0, _SAMPLE_ROWS).to_pylist())
    if not filled:
        return recognition.ColumnFacts(name, 0, 0, 0.0, 0.0, numeric=False)
    ends = [last_role(value) for value in some[:_LOOKED_AT]]
    lists = [end for end in ends if end is not None]
    is_called_messages = recognition.is_named(name, ("messages", "conversations")) and some[0].startswith("[")
    return recognition.ColumnFacts(
        name=name,
        filled=filled,
        distinct=round(len(seen) * filled / counted) if len(seen) >= _MOST_DISTINCT else len(seen),
        mean_characters=characters / filled,
        mean_words=sum(len(value.split()) for value in some) / len(some),
        numeric=all(_is_number(value) for value in some),
        is_truth=all(value.casefold() in _TRUTHS for value in some),
        # A row that is none should be named, and not decide what the others are.
        is_messages=2 * len(lists) >= len(ends) or is_called_messages,
        is_answered=2 * lists.count(ASSISTANT) >= max(1, len(lists)),
        is_nested=is_nested,
        is_json=all(value[0] in "[{" for value in some[:_LOOKED_AT]),
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def no_column(wanted: str, name: str, columns: Sequence[str], flag: str) -> DataError:
    """Return the error of a column that was named and is not there.

    Args:
        wanted: The column.
        name: What messages call the file.
        columns: Those that it has.
        flag: The flag that names another one.
    """
    hint = closest(wanted, columns)
    example = f" Name the {flag} column: --{flag} {columns[0]}." if columns and not hint else ""
    return DataError(f"Column '{wanted}' is missing from {name}. Found: {listed(columns)}.{hint}{example}")


def _quoted(names: Sequence[str]) -> str:
    return " + ".join(f'"{name}"' for name in names)


def _example(columns: Sequence[str], chosen: _Chosen) -> str:
    return next((column for column in columns if column not in {chosen.label, *chosen.text}), "COLUMN")


def _how(opened: tables.Opened) -> str:
    delimiters = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", None: ""}
    parts = [opened.format, opened.encoding, delimiters.get(opened.delimiter, opened.delimiter)]
    return ", ".join(part for part in parts if part)


def _recognised(opened: tables.Opened, chosen: _Chosen, labels: int) -> str:

    def also(others: tuple[str, ...]) -> str:
        return f" (or {', '.join(others)})" if others else ""

    sentence = (
        f"{_how(opened)}: texts from {_quoted(chosen.text)}{also(chosen.other_texts)}, "
        f'{labels} labels from "{chosen.label}"{also(chosen.other_labels)}'
    )
    if chosen.group:
        sentence += f', groups from "{chosen.group}"'
    if chosen.time:
        sentence += f', times from "{chosen.time}"'
    if chosen.answers:
        sentence += f'; if a model is to write what is in "{chosen.answers}": --task generate'
    return sentence + "; --text and --label name other columns"


# --- labels -----------------------------------------------------------------------------------------------------------


def _task(targets: Sequence[str], options: ReadOptions, name: str, column: str) -> Task:
    labels = tuple(sorted(set(targets)))
    if len(labels) == 1:
        raise DataError(
            f"All {len(targets):,} labelled rows of {name} have the label '{labels[0]}' (column '{column}'). "
            "Expected two labels or more. Another column is named by --label."
        )
    descriptions = _descriptions(options.labels, labels, name) if options.labels else {}
    return Task(
        TaskKind.CLASSIFY,
        labels,
        descriptions,
        names_say_something=recognition.names_say_something(labels, descriptions),
    )


def _descriptions(path: Path, labels: tuple[str, ...], name: str) -> dict[str, str]:
    example = f'Expected a line per label, such as "{labels[0]}" = "what it means".'
    try:
        written = tomllib.loads(path.expanduser().read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}. {example}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML: {error}. {example}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    for label, description in written.items():
        if label not in labels:
            raise DataError(
                f"{path} describes the label '{label}', which does not occur in {name}.{closest(label, labels)} "
                f"Its labels: {listed(labels)}."
            )
        if not isinstance(description, str) or not description.strip():
            raise DataError(f"The description of '{label}' in {path} must be a text. Got {description!r} instead.")
    return {label: description.strip() for label, description in written.items()}


def _check_known(targets: Sequence[str], task: Task, name: str, train: str) -> None:
    counts: dict[str, int] = {}
    known = set(task.labels)
    for label in targets:
        if label not in known:
            counts[label] = counts.get(label, 0) + 1
    if not counts:
        return
    shown = listed([f"'{label}' ({counted(count, 'row')})" for label, count in sorted(counts.items())])
    hint = closest(next(iter(sorted(counts))), task.labels)
    raise DataError(
        f"{name} has labels that do not occur in {train}: {shown}.{hint} "
        f"Labels of {train}: {listed(task.labels)}. Add examples of them to {train}, or leave these rows out."
    )
