"""``nshot score`` as a user calls it."""

from __future__ import annotations

import pytest

from integration.calling import nshot, succeeded

REFERENCES = "the cat sits on the old mat\na dog runs over the green hill\nit rains in the city today\n"
GOOD = "the cat sits on the red mat\na dog runs over the hill\nit rains in the city today\n"
BAD = "cats sit\nthe dog is at home\nthe sun shines\n"


@pytest.fixture
def files(tmp_path):
    for name, content in (("good.txt", GOOD), ("bad.txt", BAD), ("refs.txt", REFERENCES)):
        (tmp_path / name).write_text(content * 4)
    return tmp_path


def test_outputs_are_scored_with_intervals_and_signatures(files):
    called = succeeded("score", files / "good.txt", files / "refs.txt", "--metric", "bleu,rougeL")
    assert "BLEU" in called.out
    assert "ROUGE-L" in called.out
    assert "[" in called.out
    assert "bleu|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in called.out
    assert "good.txt: 12 outputs (one per line)" in called.err


def test_json_is_one_object_with_a_score_interval_and_signature_for_each_metric(files):
    record = succeeded("score", files / "good.txt", files / "refs.txt", "--metric", "bleu,chrf", "--json").json()
    assert list(record["metrics"]) == ["bleu", "chrf"]
    assert all(set(entry) == {"score", "interval", "signature"} for entry in record["metrics"].values())


def test_two_files_are_compared_on_the_same_inputs(files):
    called = succeeded("score", files / "bad.txt", files / "good.txt", files / "refs.txt", "--metric", "token_f1")
    assert "B minus A" in called.out
    assert "is better than A: token F1 of B against A is +" in called.out


def test_outputs_come_from_standard_input(files):
    called = succeeded("score", "-", files / "refs.txt", "--metric", "exact_match", "--json", stdin=GOOD * 4)
    assert called.json()["metrics"]["exact_match"]["score"] == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["good.txt"], "Expected one or two files of outputs and then the references"),
        (["none.txt", "refs.txt"], "There is no file"),
        (["good.txt", "refs.txt", "--metric", "blue"], "Did you mean 'bleu'"),
        (["good.txt", "refs.txt", "--metric", "own.py:f"], "There is no file"),
        (["short.txt", "refs.txt"], "short.txt has 2 outputs, refs.txt has 12 rows"),
        (["empty.txt", "refs.txt"], "empty.txt is empty"),
    ],
)
def test_bad_input_is_one_message(files, monkeypatch, arguments, expected):
    monkeypatch.chdir(files)
    (files / "short.txt").write_text("one\ntwo\n")
    (files / "empty.txt").write_text("")
    called = nshot("score", *arguments)
    assert called.code == 2
    assert expected in called.err
    assert "Traceback" not in called.err
    assert called.out == ""
