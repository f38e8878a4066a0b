"""Every method that finds entities, on sentences that a person reads at a glance."""

import itertools

import numpy as np
import pytest

from nshot import metrics
from nshot.backbones.fake import FakeTextEncoder
from nshot.core import Dataset, FitContext, Span, Task, TaskKind, TokenWindow
from nshot.methods import build
from nshot.training.entities.vectors import tokens_of, word_vectors
from nshot.training.entities.words import Cut, Sentence, sentences

NAMES = ("Anna", "Chen Li", "Dora", "Emil Berg", "Fatima")
THINGS = ("lamp", "mirror", "red chair", "clock")
TASK = Task(TaskKind.EXTRACT, ("person", "thing"), metric="entity_f1", unit="sentences")


def sold(name: str, thing: str) -> tuple[str, tuple[Span, ...]]:
    text = f"Yesterday {name} bought a {thing} here, for cash."
    return text, (
        Span(10, 10 + len(name), "person"),
        Span(text.index(thing), text.index(thing) + len(thing), "thing"),
    )


def data(names: tuple[str, ...] = NAMES) -> Dataset:
    pairs = [sold(*pair) for pair in itertools.product(names, THINGS)]
    pairs += [(f"Nobody was here on day {day}.", ()) for day in range(10)]
    return Dataset([text for text, _ in pairs], targets=[spans for _, spans in pairs])


def score(name: str, train: Dataset, test: Dataset, **options: object) -> float:
    metric = metrics.get("entity_f1")
    method = build(name, options)
    context = FitContext(lambda targets, prediction: metric.score(targets, prediction, TASK))
    backbone = FakeTextEncoder() if method.needs.abilities else None
    predictor = method.fit(TASK, train, train.without_targets(), backbone, context)
    return metric.score(test.labelled_targets(), predictor.predict(test.examples), TASK)


@pytest.mark.parametrize("name", ["seen_spans", "word_features", "linear_probe"])
def test_entities_that_were_seen_are_found_again(name: str) -> None:
    assert score(name, data(), data()) > 0.95


@pytest.mark.parametrize("name", ["full_finetune", "lora"])
def test_a_network_that_is_trained_long_enough_finds_what_it_has_seen(name: str) -> None:
    assert score(name, data(), data(), epochs=80, learning_rate=5e-3) > 0.9


def test_word_features_find_names_that_were_never_seen() -> None:
    assert score("word_features", data(), data(("Gustav", "Hannah Moor"))) > 0.9
    assert score("seen_spans", data(), data(("Gustav", "Hannah Moor"))) < 0.7


def test_what_is_mostly_unmarked_is_no_seen_span() -> None:
    texts = ["May is here", *["you may go", "it may rain"]]
    train = Dataset(texts, targets=[(Span(0, 3, "person"),), (), ()])
    predictor = build("seen_spans").fit(TASK, train, train, None, FitContext(lambda targets, prediction: 0.0))
    assert predictor.predict(["May came"]).spans == [()]


def test_a_word_has_the_tokens_of_the_window_that_it_belongs_to() -> None:
    text = "ab cd ef"
    windows = [
        TokenWindow((1, 2, 3, 4), np.array([[0, 0], [0, 1], [1, 2], [3, 5]]), 0, 3),
        TokenWindow((5, 6, 7), np.array([[0, 0], [3, 5], [0, 0]]), 3, 9),
    ]
    sentence = Sentence(text, Cut.AT_SPACES.words(text))
    assert tokens_of(windows, sentence).tolist() == [[0, 1, 3], [1, 1, 2], [1, 3, 3]]


def test_words_have_the_same_vectors_alone_and_among_others() -> None:
    encoder = FakeTextEncoder()
    own = sentences(["Anna bought a lamp", "", "\u200b Emil"], Cut.BETWEEN_CHARACTERS)
    together = word_vectors(encoder, own)
    assert together.shape == (6, encoder.token_width + 30)
    np.testing.assert_array_equal(np.concatenate([word_vectors(encoder, [one]) for one in own]), together)


@pytest.mark.parametrize("name", ["full_finetune", "lora"])
def test_how_long_is_trained_is_not_chosen(name: str) -> None:
    method = build(name, {"early_stopping": True})
    assert "Leave early_stopping out" in method.supports(TASK, FakeTextEncoder())
