"""The report as Markdown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nshot.report import markdown


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("name", ["tickets", "banking", "binary", "diners"])
def test_every_row_of_a_table_has_the_cells_of_its_head(name: str, request: pytest.FixtureRequest) -> None:
    found = tables(markdown.render(request.getfixturevalue(name)))
    assert len(found) >= 5
    for table in found:
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
        assert len(cells) == 1, table[0]


def test_everything_that_the_verdict_holds_is_in_it(tickets: dict[str, Any]) -> None:
    text = markdown.render(tickets)
    assert text.startswith("# Pick `primed_probe` on `all-MiniLM-L6-v2`\n")
    for words in (
        "0.86 \\[0.83, 0.89\\]",
        "takes 140 times as long",
        "is expected to overtake",
        "## All candidates",
        "| billing\\_dispute |",
        "N104 9 texts carry two labels",
        "would not fit the 5 min; --budget 8m",
        "nshot compare tickets.csv --seed 0",
        "target: this model",
    ):
        assert words in text


def test_a_text_cannot_become_markup_or_split_a_table(tickets: dict[str, Any]) -> None:
    tickets["details"]["mistakes"][0]["text"] = "a|b <script>alert(1)</script> `c` [d](http://e)\n\n# f"
    tickets["verdict"]["leaderboard"][0]["candidate"] = "ev``il|<b>"
    text = markdown.render(tickets)
    assert "<script" not in text
    assert "a\\|b &lt;script&gt;" in text
    assert "\\[d\\](http://e) \\# f" in text
    assert "``` ev``il\\|<b> ```" in text


def test_texts_are_left_out_on_request(tickets: dict[str, Any]) -> None:
    assert "Explain the thirty pounds" in markdown.render(tickets)
    without = markdown.render(tickets, texts=False)
    assert "Explain the thirty pounds" not in without
    assert "The texts were left out on request." in without


def test_a_sparse_record_is_written_without_failing(sparse: dict[str, Any]) -> None:
    assert "None" not in markdown.render(sparse)
