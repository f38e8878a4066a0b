from __future__ import annotations

import numpy as np
import pytest

from nshot.training.clustering import stability


def test_a_group_that_is_found_again_whole_comes_back_and_one_that_is_cut_does_half():
    groups = np.array([0] * 10 + [1] * 10)
    again = np.array([5] * 10 + [0] * 5 + [1] * 5)
    assert stability.come_back(groups, [again]) == pytest.approx([1.0, 0.5])


def test_rows_in_no_group_are_no_group_that_comes_back():
    groups = np.array([0, 0, 1, 1])
    assert stability.come_back(groups, [np.array([0, 0, -1, -1])]) == pytest.approx([1.0, 0.0])


def test_the_interval_holds_the_mean_and_stays_below_one():
    low, high = stability.interval([0.9, 1.0, 0.95, 0.99])
    assert low < 0.96 < high <= 1.0
