"""Scores of several labels per row, held against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from nshot import metrics
from nshot.core import DataError, Prediction, Task, TaskKind

K, ROWS = 30, 200
TASK = Task(TaskKind.TAG, tuple(f"label {k:02}" for k in range(K)))


def named(marks):
    return [tuple(TASK.labels[k] for k in np.flatnonzero(row)) for row in marks]


@pytest.fixture(scope="module")
def sample():
    """Return marks and probabilities of rare and frequent labels; the last occurs nowhere, the one before it once."""
    rng = np.random.default_rng(3)
    true = rng.random((ROWS, K)) < np.linspace(0.5, 0.02, K)
    true[:, -1] = False
    true[:, -2] = np.arange(ROWS) == 7
    probabilities = np.clip(0.6 * true + 0.4 * rng.random((ROWS, K)), 0, 1).astype(np.float32)
    probabilities[rng.random((ROWS, K)) < 0.3] *= np.float32(0.4)
    probabilities[:, -1] = 0.1
    return true, probabilities


def score(name, true, probabilities):
    given = named(probabilities >= 0.5)
    return metrics.get(name).score(named(true), Prediction(labels=given, probabilities=probabilities), TASK)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_is_scikit_learns_with_labels_that_occur_nowhere_left_out(sample, average):
    true, probabilities = sample
    expected = sklearn_metrics.f1_score(true, probabilities >= 0.5, average=average, zero_division=np.nan)
    assert score(f"{average}_tag_f1", *sample) == pytest.approx(expected, abs=1e-12)


def test_subset_accuracy_and_hamming_loss_are_scikit_learns(sample):
    true, probabilities = sample
    answered = probabilities >= 0.5
    expected = sklearn_metrics.accuracy_score(true, answered)
    assert score("subset_accuracy", *sample) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.hamming_loss(true, answered)
    assert score("hamming_loss", *sample) == pytest.approx(expected, abs=1e-12)


def test_average_precision_is_scikit_learns_over_labels_with_two_examples(sample):
    true, probabilities = sample
    often = true.sum(axis=0) >= 2
    assert 0 < often.sum() < K - 1
    expected = sklearn_metrics.average_precision_score(true[:, often], probabilities[:, often], average="macro")
    assert score("macro_average_precision", *sample) == pytest.approx(expected, abs=1e-12)


def test_a_label_that_is_only_answered_costs_macro_f1_a_zero():
    task = Task(TaskKind.TAG, ("a", "b"))
    metric = metrics.get("macro_tag_f1")
    assert metric.score([("a",), ()], Prediction(labels=[("a",), ()]), task) == 1.0
    assert metric.score([("a",), ()], Prediction(labels=[("a",), ("b",)]), task) == 0.5


def test_rows_without_any_label_that_get_none_have_no_f1_and_are_all_right():
    answers = Prediction(labels=[(), ()])
    assert np.isnan(metrics.get("macro_tag_f1").score([(), ()], answers, TASK))
    assert metrics.get("subset_accuracy").score([(), ()], answers, TASK) == 1.0


def test_an_answer_outside_the_labels_is_wrong_and_a_target_outside_is_refused():
    task = Task(TaskKind.TAG, ("a", "b"))
    answers = Prediction(labels=[("a", "c")])
    assert metrics.get("subset_accuracy").score([("a",)], answers, task) == 0.0
    with pytest.raises(DataError, match="'c'"):
        metrics.get("macro_tag_f1").score([("c",)], answers, task)


def test_a_thousand_labels_take_forty_numbers_a_row():
    task = Task(TaskKind.TAG, tuple(f"{k:04}" for k in range(1_000)))
    targets = [(f"{k:04}", f"{999 - k:04}") for k in range(50)]
    metric = metrics.get("micro_tag_f1")
    statistics = metric.statistics(targets, Prediction(labels=targets), task)
    assert statistics.shape[1] <= 40
    assert metric.aggregate(statistics) == 1.0
