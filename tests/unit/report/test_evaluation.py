"""An evaluation on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import evaluation


def scored(score: float, low: float, high: float) -> dict[str, Any]:
    return {"score": score, "interval": [low, high]}


def model(name: str = "tickets.nshot/model", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "method": "lora",
        "n_labels": 1204,
        "trained_on": False,
        "metrics": {"macro_f1": scored(0.79, 0.75, 0.83), "accuracy": scored(0.82, 0.79, 0.85)},
        "left_out": {},
        "promise": None,
        "unknown_labels": {},
        "absent_labels": [],
        "within": [],
        "labels": [
            {
                "label": "billing",
                "rows": 1,
                "answers": 0,
                "recall": {"score": 0.0, "interval": None},
                "precision": None,
            },
            {
                "label": "login",
                "rows": 499,
                "answers": 500,
                "recall": scored(0.8, 0.7, 0.9),
                "precision": scored(0.9, 0.8, 0.95),
            },
        ],
        "confusions": [{"label": "login", "answer": "billing", "rows": 12}],
        **more,
    }


def record(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "task": "classify",
        "data": "test.csv",
        "n": 500,
        "rows": 500,
        "independent": 482,
        "unlabelled": 3,
        "metric": "macro_f1",
        "models": list(models),
        **more,
    }


def compared(better: str | None, low: float, high: float) -> dict[str, Any]:
    return record(
        model("old"),
        model("new"),
        difference={"macro_f1": {"mean": (low + high) / 2, "interval": [low, high], "p_value": 0.5}},
        better=better,
        smallest_detectable_difference=0.05,
        only_first_right=1,
        only_second_right=22,
    )


def shown(found: dict[str, Any], width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    evaluation.render(found, Console(file=out, width=width, highlight=False))
    out.flush()
    return raw.getvalue().decode(encoding)


def test_every_score_stands_with_its_interval_and_its_rows():
    text = shown(record(model()), width=120)
    assert "test.csv: 500 rows, 482 if near-duplicates and groups count once; 3 without a label left out" in text
    assert "macro F1  0.79 [0.75, 0.83]" in text
    assert "fitted on 1,204 labels" in text
    assert "0.00 (no interval)" in text
    assert "'login' as 'billing' (12 rows)" in text


def test_a_broken_promise_is_said_with_all_three_intervals():
    promise = {
        "metric": "macro_f1",
        "score": 0.86,
        "interval": [0.83, 0.89],
        "difference": {"mean": -0.07, "interval": [-0.12, -0.02]},
        "kept": "worse",
    }
    assert evaluation.promise(model(promise=promise)) == (
        "The model promised macro F1 0.86 [0.83, 0.89]; on these rows it has 0.79 [0.75, 0.83]: "
        "worse than promised (-0.07 [-0.12, -0.02]). The rows may differ from those it was fitted on."
    )


@pytest.mark.parametrize(
    ("better", "low", "high", "expected"),
    [
        ("new", 0.01, 0.07, "B (new) is better than A: macro F1 of B against A is +0.04 [+0.01, +0.07]"),
        ("old", -0.07, -0.01, "A (old) is better than B: macro F1 of B against A is -0.04 [-0.07, -0.01]"),
        (None, -0.01, 0.05, "These rows cannot tell which is better: macro F1 of B (new) against A (old) is +0.02"),
    ],
)
def test_who_is_better_is_said_with_the_difference_or_that_nothing_can_be_told(better, low, high, expected):
    words = evaluation.comparison(compared(better, low, high))
    assert words.startswith(expected)
    assert "Only A is right on 1 row, only B on 22." in words
    assert ("A true difference of 0.05 would be seen" in words) == (better is None)


def test_what_makes_a_score_mean_something_else_comes_first():
    found = record(model(trained_on=True, unknown_labels={"returns": 12, "other": 1}))
    first, second = evaluation.warnings(found)
    assert "was fitted on these very rows" in first
    assert "does not know the labels 'returns' (12 rows) and 'other' (1 row): these rows count as wrong" in second
    assert shown(found).startswith(first[:60])


def test_the_table_of_two_models_fits_on_80_columns():
    found = compared(None, -0.006, 0.006)
    wide = [-0.105, -0.094]
    found["difference"] = {"macro_f1": {"mean": -0.1, "interval": wide, "p_value": 0.0}}
    for entry in found["models"]:
        entry["metrics"] = {"macro_f1": scored(0.486, 0.482, 0.490)}
    line = next(row for row in shown(found).splitlines() if row.startswith("macro F1"))
    assert line.split("macro F1")[1].split("[")[-1].strip() == "-0.105, -0.094]"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_that_cannot_show_a_label_shows_the_rest(encoding):
    found = record(model(absent_labels=["r\x1b[31m\u00fcckgabe \u8fd4\u54c1"]))
    text = shown(found, encoding=encoding)
    assert "\x1b" not in text
    assert "No row has the label" in text
