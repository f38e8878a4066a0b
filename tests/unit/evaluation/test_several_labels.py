"""Dividing rows that have several labels, or none."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.evaluation import several_labels
from nshot.evaluation.protocol import design, hold_out

SHARES = np.array([0.3, 0.1, 0.05, 0.01])


def labelled(n: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Return n rows with none to four labels of 30, 10, 5 and 1 %."""
    has = np.random.default_rng(seed).random((n, 4)) < SHARES
    return [tuple(np.array(list("abcd"))[row].tolist()) for row in has]


def test_every_label_is_spread_evenly_over_the_folds():
    targets = labelled(1_000)
    marks = several_labels.marks(targets)
    folds = several_labels.k_folds(marks, np.arange(1_000), np.arange(1_000), 5, seed=3)
    counts = np.array([marks[test].sum(axis=0) for _, test in folds])
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(1_000))
    assert (counts.max(axis=0) - counts.min(axis=0))[3] <= 1
    assert (counts.max(axis=0) - counts.min(axis=0) <= 0.15 * counts.mean(axis=0) + 2).all()


def test_groups_stay_whole():
    targets = labelled(600, 1)
    groups = np.random.default_rng(2).integers(0, 60, 600)
    for train, test in several_labels.k_folds(several_labels.marks(targets), groups, np.arange(600), 4, seed=0):
        assert not set(groups[train].tolist()) & set(groups[test].tolist())


@pytest.mark.parametrize("n", [120, 2_400])
def test_the_first_rows_of_a_draw_have_every_label_and_subsets_are_nested(n):
    targets = labelled(n, 4)
    divided = design(targets, np.arange(n), seed=0)
    marks = several_labels.marks(targets)
    for draw in divided.draws:
        there = marks[draw.order].any(axis=0)
        assert np.array_equal(marks[draw.order[:4]].any(axis=0), there)
        assert len(set(draw.order.tolist())) == len(draw.order)
        assert not set(draw.order.tolist()) & set(draw.test.tolist())
    # Behind the first rows stand all others as chance has it, those without a label among them.
    assert not marks[divided.draws[0].order[4:40]].any(axis=1).all()
    assert divided.classes == 4


def test_the_same_seed_divides_in_the_same_way_and_another_one_does_not():
    targets = labelled(300)
    first, again, other = (hold_out(targets, np.arange(300), share=0.25, seed=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_without_any_label_are_divided_too():
    targets = [()] * 40 + [("a",)] * 40
    train, test = hold_out(targets, np.arange(80), share=0.25, seed=0)
    assert (test < 40).sum() == 10
    assert len(train) == 60
