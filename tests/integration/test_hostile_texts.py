"""Texts, labels and columns that steer a browser, a spreadsheet or a terminal do so nowhere in what nshot writes."""

from __future__ import annotations

import csv
import json
import re
import unicodedata

import pytest

from integration.calling import nshot, succeeded, write_csv

SCRIPT = "<script>alert(1)</script>"
FORMULA = '=cmd|"/C calc"!A0'
STEERING = "\x1b[31mred\x1b]0;title\x07"
BACKWARDS = "safe\u202egnp.exe"
LABELS = [f"=SUM(A1)|`{SCRIPT}`", f"@{STEERING}", f"+{BACKWARDS}[x](javascript:1)"]
BITS = [SCRIPT, FORMULA, STEERING, BACKWARDS, "<img src=x onerror=alert(1)>", "| a | b |", "`code`", "{{ 7 * 7 }}"]
TEXT = "=the <b>text</b>"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    words = ["card lost today", "exchange rate question", "top up failed"]
    rows = [
        (f"{FORMULA if i % 5 == 0 else ''}{words[i % 3]} {BITS[i % len(BITS)]} number {i * 7919}", LABELS[i % 3])
        for i in range(60)
    ]
    return write_csv(folder / "data.csv", rows, header=(TEXT, "label"))


@pytest.fixture(scope="module")
def compared(data):
    out = data.parent / "out"
    shown = succeeded(
        "compare", data, "--out", out, "--text", TEXT, "--methods", "tfidf_linear,majority", "--budget", "20"
    )
    return out, shown


def assert_steers_no_terminal(shown) -> None:
    for letter in shown:
        assert letter == "\n" or unicodedata.category(letter) not in {"Cc"}, repr(letter)
        assert letter not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", repr(letter)


def assert_runs_nothing(page: str) -> None:
    """The page's only script is its own, and what is quoted has become text."""
    assert SCRIPT not in page
    assert "<img src=x" not in page
    assert not re.search(r"<[^>]*\bonerror\s*=\s*alert", page)
    assert "javascript:1)" not in re.sub(r"&#?\w+;", "", page) or 'href="javascript' not in page


def assert_calculates_nothing(file) -> None:
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.reader(opened))
    assert len(rows) > 50
    for cell in (cell for row in rows for cell in row):
        assert not re.match(r"[=+\-@\t\r]", cell) or re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?", cell), cell


def test_a_report_runs_nothing(compared):
    out, shown = compared
    assert_runs_nothing((out / "report.html").read_text(encoding="utf-8"))
    assert_steers_no_terminal(shown.out)
    assert_steers_no_terminal(shown.err)


def test_a_model_card_runs_nothing(compared):
    card = (compared[0] / "model" / "README.md").read_text(encoding="utf-8")
    assert_steers_no_terminal(card)
    assert "<script>" not in card
    assert "[x](" not in card
    assert not [line for line in card.splitlines() if line.startswith(("| ", "<"))]


def test_predictions_calculate_nothing_and_come_back(compared, data, tmp_path):
    out = tmp_path / "predictions.csv"
    succeeded("predict", compared[0] / "model", data, "--out", out, "--all")
    assert_calculates_nothing(out)
    from nshot.data.options import ReadOptions
    from nshot.data.reading import read

    again, first = (read(file, ReadOptions(text=(TEXT,), label="label")) for file in (out, data))
    assert list(again.dataset.examples) == list(first.dataset.examples)
    assert list(again.dataset.targets) == list(first.dataset.targets)


def test_explored_rows_calculate_nothing_and_their_report_runs_nothing(tmp_path):
    # Rows of a table, which no network has to read.
    cells = [(str(i * 37 % 101), str(i % 7), LABELS[i % 3], BITS[i % 4]) for i in range(80)]
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("amount", f"{SCRIPT}", f"={STEERING.strip()}", "note"), *cells])
    shown = succeeded("explore", tmp_path / "table.csv", "--out", tmp_path / "explored")
    assert_steers_no_terminal(shown.out)
    for name in ("rows.csv", "to_label.csv"):
        assert_calculates_nothing(tmp_path / "explored" / name)
    for page in (tmp_path / "explored").glob("*.html"):
        assert_runs_nothing(page.read_text(encoding="utf-8"))


def test_evaluations_and_checks_steer_no_terminal(compared, data):
    for arguments in (("evaluate", compared[0] / "model", data), ("check", data, "--text", TEXT)):
        shown = nshot(*arguments)
        assert shown.code in {0, 1}
        assert_steers_no_terminal(shown.out)
        assert_steers_no_terminal(shown.err)


def test_error_messages_steer_no_terminal(data):
    shown = nshot("check", data, "--text", f"none{STEERING}")
    assert shown.code == 2
    assert_steers_no_terminal(shown.err)


def test_scored_outputs_steer_no_terminal(tmp_path):
    for name, word in (("outputs.jsonl", "one"), ("references.jsonl", "two")):
        lines = [json.dumps({"text": f"{word} {bit}"}) for bit in BITS * 4]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    shown = nshot("score", tmp_path / "outputs.jsonl", tmp_path / "references.jsonl", "--metric", "exact_match")
    assert_steers_no_terminal(shown.out)
    assert_steers_no_terminal(shown.err)
