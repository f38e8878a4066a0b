"""Metrics against scikit-learn, an independent program."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from nshot import metrics
from nshot.core import Prediction, Task, TaskKind

LABELS = ("a", "b", "c", "d", "e")
TASK = Task(TaskKind.CLASSIFY, LABELS)


@pytest.fixture(params=range(4))
def classified(request):
    rng = np.random.default_rng(request.param)
    # Unequal classes; "e" never occurs, "d" is answered and never true.
    truth = rng.choice(LABELS[:3], 120, p=[0.7, 0.2, 0.1])
    probabilities = rng.dirichlet([2.0, 1.0, 1.0, 0.4, 0.01], 120)
    answers = np.array(LABELS)[probabilities.argmax(axis=1)]
    return list(truth), probabilities, list(answers)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", reference.accuracy_score),
        ("balanced_accuracy", lambda y, p: reference.recall_score(y, p, labels=sorted(set(y)), average="macro")),
        ("macro_f1", lambda y, p: reference.f1_score(y, p, average="macro")),
        ("weighted_f1", lambda y, p: reference.f1_score(y, p, average="weighted")),
        ("mcc", reference.matthews_corrcoef),
    ],
)
def test_classification_equals_scikit_learn(classified, name, expected):
    truth, _, answers = classified
    got = metrics.get(name).score(truth, Prediction(labels=answers), TASK)
    assert got == pytest.approx(expected(truth, answers), abs=1e-12)


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "weighted_f1", "mcc", "accuracy"])
def test_weights_equal_scikit_learns_sample_weight(classified, name):
    truth, _, answers = classified
    weights = np.random.default_rng(0).integers(0, 3, len(truth))
    score = {
        "macro_f1": lambda y, p, w: reference.f1_score(y, p, average="macro", sample_weight=w),
        "weighted_f1": lambda y, p, w: reference.f1_score(y, p, average="weighted", sample_weight=w),
        "balanced_accuracy": lambda y, p, w: reference.recall_score(
            y, p, labels=sorted(set(y)), average="macro", sample_weight=w
        ),
        "mcc": lambda y, p, w: reference.matthews_corrcoef(y, p, sample_weight=w),
        "accuracy": lambda y, p, w: reference.accuracy_score(y, p, sample_weight=w),
    }[name]
    metric = metrics.get(name)
    statistics = metric.statistics(truth, Prediction(labels=answers), TASK)
    assert metric.aggregate(statistics, weights) == pytest.approx(score(truth, answers, weights), abs=1e-12)


def test_answers_outside_the_labels_are_wrong_and_no_class(classified):
    truth, _, answers = classified
    answers = ["something else" if i % 7 == 0 else answer for i, answer in enumerate(answers)]
    got = metrics.get("macro_f1").score(truth, Prediction(labels=answers), TASK)
    expected = reference.f1_score(truth, answers, labels=["a", "b", "c", "d"], average="macro")
    assert got == pytest.approx(expected, abs=1e-12)
    got = metrics.get("mcc").score(truth, Prediction(labels=answers), TASK)
    assert got == pytest.approx(reference.matthews_corrcoef(truth, answers), abs=1e-12)


def test_probability_scores_equal_scikit_learn(classified):
    truth, probabilities, _ = classified
    prediction = Prediction(probabilities=probabilities)
    expected = reference.log_loss(truth, probabilities, labels=list(LABELS))
    assert metrics.get("log_loss").score(truth, prediction, TASK) == pytest.approx(expected, abs=1e-9)


def test_brier_of_two_classes_is_twice_scikit_learns():
    rng = np.random.default_rng(3)
    p, y = rng.random(50), rng.integers(0, 2, 50)
    task = Task(TaskKind.CLASSIFY, ("0", "1"))
    got = metrics.get("brier").score([str(v) for v in y], Prediction(probabilities=np.stack([1 - p, p], axis=1)), task)
    assert got == pytest.approx(2 * reference.brier_score_loss(y, p), abs=1e-12)


def test_calibration_error_equals_a_plain_loop(classified):
    truth, probabilities, answers = classified
    confidence = probabilities.max(axis=1)
    right = np.array(truth) == np.array(answers)
    expected = 0.0
    for lower in np.linspace(0, 1, 16)[:-1]:
        inside = (confidence > lower) & (confidence <= lower + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    got = metrics.get("expected_calibration_error").score(truth, Prediction(probabilities=probabilities), TASK)
    assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_regression_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=60) * 5 + 100
    p, w = y + rng.normal(size=60), rng.integers(0, 3, 60)
    task = Task(TaskKind.REGRESS)
    for name, expected in (
        ("mae", reference.mean_absolute_error),
        ("rmse", reference.root_mean_squared_error),
        ("r2", reference.r2_score),
    ):
        metric = metrics.get(name)
        statistics = metric.statistics(list(y), Prediction(values=p), task)
        assert metric.aggregate(statistics) == pytest.approx(expected(y, p), abs=1e-9)
        assert metric.aggregate(statistics, w) == pytest.approx(expected(y, p, sample_weight=w), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
def test_detection_equals_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    y = (rng.random(90) < 0.2).astype(int)
    scores = rng.normal(size=90) + y
    if ties:
        scores = np.round(scores)
    w = rng.integers(0, 3, 90)
    task = Task(TaskKind.DETECT)
    for name, expected in (
        ("auroc", reference.roc_auc_score),
        ("average_precision", reference.average_precision_score),
    ):
        metric = metrics.get(name)
        statistics = metric.statistics(list(y), Prediction(scores=scores), task)
        assert metric.aggregate(statistics) == pytest.approx(expected(y, scores), abs=1e-12)
        assert metric.aggregate(statistics, w) == pytest.approx(expected(y, scores, sample_weight=w), abs=1e-12)
