from __future__ import annotations

from collections import Counter

import numpy as np

from nshot.explore.labelling import Why, first_to_label
from nshot.explore.plane import plane


def _blobs(seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), [400, 300, 200, 30])
    return (rng.normal(size=(930, 5)) + 12 * np.eye(5)[labels]).astype(np.float32), labels


def _chosen(n: int, **changed):
    vectors, labels = _blobs()
    given = {
        "labels": labels,
        "confidence": np.linspace(0, 1, 930),
        "distinct": np.arange(930),
        "candidates": np.arange(930),
        **changed,
    }
    return first_to_label(vectors, n=n, seed=3, **given)


def test_every_group_is_among_the_first_rows_to_label():
    _, labels = _blobs()
    chosen = _chosen(20)
    assert len({choice.row for choice in chosen}) == 20
    assert set(labels[[choice.row for choice in chosen]]) == {0, 1, 2, 3}
    assert Counter(choice.why for choice in chosen) == {Why.TYPICAL: 12, Why.UNSURE: 4, Why.RANDOM: 4}


def test_unsure_rows_are_those_between_groups():
    unsure = [choice.row for choice in _chosen(20) if choice.why is Why.UNSURE]
    assert max(unsure) < 40  # the rows whose confidence is least


def test_rows_that_have_a_label_and_near_duplicates_are_left_out():
    chosen = _chosen(50, candidates=np.arange(0, 930, 2), distinct=np.arange(930) // 20)
    rows = [choice.row for choice in chosen]
    assert all(row % 2 == 0 for row in rows)
    assert len({row // 20 for row in rows}) == len(rows) == 47


def test_fewer_rows_than_asked_for_are_all_chosen():
    assert sorted(choice.row for choice in _chosen(50, candidates=np.array([4, 9, 11]))) == [4, 9, 11]
    assert _chosen(0) == []


def test_without_groups_rows_are_typical_or_random():
    chosen = _chosen(20, labels=np.full(930, -1))
    assert {choice.why for choice in chosen} == {Why.TYPICAL, Why.RANDOM}


def test_the_map_keeps_groups_together():
    vectors, labels = _blobs()
    found = plane(vectors, always=np.array([5]), seed=0)
    assert found.method == "t-SNE"
    assert found.points.min() == 0 and found.points.max() == 1
    middles = np.stack([found.points[labels[found.rows] == group].mean(axis=0) for group in range(4)])
    own = np.linalg.norm(found.points - middles[labels[found.rows]], axis=1)
    assert (own < np.linalg.norm(middles[0] - middles[1]) / 2).mean() > 0.95


def test_few_or_equal_rows_have_a_map_as_well():
    few = plane(np.random.default_rng(0).normal(size=(5, 4)), always=np.array([], dtype=np.int64))
    assert few.method == "PCA" and 0 < few.kept <= 1
    assert np.isfinite(plane(np.ones((3, 4)), always=np.array([], dtype=np.int64)).points).all()
