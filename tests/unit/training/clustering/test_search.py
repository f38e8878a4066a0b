from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nshot.core import DataError
from nshot.training.clustering.algorithms import ALGORITHMS
from nshot.training.clustering.search import search
from unit.training.clustering.blobs import blobs, without_groups


def groups_of(found, rows):
    return found.rule.assign(found.space.of(rows))[0]


@pytest.mark.parametrize("n_groups", [2, 5, 8])
def test_groups_that_lie_apart_are_found_with_their_number(n_groups):
    rows, truth = blobs(n_groups)
    found = search(rows, algorithms=("k_means", "agglomerative"), most=10)
    assert found.rule.n_groups == n_groups
    assert adjusted_rand_score(truth, groups_of(found, rows)) > 0.95
    assert found.reason.startswith(f"{n_groups} groups: ")


@pytest.mark.parametrize("kind", ["normal", "uniform", "correlated", "heavy tails"])
@pytest.mark.parametrize("width", [2, 10])
def test_one_heap_has_no_groups(kind, width):
    found = search(without_groups(kind, width=width), algorithms=("k_means", "gaussian_mixture"), most=6)
    assert found.rule is None
    assert found.reason.startswith("There are no groups: ")


def test_a_square_that_can_be_cut_the_same_way_again_and_again_has_no_groups():
    rows = np.random.default_rng(0).random((2_000, 2))
    found = search(rows, algorithms=("k_means",), most=5)
    assert max(candidate.agreement for candidate in found.considered) > 0.75
    assert found.rule is None
    assert "nowhere are they rarer" in found.reason


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_finds_two_heaps_and_puts_new_rows_into_them(name):
    rows, truth = blobs(2)
    found = search(rows[:200], algorithms=(name,), most=4)
    labels, confidence = found.rule.assign(found.space.of(rows[200:]))
    inside = labels >= 0
    assert inside.mean() > 0.8
    assert adjusted_rand_score(truth[200:][inside], labels[inside]) > 0.95
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_long_groups_are_found_as_they_lie_where_centres_cut_them():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 600)
    rows = rng.normal(size=(600, 2)) * [10.0, 0.5] + truth[:, None] * [0.0, 6.0]
    assert search(rows, algorithms=("k_means",), most=4).rule is None
    found = search(rows, algorithms=("k_means", "hdbscan"), most=4)
    assert found.chosen.algorithm == "hdbscan"
    labels = groups_of(found, rows)
    assert adjusted_rand_score(truth[labels >= 0], labels[labels >= 0]) > 0.95


def test_a_number_that_is_asked_for_is_kept_and_said_to_be_no_gap():
    rows = without_groups("normal")
    found = search(rows, algorithms=("k_means",), size=3)
    assert found.rule.n_groups == 3
    assert "not clearly rarer" in found.reason


def test_more_groups_than_rows_can_fill_are_refused_with_the_number_needed():
    with pytest.raises(DataError, match="30 groups need at least 60 rows; there are 50"):
        search(np.random.default_rng(0).normal(size=(50, 3)), algorithms=("k_means",), size=30)


@pytest.mark.parametrize(
    ("rows", "why"),
    [(np.ones((200, 3)), "all rows are equal"), (np.arange(14.0)[:, None], "14 rows are too few")],
    ids=["equal", "few"],
)
def test_data_that_cannot_have_groups_says_so(rows, why):
    found = search(rows)
    assert found.rule is None
    assert why in found.reason


def test_rows_far_out_in_one_column_each_are_no_groups():
    rows = without_groups("normal", n=500, width=3)
    rows[::20] *= 1_000.0
    assert search(rows, algorithms=("k_means", "gaussian_mixture"), most=5).rule is None


def test_the_same_seed_finds_the_same_groups_to_the_last_bit():
    rows, _ = blobs(3)
    first, second = (search(rows, algorithms=("k_means", "gaussian_mixture"), most=4, seed=4) for _ in range(2))
    assert first.considered == second.considered
    for name, array in first.rule.tensors().items():
        assert array.tobytes() == second.rule.tensors()[name].tobytes()


def test_the_largest_group_comes_first():
    rows, truth = blobs(3)
    rows = np.concatenate([rows, rows[truth == 2], rows[truth == 2], rows[truth == 0]])
    sizes = np.bincount(groups_of(search(rows, algorithms=("k_means",), most=4), rows))
    assert list(sizes) == sorted(sizes, reverse=True)


def test_halves_whose_rows_are_all_equal_have_no_groups_in_any_way():
    rows = np.zeros((60, 2))
    rows[7] = 1.0
    for name in ALGORITHMS:
        assert search(rows, algorithms=(name,)).rule is None, name


def test_few_different_rows_that_repeat_are_searched_in_every_way():
    rows = np.array([[i % 3, (i // 3) % 2] for i in range(60)], dtype=np.float64)
    for name in ALGORITHMS:
        for size in (None, 3):
            assert search(rows, algorithms=(name,), size=size).reason
