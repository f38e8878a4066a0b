"""The part of a report that tells how anomalies are detected."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import anomalies, html, markdown, terminal
from nshot.report.record import read


def figure(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "interval": [low, high]}


def record(**changed: Any) -> dict[str, Any]:
    recalls = {0.001: 0.1, 0.01: 0.45, 0.1: 0.8, 0.5: 1.0}
    threshold = {
        "threshold": 1.2345,
        "cost_per_1000_rows": figure(210, 150, 290),
        "recall": figure(0.8, 0.68, 0.9),
        "false_alarm_rate": figure(0.031, 0.02, 0.045),
        "cost_per_1000_rows_without_alarms": 500,
        "cost_of_miss": 10,
        "cost_of_false_alarm": 1,
        **changed,
    }
    points = [
        {
            "false_alarm_rate": rate,
            "recall": recall,
            "interval": [max(0, recall - 0.1), min(1, recall + 0.1)],
            "precision": 0.5,
            "alarms_per_1000_rows": 12.5,
        }
        for rate, recall in recalls.items()
    ]
    odd = [{"row": 17, "text": "income = <b>74,000</b>", "score": 3.2, "share_below": 0.999}]
    return {
        "verdict": {
            "task": "detect",
            "metric": "average_precision",
            "pick": {"candidate": "ecod:table", "score": 0.7, "interval": [0.6, 0.8], "threshold": threshold},
            "leaderboard": [{"candidate": "ecod:table", "score": 0.7, "interval": [0.6, 0.8]}],
        },
        "details": {
            "detection": {
                "anomalies": 55,
                "normal": 1045,
                "anomaly_share": 0.05,
                "points": points,
                "strangest_normal": odd,
                "least_strange": odd,
            }
        },
    }


def test_it_says_what_is_found_at_one_percent_and_at_the_threshold() -> None:
    said = " ".join(anomalies.sentences(read(record())))
    assert "Where 1 % of the normal rows may raise a false alarm, it finds 45 % [35 %, 55 %] of the anomalies" in said
    assert "above a score of 1.234: it then finds 80 % [68 %, 90 %]" in said
    assert "1,000 rows are expected to cost 210 [150, 290]; without any alarm it would be 500." in said
    assert "not shown" not in said


def test_alarms_that_may_cost_more_than_they_save_are_said_to() -> None:
    said = " ".join(anomalies.sentences(read(record(cost_per_1000_rows=figure(480, 420, 530)))))
    assert "it is not shown that alarms at this cost are worth having" in said


def test_the_page_has_charts_a_table_and_the_rows_without_their_markup() -> None:
    page = html.render(record())
    assert page.count("Recall over the false-alarm rate at 4 rates") == 2
    assert '<td class="n">0.1 %</td>' in page
    assert "income = &lt;b&gt;74,000" in page
    assert "stranger than <b>&gt; 99 %</b>" in page
    assert "your threshold" in page


def test_rows_of_the_data_are_left_out_on_request() -> None:
    page = html.render(record(), texts=False)
    assert "74,000" not in page
    assert "row 17" in page


def test_markdown_says_the_same() -> None:
    written = markdown.render(record())
    assert "## What it finds, and what it costs" in written
    assert "1,000 rows are expected to cost 210" in written


@pytest.mark.parametrize("details", [{}, {"detection": {}}, {"detection": {"points": [{}]}}])
def test_a_record_with_less_in_it_is_drawn_all_the_same(details: dict[str, Any]) -> None:
    whole = {"verdict": {"task": "detect"}, "details": details}
    html.render(whole)
    markdown.render(whole)
    assert anomalies.sentences(read(whole)) == []


def test_the_terminal_says_what_the_threshold_finds_and_costs_without_more_digits_than_help() -> None:
    out = io.StringIO()
    told = record(cost_per_1000_rows=figure(150, 71.94, 389.3))
    terminal.render(told, Console(file=out, width=400))
    said = out.getvalue()
    assert "Alarms" in said
    assert "an alarm is best raised above a score of 1.234" in said
    assert "1,000 rows are expected to cost 150 [72, 389]" in said
    assert "12 alarms among 1,000 rows" in said
