from __future__ import annotations

import numpy as np

from nshot.explore.neighbours import nearest
from nshot.explore.outliers import strangeness, strangest


def test_neighbours_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    rows = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    found = nearest(rows, 5)
    distances, positions = NearestNeighbors(n_neighbors=6).fit(rows).kneighbors(rows)
    np.testing.assert_array_equal(found.positions, positions[:, 1:])
    np.testing.assert_allclose(found.distances, distances[:, 1:], atol=1e-5)


def test_a_row_is_compared_with_a_sample_of_many_and_never_with_itself():
    rows = np.random.default_rng(0).normal(size=(3_000, 4)).astype(np.float32)
    found = nearest(rows, 3, most=1_000)
    assert found.compared == 1_000
    assert (found.positions != np.arange(3_000)[:, None]).all()
    assert (found.distances > 0).all()


def test_copies_lie_at_distance_zero_however_large_the_numbers_are():
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) + 10_000
    rows[7] = rows[31]
    found = nearest(rows, 1)
    assert found.distances[7, 0] == 0
    assert found.positions[7, 0] == 31


def test_one_row_has_no_neighbours_and_is_not_strange():
    found = nearest(np.ones((1, 3), np.float32), 10)
    assert found.distances.shape == (1, 0)
    assert strangeness(found).n_outliers == 0


def test_equal_rows_are_all_as_usual():
    found = strangeness(nearest(np.ones((40, 3), np.float32), 10))
    assert found.n_outliers == 0
    assert strangest(found, np.arange(40), 5) == []


def test_what_lies_far_out_is_the_strangest_and_an_outlier():
    rows = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    rows[3], rows[4] = 30, -30
    found = strangeness(nearest(rows, 10))
    assert set(strangest(found, np.arange(500), 2)) == {3, 4}
    assert found.scores[3] >= 0.99
    assert 2 <= found.n_outliers <= 6


def test_of_near_duplicates_one_is_among_the_strangest():
    rows = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    rows[:3] = 30
    same = np.arange(100)
    same[:3] = 0
    assert len({0, 1, 2} & set(strangest(strangeness(nearest(rows, 10)), same, 10))) == 1
