"""Which columns are taken for what, by name and by content."""

from __future__ import annotations

import pytest

from nshot.data.reading import read
from nshot.data.recognition import names_say_something, says_nothing

TEXTS = ["my card never came back", "how do i pay this bill", "the app is far too slow", "please close my account"] * 5
LABELS = ["card", "payment", "app", "account"] * 5


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"id": range(20), "text": TEXTS, "label": LABELS}, "text", "label"),
        ({"foo": TEXTS, "bar": LABELS}, "foo", "bar"),
        ({"bar": LABELS, "foo": TEXTS}, "foo", "bar"),
        ({"customer": LABELS, "ticketBody": TEXTS, "Queue": LABELS}, "ticketBody", "Queue"),
        ({"sentence": TEXTS, "is_question": [0, 1] * 10}, "sentence", "is_question"),
        ({"text": TEXTS, "label": [0, 1, 2, 3] * 5, "label_text": LABELS}, "text", "label_text"),
        (
            {"created": [f"2024-01-{i + 1:02}" for i in range(20)], "Message": TEXTS, "Category": LABELS},
            "Message",
            "Category",
        ),
        ({"stars": [1, 2, 3, 4] * 5, "review": TEXTS}, "review", "stars"),
        ({"title": LABELS, "comment": TEXTS, "sentiment": LABELS}, "comment", "sentiment"),
        ({"text": LABELS, "label": [f"a{i}" for i in range(20)]}, "text", "label"),
    ],
)
def test_the_likeliest_columns_are_chosen(columns, text, label):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    source = read(rows)
    assert (source.text_columns, source.label_column) == ((text,), label)


def test_other_columns_that_could_be_meant_are_mentioned():
    rows = [
        {"question": text, "context": text + " and so on", "decision": label}
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]
    assert "context" in read(rows).recognised


@pytest.mark.parametrize(
    "label", ["0", "1", "-1", "2.5", "A", "b", "LABEL_0", "class 3", "yes", "No", "true", "__label__2"]
)
def test_a_name_that_tells_nobody_what_it_means_says_nothing(label):
    assert says_nothing(label)


@pytest.mark.parametrize(
    "label", ["spam", "card_arrival", "positive", "oos", "B2B", "level up", "type_error", "class action"]
)
def test_a_word_says_something(label):
    assert not says_nothing(label)


def test_half_of_the_names_must_mean_something():
    assert names_say_something(["spam", "ham", "0"], {})
    assert not names_say_something(["0", "1"], {"1": "a good review"})
    assert names_say_something(["0", "1"], {"0": "a bad review", "1": "a good review"})
