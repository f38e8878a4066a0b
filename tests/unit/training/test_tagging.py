"""From which probability on a label is given, and the regressions behind the probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from nshot import metrics
from nshot.core import Dataset, Task, TaskKind
from nshot.training import goals, logistic, losses, tag_head, tagging
from nshot.training.batching import Batch

TASK = Task(TaskKind.TAG, ("a", "b", "rare"))


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Return features and labels: two of 30 % that one direction each tells, one of 3 % with much noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 8)).astype(np.float32)
    chances = 1 / (1 + np.exp(-(2 * features[:, :3] + np.array([-1.0, -1.0, -5.0]))))
    has = rng.random((n, 3)) < chances
    return features, [tuple(np.array(TASK.labels)[row].tolist()) for row in has]


def score(name: str, targets, prediction) -> float:
    return metrics.get(name).score(targets, prediction, TASK)


def test_each_label_is_the_logistic_regression_of_scikit_learn():
    features, targets = rows(300)
    features = features.astype(np.float64)
    names, marks = tagging.numbered(targets)
    found = logistic.fit(features, marks, 3, 2.0, tolerance=1e-12, exclusive=False)
    for k in range(len(names)):
        peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=1_000).fit(features, marks[:, k])
        np.testing.assert_allclose(found.coefficients[k], peer.coef_[0], atol=1e-4)
        np.testing.assert_allclose(found.offsets[k], peer.intercept_[0], atol=1e-4)


def test_as_many_rows_reach_a_limit_as_have_the_label_and_one_at_least():
    probabilities = np.random.default_rng(0).random((200, 3)) * np.array([1.0, 0.2, 0.01])
    limits = tagging.limits_at(probabilities, np.array([0.25, 0.1, 0.0001]))
    assert (probabilities >= limits).sum(axis=0).tolist() == [50, 20, 1]


def test_a_rare_label_is_given_although_its_probability_never_reaches_a_half():
    features, targets = rows(800)
    unseen, true = rows(3_000, seed=1)
    head = tag_head.fit_head(
        TASK, features, targets, feature_scale=1.0, objective=lambda t, p: score("macro_tag_f1", t, p)
    )
    found = head.answers(TASK, unseen)
    names = np.flatnonzero(np.array(head.names) == "rare")
    assert head.limits[names] < 0.4
    halves = tagging.answers(TASK, TASK.labels, found.probabilities, np.full(3, tagging.HALF))
    assert score("macro_tag_f1", true, found) > score("macro_tag_f1", true, halves) + 0.03


def test_a_half_is_kept_where_the_objective_counts_rows_alike():
    features, targets = rows(1_500)
    common = [tuple(label for label in labels if label == "rare") for labels in targets]
    head = tag_head.fit_head(
        TASK, features[:, 3:], common, feature_scale=1.0, objective=lambda t, p: score("subset_accuracy", t, p)
    )
    assert head.chosen["limits"] == "half"


def test_no_label_anywhere_is_answered_by_none():
    features, _ = rows(20)
    head = tag_head.fit_head(TASK, features, [()] * 20, feature_scale=1.0, objective=lambda t, p: 0.0)
    answers = head.answers(TASK, features)
    assert answers.labels == [()] * 20
    assert not answers.probabilities.any()


def test_a_head_that_was_saved_answers_the_same():
    features, targets = rows(100)
    head = tag_head.fit_head(
        TASK, features, targets, feature_scale=1.0, objective=lambda t, p: score("macro_tag_f1", t, p)
    )
    again = tag_head.TagHead.restore(head.state())
    assert again.answers(TASK, features).labels == head.answers(TASK, features).labels


@pytest.mark.parametrize(("n_pool", "found"), [(250, 0), (5_000, 1_000)])
def test_unlabelled_examples_are_those_that_are_not_labelled(n_pool, found):
    pool = Dataset([f"text {i}" for i in range(n_pool)])
    unseen = tagging.unseen(pool, pool.take(range(0, n_pool, 2)))
    assert all(int(text.split()[1]) % 2 for text in unseen)
    assert len(unseen) <= found
    assert bool(len(unseen)) == bool(found)


class Says(torch.nn.Module):
    """A network that says the same scores for every example."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def forward(self, rows):
        return self.scores.expand(len(rows), -1)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_chance_is_the_loss_of_the_frequencies_and_no_constant_has_a_smaller_one(label_smoothing):
    features, targets = rows(400)
    goal = goals.goal(TASK, targets, features)
    batch = Batch({"rows": torch.zeros(400, 1)}, torch.from_numpy(goal.targets), 400)

    def loss(shares):
        scores = torch.from_numpy(np.log(shares / (1 - shares))).float()
        return float(goal.loss(label_smoothing)(Says(scores), batch)) / 400

    shares = (1 - label_smoothing) * goal.targets.mean(axis=0) + label_smoothing / 2
    assert goal.chance(label_smoothing) == pytest.approx(loss(shares), abs=1e-5)
    assert loss(shares * 0.8) > goal.chance(label_smoothing)
    assert losses.unsmoothed_shares(shares, label_smoothing) == pytest.approx(goal.targets.mean(axis=0), abs=1e-6)


def test_limits_of_a_network_are_those_that_unlabelled_examples_reach_as_often_as_labels_occur():
    features, targets = rows(400)
    goal = goals.goal(TASK, targets, features)
    scores = np.random.default_rng(3).normal(size=(1_000, 3)) - 3
    settled = goal.among(scores, 0.0)
    given = (tagging.sigmoid(scores) >= settled.limits).mean(axis=0)
    np.testing.assert_allclose(given, goal.targets.mean(axis=0), atol=1e-3)
    assert settled.settings()["limits"] != goal.settings()["limits"]
