import numpy as np
import pytest

from nshot.core import DataError
from nshot.training.values import Scale


def test_answers_come_back_in_the_unit_of_the_targets():
    targets = [100.0, 300.0, 500.0]
    scale = Scale.of(targets)
    np.testing.assert_allclose(scale.answers(scale.standard(targets)).values, targets)
    assert Scale.from_json(scale.as_json()) == scale


def test_small_differences_beside_a_large_mean_are_kept():
    targets = [1e9 + i for i in range(10)]
    scale = Scale.of(targets)
    np.testing.assert_allclose(scale.answers(scale.standard(targets)).values, targets, rtol=0, atol=1e-5)


@pytest.mark.parametrize("targets", [[3.0], [7.5, 7.5, 7.5], [0.1 + 0.2, 0.3]])
def test_equal_targets_have_a_spread_of_one(targets):
    assert Scale.of(targets).spread == 1.0


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_a_target_that_is_no_finite_number_is_named(target):
    with pytest.raises(DataError, match="Example 2 has"):
        Scale.of([1.0, target])


def test_targets_beyond_all_arithmetic_are_refused():
    with pytest.raises(DataError, match="too large"):
        Scale.of([1e308, -1e308])
