"""What a report is told of a detection."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Prediction, Task, TaskKind
from nshot.evaluation.costs import CostOptions
from nshot.evaluation.intervals import Block
from nshot.study import anomalies
from nshot.study.evidence import Evidence

TASK = Task(TaskKind.DETECT)


class Held(Evidence):
    """Evidence of one candidate whose scores are at hand."""

    def __init__(self, folds: int, *, measured: bool = True, repeats: int = 1) -> None:
        generator = np.random.default_rng(0)
        self.marks = generator.random(600) < 0.1
        self.scored = generator.normal(size=600) + 2 * self.marks
        fold = np.arange(600) % folds
        statistics = metrics.get("auroc").statistics(self.marks, Prediction(scores=self.scored), TASK)
        self.held = [
            Block(repeat, k, np.flatnonzero(fold == k), statistics[fold == k] * [1, 1 + 0.01 * k + repeat])
            for repeat in range(repeats)
            for k in range(folds)
        ]
        self.measured, self.design = measured, SimpleNamespace(n_train=480, kind="kfold" if folds > 1 else "holdout")
        self.sizes = {"ours": (40,)}
        self.fold_sizes = (480, 600 // folds) if folds > 1 else (None, None)

    def has(self, name, n_labels, metric) -> bool:
        return self.measured

    def blocks(self, name, n_labels, metric) -> list[Block]:
        return self.held


@pytest.mark.parametrize("folds", [1, 5])
def test_recall_rises_with_false_alarms_and_has_intervals(folds: int) -> None:
    found = anomalies.on_the_pick(Held(folds), "ours", CostOptions())["detection"]
    assert (found["anomalies"], found["normal"]) == (54, 546)
    recalls = [point["recall"] for point in found["points"]]
    assert recalls == sorted(recalls)
    assert all(point["interval"][0] < point["recall"] <= point["interval"][1] for point in found["points"])
    one = next(point for point in found["points"] if point["false_alarm_rate"] == 0.1)
    assert one["alarms_per_1000_rows"] == pytest.approx(1000 * (54 / 600 * one["recall"] + 546 / 600 * 0.1), abs=0.01)
    # With some hundred normal rows a fold nothing is said of one false alarm in a thousand.
    assert found["points"][0]["false_alarm_rate"] == (0.001 if folds == 1 else 0.005)


def test_another_share_of_anomalies_changes_what_alarms_are_worth_and_not_what_is_found() -> None:
    usual, rare = (
        anomalies.on_the_pick(Held(1), "ours", CostOptions(anomaly_share=share))["detection"]["points"][3]
        for share in (None, 0.001)
    )
    assert usual["recall"] == rare["recall"]
    assert rare["precision"] < 0.2 < usual["precision"]


def test_the_strangest_normal_rows_and_the_least_strange_anomalies_are_named() -> None:
    evidence = Held(1)
    found = anomalies.on_the_pick(evidence, "ours", CostOptions())["detection"]
    normal = [row["row"] for row in found["strangest_normal"]]
    assert normal[0] == np.flatnonzero(~evidence.marks)[evidence.scored[~evidence.marks].argmax()]
    assert not evidence.marks[normal].any()
    missed = [row["row"] for row in found["least_strange"]]
    assert missed[0] == np.flatnonzero(evidence.marks)[evidence.scored[evidence.marks].argmin()]
    assert evidence.marks[missed].all()


def test_only_the_first_repeat_is_told_of() -> None:
    once, often = (anomalies.on_the_pick(Held(5, repeats=n), "ours", CostOptions()) for n in (1, 3))
    assert once == often


def test_a_threshold_is_chosen_where_a_miss_has_a_cost() -> None:
    assert anomalies.threshold(Held(5), "ours", CostOptions()) is None
    chosen = anomalies.threshold(Held(5), "ours", CostOptions(cost_of_miss=10)).as_json()
    assert 0.5 < chosen["threshold"] < 2
    assert chosen["cost_per_1000_rows"]["value"] < chosen["cost_per_1000_rows_without_alarms"]


def test_a_candidate_without_scores_has_nothing_to_tell() -> None:
    assert anomalies.on_the_pick(Held(1, measured=False), "ours", CostOptions()) == {}
    assert anomalies.threshold(Held(1, measured=False), "ours", CostOptions(cost_of_miss=1)) is None
