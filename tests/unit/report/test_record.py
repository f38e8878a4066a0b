"""Reading a record, however little of it there is."""

from __future__ import annotations

import math
from typing import Any

from nshot.report.record import LONGEST_TEXT, printable, read


def test_what_is_missing_is_the_default(sparse: dict[str, Any]) -> None:
    record = read(sparse)
    assert all(entry.candidate for entry in record.entries)
    assert all(curve.measured for curve in record.curves)


def test_what_is_not_a_number_counts_as_missing() -> None:
    record = read({"verdict": {"pick": {"candidate": "a", "score": math.nan, "interval": [0.1, math.inf]}}})
    assert record.verdict.pick is not None
    assert record.verdict.pick.score is None
    assert record.verdict.pick.interval is None


def test_text_is_one_line_without_control_codes_and_cut() -> None:
    assert printable("a\x1b[31m\nb\tc\ud800\u202ed", 50) == "a\ufffd[31m b c\ufffd\ufffdd"
    assert printable("x" * 5_000_000, LONGEST_TEXT) == "x" * (LONGEST_TEXT - 1) + "…"
    assert printable("word " * 3, 100) == "word word word"


def test_the_leaderboard_is_ordered_by_how_candidates_stand_then_by_score(tickets: dict[str, Any]) -> None:
    record = read(tickets)
    assert [record.short(entry.candidate) for entry in record.entries] == [
        "primed_probe",
        "full_finetune",
        "lora",
        "linear_probe",
        "tfidf_linear",
        "label_similarity",
        "majority",
        "head_finetune",
    ]


def test_an_error_metric_is_ordered_lowest_first() -> None:
    board = [{"candidate": name, "score": score} for name, score in (("far", 9.0), ("near", 2.0))]
    record = read({"verdict": {"metric": "rmse", "leaderboard": board}})
    assert [entry.candidate for entry in record.entries] == ["near", "far"]


def test_the_backbone_is_named_where_candidates_stand_on_several(tickets: dict[str, Any]) -> None:
    tickets["verdict"]["leaderboard"][1]["backbone"] = "org/other"
    tickets["verdict"]["leaderboard"][1]["candidate"] = "full_finetune:other"
    record = read(tickets)
    assert record.short("full_finetune:other") == "full_finetune:other"
    assert record.short("primed_probe:all-MiniLM-L6-v2") == "primed_probe:all-MiniLM-L6-v2"
