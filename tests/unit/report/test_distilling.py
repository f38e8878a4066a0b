"""What is said of a student and its teacher."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import distilling


def entrant(method: str, milliseconds: float, score: float | None = None) -> dict[str, Any]:
    return {
        "method": method,
        "score": score,
        "interval": None if score is None else [score - 0.02, score + 0.02],
        "milliseconds_per_example": milliseconds / 4,
        "milliseconds_alone": milliseconds,
        "best_batch": 64,
        "bytes": 90_000_000,
    }


def record(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "data": "new.csv",
        "out": "small",
        "n_learnt": 800,
        "n_held_out": 200,
        "n_scored": 180,
        "few_rows": 200,
        "learnt": "probabilities",
        "metric": "macro_f1",
        "trained_on": False,
        "never_answered": [],
        "unknown_labels": [],
        "original": entrant("full_finetune", 10.0, 0.9),
        "student": entrant("full_finetune", 5.0, 0.88),
        "difference": {"mean": -0.02, "interval": [-0.05, 0.01], "p_value": 0.2},
        "better": None,
        "agreement": {
            "metric": "accuracy",
            "score": 0.93,
            "interval": [0.9, 0.96],
            "macro": {"metric": "macro_f1", "score": 0.91, "interval": [0.87, 0.94]},
        },
    }
    found |= changes
    return {**found, "warnings": distilling.warnings(found), "found": distilling.sentences(found)}


def shown(found: dict[str, Any]) -> str:
    written = io.StringIO()
    distilling.render(found, Console(file=written, width=100))
    return " ".join(written.getvalue().split())


def test_scores_and_times_stand_side_by_side_with_their_intervals():
    told = shown(record())
    assert "teacher: full_finetune 0.900 [0.880, 0.920] 10 ms" in told
    assert "student: full_finetune 0.880 [0.860, 0.900] 5 ms" in told
    assert "changes by -0.020 [-0.050, +0.010]: these rows cannot tell the two apart" in told
    assert "accuracy 0.930 [0.900, 0.960], the teacher's answers taken for the truth; macro F1 0.910" in told
    assert "takes 0.5 of the teacher's time for one row alone" in told
    assert record()["warnings"] == []


@pytest.mark.parametrize(
    ("better", "words"), [("original", "the student is worse"), ("student", "the student is better than its teacher")]
)
def test_a_difference_that_is_shown_is_said(better, words):
    assert words in shown(record(better=better))


def test_without_labels_no_score_is_shown():
    told = shown(record(original=entrant("lora", 10.0), student=entrant("tfidf_linear", 0.2), difference=None))
    assert "macro F1 0.9" in told  # of the agreement
    assert "nobody knows how often either is right" in told
    assert "teacher: lora 10 ms" in told


def test_a_student_that_is_not_faster_is_not_called_fast():
    told = shown(record(student=entrant("linear_probe", 10.2, 0.9)))
    assert "takes 1.0 of the teacher's time" in told
    assert "That is not faster: keep the teacher" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_learnt": 120}, "learnt from 120 answers only"),
        ({"never_answered": ["fraud"]}, "gave no row the label 'fraud'"),
        ({"never_answered": ["a", "b"]}, "gave no row the labels 'a'"),
        ({"trained_on": True}, "The teacher was trained on new.csv itself"),
        ({"unknown_labels": ["x"]}, "does not know 'x'"),
    ],
)
def test_what_flatters_or_harms_is_said_first(changes, words):
    found = record(**changes)
    assert any(words in one for one in found["warnings"])
    assert shown(found).index(words.split()[0]) < shown(found).index("teacher:")


def test_answers_that_are_no_labels_agree_in_the_metric_alone():
    agreed = {"metric": "mae", "score": 1.5, "interval": None, "macro": None}
    assert "mean absolute error 1.50, the teacher's answers" in shown(record(agreement=agreed, learnt="answers"))
