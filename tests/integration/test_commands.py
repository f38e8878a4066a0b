from __future__ import annotations

import csv
import io
import json

import pytest

import nshot as package
from integration.calling import nshot, succeeded, tickets, write_csv

NEW = [text for text, _ in tickets(9, seed=7)]


@pytest.fixture
def new(tmp_path):
    """Return a table of new texts, with a column of its own."""
    return write_csv(tmp_path / "new.csv", [(str(i), text) for i, text in enumerate(NEW)], ("id", "message"))


@pytest.fixture
def model(shared_comparison):
    return shared_comparison.out / "model"


@pytest.fixture
def expected(model) -> list[str]:
    """Return what the model answers from Python."""
    return package.load(model).predict(NEW)


def answered(text: str) -> list[str]:
    return [row["prediction"] for row in csv.DictReader(io.StringIO(text))]


def test_the_model_that_is_handed_over_answers_well_and_as_from_python(model, new, expected):
    assert expected == [label for _, label in tickets(9, seed=7)]
    shown = succeeded("predict", model, new).out
    assert answered(shown) == expected
    first = next(csv.DictReader(io.StringIO(shown)))
    assert list(first) == ["id", "message", "prediction", "probability"]
    assert (first["id"], first["message"]) == ("0", NEW[0])


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_answers_are_written_in_the_format_of_the_ending(ending, model, new, expected, tmp_path):
    import pyarrow.parquet

    out = tmp_path / f"answers.{ending}"
    assert succeeded("predict", model, new, "--out", out, "--quiet").out == ""
    if ending == "parquet":
        found = pyarrow.parquet.read_table(out)["prediction"].to_pylist()
    elif ending == "jsonl":
        found = [json.loads(line)["prediction"] for line in out.read_text().splitlines()]
    else:
        found = answered(out.read_text().replace("\t", ",") if ending == "tsv" else out.read_text())
    assert found == expected
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_texts_from_standard_input_are_answered_line_by_line(model, expected):
    assert answered(succeeded("predict", model, "-", stdin="\n".join(NEW)).out) == expected


def test_a_table_from_standard_input_is_answered_row_by_row(model, new, expected):
    assert answered(succeeded("predict", model, "-", stdin=new.read_text()).out) == expected


def test_all_probabilities_are_written_on_demand_and_sum_to_one(model, new):
    rows = list(csv.DictReader(io.StringIO(succeeded("predict", model, new, "--all").out)))
    names = [name for name in rows[0] if name.startswith("probability_")]
    assert names == ["probability_billing", "probability_delivery", "probability_login"]
    for row in rows:
        assert sum(float(row[name]) for name in names) == pytest.approx(1.0, abs=1e-5)
        assert float(row["probability"]) == max(float(row[name]) for name in names)


def test_a_comparison_hands_over_the_same_model_from_python(shared_comparison, expected):
    found = package.write_report(shared_comparison.out)
    assert found.pick["method"] == "tfidf_linear"
    assert found.load().predict(NEW) == expected


# ------------------------------------------------------------------------------------------ check


def test_check_json_tells_rows_task_and_findings(tmp_path):
    data = write_csv(tmp_path / "a.csv", [*tickets(30), *tickets(4), ("a text that is twice", "login")])
    shown = succeeded("check", data, "--json").json()
    assert (shown["rows"], shown["task"]) == (35, "classify")
    assert shown["labels"] == ["billing", "delivery", "login"]
    assert any(finding["code"] == "N102" for finding in shown["checks"])
    for finding in shown["checks"]:
        assert {"code", "title", "severity", "explanation", "rows"} <= set(finding)


def test_check_strict_fails_on_an_issue_and_only_then(tmp_path):
    clean = write_csv(tmp_path / "clean.csv", tickets(90))
    assert nshot("check", clean, "--strict").code == 0
    leaking = write_csv(tmp_path / "test.csv", tickets(30))
    called = nshot("check", clean, "--test", leaking, "--strict", "--json")
    assert called.code == 1
    assert any(finding["code"] == "N103" for finding in called.json()["checks"]), "stdout stays one JSON object"
    assert "--strict was given" in called.err
    assert nshot("check", clean, "--test", leaking).code == 0


def test_check_names_rows_as_people_count_them(tmp_path):
    rows = [*tickets(30), ("", "login")]
    assert "Rows: 31" in succeeded("check", write_csv(tmp_path / "a.csv", rows)).out


# ------------------------------------------------------------------------------------------ the others


def test_fit_saves_a_model_and_tells_what_it_took(shared_comparison, tmp_path, new, expected):
    out = tmp_path / "model"
    shown = succeeded("fit", shared_comparison.data, "--method", "tfidf_linear", "--out", out, "--json").json()
    assert shown["fit_seconds"] > 0
    assert shown["peak_memory_bytes"] > 0
    assert (shown["examples_seen"], shown["training_page"]) == (None, None), "it trains no network"
    assert (shown["method"], shown["n_labels"], shown["model"]) == ("tfidf_linear", 120, str(out))
    assert answered(succeeded("predict", out, new).out) == expected, "the same fit as the one that was handed over"


def test_fit_takes_options_of_the_method(shared_comparison, tmp_path):
    options = ("--method", "tfidf_linear", "--set", "strength=0.5")
    shown = succeeded("fit", shared_comparison.data, *options, "--out", tmp_path / "model")
    assert "tfidf_linear fitted on 120 labels" in shown.out
    assert '"strength": 0.5' in (tmp_path / "model" / "manifest.json").read_text()


def test_methods_lists_every_method_and_explains_one():
    shown = succeeded("methods", "--json").json()["methods"]
    assert [item["name"] for item in shown] == sorted(item["name"] for item in shown)
    assert {"label_similarity", "linear_probe", "lora", "majority"} <= {item["name"] for item in shown}
    assert all(item["summary"] for item in shown)
    explained = succeeded("methods", "lora").out
    assert "rank" in explained
    assert "Set one: --set lora." in explained


def test_the_features_that_a_comparison_caches_are_those_that_cache_shows_and_clears(tmp_path, monkeypatch):
    monkeypatch.setenv("NSHOT_CACHE_DIR", str(tmp_path / "cache"))
    data = write_csv(tmp_path / "a.csv", tickets(40))
    succeeded("compare", data, "--methods", "linear_probe", "--plan", "--quiet")
    assert succeeded("cache", "--json").json()["vectors"] >= 40
    assert succeeded("cache", "--clear", "--json").json()["vectors"] == 0
    assert not list((tmp_path / "cache").rglob("*.vectors"))


@pytest.mark.parametrize("command", ["doctor", "models", "cache"])
def test_what_this_machine_has_is_one_json_object(command):
    assert succeeded(command, "--json").json()


def test_the_default_model_is_listed():
    assert "all-MiniLM-L6-v2" in succeeded("models").out
