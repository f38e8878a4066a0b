from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Cost, Family
from nshot.evaluation.comparison import VersusBest
from nshot.evaluation.intervals import Block
from nshot.study.options import StudyOptions
from nshot.study.pick import Rule, Standing, rule, standings
from nshot.study.racing import reason_to_stop

ACCURACY = metrics.get("accuracy")
MAE = metrics.get("mae")
ROWS = 400
FOLD_SIZES = (320, 80)


def pick_rule(costs, **changed) -> Rule:
    values = {
        "costs": MappingProxyType(costs),
        "baselines": frozenset(),
        "excluded": frozenset(),
        "worth": 0.005,
        "higher_is_better": True,
        "by_score": False,
    }
    return Rule(**{**values, **changed})


def standing(shortfall=0.0, distinguishable=False) -> Standing:
    return Standing(VersusBest(-shortfall, shortfall, None, distinguishable, shortfall == 0.0), 0.9 - shortfall)


def cost(fit=1.0, each=1.0, alone=None, memory=None) -> Cost:
    return Cost(fit, each, each, alone, memory)


def folds(right: np.ndarray, repeats: int, seed: int = 0) -> list[Block]:
    """Return 5-fold blocks of a candidate that answers each row right with a probability."""
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        answers = (rng.random(len(right)) < right).astype(float)
        order = np.random.default_rng(repeat).permutation(len(right))
        for fold, rows in enumerate(np.array_split(order, 5)):
            found.append(Block(repeat, fold, rows, answers[rows][:, None], rows))
    return found


# ------------------------------------------------------------------------------------------ the rule


def test_a_gain_that_is_not_worth_it_loses_to_the_cheaper_way():
    assert pick_rule({"cheap": 1.0, "dear": 100.0})({"cheap": 0.896, "dear": 0.9}) == "cheap"


def test_a_gain_that_is_worth_it_wins():
    assert pick_rule({"cheap": 1.0, "dear": 100.0})({"cheap": 0.894, "dear": 0.9}) == "dear"


def test_worth_counts_the_other_way_for_losses():
    losses = pick_rule({"cheap": 1.0, "dear": 100.0}, higher_is_better=False, worth=0.05)
    assert losses({"cheap": 1.04, "dear": 1.0}) == "cheap"
    assert losses({"cheap": 1.06, "dear": 1.0}) == "dear"


def test_costs_within_a_quarter_count_as_equal_and_the_score_decides():
    assert pick_rule({"a": 1.0, "b": 1.24})({"a": 0.899, "b": 0.9}) == "b"
    assert pick_rule({"a": 1.0, "b": 1.26})({"a": 0.899, "b": 0.9}) == "a"


def test_the_name_decides_between_what_is_equal_in_everything():
    assert pick_rule({"b": 1.0, "a": 1.0})({"b": 0.9, "a": 0.9}) == "a"


def test_a_baseline_is_picked_only_if_nothing_beats_it():
    made = pick_rule({"words": 0.1, "probe": 10.0}, baselines=frozenset({"words"}))
    assert made({"words": 0.899, "probe": 0.9}) == "probe", "cheaper and within what is worth it, but beaten"
    assert made({"words": 0.95, "probe": 0.9}) == "words"


def test_a_baseline_as_good_as_the_best_does_not_take_its_place():
    made = pick_rule({"words": 0.1, "probe": 10.0}, baselines=frozenset({"words"}))
    assert made({"words": 0.9, "probe": 0.9}) == "probe"


def test_where_there_are_only_baselines_one_is_picked():
    made = pick_rule({"words": 1.0, "majority": 0.1}, baselines=frozenset({"words", "majority"}))
    assert made({"words": 0.8, "majority": 0.3}) == "words"


def test_what_is_excluded_is_not_picked_unless_everything_is():
    costs = {"a": 1.0, "b": 2.0}
    assert pick_rule(costs, excluded=frozenset({"a"}))({"a": 0.9, "b": 0.5}) == "b"
    assert pick_rule(costs, excluded=frozenset({"a", "b"}))({"a": 0.9, "b": 0.5}) == "a"


def test_by_score_cost_never_decides():
    assert pick_rule({"cheap": 1.0, "dear": 100.0}, by_score=True)({"cheap": 0.8999, "dear": 0.9}) == "dear"


# ------------------------------------------------------------------------------------------ the rule's making

FAMILIES = {"probe": Family.FEW_SHOT, "lora": Family.FINE_TUNING, "words": Family.BASELINE}


def made(costs, found=None, **options):
    found = found or {name: standing() for name in costs}
    return rule(found, FAMILIES, costs, ACCURACY, StudyOptions.parse(options))


def test_cost_is_a_fit_and_ten_thousand_predictions():
    built, _ = made({"probe": cost(fit=2.0, each=1.0), "lora": cost(fit=60.0, each=1.0)})
    assert dict(built.costs) == {"probe": 12.0, "lora": 70.0}


def test_preferring_latency_counts_one_example_alone():
    costs = {"probe": cost(fit=500.0, each=1.0, alone=4.0), "lora": cost(fit=1.0, each=3.0)}
    assert dict(made(costs, prefer="latency")[0].costs) == {"probe": 4.0, "lora": 3.0}


def test_answers_that_were_given_cost_nothing():
    assert made({"probe": None, "lora": cost()})[0].costs["probe"] == 0.0


def test_worth_is_in_points_of_the_metric():
    assert made({"probe": cost()}, worth=2)[0].worth == pytest.approx(0.02)


def test_limits_exclude_with_the_figures():
    costs = {"probe": cost(alone=3.0), "lora": cost(alone=25.0, memory=3 * 2**30), "words": cost(memory=2**20)}
    built, why = made(costs, max_latency="20ms", max_memory="2GiB")
    assert built.excluded == {"lora"}
    assert why == {"lora": "takes 25.0 ms for one example; the limit is 20 ms"}
    _, why = made(costs, max_memory="2GiB")
    assert why == {"lora": "needs 3,072 MiB; the limit is 2,048 MiB"}


def test_who_is_shown_to_be_worse_is_not_picked_however_cheap():
    costs = {"probe": cost(fit=0.1), "lora": cost(fit=99.0)}
    built, _ = made(costs, {"probe": standing(0.004, distinguishable=True), "lora": standing()})
    assert built({"probe": 0.896, "lora": 0.9}) == "lora"


def test_who_is_worse_than_what_is_forbidden_may_be_the_best_that_is_allowed():
    costs = {"probe": cost(alone=1.0), "lora": cost(alone=99.0)}
    built, _ = made(costs, {"probe": standing(0.1, distinguishable=True), "lora": standing()}, max_latency="20ms")
    assert built({"probe": 0.8, "lora": 0.9}) == "probe"


# ------------------------------------------------------------------------------------------ standings


def stand(blocks, metric=ACCURACY):
    return standings(blocks, metric, target="this model", rho=1.0, fold_sizes=FOLD_SIZES)


@pytest.fixture
def difficulty() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 0.99, size=ROWS)


def test_the_best_stands_at_zero_and_the_others_below(difficulty):
    blocks = {"good": folds(difficulty, 3, 1), "bad": folds(difficulty - 0.2, 3, 2)}
    found = stand(blocks)
    assert found["good"].versus.best
    assert found["good"].versus.mean == 0.0
    assert found["bad"].versus.mean == pytest.approx(-0.2, abs=0.05)
    assert found["bad"].versus.distinguishable
    assert not found["good"].versus.distinguishable


def test_a_candidate_run_on_fewer_draws_is_put_on_the_same_rows_as_the_others(difficulty):
    """The first fold of the only draw it had is an easy one: its raw score there must not make it the best."""
    full = folds(difficulty, 3, 1)
    easy = [Block(b.repeat, b.fold, b.rows, np.maximum(b.statistics, float(b.fold == 0)), b.groups) for b in full]
    same_answers_on_the_easy_fold = [block for block in easy if (block.repeat, block.fold) == (0, 0)]
    found = stand({"full": easy, "one fold": same_answers_on_the_easy_fold})
    raw = float(np.mean(same_answers_on_the_easy_fold[0].statistics))
    assert raw == 1.0
    assert found["one fold"].adjusted == pytest.approx(found["full"].adjusted)
    assert found["full"].adjusted < 0.9


def test_a_leader_with_fewer_draws_can_still_lead(difficulty):
    blocks = {"probe": folds(difficulty - 0.25, 3, 1), "lora": folds(np.minimum(1, difficulty + 0.2), 1, 2)}
    found = stand(blocks)
    assert found["lora"].versus.best
    assert found["probe"].versus.distinguishable
    assert found["lora"].adjusted > found["probe"].adjusted


def test_standings_do_not_depend_on_the_order_of_the_candidates(difficulty):
    blocks = {
        "a": folds(difficulty, 3, 1),
        "b": folds(difficulty - 0.05, 3, 2),
        "c": folds(difficulty - 0.02, 1, 3),
    }
    one, other = stand(blocks), stand(dict(reversed(list(blocks.items()))))
    for name in blocks:
        assert one[name].adjusted == pytest.approx(other[name].adjusted)
        assert one[name].versus.distinguishable == other[name].versus.distinguishable


def test_the_smallest_error_is_best_for_a_metric_that_counts_errors(difficulty):
    blocks = {"good": folds(difficulty - 0.3, 3, 1), "bad": folds(difficulty, 3, 2)}
    found = stand(blocks, MAE)
    assert found["good"].versus.best
    assert found["bad"].versus.mean > 0
    assert found["bad"].versus.shortfall > 0


def test_a_candidate_alone_is_the_best(difficulty):
    assert stand({"only": folds(difficulty, 2)})["only"].versus.best


# ------------------------------------------------------------------------------------------ stopping


def stop(blocks, more=10.0, **options):
    return reason_to_stop(
        "lora",
        blocks,
        ACCURACY,
        fold_sizes=FOLD_SIZES,
        options=StudyOptions.parse(options),
        done=len(blocks["lora"]),
        more=more,
    )


def test_what_is_clearly_behind_is_not_run_again(difficulty):
    blocks = {"probe": folds(difficulty, 3, 1), "lora": folds(difficulty - 0.3, 1, 2)[:4]}
    assert "clearly behind probe after 4 draws" in (stop(blocks) or "")


def test_what_clearly_leads_is_settled(difficulty):
    blocks = {"probe": folds(difficulty - 0.3, 3, 1), "lora": folds(difficulty, 1, 2)}
    assert "settled against probe" in (stop(blocks) or "")


def test_what_is_open_is_run_again(difficulty):
    probe = folds(difficulty, 1, 1)
    ahead = []
    for block, gained in zip(probe[:3], (1, 6, 9), strict=True):
        statistics = block.statistics.copy()
        statistics[np.flatnonzero(statistics[:, 0] == 0)[:gained], 0] = 1.0
        ahead.append(Block(block.repeat, block.fold, block.rows, statistics, block.groups))
    assert stop({"probe": probe, "lora": ahead}, more=50.0) is None
    assert "within the budget" in (stop({"probe": probe, "lora": ahead}, more=0.0, worth=6) or "")


def test_after_one_draw_nothing_can_be_said(difficulty):
    assert stop({"probe": folds(difficulty, 3, 1), "lora": folds(difficulty - 0.02, 1, 2)[:1]}, more=5.0) is None


def test_only_the_best_rival_counts(difficulty):
    blocks = {
        "majority": folds(np.full(ROWS, 0.1), 3, 3),
        "probe": folds(difficulty, 3, 1),
        "lora": folds(difficulty - 0.4, 1, 2)[:4],
    }
    assert "clearly behind probe" in (stop(blocks) or "")
