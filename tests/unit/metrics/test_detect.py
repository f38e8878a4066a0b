"""Metrics of anomaly scores."""

from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import OptionError, Prediction, Task, TaskKind
from nshot.metrics.detect import recall_at

TASK = Task(TaskKind.DETECT)


def scored(n: int, seed: int, ties: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    marks = generator.random(n) < 0.3
    scores = generator.normal(size=n) + 1.5 * marks
    return marks, scores if ties is None else np.round(scores * ties) / ties


@pytest.mark.parametrize("rate", ["0.01", "0.1", "0.37"])
@pytest.mark.parametrize("ties", [None, 1, 4])
def test_recall_at_a_false_alarm_rate_is_read_off_scikit_learns_curve(rate: str, ties: int | None) -> None:
    from sklearn.metrics import roc_curve

    marks, scores = scored(400, 0, ties)
    alarms, found, _ = roc_curve(marks, scores, drop_intermediate=False)
    # A curve may rise straight up at the rate itself: the end of that is what can be reached.
    alarms = alarms + 1e-12 * np.arange(len(alarms))
    expected = np.interp(float(rate) + 1e-9, alarms, found)
    assert recall_at(rate).score(marks, Prediction(scores=scores), TASK) == pytest.approx(expected, abs=1e-6)


def test_equal_scores_find_as_many_anomalies_as_false_alarms() -> None:
    prediction = Prediction(scores=np.zeros(50))
    assert recall_at("0.2").score([True] * 10 + [False] * 40, prediction, TASK) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["auroc", "recall_at_far:0.05", "recall_at_far:0.3"])
@pytest.mark.parametrize("seed", range(6))
def test_leaving_out_a_row_is_weighting_it_with_nothing(name: str, seed: int) -> None:
    marks, scores = scored(40, seed, ties=2 if seed % 2 else None)
    metric = metrics.get(name)
    statistics = metric.statistics(marks, Prediction(scores=scores), TASK)
    slow = metric.aggregate_many(statistics, 1.0 - np.eye(len(marks)))
    np.testing.assert_allclose(metric.leave_one_out(statistics), slow, atol=1e-12)


def test_weights_count_rows_as_often() -> None:
    marks, scores = scored(60, 3)
    weights = np.random.default_rng(0).integers(0, 3, 60)
    for name in metrics.names(TaskKind.DETECT):
        metric = metrics.get(name)
        statistics = metric.statistics(marks, Prediction(scores=scores), TASK)
        again = metric.aggregate(np.repeat(statistics, weights, axis=0))
        assert metric.aggregate(statistics, weights) == pytest.approx(again, abs=1e-12)


def test_the_rate_is_part_of_the_name_and_one_percent_unless_given() -> None:
    assert metrics.get("recall_at_far") is metrics.get("recall_at_far:0.01")
    assert metrics.get("recall_at_far:0.050").name == "recall_at_far:0.05"
    assert "0.05" in metrics.get("recall_at_far:0.05").signature
    for wrong in ("0", "1", "-0.1", "1%", ""):
        with pytest.raises(OptionError, match="between 0 and 1"):
            metrics.get(f"recall_at_far:{wrong}")


def test_one_mistake_weighs_as_much_as_one_of_the_rarer_kind() -> None:
    marks = np.array([True] * 4 + [False] * 96)
    statistics = metrics.get("auroc").statistics(marks, Prediction(scores=np.arange(100.0)), TASK)
    for name in metrics.names(TaskKind.DETECT):
        assert metrics.get(name).effective_rows(statistics) == 4


def test_without_both_kinds_of_row_there_is_no_score() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(recall_at("0.1").score([True, True], Prediction(scores=np.array([1.0, 2.0])), TASK))
        assert np.isnan(recall_at("0.1").score([False, False], Prediction(scores=np.array([1.0, 2.0])), TASK))
