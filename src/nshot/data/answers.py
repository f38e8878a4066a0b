"""Reading the answers that another system gave for known rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nshot.core import DataError, Prediction, Task, TaskKind, closest
from nshot.data.options import ReadOptions
from nshot.data.outputs import OutputOptions, read_outputs
from nshot.data.reading import Source

_NAMES = ("prediction", "predicted", "predicted_label", "answer", "output")
_NAMES_BY_TASK = {
    TaskKind.REGRESS: ("prediction", "predicted", "value", "answer", "output"),
    TaskKind.DETECT: ("score", "anomaly_score", "outlier_score", "prediction", "output"),
    TaskKind.CLUSTER: ("group", "cluster", "segment", "prediction", "output"),
}
_NUMBERS = frozenset({TaskKind.REGRESS, TaskKind.DETECT})


def read_answers(path: Path, rows_of: Source, task: Task) -> Prediction:
    """Return one answer for each labelled row of `rows_of`, in its order.

    Labels; or what the task asks for: texts, numbers, anomaly scores (higher is stranger) or names of groups.

    Args:
        path: A table with a row per row of that file, in the same order, and a column ``prediction`` (or, to detect,
            ``score``; or named like the labels' column, or its only column). To generate, anything that `read_outputs`
            takes, also with one row for each different input, in the order in which they first come.
        rows_of: The rows that were answered.
        task: Its labels are the ones that count.

    Raises:
        DataError: The rows do not match, or an answer is not what the task asks for.
    """
    from nshot.data import tables

    if task.kind is TaskKind.GENERATE:
        return Prediction(texts=_texts(path, rows_of))
    names = _NAMES_BY_TASK.get(task.kind, _NAMES)
    usual = names if rows_of.label_column is None else (*names, rows_of.label_column)
    opened = tables.open_table(path, ReadOptions(), expected=usual)
    wanted = [name for name in usual if name in opened.columns]
    if not wanted and len(opened.columns) > 1:
        raise DataError(
            f"{path} has no column '{names[0]}'. Found: {', '.join(opened.columns)}. "
            "Name the column with the answers so."
        )
    column = wanted[0] if wanted else opened.columns[0]
    answers = [value for batch in opened.batches(4096) for value in tables.as_strings(batch[column]).to_pylist()]
    if len(answers) != rows_of.rows:
        raise DataError(
            f"{path} has {len(answers):,} answers for the {rows_of.rows:,} rows of {rows_of.name}; "
            "expected one per row, in the same order."
        )
    if task.kind in _NUMBERS:
        numbers = np.array([_number(answers[row], row, path) for row in rows_of.positions], dtype=np.float64)
        return Prediction(values=numbers) if task.kind is TaskKind.REGRESS else Prediction(scores=numbers)
    if task.kind is TaskKind.CLUSTER:
        return Prediction(labels=[answers[row] or "" for row in rows_of.positions])
    known = set(task.labels)
    if task.kind is TaskKind.TAG:
        return Prediction(labels=_tags(answers, rows_of, task, path))
    for row in rows_of.positions:
        if answers[row] not in known:
            raise DataError(
                f"{path} answers {answers[row]!r:.60} in row {row + 1}, which is no label of {rows_of.name}."
                f"{closest(str(answers[row]), known)}"
            )
    return Prediction(labels=[str(answers[row]) for row in rows_of.positions])


def _tags(answers: list[str | None], rows_of: Source, task: Task, path: Path) -> list[tuple[str, ...]]:
    """Return the labels that were given to each labelled row; an empty cell gives none."""
    import pyarrow as pa

    from nshot.data import tags

    column = pa.chunked_array([pa.array(answers, pa.string())])
    separator = tags.separator_of(column, task.labels, rows_of.separator)
    given = [tags.labels_of((answers[row] or "").strip(), separator) for row in rows_of.positions]
    for row, labels in zip(rows_of.positions, given, strict=True):
        unknown = next((label for label in labels if label not in task.labels), None)
        if unknown is not None:
            raise DataError(
                f"{path} answers {unknown!r:.60} in row {row + 1}, which is no label of {rows_of.name}."
                f"{closest(unknown, task.labels)}"
            )
    return given


def _number(cell: str | None, row: int, path: Path) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{path} answers {cell!r:.60} in row {row + 1}, which is no number. Expected one in each row, with a point "
            "before its decimals, such as 1250.5."
        )
    return value


def _texts(path: Path, rows_of: Source) -> list[str]:
    texts = read_outputs(path, OutputOptions()).texts
    if len(texts) == rows_of.rows:
        return [texts[row] for row in rows_of.positions]
    place = {found: i for i, found in enumerate(dict.fromkeys(rows_of.inputs))}
    if len(texts) == len(place):
        return [texts[place[rows_of.inputs[row]]] for row in rows_of.positions]
    raise DataError(
        f"{path} has {len(texts):,} answers for the {rows_of.rows:,} rows of {rows_of.name} with {len(place):,} "
        "different inputs; expected one per row or one per input, in the same order."
    )
