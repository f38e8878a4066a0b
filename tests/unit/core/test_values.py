"""The small values that every layer speaks in."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from nshot.core import (
    BackboneRef,
    Candidate,
    Check,
    Family,
    FitContext,
    Interval,
    Needs,
    Prediction,
    Severity,
    Span,
    State,
    Task,
    TaskKind,
)


class TestTask:
    task = Task(TaskKind.CLASSIFY, ("card_lost", "top-up"), {"top-up": "Adding money."})

    def test_index_gives_the_column_of_each_label(self) -> None:
        assert self.task.index() == {"card_lost": 0, "top-up": 1}

    def test_a_described_label_is_read_by_its_description(self) -> None:
        assert self.task.readable("top-up") == "Adding money."

    @pytest.mark.parametrize(
        ("label", "words"),
        [("card_lost", "card lost"), ("a--b__c", "a b c"), ("Plain", "Plain"), ("  x\n y ", "x y"), ("_", "")],
    )
    def test_another_label_is_read_in_plain_words(self, label: str, words: str) -> None:
        assert Task(TaskKind.CLASSIFY, (label,)).readable(label) == words

    def test_a_new_label_takes_its_sorted_place(self) -> None:
        grown = self.task.with_label("refund", "Money back.")
        assert grown.labels == ("card_lost", "refund", "top-up")
        assert grown.descriptions == {"top-up": "Adding money.", "refund": "Money back."}
        assert self.task.labels == ("card_lost", "top-up")
        assert self.task.descriptions == {"top-up": "Adding money."}

    def test_a_known_label_can_get_another_description(self) -> None:
        grown = self.task.with_label("top-up", "More money.")
        assert grown.labels == self.task.labels
        assert grown.readable("top-up") == "More money."

    def test_before_a_label_was_there_nothing_was_known_of_it(self) -> None:
        before = self.task.without(["top-up"])
        assert before.labels == ("card_lost",)
        assert before.descriptions == {}
        assert before.with_label("top-up", "Adding money.") == self.task


class TestBackboneRef:
    @pytest.mark.parametrize(
        ("id", "name"),
        [
            ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
            ("org/model", "model"),
            ("/home/me/models/mine/", "mine"),
            ("C:\\models\\mine", "mine"),
        ],
    )
    def test_the_short_name_is_the_last_part(self, id: str, name: str) -> None:  # noqa: A002 - the field's name
        assert BackboneRef(id).name == name

    def test_comes_back_from_json(self) -> None:
        ref = BackboneRef("org/model", "abc", "0" * 64)
        assert BackboneRef.from_json(json.loads(json.dumps(ref.as_json()))) == ref
        assert BackboneRef.from_json({"id": "a"}) == BackboneRef("a")


class TestCandidate:
    def test_the_name_says_method_options_and_backbone(self) -> None:
        ref = BackboneRef("org/all-MiniLM-L6-v2")
        assert Candidate("lora", Family.FINE_TUNING, backbone=ref).name == "lora:all-MiniLM-L6-v2"
        assert Candidate("majority", Family.BASELINE).name == "majority"
        changed = Candidate("lora", Family.FINE_TUNING, {"rank": 4, "epochs": 2}, ref)
        assert changed.name == "lora(epochs=2,rank=4):all-MiniLM-L6-v2"


def test_an_interval_contains_both_of_its_ends() -> None:
    interval = Interval(0.25, 0.75)
    assert 0.25 in interval
    assert 0.75 in interval
    assert 0.76 not in interval
    assert interval.as_json() == [0.25, 0.75]


def test_a_check_becomes_json() -> None:
    check = Check("N101", "Duplicates", Severity.ISSUE, "Two rows.", "Drop one.", rows=(0, 4), count=2)
    record = json.loads(json.dumps(check.as_json()))
    assert record["severity"] == "issue"
    assert record["rows"] == [0, 4]
    assert record["count"] == 2


@pytest.mark.parametrize(
    ("prediction", "n"),
    [
        (Prediction(), 0),
        (Prediction(labels=["a", "b"]), 2),
        (Prediction(probabilities=np.zeros((3, 2))), 3),
        (Prediction(spans=[(Span(0, 1, "a"),)]), 1),
        (Prediction(texts=[]), 0),
        (Prediction(scores=np.zeros(4)), 4),
        (Prediction(values=np.zeros(5)), 5),
    ],
)
def test_the_length_of_a_prediction_is_its_number_of_examples(prediction: Prediction, n: int) -> None:
    assert len(prediction) == n


@pytest.mark.parametrize(
    "value",
    [Task(TaskKind.DETECT), BackboneRef("a"), Interval(0, 1), State(), Prediction(), Needs(frozenset())],
    ids=lambda value: type(value).__name__,
)
def test_values_cannot_be_changed(value: object) -> None:
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_a_context_opens_no_further_backbone_unless_told_how() -> None:
    with pytest.raises(ValueError, match="cannot open fake/rows"):
        FitContext(lambda targets, prediction: 0.0).open(BackboneRef("fake/rows"))


def test_the_core_needs_the_standard_library_only() -> None:
    code = "import sys; before = set(sys.modules); import nshot.core; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert tops <= {*sys.stdlib_module_names, "nshot"}
