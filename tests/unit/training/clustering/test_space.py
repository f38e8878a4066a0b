from __future__ import annotations

import numpy as np

from nshot.training.clustering.space import MOST_DIMENSIONS, Space


def test_a_row_lies_where_it_lies_alone():
    vectors = np.random.default_rng(0).normal(size=(400, 50))
    space = Space.learnt(vectors)
    together = space.of(vectors)
    assert together.shape == (400, MOST_DIMENSIONS)
    for i in (0, 7, 399):
        assert space.of(vectors[i : i + 1])[0].tobytes() == together[i].tobytes()


def test_heavy_tails_are_drawn_in_and_light_ones_are_not():
    rng = np.random.default_rng(1)
    vectors = np.stack([rng.standard_cauchy(500), rng.normal(size=500)], axis=1)
    space = Space.learnt(vectors)
    assert space.heavy.tolist() == [0]
    assert np.abs(space.of(vectors)).max() < 20


def test_a_column_of_rare_ones_stays_as_it_is():
    vectors = np.zeros((200, 2))
    vectors[:4, 0] = 1.0
    vectors[:, 1] = np.arange(200)
    assert len(Space.learnt(vectors).heavy) == 0


def test_equal_rows_have_no_dimension():
    assert len(Space.learnt(np.full((30, 4), 2.5))) == 0


def test_more_columns_than_rows_do_no_harm():
    vectors = np.random.default_rng(2).normal(size=(60, 5_000))
    assert Space.learnt(vectors).of(vectors).shape == (60, 3)
