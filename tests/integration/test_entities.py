"""Entities on real data, as a user types it."""

from __future__ import annotations

import json

import pandas
import pytest

import nshot as package
from integration.calling import nshot, succeeded


@pytest.fixture(scope="module")
def files(shared_data, tmp_path_factory):
    """Return some sentences of BC5CDR to learn from, and others as a test."""
    folder = tmp_path_factory.mktemp("entities")
    for name, n in (("train", 150), ("test", 120)):
        whole = (shared_data / "ner" / "bc5cdr" / f"{name}.tsv").read_text()
        (folder / f"{name}.tsv").write_text("\n\n".join(whole.split("\n\n")[:n]) + "\n")
    return folder


@pytest.fixture(scope="module")
def comparison(files):
    """Return the folder of a comparison of the ways that need no model."""
    out = files / "out"
    options = ("--methods", "seen_spans,word_features", "--repeats", "1", "--sizes", "30", "--out", out)
    return succeeded("compare", files / "train.tsv", "--test", files / "test.tsv", *options), out


def test_a_comparison_ends_with_a_verdict_a_report_and_a_model(comparison):
    called, out = comparison
    assert "entity F1 by labelled texts" in called.out
    record = json.loads((out / "verdict.json").read_text())
    assert record["task"] == "extract"
    assert record["n_labels"] == 150
    markdown = (out / "report.md").read_text()
    assert "| label | precision | recall | F1 | entities |" in markdown
    assert "## What it misses" in markdown
    html = (out / "report.html").read_text()
    assert "What it misses" in html
    assert "<mark>" in html
    assert package.load(out / "model").method == record["pick"]["method"]


def test_predictions_name_what_they_mark(comparison, tmp_path):
    model = comparison[1] / "model"
    text = "Naloxone reverses the effect of clonidine ."
    lines = tmp_path / "new.jsonl"
    lines.write_text(json.dumps({"text": text}) + "\n")
    found = json.loads(succeeded("predict", model, lines, "--quiet").out)
    for span in found["spans"]:
        assert text[span["start"] : span["end"]] == span["text"]
    assert [tuple(span) for span in package.load(model).predict([text])[0]] == [
        (span["start"], span["end"], span["label"]) for span in found["spans"]
    ]


def test_a_table_has_the_spans_of_a_text_as_json_in_a_cell(comparison, files, tmp_path):
    for ending, read in ((".csv", pandas.read_csv), (".parquet", pandas.read_parquet)):
        out = tmp_path / f"answers{ending}"
        succeeded("predict", comparison[1] / "model", files / "test.tsv", "--out", out, "--quiet")
        rows = read(out)
        assert len(rows) == 120
        assert any(json.loads(cell) for cell in rows["spans"])


def test_an_evaluation_tells_of_each_label(comparison, files):
    called = succeeded("evaluate", comparison[1] / "model", files / "test.tsv", "--json").json()
    assert {found["label"] for found in called["models"][0]["labels"]} == {"Chemical", "Disease"}
    assert called["metrics"]["entity_f1"]["score"] == pytest.approx(
        json.loads((comparison[1] / "verdict.json").read_text())["pick"]["score_as_measured"], abs=0.02
    )


def test_a_limit_that_does_not_hold_fails(comparison, files):
    assert nshot("evaluate", comparison[1] / "model", files / "test.tsv", "--fail-under", "0.99").code == 1


def test_data_of_entities_can_be_checked(files):
    found = succeeded("check", files / "train.tsv", "--json").json()
    assert found["task"] == "extract"
    assert found["labels"] == ["Chemical", "Disease"]
