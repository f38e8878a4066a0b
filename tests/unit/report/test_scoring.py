from __future__ import annotations

import io

import pytest
from rich.console import Console

from nshot.report import scoring


def entry(score, *interval):
    return {"score": score, "interval": list(interval) or None, "signature": "rougeL|v1"}


@pytest.fixture
def record():
    first, second = {"bleu": entry(38.656, 37.1, 40.2)}, {"bleu": entry(40.0, 38.0, 42.0)}
    return {
        "references": "test.csv",
        "n": 1847,
        "n_references": 4693,
        "independent": 1847,
        "metric": "bleu",
        "metrics": second,
        "systems": [{"name": "a.txt", "metrics": first}, {"name": "b.txt", "metrics": second}],
        "notes": ["3 of 1,847 outputs of b.txt are empty, and count as answers."],
        "difference": {"bleu": {"mean": 1.344, "interval": [0.5, 2.2], "p_value": 0.01}},
        "better": "b.txt",
        "smallest_detectable_difference": 1.2,
    }


def shown(record, width=100, encoding="utf-8"):
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding, newline="\n", write_through=True)
    scoring.render(record, Console(file=file, width=width, color_system=None))
    return buffer.getvalue().decode(encoding)


def test_bleu_is_shown_as_sacrebleu_prints_it_with_both_ends(record):
    text = shown(record)
    assert "38.66 [37.10, 40.20]" in text
    assert "+1.34 [+0.50, +2.20]" in text


def test_the_better_system_is_named(record):
    assert scoring.comparison(record).startswith("B (b.txt) is better than A: BLEU of B against A is +1.34")


def test_nothing_shown_is_said_with_what_could_have_been_seen(record):
    record |= {"better": None, "difference": {"bleu": {"mean": -0.1, "interval": [-0.5, 0.3], "p_value": 0.6}}}
    words = scoring.comparison(record)
    assert "cannot tell which is better" in words
    assert "A true difference of 1.20" in words


def test_notes_and_signatures_are_printed(record):
    text = shown(record)
    assert "3 of 1,847 outputs" in text
    assert "bleu|rougeL|v1" in text


def test_any_name_can_be_printed_on_any_terminal(record):
    record["systems"][0]["name"] = "[bold]猫\u202e.txt"
    assert "[bold]?" in shown(record, encoding="ascii")


def test_what_a_judge_said_comes_with_how_far_it_can_be_trusted(record):
    record["judge"] = {
        "model": "gpt",
        "candidate": "b.txt",
        "against": "a.txt",
        "n": 100,
        "win_rate": {"score": 0.55, "interval": [0.45, 0.65]},
        "won": 30,
        "lost": 20,
        "tied": 45,
        "by_place": 40,
        "same": 1,
        "unclear": 5,
        "example": "Both.",
        "better": None,
    }
    words = " ".join(scoring.judged(record["judge"]))
    assert "prefers b.txt to a.txt in 55 % [45 %, 65 %] of 95 pairs" in words
    assert "shows neither to be better" in words
    assert "In 40 pairs it chose by the place" in words
    assert "Left out: 5 pairs" in words


def test_what_only_informs_is_not_said_to_make_one_better(record):
    record |= {"metric": "length_ratio", "better": None, "difference": {"length_ratio": record["difference"]["bleu"]}}
    assert "does not say which is better" in scoring.comparison(record)
