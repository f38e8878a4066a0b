"""A threshold from what mistakes cost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from nshot.core import DataError, OptionError
from nshot.evaluation.costs import CostOptions
from nshot.evaluation.thresholds import Scored, choose, is_above

COSTS = CostOptions(cost_of_miss=20)


def sample(n: int, seed: int, *, share: float = 0.05, folds: int = 1, apart: float = 2.0) -> list[Scored]:
    generator = np.random.default_rng(seed)
    marks = generator.random(n) < share
    scores = generator.normal(size=n) + apart * marks
    fold = np.arange(n) % folds
    return [Scored(scores[fold == k], marks[fold == k], np.flatnonzero(fold == k)) for k in range(folds)]


def cost_per_1000(folds: list[Scored], threshold: float, *, miss: float = 20, alarm: float = 1) -> float:
    marks = np.concatenate([fold.anomalous for fold in folds])
    above = np.concatenate([is_above(fold.scores, threshold) for fold in folds])
    return 1000 * float(np.mean(miss * (marks & ~above) + alarm * (~marks & above)))


def test_no_other_threshold_would_have_been_cheaper_on_these_rows() -> None:
    folds = sample(800, 0)
    chosen = choose(folds, COSTS)
    others = [cost_per_1000(folds, one) for one in np.concatenate([[-np.inf], folds[0].scores])]
    assert cost_per_1000(folds, chosen.threshold) == pytest.approx(min(others))
    assert chosen.cost.value >= min(others)  # what the choice flatters is taken back
    assert chosen.cost.value in chosen.cost.interval
    assert chosen.cost_without == pytest.approx(1000 * 20 * folds[0].anomalous.mean())


def test_dearer_misses_lower_it_and_dearer_alarms_raise_it() -> None:
    folds = sample(2000, 1)
    cheap, usual, dear = (choose(folds, CostOptions(cost_of_miss=miss)) for miss in (2, 20, 200))
    assert dear.threshold < usual.threshold < cheap.threshold
    assert dear.recall.value > usual.recall.value > cheap.recall.value
    alarms = choose(folds, CostOptions(cost_of_miss=20, cost_of_false_alarm=10))
    assert alarms.threshold == cheap.threshold


def test_another_share_of_anomalies_is_reckoned_with() -> None:
    folds = sample(2000, 2, share=0.2)
    rare = choose(folds, CostOptions(cost_of_miss=20, anomaly_share=0.001))
    assert rare.threshold > choose(folds, COSTS).threshold
    assert rare.share == 0.001
    assert rare.alarms.value < 50


def test_scores_of_folds_on_other_scales_are_pooled_by_rank() -> None:
    folds = sample(3000, 3, folds=5)
    scale = [1.0, 1.1, 0.9, 1.05, 0.95]
    moved = [Scored(one.scores * by + 5, one.anomalous, one.groups) for one, by in zip(folds, scale, strict=True)]
    plain, other = choose(folds, COSTS), choose(moved, COSTS)
    assert other.recall == plain.recall
    assert other.threshold - 5 == pytest.approx(plain.threshold, rel=0.1)


def test_intervals_hold_what_new_rows_cost() -> None:
    held, found = 0, []
    for seed in range(40):
        folds = sample(500, seed)
        chosen = choose(folds, COSTS, seed=seed)
        missed, alarms = norm.cdf(chosen.threshold - 2), norm.sf(chosen.threshold)
        truth = 1000 * (0.05 * 20 * missed + 0.95 * alarms)
        held += truth in chosen.cost.interval
        found.append(chosen.cost.value - truth)
    assert held >= 34
    assert abs(np.mean(found)) < 40  # of about 330


def test_rows_of_one_group_count_once() -> None:
    (rows,) = sample(300, 4, share=0.2)
    many = Scored(np.repeat(rows.scores, 8), np.repeat(rows.anomalous, 8), np.repeat(rows.groups, 8))
    once, copied = choose([rows], COSTS), choose([many], COSTS)
    assert copied.threshold == once.threshold
    width, other = (one.recall.interval.high - one.recall.interval.low for one in (once, copied))
    assert other == pytest.approx(width, rel=0.2)


def test_where_alarms_are_never_worth_it_only_what_is_stranger_than_all_seen_raises_one() -> None:
    folds = sample(400, 5, apart=0.0)
    chosen = choose(folds, CostOptions(cost_of_miss=0.001))
    assert chosen.threshold == folds[0].scores.max()
    assert chosen.recall.value == 0.0


def test_without_a_cost_there_is_no_threshold_and_without_anomalies_a_message() -> None:
    folds = sample(100, 6)
    assert choose(folds, CostOptions()) is None
    nobody = [Scored(folds[0].scores, np.zeros(100, dtype=bool), folds[0].groups)]
    with pytest.raises(DataError, match="found 0 and 100"):
        choose(nobody, COSTS)
    with pytest.raises(OptionError, match="cost_of_miss"):
        CostOptions.parse({"cost_of_miss": -1})
