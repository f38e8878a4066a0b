import dataclasses

import numpy as np
import pytest

from nshot.backbones import fake
from nshot.core import BackboneRef, Dataset, FitContext, State, Task, TaskKind
from nshot.methods import build
from nshot.training.rowwise import normalised

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate", "top up"))
ROWS = [
    ("my card was stolen", "card"),
    ("block the card now", "card"),
    ("lost card on the train", "card"),
    ("what exchange rate do you use", "rate"),
    ("the rate for dollars is bad", "rate"),
    ("exchange rate abroad", "rate"),
    ("how do I top up", "top up"),
    ("my top up failed", "top up"),
    ("top up by transfer", "top up"),
]
TEXTS = [text for text, _ in ROWS]
NEW = ["a stolen card", "", "bad rate"]


def context(seed=5):
    return FitContext(
        lambda targets, answers: np.mean([a == b for a, b in zip(targets, answers.labels, strict=True)]), seed=seed
    )


def fit(name="contrastive", rows=ROWS, seed=5, task=TASK, **options):
    train = Dataset([text for text, _ in rows], targets=[label for _, label in rows])
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    return build(name, options).fit(task, train, train.without_targets(), backbone, context(seed))


def tightness(embed):
    """Return by how much texts of one label are nearer to each other than to others, as a cosine."""
    unit = normalised(embed(TEXTS))
    cosines = unit @ unit.T
    same = np.array([[a == b for _, b in ROWS] for _, a in ROWS])
    return cosines[same & ~np.eye(len(ROWS), dtype=bool)].mean() - cosines[~same].mean()


def test_texts_of_one_label_come_together():
    before = tightness(fake.open(BackboneRef("fake/text-encoder")).embed)
    drawn_back = tightness(fit(learning_rate=1e-2).encoder.embed)
    after = tightness(fit(learning_rate=1e-2, keep=0.0).encoder.embed)

    assert before < drawn_back < after
    assert list(fit(learning_rate=1e-2).predict(TEXTS).labels) == [label for _, label in ROWS]


def test_restoring_gives_the_same_probabilities():
    predictor = fit()
    saved = predictor.state()

    again = build("contrastive").restore(TASK, State(dict(saved.settings), dict(saved.tensors)), fake.open)

    assert np.array_equal(again.predict(NEW).probabilities, predictor.predict(NEW).probabilities)
    assert set(saved.tensors) == {"network.dense.weight", "network.dense.bias", "coefficients", "offsets"}


def test_it_chooses_what_the_probe_chooses_because_its_own_features_know_the_labels():
    chosen, usual = (fit(name).state().settings["chosen"] for name in ("contrastive", "linear_probe"))

    assert chosen["judged"] == usual["judged"]
    assert chosen["strength"] == usual["strength"]


@pytest.mark.parametrize("rows", [ROWS[:3], ROWS[::3], ROWS[:1]], ids=["one class", "no pair", "one row"])
def test_with_nothing_to_compare_it_is_the_probe(rows):
    predictor = fit(rows=rows)

    assert predictor.state().settings["training"] is None
    expected = fit("linear_probe", rows=rows).predict(NEW).probabilities
    assert np.array_equal(predictor.predict(NEW).probabilities, expected)


def test_another_seed_gives_another_model():
    first, other = (fit(seed=seed, batch_size=4).state().tensors["network.dense.weight"] for seed in (1, 2))

    assert not np.allclose(first, other, atol=1e-6)


def test_no_more_is_trained_on_than_was_planned():
    for options in ({}, {"epochs": 2, "batch_size": 6}):
        seen = fit(**options).state().settings["training"]["examples_seen"]
        assert seen == build("contrastive", options).planned_examples(len(ROWS))


def test_a_class_of_one_example_is_learnt_too():
    rows = [*ROWS, ("opening hours of the branch", "hours")]
    task = dataclasses.replace(TASK, labels=("card", "hours", "rate", "top up"))

    predictor = fit(rows=rows, task=task)

    assert list(predictor.predict([text for text, _ in rows]).labels) == [label for _, label in rows]


def test_the_real_network_beats_the_probe_on_question_types(shared_data):
    import csv

    from nshot.backbones import open_backbone

    def rows(name):
        with (shared_data / "text" / "trec" / name).open(newline="") as file:
            return [(row["text"], row["label"]) for row in csv.DictReader(file)]

    by_label = {}
    for text, label in rows("train.csv"):
        by_label.setdefault(label, []).append(text)
    few = [(text, label) for label, texts in by_label.items() for text in texts[:8]]
    train = Dataset([text for text, _ in few], targets=[label for _, label in few])
    test = rows("test.csv")[:150]
    task = Task(TaskKind.CLASSIFY, tuple(sorted(by_label)))
    backbone = open_backbone("all-MiniLM-L6-v2", threads=1)

    right = {}
    for name, options in (("linear_probe", {}), ("contrastive", {"epochs": 6, "batch_size": 24})):
        predictor = build(name, options).fit(task, train, train.without_targets(), backbone, context())
        answers = predictor.predict([text for text, _ in test]).labels
        right[name] = np.mean([answer == label for answer, (_, label) in zip(answers, test, strict=True)])

    assert right["contrastive"] > right["linear_probe"] + 0.1
