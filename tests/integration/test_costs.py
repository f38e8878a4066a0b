"""Costs, prices and limits as a user gives them on the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from integration.calling import FAST, ledger, nshot, succeeded, write_csv

PRICES = ("--price-per-hour", "1.2", "--price-per-label", "0.1", "--price-per-mistake", "0.5")


def rows_of(out: Path):
    verdict = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    return {row["candidate"]: row for row in verdict["leaderboard"]}


def again(finished, *options: str | Path):
    """Call the finished comparison once more; everything that was measured is in its ledger."""
    return nshot("compare", finished.data, "--out", finished.out, *FAST, "--json", *options)


def test_the_cost_of_every_candidate_is_measured(shared_comparison):
    for name, row in rows_of(shared_comparison.out).items():
        assert row["milliseconds_alone"] > 0, name
        assert row["examples_per_second"] >= 0.9 * 1_000 / row["milliseconds_alone"], name
        assert 1 <= row["best_batch"] <= 120
        # What is shipped is that of the fold that was timed, the size the median of all folds.
        assert row["shipped_bytes"] == pytest.approx(row["artefact_bytes"], rel=0.05), "nothing else is needed"
        assert row["tokens_per_example"] is None
        assert (row["money"], row["money_per_month"]) == (None, None)


def test_prices_turn_costs_into_money(finished):
    verdict = again(finished, *PRICES, "--predictions-per-month", "20000").json()
    assert verdict["prices"] == {
        "per_hour": 1.2,
        "per_label": 0.1,
        "per_mistake": 0.5,
        "predictions_per_month": 20_000,
        "set_up_months": 12,
    }
    for row in verdict["leaderboard"]:
        wrong = 1 - row["scores"]["accuracy"]["score"]
        assert row["money"] == pytest.approx(96 * 0.1 + row["fit_seconds"] * 1.2 / 3600, abs=1e-3)
        low, high = row["money_per_month"]["interval"]
        assert low < row["money_per_month"]["money"] < high
        assert row["money_per_month"]["money"] == pytest.approx(20_000 * wrong * 0.5 + 9.6 / 12, rel=0.01)
    [crossing] = verdict["break_even"]
    assert {crossing["from"], crossing["to"]} == {"majority", "tfidf_linear"}
    assert any("a month at your prices and 20,000 predictions" in sentence for sentence in verdict["because"])
    assert "a month" in succeeded("report", finished.out).out


def test_without_a_price_there_is_no_break_even(shared_comparison):
    verdict = shared_comparison.called.json()
    assert (verdict["prices"], verdict["break_even"]) == (None, [])


def test_who_is_over_a_limit_is_not_picked_and_the_verdict_says_why(finished):
    alone = {name: row["milliseconds_alone"] for name, row in rows_of(finished.out).items()}
    between = math.sqrt(alone["majority"] * alone["tfidf_linear"])
    verdict = again(finished, "--max-latency", f"{between:.6f}ms").json()
    assert verdict["pick"]["candidate"] == "majority"
    assert any(sentence.startswith("tfidf_linear was not considered: it takes") for sentence in verdict["because"])


@pytest.mark.parametrize(
    ("limit", "figure"), [("--max-latency=0.000001ms", " ms for one example"), ("--max-memory=1MiB", " MiB")]
)
def test_a_limit_that_nobody_keeps_to_ends_with_code_1_and_the_nearest(finished, limit, figure):
    before = (finished.out / "runs.jsonl").read_bytes()
    called = again(finished, limit)
    assert (called.code, called.out) == (1, "")
    assert "None of the 2 candidates that were measured keeps to --max-" in called.err
    assert "The nearest is " in called.err
    assert figure in called.err
    assert (finished.out / "runs.jsonl").read_bytes() == before


def test_after_a_limit_that_nobody_kept_to_a_higher_one_goes_on_from_what_was_run(finished, tmp_path):
    out = tmp_path / "limited"
    command = ("compare", finished.data, "--out", out, *FAST, "--quiet")
    assert nshot(*command, "--max-memory", "1MiB").code == 1
    assert not (out / "verdict.json").exists()
    runs = [run["key"] for run in ledger(out)]
    succeeded(*command, "--max-memory", "100GiB")
    assert [run["key"] for run in ledger(out)] == runs
    assert (out / "model" / "manifest.json").is_file()


def test_a_present_system_that_was_not_timed_is_not_picked_under_a_limit(finished, tmp_path):
    answers = write_csv(tmp_path / "our_system.csv", [(label,) for _, label in finished.rows], ("prediction",))
    verdict = again(finished, "--candidate", answers, "--max-latency", "10s").json()
    assert verdict["leaderboard"][0]["candidate"] == "our_system"
    assert verdict["pick"]["candidate"] == "tfidf_linear"
    assert "our_system was not considered: it was not timed for one example at a time." in verdict["because"]


@pytest.mark.parametrize("preference", ["score", "latency", "cost"])
def test_each_preference_gives_a_pick(finished, preference):
    assert again(finished, "--prefer", preference, *PRICES).json()["pick"]["candidate"] == "tfidf_linear"


def test_a_price_that_is_none_is_refused(finished):
    called = again(finished, "--price-per-mistake", "-1")
    assert called.code == 2
    assert "price_per_mistake" in called.err
