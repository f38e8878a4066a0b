from __future__ import annotations

import csv
import json

import pytest

import nshot
from endpoints import serving
from nshot.cli.main import run
from nshot.core import OptionError

QUESTIONS = [f"capital of country number {i}" for i in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model behind an address, fitted and saved; who answers says what was asked."""
    folder = tmp_path_factory.mktemp("remote")
    rows = [json.dumps({"prompt": asked, "completion": f"the city is {asked}"}) for asked in QUESTIONS]
    (folder / "data.jsonl").write_text("\n".join(rows))
    with serving() as address:
        data, backbone = folder / "data.jsonl", f"openai:echo@{address}"
        with pytest.raises(OptionError, match="add --allow-remote"):
            nshot.fit(data, method="prompt", backbone=backbone)
        fitted = ["fit", str(data), "--method", "prompt", "--backbone", backbone, "--out", str(folder / "m")]
        assert run([*fitted, "--allow-remote"]) == 0
        yield folder / "m"


def test_a_saved_remote_model_answers_only_where_it_may_be_asked(model, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("prompt\nhello there\n")
    asked = ["predict", str(model), str(tmp_path / "new.csv"), "--out", str(tmp_path / "answers.csv")]
    assert run(asked) == 2
    assert "--allow-remote" in capsys.readouterr().err
    assert run([*asked, "--allow-remote"]) == 0
    with (tmp_path / "answers.csv").open() as file:
        assert next(csv.DictReader(file))["prediction"] == "hello there"
    assert nshot.load(model, remote={"allow_remote": True}).predict(["one two"]) == ["one two"]


def test_a_saved_remote_model_is_evaluated_where_it_may_be_asked(model):
    data = model.parent / "data.jsonl"
    with pytest.raises(OptionError, match="--allow-remote"):
        nshot.evaluate(model, data)
    assert nshot.evaluate(model, data, metric="length_ratio", allow_remote=True).record["n"] == len(QUESTIONS)


def test_an_input_that_is_too_long_is_named_by_its_row_and_what_was_written_before_is_kept(model, tmp_path, capsys):
    questions = [f"question {i}" for i in range(70)]
    questions[66] = "word " * 5000
    (tmp_path / "new.csv").write_text("\n".join(["prompt", *questions]) + "\n")
    out = tmp_path / "answers.csv"
    assert run(["predict", str(model), str(tmp_path / "new.csv"), "--out", str(out), "--allow-remote"]) == 2
    told = capsys.readouterr().err
    assert "Example 67: it is longer than echo takes in" in told
    assert "64 answers that were finished are in" in told
