"""The verdict on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import terminal


def shown(record: dict[str, Any], width: int = 120, encoding: str = "utf-8", color: bool = False) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    terminal.render(
        record, Console(file=out, width=width, force_terminal=color, color_system="truecolor" if color else None)
    )
    out.flush()
    return raw.getvalue().decode(encoding)


def test_the_pick_its_reasons_and_what_comes_next_stand_before_the_table(tickets: dict[str, Any]) -> None:
    text = shown(tickets)
    places = [
        text.index(word)
        for word in ("Pick", "primed_probe", "(few-shot)", "[0.83, 0.89]", "Why", "Next", "macro F1 by labels")
    ]
    assert places == sorted(places)


def test_the_table_lists_scores_by_labels_costs_and_standing(tickets: dict[str, Any]) -> None:
    rows = shown(tickets, width=80).splitlines()
    start = next(i for i, row in enumerate(rows) if "by labels" in row)
    assert rows[start].split() == "macro F1 by labels 0 16 64 256 843 fit per text".split()  # noqa: SIM905
    assert rows[start + 1].split() == "primed_probe - .63 .74 .82 .86 0.4 s 0.9 ms <- pick".split()  # noqa: SIM905
    zero_shot = next(row for row in rows[start:] if "label_similarity" in row)
    assert zero_shot.split()[1:6] == [".61"] * 5


@pytest.mark.parametrize("name", ["tickets", "banking", "binary", "diners"])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_but_a_path_is_wider_than_the_terminal(name: str, width: int, request: pytest.FixtureRequest) -> None:
    for row in shown(request.getfixturevalue(name), width).splitlines():
        assert row == row.rstrip()
        assert len(row) <= max(width, 66) or ".nshot/" in row


def test_a_narrow_terminal_drops_columns_but_keeps_both_ends(banking: dict[str, Any]) -> None:
    head = next(row for row in shown(banking, 80).splitlines() if "by labels" in row).split()
    assert "0" in head
    assert "10,003" in head
    assert "308" not in head


def test_a_wide_terminal_shows_the_shape_of_each_curve(banking: dict[str, Any]) -> None:
    assert "▆▇▇▇███" in shown(banking, 120)
    assert "█" not in shown(banking, 60)


def test_an_ascii_terminal_gets_ascii_only(tickets: dict[str, Any]) -> None:
    text = shown(tickets, encoding="ascii")
    assert "N104 9 texts carry two labels; N101" in text
    assert "<- pick" in text


def test_a_pipe_gets_no_colour_codes_and_a_terminal_does(tickets: dict[str, Any]) -> None:
    assert "\x1b" not in shown(tickets)
    assert "\x1b[" in shown(tickets, color=True)


def test_names_from_the_data_are_neither_markup_nor_control_codes(tickets: dict[str, Any]) -> None:
    tickets["details"]["data"]["name"] = "[red]a[/red]\x1b[2J.csv"
    text = shown(tickets)
    assert "[red]a[/red]" in text
    assert "\x1b" not in text


def test_a_path_is_never_broken(tickets: dict[str, Any]) -> None:
    path = "/data/" + "very long folder name/" * 8 + "report.html"
    tickets["details"]["outputs"]["report"] = path
    assert path in shown(tickets, 80)


def test_many_candidates_are_cut_and_counted(tickets: dict[str, Any]) -> None:
    board = tickets["verdict"]["leaderboard"]
    tickets["verdict"]["leaderboard"] = [{**board[3], "candidate": f"m{i}"} for i in range(30)]
    tickets["details"]["curves"] = []
    assert "and 14 more in the report" in shown(tickets)


def test_a_sparse_record_is_shown_without_failing(sparse: dict[str, Any]) -> None:
    text = shown(sparse)
    assert "Pick" in text
    assert "None" not in text


def test_nothing_measured_is_said_in_words() -> None:
    assert "Nothing was measured, so there is nothing to pick." in shown({})


def test_a_long_name_of_what_is_counted_makes_room_for_its_numbers(banking: dict[str, Any]) -> None:
    banking["verdict"]["task"] = "detect"
    lines = shown(banking, 80).splitlines()
    at = next(i for i, row in enumerate(lines) if row.strip().endswith("by labelled anomalies"))
    assert len(lines[at + 1].replace("fit per text", "").split()) >= 4
