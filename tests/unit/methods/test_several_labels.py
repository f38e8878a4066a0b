"""Methods that give any number of labels, on made-up vectors: an example lies at the sum of its labels' directions."""

from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Dataset, Task, TaskKind
from nshot.metrics.tag import marks
from unit.methods.features import LookedUp, fit

LABELS = ("blue", "green", "red")
SHARES = np.array([0.4, 0.25, 0.06])
TASK = Task(TaskKind.TAG, LABELS, metric="macro_tag_f1")


@pytest.fixture(scope="module")
def data():
    """Return labelled train and test examples, and their backbone; the name of a label lies in its direction."""
    rng = np.random.default_rng(5)
    directions = 2.0 * np.eye(3, 10)
    vectors = dict(zip(LABELS, directions, strict=True))
    parts = []
    for part, n in (("train", 300), ("test", 400)):
        has = rng.random((n, 3)) < SHARES
        found = has @ directions + 0.5 * rng.normal(size=(n, 10))
        vectors.update({f"{part} {i}": found[i] for i in range(n)})
        targets = [tuple(np.array(LABELS)[row].tolist()) for row in has]
        parts.append(Dataset([f"{part} {i}" for i in range(n)], targets=targets))
    return *parts, LookedUp(vectors)


def f1(predictor, test):
    return metrics.get("macro_tag_f1").score(test.targets, predictor.predict(test.examples), TASK)


@pytest.mark.parametrize("method", ["linear_probe", "nearest_neighbours"])
def test_labels_that_apply_together_are_found(data, method):
    train, test, backbone = data
    predictor = fit(method, TASK, train, backbone)
    assert f1(predictor, test) > 0.8
    answered = predictor.predict(test.examples).labels
    assert {len(labels) for labels in answered} >= {0, 1, 2}


def test_without_labels_each_label_is_given_to_its_share_of_the_pool(data):
    train, test, backbone = data
    pool = train.without_targets()
    predictor = fit("label_similarity", TASK, train.take([]), backbone, pool=pool, share=0.25)
    assert np.allclose(marks(predictor.predict(pool.examples).labels, TASK).mean(axis=0), 0.25, atol=0.02)
    assert f1(predictor, test) > 0.5


def test_the_baseline_gives_what_more_than_half_of_the_examples_have(data):
    train, test, _ = data
    assert set(fit("majority", TASK, train, None).predict(test.examples).labels) == {()}
    often = train.where(lambda labels: "blue" in labels)
    assert set(fit("majority", TASK, often, None).predict(test.examples).labels) == {("blue",)}


def test_a_new_label_is_given_beside_the_others(data):
    train, test, backbone = data
    small = Task(TaskKind.TAG, LABELS[:2], metric="macro_tag_f1")
    known, red = train.where(lambda labels: "red" not in labels), train.where(lambda labels: labels == ("red",))
    grown = fit("nearest_neighbours", small, known, backbone).with_label("red", examples=red.examples)
    assert grown.task.labels == LABELS
    assert all("red" in labels for labels in grown.predict(red.examples).labels)
    assert marks(grown.predict(test.examples).labels, TASK)[:, 0].any()
