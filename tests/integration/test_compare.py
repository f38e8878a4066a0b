from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from integration.calling import FAST, ledger, succeeded, tickets, write_csv

ABOUT = {"schema", "task", "metric", "n_labels", "n_test", "model_n_labels", "pick", "because", "leaderboard"}
ABOUT |= {"crossovers", "more_labels", "smallest_detectable_difference", "checks", "skipped", "seconds"}
PICK = {"candidate", "method", "family", "backbone", "n_labels", "target", "score", "interval", "score_as_measured"}
ROW = {"candidate", "method", "family", "backbone", "options", "n_labels", "repeats", "target", "score", "interval"}
ROW |= {"scores", "versus_best", "distinguishable", "status", "fit_seconds", "milliseconds_per_example"}
ROW |= {"peak_memory_bytes", "artefact_bytes", "money"}
# Beyond the contract, which allows further keys but none less.
ABOUT_TOO = {"notes", "point", "prices", "break_even", "pick_by_test_alone", "smallest_detectable_test_rows"}
ABOUT_TOO |= {"ahead_of_no_labels"}
PICK_TOO = {"options", "picks"}
SPEED = {"milliseconds_alone", "milliseconds_alone_p95", "examples_per_second", "best_batch"}
ROW_TOO = {"marked", "versus_pick", "n_compared", "shipped_bytes", "tokens_per_example", "money_per_month"} | SPEED
ROW_TOO |= {"mean_rank", "money_per_example"}

COSTS = {"fit_seconds", "milliseconds_per_example", "peak_memory_bytes", "money", "money_per_month"} | SPEED


def without_costs(verdict):
    return [{name: value for name, value in row.items() if name not in COSTS} for row in verdict["leaderboard"]]


def verdict_of(out: Path):
    return json.loads((out / "verdict.json").read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------ what is written


def test_everything_that_is_promised_lies_in_the_folder_and_nothing_half_written(shared_comparison):
    out = shared_comparison.out
    for name in ("study.toml", "runs.jsonl", "verdict.json", "report.html", "model/manifest.json"):
        assert (out / name).is_file(), name
    assert (out / "predictions").is_dir()
    hidden = [path.name for path in out.rglob("*") if path.name.startswith(".") or path.name.endswith(".partial")]
    assert hidden == []


def test_the_verdict_has_the_keys_of_the_contract(shared_comparison):
    verdict = verdict_of(shared_comparison.out)
    assert set(verdict) == ABOUT | ABOUT_TOO
    assert set(verdict["pick"]) == PICK | PICK_TOO
    for row in verdict["leaderboard"]:
        assert set(row) == ROW | ROW_TOO
        assert set(row["versus_best"]) == {"mean", "interval"}
        for score in row["scores"].values():
            assert set(score) == {"score", "interval"}


def test_the_verdict_counts_the_rows(shared_comparison):
    verdict = verdict_of(shared_comparison.out)
    assert (verdict["schema"], verdict["task"], verdict["metric"]) == (1, "classify", "macro_f1")
    assert (verdict["n_labels"], verdict["n_test"], verdict["model_n_labels"]) == (96, 120, 120)


def test_the_pick_is_the_leaderboards_and_its_score_lies_in_its_interval(shared_comparison):
    verdict = verdict_of(shared_comparison.out)
    pick = verdict["pick"]
    [row] = [row for row in verdict["leaderboard"] if row["candidate"] == pick["candidate"]]
    assert pick["candidate"] == "tfidf_linear"
    assert pick["score_as_measured"] == row["score"]
    assert pick["score"] <= pick["score_as_measured"]
    for scored in (pick, row):
        assert scored["interval"][0] <= scored["score"] <= scored["interval"][1]


def test_json_prints_the_verdict_and_nothing_else(shared_comparison):
    assert shared_comparison.called.json() == verdict_of(shared_comparison.out)
    assert "message" in shared_comparison.called.err, "what was recognised is told on stderr"


def test_every_run_is_in_the_ledger_with_its_predictions(shared_comparison):
    runs = ledger(shared_comparison.out)
    listed = tomllib.loads((shared_comparison.out / "study.toml").read_text())["runs"]
    assert [run["key"] for run in listed] == [run["key"] for run in runs]
    for run in runs:
        assert run["status"] == "complete"
        assert (shared_comparison.out / run["predictions"]).is_file()


# ------------------------------------------------------------------------------------------ going on and again


def test_the_same_command_runs_nothing_twice_and_says_the_same_in_words(finished):
    before = (finished.out / "runs.jsonl").read_bytes()
    again = succeeded("compare", finished.data, "--out", finished.out, *FAST)
    assert (finished.out / "runs.jsonl").read_bytes() == before
    assert without_costs(verdict_of(finished.out)) == without_costs(finished.called.json())
    assert "Pick   tfidf_linear" in again.out
    assert "nshot predict" in again.out


def test_the_plan_replays_to_the_same_leaderboard(shared_comparison, tmp_path):
    plan = shared_comparison.out / "study.toml"
    succeeded("compare", plan, "--out", tmp_path / "again", "--quiet")
    assert without_costs(verdict_of(tmp_path / "again")) == without_costs(verdict_of(shared_comparison.out))
    keys = {run["key"] for run in ledger(tmp_path / "again")}
    assert keys == {run["key"] for run in ledger(shared_comparison.out)}


def test_a_plan_replays_from_another_folder_with_answers_that_were_named_from_here(
    shared_comparison, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "ours.csv", [(label,) for _, label in shared_comparison.rows], ("prediction",))
    succeeded("compare", shared_comparison.data, "--out", "first", *FAST, "--candidate", "ours.csv", "--quiet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    succeeded("compare", "../first/study.toml", "--out", "again", "--quiet")
    assert without_costs(verdict_of(Path("again"))) == without_costs(verdict_of(Path("../first")))


def test_the_report_tells_the_command_as_a_person_writes_it_and_that_groups_stay_together(tmp_path):
    rows = [(text, label, f"c{i // 2}") for i, (text, label) in enumerate(tickets(60))]
    data = write_csv(tmp_path / "tickets.csv", rows, ("text", "label", "customer"))
    out = tmp_path / "out"
    options = ("--group", "customer", "--budget", "45s", "--max-memory", "64GiB")
    succeeded("compare", data, *FAST, *options, "--out", out, "--quiet")
    details = json.loads((out / "details.json").read_text(encoding="utf-8"))
    assert "--budget 45 " in details["reproduce"]["command"]
    assert f"--max-memory {64 * 2**30} " in details["reproduce"]["command"] + " "
    assert "rows of one group and near-duplicates kept together" in details["data"]["protocol"]


def test_a_plan_of_data_that_changed_is_not_replayed_silently(shared_comparison, tmp_path):
    from integration.calling import nshot

    data = write_csv(tmp_path / "other.csv", shared_comparison.rows[:-3])
    plan = tmp_path / "study.toml"
    plan.write_text((shared_comparison.out / "study.toml").read_text().replace(str(shared_comparison.data), str(data)))
    called = nshot("compare", plan, "--out", tmp_path / "again", "--quiet")
    assert called.code == 2
    assert "cannot be replayed" in called.err


def test_a_dry_run_writes_nothing(shared_comparison, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = succeeded("compare", shared_comparison.data, "--out", tmp_path / "out", *FAST, "--plan", "--json").json()
    assert {(run["candidate"], run["n_labels"], run["runs"]) for run in shown["plan"]} == {
        ("majority", 16, 5),
        ("majority", 96, 5),
        ("tfidf_linear", 16, 5),
        ("tfidf_linear", 96, 5),
    }
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ what goes in


def test_the_answers_of_a_present_system_enter_the_leaderboard(shared_comparison, tmp_path):
    answers = write_csv(tmp_path / "our_system.csv", [(label,) for _, label in shared_comparison.rows], ("prediction",))
    out = tmp_path / "out"
    succeeded("compare", shared_comparison.data, "--out", out, *FAST, "--candidate", answers, "--quiet")
    verdict = verdict_of(out)
    first = verdict["leaderboard"][0]
    assert (first["candidate"], first["method"], first["score"]) == ("our_system", "given", 1.0)
    assert verdict["pick"]["candidate"] == "our_system"
    assert verdict["model_n_labels"] is None
    assert not (out / "model").exists(), "there is no model to hand over"
    assert (out / "report.html").is_file()


def test_rows_without_a_label_are_no_test_rows_and_no_labels(tmp_path):
    rows = [*tickets(90), *((text, "") for text, _ in tickets(30, seed=5))]
    out = tmp_path / "out"
    shown = succeeded("compare", write_csv(tmp_path / "a.csv", rows), "--out", out, *FAST, "--json").json()
    assert (shown["n_test"], shown["model_n_labels"]) == (90, 90)


def test_several_text_columns_form_one_text_and_the_model_remembers_them(tmp_path):
    rows = [(f"re {i}", text, label) for i, (text, label) in enumerate(tickets(90))]
    data = write_csv(tmp_path / "mail.csv", rows, ("subject", "body", "queue"))
    out = tmp_path / "out"
    succeeded("compare", data, "--text", "subject,body", "--out", out, *FAST, "--quiet")
    new = write_csv(tmp_path / "new.csv", [("parcel late", "tracking"), ("password", "reset")], ("subject", "body"))
    lines = succeeded("predict", out / "model", new).out.splitlines()
    assert lines[0].startswith("subject,body,prediction")
    assert [line.split(",")[2] for line in lines[1:]] == ["delivery", "login"]


def test_descriptions_of_labels_that_say_nothing_let_methods_read_them(tmp_path):
    numbers = {"billing": "0", "delivery": "1", "login": "2"}
    data = write_csv(tmp_path / "a.csv", [(text, numbers[label]) for text, label in tickets(60)])
    labels = tmp_path / "labels.toml"
    labels.write_text('0 = "invoices and payments"\n1 = "parcels"\n2 = "passwords"\n')
    plan = ("compare", data, "--methods", "majority,label_similarity", "--plan", "--json", "--label", "queue")
    candidates = {run["candidate"] for run in succeeded(*plan, "--labels", labels).json()["plan"]}
    assert candidates == {"majority", "label_similarity:all-MiniLM-L6-v2"}


def test_rows_that_also_stand_in_a_given_test_are_never_trained_on(tmp_path):
    test_rows = tickets(60, seed=1)
    train = write_csv(tmp_path / "train.csv", [*tickets(100), *test_rows[:12]])
    out = tmp_path / "out"
    test = write_csv(tmp_path / "test.csv", test_rows)
    shown = succeeded("compare", train, "--test", test, "--out", out, *FAST, "--sizes", "100", "--json").json()
    assert (shown["n_test"], shown["n_labels"], shown["model_n_labels"]) == (60, 100, 100)
    assert shown["pick"]["target"] == "this model"
    assert any(check["code"] == "N103" for check in shown["checks"])
    assert tomllib.loads((out / "study.toml").read_text())["design"]["kind"] == "given"


def test_the_pretrained_model_beats_no_labels_with_labels_on_the_example_tickets(examples, tmp_path):
    out = tmp_path / "out"
    names = ("linear_probe", "primed_probe", "label_similarity")
    data = (examples / "support_tickets.csv", "--labels", examples / "support_tickets_labels.toml")
    cheaply = ("--methods", ",".join(names), "--sizes", "24", "--repeats", "1", "--threads", "1")
    called = succeeded("compare", *data, *cheaply, "--out", out, "--json")
    verdict = called.json()
    scores = {row["method"]: row["score"] for row in verdict["leaderboard"]}
    assert set(scores) == set(names)
    assert scores["linear_probe"] > scores["label_similarity"] > 0.4
    assert verdict["pick"]["backbone"] == "all-MiniLM-L6-v2"
    assert any(sentence.startswith("Without any label, label_similarity") for sentence in verdict["because"])
    [answer] = succeeded("predict", out / "model", "-", stdin="I was charged twice this month").out.splitlines()[1:]
    assert answer.startswith("I was charged twice this month,")


# ------------------------------------------------------------------------------------------ the report


def test_the_report_shows_texts_only_where_they_may_be_shown(finished):
    texts = [text for text, _ in finished.rows]
    assert any(text in (finished.out / "report.html").read_text() for text in texts), "mistakes are shown"
    succeeded("report", finished.out, "--no-texts")
    for name in ("report.html", "report.md"):
        shown = (finished.out / name).read_text()
        assert not [text for text in texts if text in shown]


def test_the_report_command_shows_the_verdict_again(finished):
    assert succeeded("report", finished.out, "--json").json() == verdict_of(finished.out)
    assert "Pick   tfidf_linear" in succeeded("report", finished.out).out


@pytest.mark.parametrize("name", ["report.html"])
def test_the_report_needs_no_network(shared_comparison, name):
    shown = (shared_comparison.out / name).read_text()
    for loading in ('src="http', "src='http", '<link rel="stylesheet" href="http', "@import"):
        assert loading not in shown
