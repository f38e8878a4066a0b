"""What k_means, gaussian_mixture, agglomerative and hdbscan share."""

from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import DataError, Dataset, Task, TaskKind
from unit.methods.features import LookedUp, fit, restored
from unit.training.clustering.blobs import blobs, without_groups

TASK = Task(TaskKind.CLUSTER, metric="nmi")
NAMES = ("k_means", "gaussian_mixture", "agglomerative", "hdbscan")
COUNTED = ("k_means", "gaussian_mixture", "agglomerative")


def looked_up(rows):
    texts = [f"row {i}" for i in range(len(rows))]
    return texts, LookedUp(dict(zip(texts, rows, strict=True)))


def fitted(name, texts, backbone, **options):
    return fit(name, TASK, Dataset([]), backbone, metric="nmi", pool=Dataset(texts), **options)


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_the_pool_are_found_in_new_examples(name):
    rows, truth = blobs(3, n=300)
    texts, backbone = looked_up(rows)
    predictor = fitted(name, texts[:200], backbone, **({"smallest": 0.1} if name == "hdbscan" else {"groups": 3}))
    answers = predictor.predict(texts[200:])
    # Of dense groups the rim is in none.
    assert metrics.get("nmi").score([str(i) for i in truth[200:]], answers, TASK) > 0.75
    assert set(answers.labels) <= {"1", "2", "3", ""}
    again = restored(name, predictor, backbone)
    assert again.predict(texts[200:]).labels == answers.labels


@pytest.mark.parametrize("name", NAMES)
def test_without_groups_everything_is_one(name):
    texts, backbone = looked_up(without_groups("normal", n=120))
    predictor = fitted(name, texts, backbone)
    assert predictor.state().settings["chosen"]["groups"] == 0
    assert predictor.predict(texts[:3]).labels == ["1", "1", "1"]
    assert restored(name, predictor, backbone).predict(texts[:3]).labels == ["1", "1", "1"]


@pytest.mark.parametrize("name", COUNTED)
def test_the_number_of_groups_is_an_option(name):
    rows, _ = blobs(4, n=200)
    texts, backbone = looked_up(rows)
    assert set(fitted(name, texts, backbone, groups=2).predict(texts).labels) == {"1", "2"}


def test_the_largest_group_is_called_1():
    rows, truth = blobs(2, n=200)
    rows = np.concatenate([rows, rows[truth == 1] + 1e-3])
    texts, backbone = looked_up(rows)
    labels = fitted("k_means", texts, backbone, groups=2).predict(texts).labels
    assert labels.count("1") > labels.count("2")


def test_no_pool_is_refused_in_words():
    _, backbone = looked_up(np.ones((2, 2)))
    with pytest.raises(DataError, match="finds groups among unlabelled examples"):
        fitted("k_means", [], backbone)
