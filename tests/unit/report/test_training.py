"""How trainings went: the page of a fit, and the section of a comparison."""

from __future__ import annotations

import copy
import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from nshot.report import html, markdown, terminal, training

LOSSES = [round(2.0 - 0.015 * i, 4) for i in range(100)]
RECORD: dict[str, Any] = {
    "name": "model",
    "method": "full_finetune",
    "backbone": "all-MiniLM-L6-v2",
    "data": "tickets.csv",
    "n_labels": 707,
    "seconds": 63.2,
    "examples_per_second": 181.4,
    "was_resumed": False,
    "trainings": {
        "training": {
            "steps": 250,
            "examples_seen": 8000,
            "losses": LOSSES,
            "learning_rate": 4e-5,
            "precision": "bf16",
            "restarts": 1,
            "micro_batch_halvings": 2,
        }
    },
    "options": {"epochs": None, "learning_rate": 2e-4, "target_modules": ["query", "value"], "train_embeddings": False},
    "facts": {"seed": 0, "threads": 2, "device": "cpu"},
    "nshot": "0.1.0",
}
HOSTILE = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"


class Outline(HTMLParser):
    """What a screen reader goes by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.depth += tag not in {"meta", "link", "br"}

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_tells_what_the_training_did() -> None:
    text = training.render(RECORD)
    for words in (
        "Training of",
        "full_finetune",
        "63 s",
        ">181<",
        "8,000",
        "This run learnt nothing at first and was begun again at a fifth of the learning rate (4e-05).",
        "The micro-batches were halved 2 times to fit into memory",
        "averaged over 100 equal stretches",
        "<dd>query, value</dd>",
        "<dd>0.0002</dd>",
    ):
        assert words in text, words
    assert "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_the_curve_is_drawn_for_wide_pages_and_phones_and_its_figures_are_a_table() -> None:
    text = training.render(RECORD)
    page = Outline(text)
    assert page.depth == 0
    drawn = page.all("svg")
    assert [svg["class"] for svg in drawn] == ["chart wide", "chart narrow"]
    assert all(svg["aria-label"] for svg in drawn)
    assert len(page.all("caption")) == len(page.all("table")) == 1
    assert all(cell.get("scope") == "col" for cell in page.all("th"))
    assert len(page.all("tr")) == 26
    assert '<td class="n">250</td><td class="n">0.5' in text, "the last row ends at the last step"
    points = next(a["d"] for a in page.all("path") if a.get("class") == "curve")
    assert points is not None
    heights = [float(pair.split()[1]) for pair in points[1:].split("L")]
    assert len(heights) == 100
    assert heights == sorted(heights), "a falling loss goes down the page"


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = training.render(RECORD)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    page = Outline(text)
    assert page.all("script") == []
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def test_names_from_the_data_cannot_become_part_of_the_page() -> None:
    hostile = copy.deepcopy(RECORD)
    hostile |= {"name": HOSTILE, "data": HOSTILE, "backbone": HOSTILE, "options": {HOSTILE: HOSTILE}}
    hostile["trainings"] = {HOSTILE: RECORD["trainings"]["training"], "b": RECORD["trainings"]["training"]}
    text = training.render(hostile)
    assert "<script>" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"onerror=alert\(1\)&gt;(.{0,9})", text)
    assert Outline(text).depth == 0


@pytest.mark.parametrize(
    "trainings",
    [
        {},
        {"training": {}},
        {"training": {"steps": 3, "losses": [0.4]}},
        {"training": {"steps": 2, "losses": [float("nan"), 1.0]}},
        {"training": {"steps": 2, "losses": [-1.0, -3.0]}},
        {"training": {"steps": 2, "losses": [0.0, 0.0]}},
    ],
)
def test_a_sparse_or_odd_record_is_a_page(trainings: dict[str, Any]) -> None:
    for record in ({"trainings": trainings}, {**RECORD, "trainings": trainings}):
        text = training.render(record)
        assert Outline(text).depth == 0
        assert "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
        assert "nan" not in text.lower().replace("finance", "")


def test_two_trainings_of_one_fit_have_a_curve_each_under_its_name() -> None:
    one = RECORD["trainings"]["training"]
    text = training.render({**RECORD, "trainings": {"pretraining": one, "then.training": one}})
    assert "Loss: pretraining" in text
    assert "Loss: then.training" in text
    assert ">500<" in text, "the steps of both"
    assert len(Outline(text).all("svg")) == 4


def test_a_terminal_gets_the_same_in_sentences() -> None:
    assert training.sentences(RECORD) == [
        "250 steps, 8,000 examples, 181 examples/s, loss 2.00 to 0.515.",
        "This run learnt nothing at first and was begun again at a fifth of the learning rate (4e-05).",
        "The micro-batches were halved 2 times to fit into memory; what a step averages over stayed the same.",
    ]


# ------------------------------------------------------------------------------------------ of a comparison

AGAIN = "full_finetune learnt nothing at first and was begun again at a fifth of the learning rate in 2 of its 5 runs."


def test_a_report_shows_the_losses_of_what_was_trained(tickets: dict[str, Any]) -> None:
    text = html.render(tickets)
    section = text[text.index('id="training"') : text.index('id="checks"')]
    assert AGAIN in section
    assert "Loss over the share of the training for 2 candidates" in section
    assert section.count('class="band"') == 2, "of the candidate with several runs, on a wide page and on a phone"
    assert "Shaded: from the smallest to the largest of several runs." in section
    assert section.count("<tr>") == 3
    assert '<a href="#training">' in text


def test_a_report_without_trainings_has_no_such_section(tickets: dict[str, Any]) -> None:
    del tickets["details"]["training"]
    for rendered in (html.render(tickets), markdown.render(tickets)):
        assert "How training went" not in rendered
        assert "#training" not in rendered


def test_a_run_that_was_begun_again_is_told_in_markdown_and_on_the_terminal(tickets: dict[str, Any]) -> None:
    text = markdown.render(tickets)
    assert "## How training went" in text
    assert AGAIN.replace("_", "\\_") in text
    assert "| `lora` | 843 | 1 | 212 | 6,784 | 0.002 |" in text
    out = io.StringIO()
    terminal.render(tickets, Console(file=out, width=200))
    assert AGAIN in out.getvalue()


def test_a_model_that_writes_was_trained_on_answers() -> None:
    assert "707 labels" in training.render(RECORD)
    assert "707 answers" in training.render({**RECORD, "task": "generate"})
