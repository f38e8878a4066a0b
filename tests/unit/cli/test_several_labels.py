"""Several labels for one example, from a file to its answers, as a person types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nshot.cli import main

PARTS = {"late": "it came much too late", "torn": "the box was torn open", "kind": "the driver was very kind"}
ROWS = [(), ("late",), ("torn",), ("late", "torn"), ("kind",), ("kind", "torn"), ("late",), ("torn",)] * 12


def written(path: Path, rows: list[tuple[str, ...]], separator: str = ";") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["message", "tags"])
        for i, labels in enumerate(rows):
            said = " and ".join(PARTS[label] for label in labels) or "nothing to say"
            writer.writerow([f"parcel {i * 37 % 101}: {said}, yours number {i}", separator.join(labels)])
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    data = written(folder / "train.csv", ROWS)
    assert main.run(["fit", str(data), "--method", "tfidf_linear", "--out", str(folder / "model"), "--quiet"]) == 0
    return folder / "model"


def test_answers_are_joined_as_the_labels_were_and_lists_where_a_file_has_lists(model, tmp_path):
    data = written(tmp_path / "new.csv", [("late", "torn"), (), ("kind",)])
    assert main.run(["predict", str(model), str(data), "--out", str(tmp_path / "a.csv"), "--quiet"]) == 0
    answers = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["prediction"] for row in answers] == ["late;torn", "", "kind"]
    assert main.run(["predict", str(model), str(data), "--out", str(tmp_path / "a.jsonl"), "--all", "--quiet"]) == 0
    first = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert first["prediction"] == ["late", "torn"]
    assert 0 <= first["probability_kind"] < first["probability_late"] <= 1


def test_an_evaluation_tells_the_labels_and_those_that_the_model_does_not_know(model, tmp_path, capsys):
    data = written(tmp_path / "test.csv", [("late", "torn"), (), ("kind",), ("late",)] * 3)
    data.write_text(data.read_text() + "somebody was rude and it was late,rude;late\n")
    assert main.run(["evaluate", str(model), str(data), "--json", "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["n"], record["metric"]) == (13, "macro_tag_f1")
    assert set(record["metrics"]) == {
        "macro_tag_f1",
        "micro_tag_f1",
        "subset_accuracy",
        "hamming_loss",
        "macro_average_precision",
    }
    own = record["models"][0]
    assert own["unknown_labels"] == {"rude": 1}
    worst = own["labels"][0]
    assert (worst["label"], worst["rows"], worst["answers"], worst["recall"]["score"]) == ("rude", 1, 0, 0.0)
    assert {found["label"]: found["rows"] for found in own["labels"]}["late"] == 7


def test_labels_of_another_column_are_refused(model, tmp_path, capsys):
    path = tmp_path / "test.csv"
    path.write_text("message,tags\nit came late,x;y\nthe box,y\nthe driver,x\n")
    assert main.run(["evaluate", str(model), str(path)]) == 2
    assert "None of the 2 labels" in capsys.readouterr().err


def test_a_limit_that_is_not_reached_fails(model, tmp_path):
    data = written(tmp_path / "test.csv", [("late", "torn"), (), ("kind",), ("late",)] * 3)
    assert main.run(["evaluate", str(model), str(data), "--fail-under", "micro_tag_f1=0.5", "--quiet"]) == 0
    swapped = written(tmp_path / "other.csv", [("kind",), ("torn",)] * 6)
    swapped.write_text(swapped.read_text().replace("very kind", "torn open").replace(",kind", ",late"))
    assert main.run(["evaluate", str(model), str(swapped), "--fail-under", "macro_tag_f1=0.9", "--quiet"]) == 1


def test_a_check_counts_labels_and_names_the_rare_ones(tmp_path, capsys):
    data = written(tmp_path / "a.csv", [*ROWS, ("kind", "late", "torn")])
    data.write_text(data.read_text() + "one of its kind and torn,odd;torn\n")
    assert main.run(["check", str(data), "--json", "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["task"] == "tag"
    rare = next(check for check in record["checks"] if check["code"] == "N105")
    assert rare["details"]["counts"] == {"odd": 1}
