from __future__ import annotations

import numpy as np
import pytest

from nshot.core import Task, TaskKind
from nshot.evaluation.by_label import Confusion, by_label, by_several_labels, confusions

TASK = Task(TaskKind.CLASSIFY, ("a", "b", "c", "never"))
# Truth and answer: a is right 6 of 8 times, b 5 of 5, c never; -1 is an answer outside the labels.
CODES = np.array([(0, 0)] * 6 + [(0, 1)] * 2 + [(1, 1)] * 5 + [(2, 1)] * 2 + [(2, -1)])
ALONE = np.arange(len(CODES))


def test_recall_and_precision_are_shares_of_the_labels_rows_and_answers():
    found = {score.label: score for score in by_label(CODES, ALONE, TASK)}
    assert (found["a"].rows, found["a"].answers) == (8, 6)
    assert found["a"].recall.score == pytest.approx(6 / 8)
    assert found["a"].precision.score == pytest.approx(1.0)
    assert found["b"].precision.score == pytest.approx(5 / 9)
    assert found["b"].f1 == pytest.approx(2 * 5 / (5 + 9))
    assert all(score.recall.score in score.recall.interval for score in found.values() if score.recall)


def test_the_weakest_label_comes_first_and_unseen_ones_are_left_out():
    assert [score.label for score in by_label(CODES, ALONE, TASK)] == ["c", "b", "a"]


def test_a_label_that_was_never_given_has_no_precision():
    found = {score.label: score for score in by_label(CODES, ALONE, TASK)}
    assert found["c"].precision is None
    assert found["c"].recall.score == 0.0


def test_rows_that_belong_together_make_the_interval_wider():
    codes = np.array([(0, 0), (0, 0), (0, 1), (0, 1)] * 10)
    alone = by_label(codes, np.arange(40), TASK)
    in_pairs = by_label(codes, np.arange(40) // 2, TASK)
    assert width(in_pairs, "a") > 1.2 * width(alone, "a")


def width(scores, label):
    interval = next(score.recall.interval for score in scores if score.label == label)
    return interval.high - interval.low


def test_the_most_frequent_mistakes_come_first():
    assert confusions(CODES, TASK, 10) == [Confusion("a", "b", 2), Confusion("c", "b", 2)]
    assert confusions(CODES, TASK, 1) == [Confusion("a", "b", 2)]
    assert confusions(CODES[:6], TASK, 10) == []


def test_of_several_labels_each_has_its_own_rows_and_answers():
    true = np.array([(1, 1, 0, 0)] * 6 + [(0, 1, 0, 0)] * 4 + [(0, 0, 0, 0)] * 5, dtype=bool)
    answered = np.array([(1, 0, 0, 0)] * 6 + [(0, 1, 1, 0)] * 4 + [(1, 0, 0, 0)] * 5, dtype=bool)
    scores = by_several_labels(true, answered, np.arange(15), TASK)
    assert [score.label for score in scores] == ["c", "b", "a"]
    found = {score.label: score for score in scores}
    assert (found["a"].rows, found["a"].answers, found["a"].hits) == (6, 11, 6)
    assert found["a"].precision.score == pytest.approx(6 / 11)
    assert found["b"].recall.score == pytest.approx(4 / 10)
    assert found["c"].recall is None
