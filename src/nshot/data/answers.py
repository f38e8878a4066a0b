"""Reading the answers that another system gave for known rows."""

from __future__ import annotations

from pathlib import Path

from nshot.core import DataError, Prediction, Task, closest
from nshot.data.options import ReadOptions
from nshot.data.reading import Source

_NAMES = ("prediction", "predicted", "predicted_label", "answer", "output")


def read_answers(path: Path, rows_of: Source, task: Task) -> Prediction:
    """Return one answer for each labelled row of `rows_of`, in its order: labels, or texts where the task has none.

    Args:
        path: A table with a row per row of that file, in the same order, and a column ``prediction`` (or named like the
            labels' column, or its only column).
        rows_of: The rows that were answered.
        task: Its labels are the ones that count.

    Raises:
        DataError: The rows do not match, or an answer is no label of the task.
    """
    from nshot.data import tables

    opened = tables.open_table(path, ReadOptions(), expected=(*_NAMES, rows_of.label_column))
    wanted = [name for name in (*_NAMES, rows_of.label_column) if name in opened.columns]
    if not wanted and len(opened.columns) > 1:
        raise DataError(
            f"{path} has no column 'prediction'. Found: {', '.join(opened.columns)}. "
            "Name the column with the answers so."
        )
    column = wanted[0] if wanted else opened.columns[0]
    answers = [value for batch in opened.batches(4096) for value in tables.as_strings(batch[column]).to_pylist()]
    if len(answers) != rows_of.rows:
        raise DataError(
            f"{path} has {len(answers):,} answers for the {rows_of.rows:,} rows of {rows_of.name}; "
            "expected one per row, in the same order."
        )
    if not task.labels:
        return Prediction(texts=[answers[row] or "" for row in rows_of.positions])
    known = set(task.labels)
    for row in rows_of.positions:
        if answers[row] not in known:
            raise DataError(
                f"{path} answers {answers[row]!r:.60} in row {row + 1}, which is no label of {rows_of.name}."
                f"{closest(str(answers[row]), known)}"
            )
    return Prediction(labels=[str(answers[row]) for row in rows_of.positions])
