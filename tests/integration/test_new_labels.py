"""``nshot compare --hold-out-labels`` as a user types it."""

from __future__ import annotations

import json

import pytest

from integration.calling import FAST, ledger, nshot, succeeded, tickets, write_csv

AMPLE = (*FAST, "--budget", "10m")


def lines(folder):
    return (folder / "new_labels.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Return the folder of a comparison with labels held out; nobody may change it."""
    folder = tmp_path_factory.mktemp("held-out")
    data = write_csv(folder / "tickets.csv", tickets(120, wrong=0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSHOT_CACHE_DIR", str(folder / "cache"))
        called = succeeded("compare", data, "--hold-out-labels", "0.3", "--out", folder / "out", *AMPLE)
    return data, folder / "out", called.out


def test_the_verdict_tells_what_happens_when_labels_arrive_later(held_out):
    _, out, shown = held_out
    found = json.loads((out / "verdict.json").read_text())["new_labels"]
    assert (found["share"], found["n_labels_held_out"], found["n_labels_seen"]) == (0.3, 1, 2)
    assert len(found["held_out"]) == 5
    rows = {row["candidate"]: row for row in found["rows"]}
    assert set(rows) == {"majority", "tfidf_linear"}
    assert {row["needs"] for row in found["rows"]} == {"training again"}
    assert {row["draws"] for row in found["rows"]} == {5}
    assert {row["candidate"] for row in found["from_the_start"]} == {"majority", "tfidf_linear"}
    start = next(row for row in found["from_the_start"] if row["candidate"] == "tfidf_linear")
    assert start["new"]["score"] > rows["tfidf_linear"]["new"]["score"]
    assert "takes in a label without training again" in " ".join(found["because"])
    assert "Later" in shown
    assert "When labels arrive later" in (out / "report.html").read_text()
    assert "When labels arrive later" in (out / "report.md").read_text()


def test_the_runs_of_the_comparison_itself_are_those_without_the_option(held_out, shared_comparison):
    _, out, _ = held_out
    assert len(ledger(out)) == len(ledger(shared_comparison.out))
    assert "new_labels" not in json.loads((shared_comparison.out / "verdict.json").read_text())
    assert not (shared_comparison.out / "new_labels.jsonl").exists()


def test_the_same_command_runs_nothing_twice_and_the_plan_repeats_the_same_scores(held_out, tmp_path):
    data, out, _ = held_out
    before = lines(out)
    first = json.loads((out / "verdict.json").read_text())["new_labels"]
    succeeded("compare", data, "--hold-out-labels", "0.3", "--out", out, *AMPLE, "--quiet")
    assert lines(out) == before
    again = succeeded("compare", out / "study.toml", "--out", tmp_path / "again", "--json").json()["new_labels"]
    assert len(lines(tmp_path / "again")) == len(before)

    def scores(found):
        return [(row["candidate"], row["seen"], row["new"], row["harmonic_mean"]) for row in found["rows"]]

    assert scores(again) == scores(first)


def test_methods_that_need_no_new_fit_are_measured_by_name_and_by_examples(examples, tmp_path):
    rows = (examples / "support_tickets.csv", "--labels", examples / "support_tickets_labels.toml")
    methods = ("--methods", "label_similarity,prototypes", "--sizes", "24", "--repeats", "1", "--threads", "1")
    called = succeeded(
        "compare", *rows, *methods, "--hold-out-labels", "0.2", "--budget", "10m", "--out", tmp_path, "--json"
    )
    found = called.json()["new_labels"]
    by_way = {row["needs"]: row for row in found["rows"]}
    assert set(by_way) == {"nothing", "1 example", "5 examples"}
    assert by_way["5 examples"]["new"]["score"] > by_way["1 example"]["new"]["score"] > 0
    assert by_way["nothing"]["examples_per_label"] == 0
    [start] = found["from_the_start"]
    assert start["harmonic_mean"]["score"] > by_way["1 example"]["harmonic_mean"]["score"]


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("1.5", "less than 1"),
        ("1", "less than 1"),
        ("0", "greater than 0"),
        ("-0.2", "greater than 0"),
        ("x", "number"),
    ],
)
def test_a_share_that_is_none_is_refused(share, message, tmp_path):
    data = write_csv(tmp_path / "a.csv", tickets(60))
    called = nshot("compare", data, "--hold-out-labels", share, "--out", tmp_path / "out", *FAST)
    assert called.code == 2
    assert "hold_out_labels" in called.err
    assert message in called.err
    assert "Traceback" not in called.err
    assert not (tmp_path / "out").exists()


def test_two_labels_are_refused_before_anything_runs(tmp_path):
    rows = [(text, "yes" if label == "login" else "no") for text, label in tickets(60)]
    data = write_csv(tmp_path / "a.csv", rows)
    called = nshot("compare", data, "--hold-out-labels", "0.5", "--out", tmp_path / "out", *FAST)
    assert called.code == 2
    assert "needs at least three labels" in called.err
    assert not (tmp_path / "out").exists()


def test_labels_with_fewer_rows_than_examples_give_what_they_have(tmp_path):
    texts = ("my suitcase never came", "bag lost in Rome", "who has found a rucksack", "trunk broken at the airport")
    rows = [*tickets(90), *((text, "luggage") for text in texts)]
    data = write_csv(tmp_path / "a.csv", rows)
    called = succeeded("compare", data, "--hold-out-labels", "0.5", "--out", tmp_path / "out", *AMPLE, "--json")
    because = called.json()["new_labels"]["because"]
    assert any("fewer than 5 rows to learn from" in words for words in because)
