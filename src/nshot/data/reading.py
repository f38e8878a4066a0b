"""From a file to a data set: read, recognise the task and the columns, separate labelled rows from the pool."""

from __future__ import annotations

import shlex
from array import array
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from nshot.core import ASSISTANT, DataError, Dataset, Example, OptionError, Task, TaskKind, closest, counted, listed
from nshot.data import forms, recognition, spans, tags
from nshot.data.conll import DOCUMENT, ENTITIES, TEXT
from nshot.data.conversations import ArrowConversations, Form, FormProblem, last_role, look_at
from nshot.data.images import ImageFiles
from nshot.data.options import ReadOptions
from nshot.data.rows import KIND_WORDS, ArrowRows
from nshot.data.targets import Answers, answers, answers_like, refuse_unknown, without_labels
from nshot.data.texts import ArrowTexts

if TYPE_CHECKING:
    import pyarrow as pa

    from nshot.data import tables
    from nshot.data.columns import OddCells, RowColumn, RowsRead
    from nshot.data.held import HeldTable

_SAMPLE_ROWS = 1000
_LOOKED_AT = 20
_METRIC = "bleu"
# A column with more different values is no label column; how many more need not be known exactly.
_MOST_DISTINCT = 20_000
# With fewer columns beside it, a column that only vaguely looks like texts is taken as such.
_FEW_COLUMNS = 3
_FEWEST_VALUES = 20
_WITHOUT_LABELS = frozenset({TaskKind.DETECT, TaskKind.CLUSTER, TaskKind.COMPRESS})


@dataclass(frozen=True, eq=False)
class Source:
    """A table that was read, and what was recognised in it.

    Attributes:
        dataset: The labelled rows: texts, rows (`ArrowRows`) or images, their targets (`Dataset.targets`), groups and
            times where columns were named for them. To generate: conversations, tuples of accepted answers (a row's own
            first), and where no column was named for groups, a key per input. Empty where nothing is labelled: a
            running text, or groups, anomalies or a code to be found without a label.
        unlabelled: The rows whose label is empty, in the order of the file. To generate: conversations without an
            answer, or with one that is marked as bad; of a running text its pieces, as texts.
        positions: For each labelled row its 0-based position in the file (header and blank lines not counted).
        unlabelled_positions: The same for each unlabelled row.
        task: What is asked, with the sorted labels to classify into; of the training file where this is a test.
        text_columns: Columns that form the texts, in this order; the one that holds lists of messages; none of rows and
            of images.
        label_column: Column with the labels or answers; the one with the messages where their last turn is the answer,
            and None where there is none.
        group_column: Column with the groups, or None.
        time_column: Column with the times, or None.
        rows: Number of rows in the file.
        columns: Names of all columns.
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet``, ``npz``, ``folder``, ``zip``, ``text`` (running
            text) or ``memory``.
        encoding: Name of the encoding, for text formats.
        delimiter: Character between the columns, for csv and tsv.
        recognised: A sentence that says what was recognised and which flags override it.
        empty_texts: Positions in the file of rows without any text; without a prompt.
        form: How its rows become conversations, to generate; None of other tasks and of a running text.
        refused: Positions in the file of rows whose answer is marked as bad.
        inputs: To generate, 64 bits for each row of the file that are equal where the inputs are; else none.
        row_columns: The columns that form the rows; none of texts and images.
        columns_left_out: Name -> reason of the columns that were no use in a row; label, groups and times aside.
        odd_cells: Name -> what is odd of the columns with cells that count as missing or were read in a special way.
        unreadable_targets: To regress, positions in the file of rows whose label is neither empty nor a number.
        broken_images: Files that are no readable image, and were left out.
        separator: What stands between the labels of a cell, to tag; None where nothing does, or cells are lists.
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
    row_columns: tuple[RowColumn, ...] = ()
    columns_left_out: Mapping[str, str] = field(default_factory=dict)
    odd_cells: Mapping[str, OddCells] = field(default_factory=dict)
    unreadable_targets: tuple[int, ...] = ()
    broken_images: tuple[str, ...] = ()
    separator: str | None = None

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
        columns: Columns that formed the rows; empty where the examples were none.
        fewest_labels: So many different labels there have to be; 1 is enough for a model that takes further ones in.
        separator: What stood between several labels of a cell, or None.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    columns: tuple[RowColumn, ...] = ()
    fewest_labels: int = 2
    separator: str | None = None


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
    from nshot.data.held import hold

    options = options or ReadOptions()
    if options.text and options.columns:
        raise OptionError("--text and --columns were both given. Expected one: the examples are texts, or rows.")
    opened = tables.open_table(source, options, is_test=like is not None)
    table = hold(opened)
    name = opened.name
    named_labels = (options.label, like.label_column if like else None, trained.label if trained else None)
    for wanted in filter(None, named_labels):
        table = tags.as_one_column(table, wanted, opened.name)
    columns = tuple(table)
    rows = table.rows
    if not rows:
        header = f" Its header: {listed(columns)}." if columns else ""
        raise DataError(f"{name} has no rows.{header} Expected a row per example.")
    if like is not None:
        return _read_like(like, opened, table, options)

    named = _as_trained(options, trained, columns, name) if trained else options
    trained = trained or Trained()
    if trained.separator and options.separator is None:
        named = named.model_copy(update={"separator": trained.separator})
    _require(columns, named, name)
    if opened.format == "text":
        return _running_text(opened, table, _generating(options, name))
    if opened.images is not None:
        return _images(opened, table, opened.images, named, trained.fewest_labels)
    return _recognised_table(opened, table, trained, named, is_named=bool(options.text))


def _recognised_table(
    opened: tables.Opened, table: HeldTable, trained: Trained, named: ReadOptions, *, is_named: bool
) -> Source:
    """Return the examples of a table, whatever they turn out to be.

    Args:
        opened: How the file was opened.
        table: All of it.
        trained: Columns that a model was fitted on.
        named: What a person, or the model's training, says of the columns.
        is_named: A person named columns of texts.

    Raises:
        DataError: Nothing is recognised.
    """
    name, columns, rows = opened.name, tuple(table), table.rows
    facts = {column: _facts(table, column) for column in columns}
    if trained.columns and not is_named:
        return _known_rows(opened, table, facts, trained, named)
    # A file of tags is one of entities even where no token has one, which is said then.
    is_tagged = opened.format == "conll" and named.task in {None, "extract"} and not (named.label or named.columns)
    entities = spans.SpanColumns(TEXT, ENTITIES) if is_tagged else spans.span_columns(table, named, name)
    if entities is not None:
        return _entities(opened, table, entities, named)
    form = None if named.columns else _form(facts, rows, name, named)
    if form is not None:
        return _conversations(opened, table, form, _generating(named, name), group=named.group, time=named.time)
    chosen = _choose(facts, table, name, named)
    kind = _task_kind(chosen, table, named)
    found = None
    if chosen.label is not None:
        column, fewest = table[chosen.label], trained.fewest_labels
        found = answers(column, kind, named, name=name, label=chosen.label, fewest_labels=fewest)
    task = found.task if found else without_labels(kind)
    inputs = _text_inputs(table, chosen, name) if chosen.text else _row_inputs(table, chosen, named, name)
    return _examples(opened, table, chosen, found, task, inputs)


def _read_like(like: Source, opened: tables.Opened, table: HeldTable, options: ReadOptions) -> Source:
    """Return a test, with the columns of its training data."""
    from nshot.data.columns import known_rows

    columns = tuple(table)
    for wanted in (*like.text_columns, *(column.name for column in like.row_columns), like.label_column):
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
    if like.format == "text":
        return _running_text(opened, table, like.task)
    if like.task.kind is TaskKind.EXTRACT:
        return _entities(opened, table, _entity_columns(table, like, opened.name), options, like=like)
    label = like.label_column
    found = None
    if label is not None:
        found = answers_like(
            table[label],
            like.task,
            options,
            name=opened.name,
            label=label,
            train=like.name,
            separator=like.separator,
        )
    chosen = _Chosen(like.text_columns, label, group, time)
    if opened.images is not None:
        inputs = _image_inputs(opened.images)
    else:
        known = known_rows(table, like.row_columns) if like.row_columns else None
        inputs = _known_inputs(known) if known else _text_inputs(table, chosen, opened.name)
    if inputs.modality != like.dataset.modality:
        raise DataError(
            f"{like.name} holds {like.dataset.modality} examples, and {opened.name} {inputs.modality} examples. "
            "Name a test of the same form."
        )
    return _examples(opened, table, chosen, found, like.task, inputs)


def _known_rows(
    opened: tables.Opened,
    table: HeldTable,
    facts: Mapping[str, recognition.ColumnFacts],
    trained: Trained,
    options: ReadOptions,
) -> Source:
    """Return the rows that a model was fitted on the like of."""
    from nshot.data.columns import known_rows

    columns, fewest = trained.columns, trained.fewest_labels
    missing = [column.name for column in columns if column.name not in table]
    if missing:
        raise missing_columns(missing, tuple(table), opened.name)
    kind = TaskKind(options.task or TaskKind.CLASSIFY)
    names = {column.name for column in columns}
    left = {name: fact for name, fact in facts.items() if name not in names}
    label = options.label or _label_of(kind, left, table.rows, opened.name, options)
    found = None
    if label:
        found = answers(table[label], kind, options, name=opened.name, label=label, fewest_labels=fewest)
    chosen = _Chosen((), label, options.group, options.time)
    task = found.task if found else without_labels(kind)
    return _examples(opened, table, chosen, found, task, _known_inputs(known_rows(table, columns)))


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The examples of a table, before anything is known of their targets.

    Attributes:
        examples: An example per row.
        modality: As in `Dataset`.
        described: What they are, as the beginning of a sentence.
        flags: What says otherwise.
        empty: Rows without any text.
    """

    examples: Sequence[Example]
    modality: str
    described: str
    flags: str
    empty: tuple[int, ...] = ()
    row_columns: tuple[RowColumn, ...] = ()
    columns_left_out: Mapping[str, str] = field(default_factory=dict)
    odd_cells: Mapping[str, OddCells] = field(default_factory=dict)


def _text_inputs(table: HeldTable, chosen: _Chosen, name: str) -> _Inputs:
    texts = _texts(table, chosen.text)
    empty = _empty(texts)
    if len(empty) == len(texts):
        raise DataError(f"The column {_quoted(chosen.text)} of {name} is empty in all {len(texts):,} rows. {_FLAGS}")
    others = f" (or {listed(chosen.other_texts, 5)})" if chosen.other_texts else ""
    described = f"texts from {_quoted(chosen.text)}{others}"
    return _Inputs(texts, "text", described, "--text and --label name other columns", tuple(empty))


def _row_inputs(table: HeldTable, chosen: _Chosen, options: ReadOptions, name: str) -> _Inputs:
    """Return the rows of a table.

    Raises:
        DataError: No column tells one row from another.
    """
    from nshot.data.columns import recognised_rows

    taken = {chosen.label, chosen.group, chosen.time}
    names = options.columns or tuple(column for column in table if column not in taken)
    label = table[chosen.label] if chosen.label else None
    read = recognised_rows(table, names, are_named=bool(options.columns), label=label)
    if not read.columns:
        reasons = "; ".join(f"'{column}' {reason}" for column, reason in list(read.left_out.items())[:3])
        raise DataError(
            f"No column of {name} tells one row from another{': ' if reasons else ''}{reasons}. "
            f"Found: {listed(tuple(table))}. Name the columns that form a row: --columns A,B."
        )
    return _known_inputs(read)


def _known_inputs(read: RowsRead) -> _Inputs:
    kinds = [column.kind for column in read.columns]
    each = ", ".join(counted(kinds.count(kind), kind.value, KIND_WORDS[kind]) for kind in KIND_WORDS if kind in kinds)
    described = f"{counted(len(read.rows), 'row')} of {counted(len(kinds), 'column')} ({each})"
    if read.left_out:
        described += f", {len(read.left_out):,} more left out ({listed(tuple(read.left_out), 5)})"
    flags = "--columns and --label name other columns, --text a column of texts"
    return _Inputs(read.rows, "row", described, flags, (), read.columns, read.left_out, read.odd_cells)


def _image_inputs(images: Sequence[Any]) -> _Inputs:
    return _Inputs(images, "image", counted(len(images), "image"), "--label names another column of labels")


def _images(
    opened: tables.Opened, table: HeldTable, images: Sequence[Any], options: ReadOptions, fewest: int
) -> Source:
    """Return images, with their folders (or an array) as labels where there are several.

    Raises:
        DataError: Labels are needed, and there are none.
    """
    for flag, wanted in (("--text", options.text), ("--columns", options.columns)):
        if wanted:
            raise OptionError(f"{flag} names columns of a table, but {opened.name} holds images. Leave it out.")
    label = options.label or next((column for column in ("label", "y") if column in table), None)
    kind = TaskKind(options.task or TaskKind.CLASSIFY)
    if label is None and kind not in _WITHOUT_LABELS:
        raise DataError(
            f"The {counted(len(images), 'image')} of {opened.name} have no labels. Expected a folder per label. "
            "Without labels, groups or anomalies can be found, or few bits: --task cluster, detect or compress."
        )
    found = None
    if label is not None:
        found = answers(table[label], kind, options, name=opened.name, label=label, fewest_labels=fewest)
    chosen = _Chosen((), label, options.group, options.time)
    return _examples(opened, table, chosen, found, found.task if found else without_labels(kind), _image_inputs(images))


def _examples(
    opened: tables.Opened,
    table: HeldTable,
    chosen: _Chosen,
    found: Answers | None,
    task: Task,
    inputs: _Inputs,
) -> Source:
    """Return texts, rows or images with their targets, where there are any.

    Args:
        opened: How the file was opened.
        table: All of it.
        chosen: Which columns are what.
        found: What the label column says, or None where there is none.
        task: What is asked.
        inputs: The examples.
    """
    name, columns, rows = opened.name, tuple(table), table.rows
    targets: Sequence[Any] = found.targets if found else [None] * rows
    labelled = array("q", (i for i, target in enumerate(targets) if target is not None))
    blank = array("q", (i for i, target in enumerate(targets) if target is None))
    if not labelled and task.kind not in _WITHOUT_LABELS:
        raise DataError(
            f"All {rows:,} rows of {name} have an empty label (column '{chosen.label}'). "
            f"Found the columns: {listed(columns)}. Name the label column: --label {_example(columns, chosen)}."
        )
    whole = Dataset(
        inputs.examples,
        modality=inputs.modality,
        groups=_groups(table[chosen.group]) if chosen.group else None,
        times=_times(table[chosen.time], chosen.time, name) if chosen.time else None,
        name=name,
    )
    dataset = _part(whole, labelled) if blank else whole
    return Source(
        dataset=replace(dataset, targets=[targets[i] for i in labelled] if blank else targets),
        unlabelled=_part(whole, blank),
        positions=labelled if blank else range(rows),
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
        recognised=_recognised(opened, chosen, found, task, inputs),
        empty_texts=inputs.empty,
        _table=table,
        row_columns=inputs.row_columns,
        columns_left_out=inputs.columns_left_out,
        odd_cells=inputs.odd_cells,
        unreadable_targets=found.unreadable if found else (),
        broken_images=opened.broken_images,
        separator=found.separator if found else None,
    )


# --- entities ---------------------------------------------------------------------------------------------------------


def _entity_columns(table: HeldTable, like: Source, name: str) -> spans.SpanColumns:
    """Return the columns of a test, which are called as in its training data."""
    named = ReadOptions(text=like.text_columns, label=like.label_column, task="extract")
    found = spans.span_columns(table, named, name)
    if found is None:
        raise DataError(f"No column of {name} holds entities. Found: {listed(tuple(table))}.")
    return found


def _entities(
    opened: tables.Opened,
    table: HeldTable,
    columns: spans.SpanColumns,
    options: ReadOptions,
    *,
    like: Source | None = None,
) -> Source:
    """Return texts with the entities that are marked in them.

    Args:
        opened: How the file was opened.
        table: All of it.
        columns: Which columns hold what.
        options: What a person said of them.
        like: The training data that this is the test of.

    Raises:
        DataError: The entities cannot be read, or have labels that the training data does not have.
    """
    name = opened.name
    group = like.group_column if like is not None else options.group or (DOCUMENT if DOCUMENT in table else None)
    time = like.time_column if like is not None else options.time
    chosen = _Chosen((columns.text,), columns.spans, group if group in table else None, time if time in table else None)
    inputs = _text_inputs(table, chosen, name)
    found = spans.marked(inputs.examples, table, columns, name)
    if like is None:
        task = spans.task(found, name, columns.spans)
    else:
        task = like.task
        labels = [label for target in found.targets for label in {span.label for span in target or ()}]
        refuse_unknown(labels, task, name, like.name)
    entities = Answers(found.targets, task)
    source = _examples(opened, table, chosen, entities, task, inputs)
    said = spans.said(found, task, columns)
    note = f", {opened.note}" if opened.note else ""
    grouped = f', groups from "{chosen.group}"' if chosen.group else ""
    otherwise = f"{inputs.flags}, --task another task"
    return replace(source, recognised=f"{_how(opened)}: {inputs.described}, {said}{note}{grouped}; {otherwise}")


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
        examples: One text per row, empty where the cell is; one conversation per row where answers are to be written;
            rows (`ArrowRows`), or images.
        columns: All columns of these rows by name, as they were in the input: an Arrow array or a list of values.
    """

    examples: Sequence[Example]
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
    row_columns: Sequence[RowColumn] = (),
    batch_rows: int = 4096,
) -> InputStream:
    """Return the rows of `source` batch by batch, in the memory of a batch (json and in-memory tables are held whole).

    Args:
        source: As in `read`, or ``-`` for standard input: jsonl, csv whose header names columns, or a text per line.
        text_columns: What the text columns were called in training; used where the input has them. Otherwise
            ``options.text`` counts, and otherwise the text column is recognised.
        options: Encoding, delimiter and text columns, where they should not be recognised; with the task ``generate``
            the examples are conversations, up to the last answer where they have one.
        row_columns: Columns of a model that reads rows; the examples are then rows of these.
        batch_rows: Most rows of a batch.

    Raises:
        DataError: There is nothing to read, no text column, or (while iterating) a broken row.
    """
    from nshot.data import tables

    options = options or ReadOptions()
    expected = (*options.text, *text_columns, *(column.name for column in row_columns))
    opened = tables.open_table(source, options, expected=expected, is_test=True)
    batches = opened.batches(batch_rows)
    first = next(batches, None)
    if first is None:
        header = f" Its header: {listed(opened.columns)}." if opened.columns else ""
        raise DataError(f"{opened.name} has no rows.{header} Expected a text per row.")
    if opened.images is not None:
        shown = _image_batches(first, batches, opened.images)
        return InputStream(opened.name, opened.format, (), tuple(first), opened.types, shown)
    if row_columns:
        missing = [column.name for column in row_columns if column.name not in first]
        if missing:
            raise missing_columns(missing, tuple(first), opened.name)
        read = _row_batches(first, batches, row_columns)
        return InputStream(opened.name, opened.format, (), tuple(first), opened.types, read)
    if options.task == "generate":
        form = _asking_form(first, tuple(text_columns), options, opened)
        inputs = _asked(first, batches, form, opened.name)
        return InputStream(opened.name, opened.format, form.inputs, tuple(first), opened.types, inputs)
    names = _text_columns(first, tuple(text_columns), options, opened)
    return InputStream(opened.name, opened.format, names, tuple(first), opened.types, _inputs(first, batches, names))


def _inputs(first: tables.Batch, rest: Iterator[tables.Batch], names: tuple[str, ...]) -> Iterator[InputBatch]:
    for batch in chain((first,), rest):
        yield InputBatch(list(_joined(batch, names)), batch)


def _image_batches(first: tables.Batch, rest: Iterator[tables.Batch], images: Sequence[Any]) -> Iterator[InputBatch]:
    start = 0
    for batch in chain((first,), rest):
        stop = start + len(next(iter(batch.values())))
        yield InputBatch(images[start:stop], batch)
        start = stop


def _row_batches(
    first: tables.Batch, rest: Iterator[tables.Batch], columns: Sequence[RowColumn]
) -> Iterator[InputBatch]:
    import pyarrow as pa

    from nshot.data.columns import known_rows
    from nshot.data.held import HeldTable, cells

    for batch in chain((first,), rest):
        size = len(next(iter(batch.values())))
        # A key that no jsonl row of this batch has is missing in all of them.
        held = {column.name: cells(batch.get(column.name, [None] * size)) for column in columns}
        table = HeldTable({name: pa.chunked_array([values]) for name, values in held.items()})
        yield InputBatch(known_rows(table, columns).rows, batch)


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
        name: _cell_facts(name, pa.chunked_array([tables.as_strings(column)]), is_nested=tables.is_nested(column))
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
    columns = [[value or "" for value in _cells_of_texts(batch[name])] for name in names]
    if len(columns) == 1:
        return columns[0]
    return ["\n".join(parts).strip() for parts in zip(*columns, strict=True)]


def _cells_of_texts(column: tables.Column) -> list[str | None]:
    import pyarrow as pa

    from nshot.data import tables

    cells = tables.as_strings(column)
    found: list[str | None] = cells.to_pylist()
    return spans.flat(pa.chunked_array([cells])).to_pylist() if tables.is_nested(column) else found


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
    facts = [_cell_facts(name, pa.chunked_array([tables.as_strings(column)])) for name, column in first.items()]
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


def _texts(table: HeldTable, columns: tuple[str, ...]) -> ArrowTexts:
    import pyarrow.compute as pc

    cells = {name: spans.flat(table[name]) if name in table.nested else table[name] for name in columns}
    if len(columns) == 1:
        return ArrowTexts(cells[columns[0]])
    filled = [pc.fill_null(cells[name], "") for name in columns]
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


def _part(dataset: Dataset, positions: array[int]) -> Dataset:
    """Return some examples, those in Arrow memory gathered there."""

    def of(column: Sequence[Any] | None) -> list[Any] | None:
        return None if column is None else [column[i] for i in positions]

    examples = dataset.examples
    picked: Sequence[Any]
    if isinstance(examples, ArrowTexts | ArrowRows | ImageFiles):
        picked = examples.take(positions)
    else:
        picked = [examples[i] for i in positions]
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
    """Which columns are what; no text columns: the examples are rows; no label: nothing is labelled."""

    text: tuple[str, ...]
    label: str | None
    group: str | None = None
    time: str | None = None
    other_texts: tuple[str, ...] = ()
    other_labels: tuple[str, ...] = ()
    answers: str | None = None


def _require(columns: tuple[str, ...], options: ReadOptions, name: str) -> None:
    """Refuse names of columns that are not there."""
    for flag, wanted in (
        *(("text", column) for column in options.text),
        *(("columns", column) for column in options.columns),
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
    if options.task not in {None, "generate"}:
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
    taken = {options.label, options.group, options.time, *options.text, *options.columns}
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


def _choose(facts: Mapping[str, recognition.ColumnFacts], table: HeldTable, name: str, options: ReadOptions) -> _Chosen:
    """Return the columns of texts, if the examples are texts, and of labels."""
    columns, rows = tuple(facts), table.rows
    needs_label = options.task not in {kind.value for kind in _WITHOUT_LABELS}
    if len(columns) == 1 and needs_label:
        raise DataError(
            f"{name} has one column ('{columns[0]}'). Expected two or more: the texts and their labels. "
            "Another delimiter is named by --delimiter."
        )
    likely = None if options.text or options.columns else _likely_texts(facts, rows, options)
    if likely is not None and _are_rows(facts[likely.name], facts, table, options):
        likely = None
    text = options.text or ((likely.name,) if likely else ())
    kind = TaskKind(options.task) if options.task else None
    left = {column: fact for column, fact in facts.items() if column not in text}
    label = recognition.Choice(options.label) if options.label else None
    if label is None and kind not in {None, TaskKind.CLASSIFY, TaskKind.TAG}:
        found = _label_of(kind, left, rows, name, options)
        label = recognition.Choice(found) if found else None
    elif label is None:
        label = _likely_labels(left, rows, options.model_copy(update={"text": text or options.columns or ("",)}))
        if label is None:
            raise _no_label(columns, text, [column.name for column in _free(left, options)], name)
    others = tuple(column for column in likely.others if not label or column != label.name) if likely else ()
    written = forms.answers_beside(facts, text, label.name) if label and text else None
    return _Chosen(
        text, label.name if label else None, options.group, options.time, others, label.others if label else (), written
    )


def _are_rows(
    likely: recognition.ColumnFacts,
    facts: Mapping[str, recognition.ColumnFacts],
    table: HeldTable,
    options: ReadOptions,
) -> bool:
    """Whether the examples are rows although a column looks a little like texts.

    That it does is enough where labels are to be told and there are few columns; not where it holds numbers or dates
    that are only written in an unusual way.
    """
    from nshot.data.columns import holds_numbers_or_dates

    if recognition.is_surely_text(likely):
        return False
    is_table = len(_free(facts, options)) > _FEW_COLUMNS or options.task not in {None, "classify"}
    return is_table or holds_numbers_or_dates(table[likely.name])


def _no_label(columns: Sequence[str], text: Sequence[str], free: Sequence[str], name: str) -> DataError:
    what = f"; texts: {_quoted(text)}" if text else ""
    otherwise = (
        "If the answers are texts that a model is to write, say so: --task generate."
        if text
        else "Without any label, anomalies or groups can be found: --task detect, --task cluster."
    )
    return DataError(
        f"No column of {name} looks like labels (few values that repeat). Found: {listed(columns)}{what}. "
        f"Name the label column: --label {free[-1] if free else 'COLUMN'}. {otherwise}"
    )


def _label_of(
    kind: TaskKind | None,
    facts: Mapping[str, recognition.ColumnFacts],
    rows: int,
    name: str,
    options: ReadOptions,
) -> str | None:
    """Return the column that is called what the answers of a task are called; None where the task can do without."""
    if kind in {None, TaskKind.CLASSIFY, TaskKind.TAG}:
        likely = _likely_labels(facts, rows, options.model_copy(update={"text": options.text or ("",)}))
        return likely.name if likely else None
    free = _free(facts, options)
    if kind is not TaskKind.REGRESS:
        usual = [column.name for column in free if recognition.is_named(column.name, recognition.TRUTH_NAMES)]
        return usual[0] if usual else None
    numeric = [column for column in free if column.numeric]
    usual = [
        column.name
        for column in sorted(free, key=lambda column: not column.numeric)
        if recognition.is_named(column.name, recognition.VALUE_NAMES)
    ]
    if not usual:
        raise DataError(
            f"No column of {name} is called what numbers to predict are called. Found: {listed(tuple(facts))}. "
            f"Name it: --label {numeric[-1].name if numeric else 'COLUMN'}."
        )
    return usual[0]


def _task_kind(chosen: _Chosen, table: HeldTable, options: ReadOptions) -> TaskKind:
    """Return what a person asked for; of rows with many different numbers as labels, to predict those."""
    if options.task is not None:
        return TaskKind(options.task)
    if chosen.label is not None and (options.separator or options.empty or tags.holds_several(table[chosen.label])):
        return TaskKind.TAG
    if chosen.text or chosen.label is None or options.labels or options.anomalies or options.normal:
        return TaskKind.CLASSIFY
    return TaskKind.REGRESS if _are_many_numbers(table[chosen.label]) else TaskKind.CLASSIFY


def _are_many_numbers(column: pa.ChunkedArray) -> bool:
    """Whether a column holds numbers of which there are too many to be classes, or fractions, which no classes are."""
    from nshot.data.columns import holds_numbers, number_column

    if not holds_numbers(column):
        return False
    values = set(number_column(column).drop_null().to_pylist())
    return len(values) > _FEWEST_VALUES or not all(value.is_integer() for value in values)


def _facts(table: HeldTable, name: str) -> recognition.ColumnFacts:
    """Return what a column looks like."""
    if table.is_number(name):
        return _number_facts(name, table.native(name))
    return _cell_facts(name, table[name], is_nested=name in table.nested)


def _number_facts(name: str, column: pa.ChunkedArray) -> recognition.ColumnFacts:
    import pyarrow.compute as pc

    from nshot.data import tables

    some = [value for value in tables.as_strings(column.slice(0, _LOOKED_AT).combine_chunks()).to_pylist() if value]
    filled = pc.sum(pc.is_finite(column)).as_py() or 0
    sample = column.slice(0, _SAMPLE_ROWS)
    finite = sample.filter(pc.is_finite(sample))
    return recognition.ColumnFacts(
        name=name,
        filled=filled,
        distinct=pc.count_distinct(column).as_py(),
        mean_characters=sum(map(len, some)) / max(1, len(some)),
        mean_words=1.0,
        numeric=True,
        is_fractional=pc.any(pc.not_equal(finite, pc.floor(finite))).as_py() is True,
    )


def _cell_facts(name: str, column: pa.ChunkedArray, *, is_nested: bool = False) -> recognition.ColumnFacts:
    """Return what a column looks like, a chunk at a time, so that no copy of a large column is made."""
    import pyarrow.compute as pc

    filled = characters = counted = 0
    seen: set[str] = set()
    some: list[str] = []
    for chunk in column.chunks:
        if len(chunk) <= _SAMPLE_ROWS:  # of a wide table: Arrow's functions take longer to call than to compute
            cells = [value for cell in chunk.to_pylist() if cell and (value := cell.strip())]
            filled += len(cells)
            characters += sum(map(len, cells))
            seen.update(cells)
            counted += len(cells)
            some.extend(cells)
            continue
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
    numeric = all(recognition.is_number(value) for value in some)
    is_called_messages = recognition.is_named(name, ("messages", "conversations")) and some[0].startswith("[")
    return recognition.ColumnFacts(
        name=name,
        filled=filled,
        distinct=round(len(seen) * filled / counted) if len(seen) >= _MOST_DISTINCT else len(seen),
        mean_characters=characters / filled,
        mean_words=sum(len(value.split()) for value in some) / len(some),
        numeric=numeric,
        is_truth=all(value.casefold() in recognition.TRUTHS for value in some),
        # A row that is none should be named, and not decide what the others are.
        is_messages=2 * len(lists) >= len(ends) or is_called_messages,
        is_answered=2 * lists.count(ASSISTANT) >= max(1, len(lists)),
        is_nested=is_nested,
        is_json=all(value[0] in "[{" for value in some[:_LOOKED_AT]),
        is_fractional=numeric and not all(recognition.WHOLE_NUMBER.fullmatch(value) for value in some),
    )


def missing_columns(missing: Sequence[str], columns: Sequence[str], name: str) -> DataError:
    """Return the error of rows without columns that a model reads.

    Args:
        missing: The columns.
        columns: Those that there are.
        name: What messages call the file.
    """
    what = "Column" if len(missing) == 1 else "Columns"
    return DataError(
        f"{what} {listed([repr(column) for column in missing], 6)} {'is' if len(missing) == 1 else 'are'} missing from "
        f"{name}; the model was fitted on rows that have {'it' if len(missing) == 1 else 'them'}."
        f"{closest(missing[0], columns)} Found: {listed(columns)}. Add or rename the columns; cells may be empty."
    )


def no_column(wanted: str, name: str, columns: Sequence[str], flag: str) -> DataError:
    """Return the error of a column that was named and is not there.

    Args:
        wanted: The column.
        name: What messages call the file.
        columns: Those that it has.
        flag: The flag that names another one.
    """
    hint = closest(wanted, columns)
    what = "columns that form a row" if flag == "columns" else f"{flag} column"
    example = f" Name the {what}: --{flag} {shlex.quote(columns[0])}." if columns and not hint else ""
    return DataError(f"Column '{wanted}' is missing from {name}. Found: {listed(columns)}.{hint}{example}")


def _quoted(names: Sequence[str]) -> str:
    return " + ".join(f'"{name}"' for name in names)


def _example(columns: Sequence[str], chosen: _Chosen) -> str:
    return next((column for column in columns if column not in {chosen.label, *chosen.text}), "COLUMN")


def _how(opened: tables.Opened) -> str:
    delimiters = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", None: ""}
    parts = [opened.format, opened.encoding, delimiters.get(opened.delimiter, opened.delimiter)]
    return ", ".join(part for part in parts if part)


def _recognised(opened: tables.Opened, chosen: _Chosen, found: Answers | None, task: Task, inputs: _Inputs) -> str:
    """Return what was recognised, and the flags that say otherwise."""
    others = f" (or {listed(chosen.other_labels, 5)})" if chosen.other_labels else ""
    sentence = f"{_how(opened)}: {inputs.described}, {_asked_of(opened, chosen, found, task)}{others}"
    if opened.note:
        sentence += f", {opened.note}"
    if chosen.group:
        sentence += f', groups from "{chosen.group}"'
    if chosen.time:
        sentence += f', times from "{chosen.time}"'
    if chosen.answers:
        sentence += f'; if a model is to write what is in "{chosen.answers}": --task generate'
    return f"{sentence}; {inputs.flags}"


def _asked_of(opened: tables.Opened, chosen: _Chosen, found: Answers | None, task: Task) -> str:
    """Return what is asked, and from which column the truth comes."""
    if found is None:
        return "no labels"
    if task.kind is TaskKind.CLASSIFY:
        return f'{counted(len(task.labels), "label")} from "{chosen.label}"'
    known = [target for target in found.targets if target is not None]
    if task.kind is TaskKind.TAG:
        return _tags_from(chosen, found, task, known, in_columns=chosen.label not in opened.columns)
    if task.kind is TaskKind.REGRESS:
        least, most = (f"{float(f'{end:.6g}'):,.10g}" for end in (min(known), max(known)))
        said = f'numbers to predict from "{chosen.label}", {least} to {most}'
        if found.unreadable:
            said += f" ({counted(len(found.unreadable), 'cell')} without a number)"
        return f"{said} (labels: --task classify)"
    if task.kind is TaskKind.DETECT:
        return f'{counted(sum(known), "anomaly", "anomalies")} of {counted(len(known), "row")} from "{chosen.label}"'
    return f'{counted(len(set(known)), "true group")} from "{chosen.label}"'


def _tags_from(
    chosen: _Chosen, found: Answers, task: Task, known: Sequence[tuple[str, ...]], *, in_columns: bool
) -> str:
    """Return which labels there are, how they are told apart, and what is made of cells without one."""
    between = f" separated by {tags.named(found.separator)}" if found.separator else " in lists"
    said = f'{counted(len(task.labels), "label")} from "{chosen.label}"'
    if in_columns:
        said += ", a column of 0 and 1 each"
    elif any(len(labels) > 1 for labels in known):
        said += f", several a row{between} (one label a row: --task classify)"
    blank, without = len(found.targets) - len(known), sum(not labels for labels in known)
    if without:
        otherwise = "" if in_columns else " (not labelled yet: --empty unlabelled)"
        said += f"; {counted(without, 'row')} to which none applies{otherwise}"
    if blank:
        said += f"; {counted(blank, 'row')} not labelled (none applies: --empty none)"
    return said
