from __future__ import annotations

import numpy as np

from nshot.training.clustering import valleys


def halves(rows, seed=0):
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]


def cut(rows):
    """Return two groups: left and right of the middle."""
    return (rows[:, 0] > np.median(rows[:, 0])).astype(np.int64)


def test_a_cut_through_a_heap_is_no_valley_however_the_heap_is_shaped():
    rng = np.random.default_rng(0)
    for rows in (rng.normal(size=(2_000, 3)), rng.random((2_000, 3)), rng.standard_t(3, (2_000, 3))):
        chosen_on, counted_on = halves(rows)
        assert valleys.one_peak(chosen_on, cut(chosen_on), counted_on) > 0.05


def test_p_values_of_flat_rows_are_not_too_small_too_often():
    """Flat rows are the hardest case: nothing falls from the middle."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(200):
        chosen_on, counted_on = rng.random((2, 200, 1))
        values.append(valleys.one_peak(chosen_on, cut(chosen_on), counted_on))
    assert np.mean(np.array(values) <= 0.05) <= 0.05


def test_a_gap_is_found():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(400, 3))
    rows[:200, 0] += 5
    chosen_on, counted_on = halves(rows)
    assert valleys.one_peak(chosen_on, cut(chosen_on), counted_on) < 1e-6


def test_groups_in_a_chain_without_a_gap_are_one_part():
    """The ends are far apart, but the middle leads from one to the other."""
    rng = np.random.default_rng(3)
    rows = np.stack([rng.random(3_000) * 30, rng.normal(size=3_000)], axis=1)
    chosen_on, counted_on = halves(rows)
    labels = np.minimum(chosen_on[:, 0] // 10, 2).astype(np.int64)
    assert valleys.one_peak(chosen_on, labels, counted_on) > 0.05


def test_one_group_alone_has_no_valley():
    rows = np.random.default_rng(4).normal(size=(50, 2))
    assert valleys.one_peak(rows, np.zeros(50, dtype=np.int64), rows) == 1.0
