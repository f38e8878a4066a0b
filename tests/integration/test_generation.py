"""A study of written answers from the file to the model, on a real but tiny language model."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.calling import Called, nshot, succeeded, write_csv

_COLOURS = ("red", "green", "blue", "white", "black", "yellow")
_THINGS = ("car", "ball", "house", "dog", "cup", "tree", "hat", "book")
_PLACES = ("the park", "the garden", "the town")
WAYS = ("--methods", "prompt,in_context,nearest_answer,sft", "--repeats", "1", "--sizes", "16", "--seed", "1")
QUICK = ("--set", "sft.epochs=12", "--set", "sft.max_new_tokens=24", "--set", "prompt.max_new_tokens=24")


@dataclass(frozen=True)
class Finished:
    called: Called
    out: Path
    data: Path
    test: Path

    def read(self, name: str) -> dict:
        return json.loads((self.out / name).read_text(encoding="utf-8"))


def described(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return made-up facts about a thing with a sentence that tells them; every fact twice, in other words."""
    drawn = random.Random(seed)
    every = [(colour, thing, place) for colour in _COLOURS for thing in _THINGS for place in _PLACES]
    found = []
    for colour, thing, place in drawn.sample(every, rows // 2):
        fact = f"thing: {thing}, colour: {colour}, place: {place}"
        found.append((fact, f"There is a {colour} {thing} in {place}."))
        found.append((fact, f"In {place} there is a {colour} {thing}."))
    return found


@pytest.fixture(scope="module")
def finished(shared_models, tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("facts")
    rows = described(160)
    data = write_csv(folder / "facts.csv", rows[:120], ("fact", "sentence"))
    test = write_csv(folder / "test.csv", rows[120:], ("fact", "sentence"))
    model = str(shared_models / "stories260K")
    arguments = ("compare", data, "--test", test, "--backbone", model, *WAYS, *QUICK)
    called = succeeded(*arguments, "--budget", "10m", "--out", folder / "facts.nshot")
    return Finished(called, folder / "facts.nshot", data, test)


def test_fine_tuning_beats_prompting_by_far_and_the_verdict_says_so(finished):
    verdict = finished.read("verdict.json")
    assert (verdict["task"], verdict["metric"], verdict["n_labels"]) == ("generate", "bleu", 120)
    rows = {row["method"]: row for row in verdict["leaderboard"]}
    assert set(rows) == {"prompt", "in_context", "nearest_answer", "sft"}
    assert rows["sft"]["score"] > rows["prompt"]["score"] + 20
    assert rows["sft"]["score"] > rows["in_context"]["score"] + 20
    assert rows["prompt"]["n_labels"] == 0
    assert rows["prompt"]["distinguishable"]
    assert "Without any answer, prompt(max_new_tokens=24):stories260K reaches" in " ".join(verdict["because"])


def test_an_input_is_tested_once_against_all_of_its_answers(finished):
    verdict = finished.read("verdict.json")
    assert verdict["n_test"] == 20
    shown = finished.read("details.json")["texts"]["rows"]
    assert {len(row["references"]) for row in shown} == {2}


def test_every_metric_of_written_answers_has_its_interval(finished):
    [row] = [row for row in finished.read("verdict.json")["leaderboard"] if row["method"] == "sft"]
    assert {"bleu", "chrf", "rougeL", "exact_match", "token_f1", "bits_per_byte", "stopped"} <= set(row["scores"])
    without = {name for name, score in row["scores"].items() if score["interval"] is None}
    assert without <= {"length_ratio"}, "a ratio has no bounds: of rows that are all alike nothing can be said"
    for name in set(row["scores"]) - without:
        low, high = row["scores"][name]["interval"]
        assert low <= row["scores"][name]["score"] <= high, name


def test_the_report_shows_what_was_written_beside_the_references(finished):
    page = (finished.out / "report.html").read_text(encoding="utf-8")
    row = finished.read("details.json")["texts"]["rows"][0]
    assert row["references"][0].rstrip(".") in page
    assert "as it is" in finished.called.out


def test_what_training_made_the_model_forget_is_measured(finished):
    [record] = finished.read("details.json")["forgetting"]
    assert record["candidate"].startswith("sft")
    assert record["before"] > 0
    low, high = record["interval"]
    assert low < record["change"] < high


def test_the_model_that_is_handed_over_writes_the_same_again(finished, tmp_path):
    answers = tmp_path / "answers.jsonl"
    succeeded("predict", finished.out / "model", finished.test, "--out", answers)
    rows = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 40
    shown = finished.read("details.json")["texts"]
    pick = finished.read("verdict.json")["pick"]["candidate"]
    written = {row["row"]: row["answers"][pick]["text"] for row in shown["rows"]}
    same = [rows[at]["prediction"] == text for at, text in written.items()]
    assert sum(same) >= 0.9 * len(same)  # a batch of other texts may round a tie the other way


@pytest.fixture(scope="module")
def small(finished, shared_models) -> Path:
    """A study without training, in which the answers of a present system take part."""
    folder = finished.out.parent
    present = write_csv(folder / "present.csv", [("There is a red car in the park.",)] * 40, ("prediction",))
    ways = ("--methods", "prompt,nearest_answer", "--repeats", "1", "--sizes", "16", "--test-rows", "10")
    model = ("--backbone", shared_models / "stories260K", "--set", "prompt.max_new_tokens=8", "--candidate", present)
    succeeded("compare", finished.data, "--test", finished.test, *ways, *model, "--out", folder / "small.nshot")
    return folder / "small.nshot"


def verdict(folder: Path) -> dict:
    return json.loads((folder / "verdict.json").read_text(encoding="utf-8"))


def test_the_recorded_runs_can_be_repeated(small, tmp_path):
    succeeded("compare", small / "study.toml", "--out", tmp_path / "again.nshot")
    first, second = verdict(small), verdict(tmp_path / "again.nshot")
    assert first["n_test"] == second["n_test"] == 10
    scores = [{row["candidate"]: row["scores"]["chrf"] for row in found["leaderboard"]} for found in (first, second)]
    assert scores[0] == scores[1]


def test_answers_of_a_present_system_enter_the_leaderboard(small):
    assert {row["method"] for row in verdict(small)["leaderboard"]} == {"given", "prompt", "nearest_answer"}


def test_without_texts_no_answer_is_shown(finished, tmp_path):
    succeeded("report", finished.out, "--no-texts")
    page = (finished.out / "report.html").read_text(encoding="utf-8")
    references = [text for row in finished.read("details.json")["texts"]["rows"] for text in row["references"]]
    assert not any(reference in page for reference in references)


def test_without_a_language_model_it_is_said_how_to_name_one(finished, tmp_path):
    called = succeeded(
        "compare", finished.data, "--methods", "nearest_answer", "--repeats", "1", "--out", tmp_path / "bare.nshot"
    )
    assert "nearest_answer" in called.out
    refused = nshot("compare", finished.data, "--methods", "sft", "--out", tmp_path / "none.nshot")
    assert refused.code == 2
    assert "--backbone" in refused.err
