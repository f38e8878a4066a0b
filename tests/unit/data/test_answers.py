"""Answers of another system for known rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nshot.core import DataError
from nshot.data.answers import read_answers
from nshot.data.options import ReadOptions
from nshot.data.reading import Source, read

ROWS = [{"heat": float(i), "noise": float(i % 3), "value": 10.0 * i, "state": "10"[i > 2]} for i in range(6)]


def source(task: str, label: str) -> Source:
    return read(ROWS, ReadOptions(task=task, label=label, columns=("heat", "noise")))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "answers.csv"
    path.write_text(text)
    return path


def test_predicted_numbers_are_values(tmp_path):
    rows = source("regress", "value")
    path = written(tmp_path, "id,prediction\n" + "".join(f"{i},{i * 1.5}\n" for i in range(6)))
    assert read_answers(path, rows, rows.task).values.tolist() == [0, 1.5, 3, 4.5, 6, 7.5]


def test_anomaly_scores_are_scores_whatever_else_stands_there(tmp_path):
    rows = source("detect", "state")
    path = written(tmp_path, "prediction,score\n" + "".join(f"no,{i - 3}\n" for i in range(6)))
    found = read_answers(path, rows, rows.task)
    assert np.array_equal(found.scores, np.arange(6.0) - 3)
    assert found.labels is None


def test_groups_are_names_and_an_empty_cell_is_no_group(tmp_path):
    rows = source("cluster", "state")
    path = written(tmp_path, "id,group\n0,a\n1,a\n2,b\n3,\n4,b\n5,b\n")
    assert list(read_answers(path, rows, rows.task).labels) == ["a", "a", "b", "", "b", "b"]


@pytest.mark.parametrize("cell", ["", "cheap", "nan", "inf", "1,5"])
def test_an_answer_that_is_no_number_is_named_with_its_row(tmp_path, cell):
    rows = source("regress", "value")
    path = written(tmp_path, "id\tprediction\n" + "".join(f"{i}\t{cell if i == 4 else i}\n" for i in range(6)))
    with pytest.raises(DataError, match="in row 5, which is no number"):
        read_answers(path, rows, rows.task)


def test_another_number_of_rows_is_refused(tmp_path):
    rows = source("detect", "state")
    with pytest.raises(DataError, match="5 answers for the 6 rows"):
        read_answers(written(tmp_path, "score\n" + "1\n" * 5), rows, rows.task)
