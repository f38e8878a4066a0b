"""What the label column says, by task: a label, a value, an anomaly or not, the name of a group."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import DataError, OptionError, Task, TaskKind, closest, counted, listed, names_anomaly, shortened
from nshot.data import recognition, tags
from nshot.data.options import ReadOptions
from nshot.data.recognition import TRUTHS, WHOLE_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

_METRICS = {
    TaskKind.CLASSIFY: "macro_f1",
    TaskKind.TAG: "macro_tag_f1",
    TaskKind.REGRESS: "r2",
    TaskKind.DETECT: "average_precision",
    TaskKind.CLUSTER: "nmi",
    TaskKind.COMPRESS: "psnr",
}
_SHOWN = 60
_UNITS = {TaskKind.DETECT: "labelled anomalies"}


@dataclass(frozen=True, eq=False)
class Answers:
    """What a label column says.

    Attributes:
        targets: A target per row, as `Dataset.targets` has it for the kind of task; None where there is none.
        task: What is asked.
        unreadable: Rows whose cell is neither empty nor a number, to `regress`.
        separator: What stands between the labels of a cell, to `tag`; None where nothing does, or cells are lists.
    """

    targets: Sequence[Any]
    task: Task
    unreadable: tuple[int, ...] = ()
    separator: str | None = None


def answers(
    column: pa.ChunkedArray, kind: TaskKind, options: ReadOptions, *, name: str, label: str, fewest_labels: int = 2
) -> Answers:
    """Return the targets of a training file, and the task.

    Args:
        column: The label column, as strings.
        kind: What is asked.
        options: What a person said of the labels.
        name: What messages call the file.
        label: Name of the column.
        fewest_labels: So many different labels there have to be, to classify.

    Raises:
        DataError: The column does not say what the task needs; the message names the flag that helps.
    """
    _refuse_options(kind, options)
    if kind is TaskKind.TAG:
        return _tags(column, options, name, label)
    if kind is TaskKind.REGRESS:
        values, unreadable = _values(column, name, label)
        return Answers(values, without_labels(kind), unreadable)
    labels = labels_in(column)
    if kind is TaskKind.DETECT:
        return Answers(_marks(labels, options, name, label), without_labels(kind))
    if kind is TaskKind.CLASSIFY:
        given = [value for value in labels if value is not None]
        return Answers(labels, _classes(given, options, name, label, fewest_labels))
    return Answers(labels, without_labels(kind))


def answers_like(
    column: pa.ChunkedArray,
    task: Task,
    options: ReadOptions,
    *,
    name: str,
    label: str,
    train: str,
    separator: str | None = None,
) -> Answers:
    """Return the targets of a test.

    Args:
        column: The label column, as strings.
        task: Of the training file.
        options: What a person said of the labels.
        name: What messages call the file.
        label: Name of the column.
        train: What messages call the training file.
        separator: What stands between labels there, to tag.

    Raises:
        DataError: The column does not say what the task needs, or has labels that the training file does not have.
    """
    if task.kind is TaskKind.TAG:
        return _tags_like(column, task, options, name, train, separator)
    if task.kind is not TaskKind.CLASSIFY:
        found = answers(column, task.kind, options, name=name, label=label)
        return Answers(found.targets, task, found.unreadable)
    labels = labels_in(column)
    refuse_unknown([value for value in labels if value is not None], task, name, train)
    return Answers(labels, task)


def without_labels(kind: TaskKind) -> Task:
    """Return a task that has no labels to answer with."""
    return Task(kind, metric=_METRICS[kind], unit=_UNITS.get(kind, "rows"))


def _refuse_options(kind: TaskKind, options: ReadOptions) -> None:
    if options.anomalies and options.normal:
        raise OptionError(
            "--anomalies and --normal were both given. Expected one: all other labels are then the opposite."
        )
    if (options.anomalies or options.normal) and kind is not TaskKind.DETECT:
        flag = "--anomalies" if options.anomalies else "--normal"
        raise OptionError(f"{flag} says which labels are anomalies, but the task is to {kind}. Add: --task detect.")
    if (options.separator or options.empty) and kind is not TaskKind.TAG:
        flag = "--separator" if options.separator else "--empty"
        raise OptionError(f"{flag} is about cells with several labels, but the task is to {kind}. Add: --task tag.")
    if options.labels and kind not in {TaskKind.CLASSIFY, TaskKind.TAG}:
        raise DataError(
            f"{options.labels} describes labels (--labels), but the task is to {kind}. "
            "Leave --labels out, or say that they are labels: --task classify."
        )


# --- labels -----------------------------------------------------------------------------------------------------------


def labels_in(column: pa.ChunkedArray) -> list[str | None]:
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
    if numbers and all(WHOLE_NUMBER.fullmatch(value) for value in numbers):
        return {value: value.split(".")[0] if value in numbers else None for value in [*values, ""]}
    if written and all(value.casefold() in TRUTHS for value in written):
        return {value: value.casefold() or None for value in [*values, ""]}
    return {value: value or None for value in [*values, ""]}


def _tags(column: pa.ChunkedArray, options: ReadOptions, name: str, label: str) -> Answers:
    """Return the labels of each row, of which there may be several or none."""
    separator = options.separator or tags.separator_of(column)
    targets = tags.read_cells(column, separator, options.empty)
    found = tuple(sorted({label for row in targets if row for label in row}))
    if not found:
        raise DataError(
            f"No row of {name} has a label in the column '{label}'. Expected several labels in a cell, such as "
            '"a;b", or a list. Another column is named by --label, what stands between labels by --separator.'
        )
    return Answers(targets, _labelling(TaskKind.TAG, found, options, name), separator=separator)


def _tags_like(
    column: pa.ChunkedArray, task: Task, options: ReadOptions, name: str, train: str, usual: str | None
) -> Answers:
    separator = options.separator or tags.separator_of(column, task.labels, usual)
    targets = tags.read_cells(column, separator, options.empty)
    refuse_unknown([label for row in targets if row for label in row], task, name, train)
    return Answers(targets, task, separator=separator)


def _classes(targets: Sequence[str], options: ReadOptions, name: str, column: str, fewest: int) -> Task:
    labels = tuple(sorted(set(targets)))
    if len(labels) == 1 < fewest:
        all_of_them = f"All {len(targets):,} labelled rows" if len(targets) > 1 else "The only labelled row"
        have = "have" if len(targets) > 1 else "has"
        raise DataError(
            f"{all_of_them} of {name} {have} the label '{shortened(labels[0], _SHOWN)}' (column '{column}'). "
            "Expected two labels or more. Another column is named by --label."
        )
    return _labelling(TaskKind.CLASSIFY, labels, options, name)


def _labelling(kind: TaskKind, labels: tuple[str, ...], options: ReadOptions, name: str) -> Task:
    descriptions = _descriptions(options.labels, labels, name) if options.labels else {}
    return Task(
        kind,
        labels,
        descriptions,
        metric=_METRICS[kind],
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


def refuse_unknown(targets: Sequence[str], task: Task, name: str, train: str) -> None:
    """Refuse the labels of a test that its training file does not have.

    Args:
        targets: The labels of the test, one for each row or entity that has it.
        task: Of the training file.
        name: What messages call the test.
        train: What messages call the training file.

    Raises:
        DataError: There are some; the message names them.
    """
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


# --- values -----------------------------------------------------------------------------------------------------------


def _values(column: pa.ChunkedArray, name: str, label: str) -> tuple[list[float | None], tuple[int, ...]]:
    """Return a value per row, None where there is none, and the rows whose cell is something else."""
    import numpy as np
    import pyarrow.compute as pc

    from nshot.data.columns import number_column
    from nshot.data.written import MISSING

    read = number_column(column)
    values = np.array(read.to_numpy(), np.float64)
    values[~np.isfinite(values)] = np.nan
    nothing = np.isnan(values)
    if nothing.all():
        seen = [value for value in pc.unique(column.slice(0, 100)).to_pylist() if value and value.strip()]
        found = f" Found {', '.join(repr(value) for value in seen[:3])}." if seen else " It is empty in all rows."
        raise DataError(
            f"The column '{label}' of {name} must hold numbers, to predict them (--task regress).{found} "
            "Name the column with the numbers: --label COLUMN; or if these are labels: --task classify."
        )
    empty = pc.fill_null(pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(column)), _strings(MISSING)), True).to_numpy()
    unreadable = tuple(np.flatnonzero(nothing & ~empty).tolist())
    return [None if gone else value for value, gone in zip(values.tolist(), nothing.tolist(), strict=True)], unreadable


def _strings(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())


# --- anomalies --------------------------------------------------------------------------------------------------------


def _marks(labels: Sequence[str | None], options: ReadOptions, name: str, column: str) -> list[bool | None]:
    """Return for each row whether its label is an anomaly."""
    found = sorted({label for label in labels if label is not None})
    anomalies = _anomalies(found, options, name, column)
    return [None if label is None else label in anomalies for label in labels]


def _anomalies(found: Sequence[str], options: ReadOptions, name: str, column: str) -> frozenset[str]:
    """Return the labels that are anomalies."""
    named, flag = (options.anomalies, "anomalies") if options.anomalies else (options.normal, "normal")
    if named:
        absent = [label for label in named if label not in found]
        if len(absent) == len(named):
            raise DataError(
                f"--{flag} names {listed([repr(label) for label in absent])}, and no row of {name} has such a label "
                f"(column '{column}').{closest(absent[0], found)} Its labels: {listed(found)}."
            )
        return frozenset(named) if options.anomalies else frozenset(found) - frozenset(named)
    meanings = {label: names_anomaly(label) for label in found}
    if None not in meanings.values():
        return frozenset(label for label in found if meanings[label])
    if len(found) == 2:
        # One of two is called normal (or an anomaly): the other is the opposite, whatever it is called.
        said = next((label for label in found if meanings[label] is not None), None)
        if said is not None:
            return frozenset(label for label in found if (label == said) == meanings[said])
    raise DataError(
        f"The column '{column}' of {name} must say which rows are anomalies: 1 or 0, true or false, anomaly or normal. "
        f"Found {counted(len(found), 'label')}: {listed(found)}. Name those that are anomalies, --anomalies A,B, or "
        "those that are not: --normal A."
    )
