"""What the report is told of predicted numbers."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.study.answers import numbers_record


def test_quantiles_of_errors_cover_new_rows_as_often_as_they_say():
    """Split conformal prediction: over many draws, exactly the wanted share is covered, whatever the distribution."""
    random = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        errors = random.standard_t(3, size=61)
        found = numbers_record(np.arange(60), np.zeros(60), errors[:60])["within"]
        covered.append([abs(errors[60]) <= one["error"] for one in found if one["share"] in (0.5, 0.9)])
    half, nine_in_ten = np.mean(covered, axis=0)
    assert half == pytest.approx(0.5, abs=0.06)
    assert nine_in_ten == pytest.approx(0.9, abs=0.04)


def test_a_quantile_that_so_few_rows_cannot_show_is_not_made_up():
    within = {one["share"]: one for one in numbers_record(np.arange(9), np.zeros(9), np.arange(9.0))["within"]}
    assert within[0.5]["error"] == 4.0
    assert within[0.95]["error"] is None


def test_parts_that_are_less_near_than_others_show():
    random = np.random.default_rng(1)
    truth = random.uniform(0, 100, 1000)
    answers = truth + random.normal(0, np.where(truth > 80, 20.0, 1.0))
    *others, last = numbers_record(np.arange(1000), truth, answers)["coverage"]
    assert last["interval"][1] < 0.9 < min(one["share"] for one in others[:3])
    assert sum(one["count"] for one in (*others, last)) == 1000


def test_the_worst_misses_and_the_bias_are_those_of_the_rows():
    rows, truth = np.array([7, 3, 5, 1]), np.array([1.0, 2.0, 3.0, 4.0])
    found = numbers_record(rows, truth, truth + np.array([0.1, -2.0, 0.5, 0.2]))
    assert [miss["row"] for miss in found["worst"]] == [3, 5, 1, 7]
    assert found["bias"]["score"] == pytest.approx(-0.3)
    low, high = found["bias"]["interval"]
    assert low < -0.3 < high


def test_no_more_points_than_a_chart_holds():
    values = np.arange(5000.0)
    found = numbers_record(np.arange(5000), values, values)
    assert len(found["points"]) == 500
    assert found["points"][0] == [0.0, 0.0]
    assert found["points"][-1] == [4999.0, 4999.0]
