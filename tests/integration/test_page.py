"""The page of the server in a real browser: clicked, typed into, and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from browser import PROGRAM, Page, browsing
from endpoints import Slow, echo, serving
from nshot import api
from nshot.core import Example, Prediction, Span, State, Task, TaskKind
from nshot.serving.predicting import ServedPredictor, open_saved
from nshot.serving.sharing import SharedBackbones

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")

HTML = "<img src=x onerror=document.title='run'>"
TEXTS = [f"{word} number {i}" for i in range(12) for word in ("parcel", "refund")]
LABELS = [HTML if "refund" in text else "delivery" for text in TEXTS]


class Finds:
    """Finds every place of a word in a text, or says which of its labels stand in it."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def predict(self, examples: Sequence[Example]) -> Prediction:
        texts = [str(text) for text in examples]
        if self.task.kind is TaskKind.TAG:
            return Prediction(labels=[tuple(label for label in self.task.labels if label in text) for text in texts])
        return Prediction(
            spans=[
                [Span(text.index(label), text.index(label) + len(label), label) for label in self.task.labels]
                for text in texts
            ]
        )

    def state(self) -> State:
        raise NotImplementedError


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[ServedPredictor]:
    from nshot.backbones import open_backbone

    folder = tmp_path_factory.mktemp("models")
    shared = SharedBackbones(open_backbone)
    api.fit((TEXTS, LABELS), method="tfidf_linear").save(folder / "tickets")
    rows = [{"heat": 50.0 + i % 17, "site": ("north", "south")[i % 2], "cost": 3.0 * (i % 17)} for i in range(60)]
    api.fit(rows, task="regress", label="cost", method="linear_probe", out=folder / "prices")
    tickets, prices = (open_saved(name, folder / name, shared) for name in ("tickets", "prices"))

    def other(kind: TaskKind) -> ServedPredictor:
        task = Task(kind, ("Oslo", "Rome"))
        return replace(tickets, name=kind.value, opened=replace(tickets.opened, task=task, predictor=Finds(task)))

    return [tickets, prices, other(TaskKind.EXTRACT), other(TaskKind.TAG)]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def address(models) -> Iterator[str]:
    with serving(*models, echo(Slow(0.02))) as found:
        yield found.removesuffix("/v1")


@pytest.fixture
def opened(page, address) -> Page:
    page.said.clear()
    page.opens(address)
    page.until("!document.getElementById('ask').hidden")
    return page


def chooses(page: Page, model: str) -> None:
    """Choose a model in the list with the keyboard: the letters of a name choose it."""
    page.finds("document.getElementById('model').focus()")
    for letter in model:
        page.presses(letter, ord(letter.upper()), text=letter)
    page.until(f"document.getElementById('model').value === '{model}'")


def answer(page: Page) -> str:
    """Click on the button and return what is answered."""
    page.clicks("#go")
    page.until("!document.getElementById('go').disabled")
    found: str = page.finds("document.getElementById('answer').innerText")
    return found


def rows(page: Page) -> Any:
    """Return the cells of the answer."""
    return page.finds("[...document.querySelectorAll('#answer tr')].map(row => [...row.cells].map(c => c.innerText))")


def problem(page: Page) -> Any:
    return page.finds("document.getElementById('problem').innerText")


def test_a_text_is_typed_and_answered_with_bars_and_markup_is_shown_as_text(opened):
    opened.clicks("textarea")
    opened.types("refund <b>now</b>")
    assert answer(opened).startswith(HTML)
    found = rows(opened)
    assert [row[0] for row in found] == [HTML, "delivery"]
    assert float(found[0][2]) > 0.5 > float(found[1][2])
    widths = opened.finds("[...document.querySelectorAll('.bar')].map(bar => bar.offsetWidth)")
    assert widths[0] > 2 * widths[1] > 0
    assert opened.finds("document.title") != "run"
    assert opened.said == []


def test_a_row_has_a_field_for_each_column_and_an_empty_one_is_not_known(opened):
    chooses(opened, "prices")
    assert opened.finds("[...document.querySelectorAll('#fields label')].map(each => each.innerText)") == [
        "heat",
        "site",
    ]
    opened.clicks("#fields input")
    opened.types("60")
    opened.presses("Enter", 13, text="\r")
    opened.until("document.querySelectorAll('#answer tr').length === 1")
    assert float(rows(opened)[0][1]) > 10
    assert not problem(opened)


def test_what_was_found_is_marked_in_the_text_behind_characters_of_any_width(opened):
    chooses(opened, "extract")
    opened.clicks("textarea")
    opened.types("\U0001f600 from Rome to Oslo")
    answer(opened)
    assert opened.finds("[...document.querySelectorAll('mark')].map(each => each.firstChild.data)") == ["Rome", "Oslo"]
    assert opened.finds("document.querySelector('#answer .text').innerText").startswith("\U0001f600 from Rome")
    # The text stays when another model is chosen.
    chooses(opened, "tag")
    assert answer(opened).strip() == "Oslo, Rome"
    opened.finds("document.querySelector('textarea').value = ''")
    assert answer(opened).strip() == "No label"


def test_a_conversation_is_written_piece_by_piece_and_can_be_stopped(opened):
    chooses(opened, "echo")
    opened.clicks("textarea")
    opened.types("word " * 60 + "end")
    opened.presses("Enter", 13, 2)
    opened.until("document.querySelector('.assistant')?.innerText.includes('word word')")
    opened.clicks("#stop")
    opened.until("!document.getElementById('go').disabled")
    stopped = opened.finds("document.querySelector('.assistant').innerText")
    assert "end" not in stopped
    opened.types("word")
    opened.presses("Enter", 13, 2)
    # The echo answers the like of an earlier question like that one: what was written before is sent along.
    opened.until(f"document.querySelectorAll('.assistant')[1]?.innerText === '{stopped}'")
    opened.until("!document.getElementById('forget').hidden")
    opened.clicks("#forget")
    assert opened.finds("document.querySelectorAll('.turn').length") == 0
    assert not problem(opened)


def test_a_token_is_asked_for_and_a_wrong_one_is_said(page, models):
    with serving(models[0], token="a-long-enough-token") as address:
        page.opens(address.removesuffix("/v1"))
        page.until("document.activeElement?.id === 'token'")
        assert not problem(page)
        page.types("another")
        page.presses("Enter", 13, text="\r")
        page.until("document.getElementById('problem').innerText.includes('not the token')")
        page.types("a-long-enough-token")
        page.presses("Enter", 13, text="\r")
        page.until("!document.getElementById('ask').hidden")
        page.clicks("textarea")
        page.types("parcel")
        assert answer(page).startswith("delivery")
        assert page.finds("document.getElementById('access').hidden")
        assert not problem(page)
    page.clicks("#go")
    page.until("document.getElementById('problem').innerText.includes('cannot be reached')")


def test_a_program_that_is_no_file_of_the_server_is_not_run(opened):
    opened.finds(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.run = 1'}))"
    )
    assert opened.finds("window.run") is None
    assert any("Content Security Policy" in text for text in opened.said)


@pytest.mark.parametrize("width", [390, 1000])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.calls("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    opened.finds(f"document.querySelector('textarea').value = '{'refund' * 300}'")
    answer(opened)
    assert opened.finds("document.documentElement.scrollWidth") <= width
    opened.calls("Emulation.clearDeviceMetricsOverride")
