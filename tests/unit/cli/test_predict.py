"""What ``nshot predict`` writes beside the columns of its input, by what the model answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nshot import api
from nshot.cli import main

ROWS = [
    {"heat": 1.0 + (i % 7) / 10 + (40 if i > 55 else 0), "site": "AB"[i % 2], "value": 3.0 * i, "state": "01"[i > 55]}
    for i in range(60)
]


def saved(folder: Path, **options: object) -> Path:
    api.fit(ROWS, columns="heat,site", out=folder / "model", **options)
    return folder / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["note", "site", "heat"])
        writer.writeheader()
        writer.writerows({"note": f"n{i}", "site": "B", "heat": heat} for i, heat in enumerate([1.2, "", 44.0]))
    return path


def predicted(model: Path, data: Path, out: Path) -> list[dict[str, str]]:
    assert main.run(["predict", str(model), str(data), "--out", str(out)]) == 0
    if out.suffix == ".jsonl":
        return [json.loads(line) for line in out.read_text().splitlines()]
    return list(csv.DictReader(out.read_text().splitlines()))


def test_a_number_is_added(tmp_path, data):
    model = saved(tmp_path, task="regress", label="value", method="linear_probe")
    rows = predicted(model, data, tmp_path / "out.csv")
    assert list(rows[0]) == ["note", "site", "heat", "prediction"]
    assert all(float(row["prediction"]) == pytest.approx(float(row["prediction"])) for row in rows)
    assert isinstance(predicted(model, data, tmp_path / "out.jsonl")[0]["prediction"], float)


def test_a_score_is_added_and_whether_it_tells_an_anomaly_where_that_is_known(tmp_path, data):
    model = saved(tmp_path, task="detect", label="state", method="nearest_distance")
    rows = predicted(model, data, tmp_path / "out.csv")
    assert list(rows[0]) == ["note", "site", "heat", "score"]
    loaded = api.load(model)
    about = loaded.about.model_copy(update={"threshold": float(rows[0]["score"]) + 0.01})
    api.Model(loaded._method, loaded.task, loaded._predictor, about).save(model)
    rows = predicted(model, data, tmp_path / "out.jsonl")
    assert list(rows[0]) == ["note", "site", "heat", "score", "anomaly"]
    assert rows[0]["anomaly"] is False
    assert all(row["anomaly"] == (row["score"] > about.threshold) for row in rows)


def test_a_group_is_added(tmp_path, data):
    model = saved(tmp_path, task="cluster", method="k_means", set=("groups=2",))
    rows = predicted(model, data, tmp_path / "out.csv")
    assert list(rows[0]) == ["note", "site", "heat", "group"]
    assert {row["group"] for row in rows} <= {"1", "2"}


def test_a_label_with_its_probability_is_added_to_rows_as_to_texts(tmp_path, data):
    model = saved(tmp_path, task="classify", label="state", method="linear_probe")
    assert list(predicted(model, data, tmp_path / "out.csv")[0])[3:] == ["prediction", "probability"]


def test_columns_that_the_model_reads_are_asked_for_by_name(tmp_path, data, capsys):
    model = saved(tmp_path, task="regress", label="value", method="linear_probe")
    data.write_text("note,site\na,B\n")
    assert main.run(["predict", str(model), str(data)]) == 2
    assert "Column 'heat' is missing from new.csv" in capsys.readouterr().err


def test_a_file_without_a_header_is_read_as_in_training(tmp_path, capsys):
    rows = [f"{i},{i % 5}.5,{3 * i}" for i in range(40)]
    train, new = tmp_path / "train.txt", tmp_path / "new.txt"
    train.write_text("\n".join(rows))
    new.write_text("\n".join(rows[:5]))
    api.fit(train, task="regress", label="column_3", method="linear_probe", out=tmp_path / "model")
    assert main.run(["predict", str(tmp_path / "model"), str(new)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "column_1,column_2,column_3,prediction"
