from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import costs, html, markdown, terminal
from nshot.report.record import read

from .conftest import tickets_record


def record(*, priced: bool = True) -> dict[str, Any]:
    made = tickets_record()
    verdict = made["verdict"]
    for i, row in enumerate(verdict["leaderboard"]):
        row |= {
            "milliseconds_alone": 4.2 + i,
            "milliseconds_alone_p95": None if i else 6.1,
            "examples_per_second": 603.2,
            "best_batch": 128,
            "shipped_bytes": 91_600_000,
            "tokens_per_example": 10.4,
        }
        if priced:
            row |= {"money": 544.1, "money_per_month": {"money": 985.3 + i, "interval": [758.9, 1274.1]}}
    if priced:
        verdict["prices"] = {
            "per_hour": 1.2,
            "per_label": 0.1,
            "per_mistake": 0.5,
            "predictions_per_month": 20_000,
            "set_up_months": 12,
        }
        first, second = (row["candidate"] for row in verdict["leaderboard"][:2])
        verdict["break_even"] = [
            {
                "from": first,
                "to": second,
                "predictions_per_month": 41_000,
                "interval": [28_000, 77_000],
                "outcome": "from",
            },
            {"from": first, "to": "lora", "predictions_per_month": None, "interval": None, "outcome": "never"},
        ]
    return made


def printed(made: dict[str, Any], width: int = 100) -> str:
    out = io.StringIO()
    terminal.render(made, Console(file=out, width=width, force_terminal=False, color_system=None))
    return out.getvalue()


def test_a_column_that_nobody_has_is_left_out() -> None:
    bare = [column.title for column in costs.columns(read(tickets_record()).entries)]
    assert bare == ["fit", "memory", "own size"]
    assert "a month" in [column.title for column in costs.columns(read(record()).entries)]
    assert "a month" not in [column.title for column in costs.columns(read(record(priced=False)).entries)]


@pytest.mark.parametrize("render", [html.render, markdown.render, printed])
def test_every_report_shows_speed_and_money_with_both_ends(render: Any) -> None:
    shown = render(record()).replace("\\", "").replace("<small>", " ").replace("</small>", "")
    assert "603/s" in shown
    assert "985 [759, 1,274]" in shown


@pytest.mark.parametrize("render", [html.render, markdown.render])
def test_the_reports_say_what_the_columns_mean_and_where_a_set_up_pays(render: Any) -> None:
    shown = render(record()).replace("\\", "")
    assert "41,000 [28,000, 77,000]" in shown
    assert "20,000 predictions and 1/12 of the set-up, mistakes included" in shown
    assert "a process that only answers needs less" in shown


def test_an_old_record_without_costs_is_shown_as_before() -> None:
    old = tickets_record()
    for row in old["verdict"]["leaderboard"]:
        for name in ("fit_seconds", "peak_memory_bytes", "artefact_bytes", "milliseconds_per_example"):
            row[name] = None
    assert "## Costs" not in markdown.render(old)
    assert "What each candidate takes" not in html.render(old)
    assert "costs " not in printed(old)


def test_without_prices_the_terminal_has_no_table_of_costs() -> None:
    assert "\n  costs " in printed(record(priced=True))
    assert "\n  costs " not in printed(record(priced=False))
