"""Learning from how sure a teacher is. The golden values come from scikit-learn's LogisticRegression."""

import numpy as np
import pytest
import torch

from nshot.core import Prediction, Task, TaskKind
from nshot.training import distillation, frozen, goals, head, logistic, losses, selection
from nshot.training.batching import Batch
from nshot.training.rowwise import softmax

TASK = Task(TaskKind.CLASSIFY, labels=("a", "b", "c", "d"))


def rows(n=60, width=6, n_classes=3, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, width)).astype(np.float32)
    shares = softmax(features @ generator.normal(size=(width, n_classes)) * 2)
    return features, shares.astype(np.float32)


def test_shares_are_of_the_classes_asked_for_in_their_order():
    probabilities = np.array([[0.5, 0.1, 0.2, 0.2], [0.1, 0.3, 0.6, 0.0]], dtype=np.float32)
    found = distillation.shares(TASK, ("c", "a"), probabilities)
    np.testing.assert_allclose(found, [[2 / 7, 5 / 7], [6 / 7, 1 / 7]], atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_optimum_for_shares_is_that_of_scikit_learn_for_every_class_weighted_by_its_share(n_classes):
    from sklearn.linear_model import LogisticRegression

    features, shares = rows(n_classes=n_classes)
    n = len(features)
    golden = LogisticRegression(C=4.0, max_iter=20_000, tol=1e-9).fit(
        np.repeat(features.astype(np.float64), n_classes, axis=0),
        np.tile(np.arange(n_classes), n),
        sample_weight=shares.reshape(-1).astype(np.float64),
    )
    model = logistic.fit(features, shares, n_classes, 4.0, tolerance=1e-9)
    found = softmax(features @ model.coefficients.T + model.offsets)
    np.testing.assert_allclose(found, golden.predict_proba(features.astype(np.float64)), atol=1e-3)


def test_a_class_without_a_share_gets_no_probability():
    features, shares = rows()
    without = np.concatenate([shares, np.zeros((len(shares), 1), np.float32)], axis=1)
    model = logistic.fit(features, without, 4, 4.0)
    assert softmax(features @ model.coefficients.T + model.offsets)[:, 3].max() == 0.0


def test_shares_of_one_class_each_are_learnt_like_its_codes():
    features, shares = rows()
    codes = shares.argmax(axis=1)
    sure = np.eye(3, dtype=np.float32)[codes]
    by_codes, by_shares = (logistic.fit(features, learnt, 3, 4.0, tolerance=1e-9) for learnt in (codes, sure))
    np.testing.assert_allclose(by_codes.coefficients, by_shares.coefficients, atol=1e-3)
    scores = np.random.default_rng(1).normal(size=(len(codes), 3))
    assert selection.log_loss(scores, sure) == pytest.approx(selection.log_loss(scores, codes))
    assert selection.calibration(scores, sure) == selection.calibration(scores, codes)
    assert losses.chance_loss(sure, 3, 0.1) == pytest.approx(losses.chance_loss(codes, 3, 0.1))


def test_a_head_says_how_sure_its_teacher_was():
    features, shares = rows(n=400, seed=3)
    probabilities = np.concatenate([shares, np.zeros((len(shares), 1), np.float32)], axis=1)
    labels = [TASK.labels[at] for at in shares.argmax(axis=1)]

    def objective(targets, prediction: Prediction):
        return float(np.mean([a == b for a, b in zip(targets, prediction.labels, strict=True)]))

    soft = head.fit_head(TASK, features, labels, objective=objective, probabilities=probabilities)
    hard = head.fit_head(TASK, features, labels, objective=objective)
    far = [np.abs(each.answers(TASK, features).probabilities - probabilities).mean() for each in (soft, hard)]
    assert far[0] < 0.5 * far[1]


def test_the_goal_of_a_network_compares_with_the_shares():
    _, shares = rows(n=5)
    probabilities = np.concatenate([shares, np.zeros((5, 1), np.float32)], axis=1)
    labels = [TASK.labels[at] for at in shares.argmax(axis=1)]
    classes, _ = frozen.numbered(labels)
    goal = goals.goal(TASK, labels, np.zeros((len(labels), 2)), probabilities=probabilities)
    learnt = distillation.softened(distillation.shares(TASK, classes, probabilities))
    np.testing.assert_array_equal(goal.targets, learnt)
    part = goal.part(np.array([3, 1]))
    np.testing.assert_array_equal(part.targets, goal.targets[[3, 1]])
    scores = torch.randn(2, len(classes), generator=torch.Generator().manual_seed(0))
    batch = Batch({"scores": scores}, torch.as_tensor(part.targets), 2)
    found = goal.loss(0.0)(lambda scores: scores, batch)
    expected = -(part.targets * np.log(softmax(scores.numpy() / distillation.TEMPERATURE))).sum()
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_softened_probabilities_keep_their_order_and_lie_nearer_to_each_other():
    _, shares = rows()
    found = distillation.softened(shares)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.argsort(axis=1), shares.argsort(axis=1))
    apart = np.log(shares[:, 0] / shares[:, 1]) / np.log(found[:, 0] / found[:, 1])
    np.testing.assert_allclose(apart, distillation.TEMPERATURE, rtol=1e-3)
    sure = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(distillation.softened(sure), sure)
