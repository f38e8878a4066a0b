"""When labels arrive later, on the terminal, in Markdown and in HTML."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from nshot.report import html, markdown, new_labels, terminal
from nshot.report.record import read


def _row(candidate: str, mean: float, seconds: float, **more: Any) -> dict[str, Any]:
    def share(score: float) -> dict[str, Any]:
        return {"score": score, "interval": [round(score - 0.04, 3), round(score + 0.03, 3)]}

    return {
        "candidate": f"{candidate}:all-MiniLM-L6-v2",
        "seen": share(0.91),
        "new": share(round(mean - 0.05, 3)),
        "harmonic_mean": share(mean),
        "versus_best": None,
        "draws": 5,
        **({"fit_seconds": seconds} if not more else {"seconds_to_take_in": seconds, **more}),
    }


@pytest.fixture
def late(tickets: dict[str, Any]) -> dict[str, Any]:
    """Return the tickets with labels that were held out."""
    behind = {"versus_best": {"mean": -0.21, "interval": [-0.25, -0.17]}}
    tickets["verdict"]["new_labels"] = {
        "share": 0.2,
        "held_out": [["<b>lost</b>", "refund"], ["a|b", "top up"]],
        "n_labels_held_out": 2,
        "n_labels_seen": 10,
        "rows_per_new_label": 70.4,
        "rows": [
            _row("prototypes", 0.83, 0.021, needs="5 examples", examples_per_label=5),
            _row("primed_probe", 0.62, 1.4, needs="training again", examples_per_label=0, **behind),
            _row("label_similarity", 0.55, 0.013, needs="nothing", examples_per_label=0),
            *(_row(f"way_{i}", 0.5 - i / 20, 3.0, needs="training again", examples_per_label=5) for i in range(6)),
        ],
        "from_the_start": [_row("primed_probe", 0.9, 0.4)],
        "because": ["prototypes:all-MiniLM-L6-v2 takes new labels in best, with 5 examples: 0.83 [0.79, 0.86]."],
    }
    return tickets


def shown(record: dict[str, Any], width: int = 100) -> str:
    out = io.StringIO()
    terminal.render(record, Console(file=out, width=width))
    return out.getvalue()


def test_the_terminal_shows_the_best_ways_after_the_leaderboard_and_one_from_the_start(late):
    text = shown(late)
    assert text.index("macro F1 by labels") < text.index("Later  2 of 12 labels held out, in 2 random draws.")
    rows = text[text.index("new labels  ") :].splitlines()
    assert rows[1].split() == "prototypes 5 examples .91 .78 .83 [.79, .86] 21 ms".split()  # noqa: SIM905
    assert rows[2].split()[:4] == ["primed_probe", "new", "fit,", "by"]
    assert rows[3].split()[:3] == ["label_similarity", "by", "name"]
    assert "from the start" in rows[7]
    assert "and 3 more in the report" in rows[8]


@pytest.mark.parametrize("width", [66, 80, 120])
def test_a_narrow_terminal_drops_columns_before_it_breaks_lines(late, width):
    text = shown(late, width)
    rows = text[text.index("new labels  ") :].splitlines()
    assert all(len(row) <= width for row in rows[:9])
    assert all("[" in row for row in rows[1:8])


def test_the_pages_show_every_way_with_its_interval_and_what_the_columns_mean(late):
    for page in (markdown.render(late), html.render(late)):
        assert "When labels arrive later" in page
        for i in range(6):
            assert f"way_{i}" in page.replace("\\", "")
        assert "answers all rows of it wrongly" in page
    plain = markdown.render(late).replace("\\", "")
    assert "| `prototypes` | 5 examples | 0.91 [0.87, 0.94] | 0.78 [0.74, 0.81] | 0.83 [0.79, 0.86] |" in plain
    assert "-0.21 [-0.25, -0.17]" in plain


def test_names_of_labels_are_shown_as_they_are_and_never_as_markup(late):
    page = html.render(late)
    assert "&lt;b&gt;lost&lt;/b&gt;" in page
    assert "<b>lost" not in page


def test_without_labels_held_out_nothing_is_said_of_them(tickets):
    assert "Later" not in shown(tickets)
    assert "arrive later" not in markdown.render(tickets)
    assert "arrive later" not in html.render(tickets)


@pytest.mark.parametrize("part", [{}, {"rows": [{}]}, {"rows": None, "because": None, "held_out": [[]]}])
def test_a_record_with_parts_missing_is_shown_as_far_as_it_goes(tickets, part):
    tickets["verdict"]["new_labels"] = part
    assert "Later" in shown(tickets)
    assert "When labels arrive later" in markdown.render(tickets)
    assert "When labels arrive later" in html.render(tickets)


def test_ways_are_named_by_what_they_need(late):
    ways = [row.how for row in new_labels.rows(read(late))]
    assert ways[:4] == ["5 examples", "new fit, by name", "by name", "new fit, 5 examples"]
    assert ways[-1] == "from the start"


def test_candidates_are_named_in_short_in_sentences_too(late):
    for page in (shown(late), markdown.render(late), html.render(late)):
        assert "all-MiniLM-L6-v2 takes new labels in best" not in page
        assert "takes new labels in best" in page
