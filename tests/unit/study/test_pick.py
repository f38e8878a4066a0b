from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.core import CheckFailedError, Cost, Family
from nshot.evaluation.comparison import VersusBest
from nshot.evaluation.intervals import Block, Estimate
from nshot.study.money import Prices, bill
from nshot.study.options import StudyOptions
from nshot.study.pick import Price, Rule, Standing, require_one_within_limits, rule, standings

ACCURACY = metrics.get("accuracy")
MAE = metrics.get("mae")
ROWS = 400
FOLD_SIZES = (320, 80)


def pick_rule(costs, **changed) -> Rule:
    values = {
        "costs": {name: own if isinstance(own, Price) else Price(own, own) for name, own in costs.items()},
        "baselines": frozenset(),
        "excluded": frozenset(),
        "worth": 0.005,
        "higher_is_better": True,
        "by_score": False,
        "measured": dict.fromkeys(costs, 0.0),
        "per_unit": 0.0,
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


def test_what_is_not_measured_on_a_clock_is_exact():
    labels = {"a": Price(100.0, 0.0), "b": Price(101.0, 0.0)}
    assert pick_rule(labels)({"a": 0.899, "b": 0.9}) == "a"


def test_a_worse_score_in_a_resample_stands_for_more_mistakes():
    """At the measured scores both cost the same; 0.1 points of accuracy are worth 10 each month."""
    costs = {"a": Price(100.0, 1.0), "b": Price(100.0, 1.0)}
    priced = pick_rule(costs, measured={"a": 0.9, "b": 0.9}, per_unit=10_000.0)
    assert priced({"a": 0.9, "b": 0.899}) == "a"
    assert priced({"a": 0.899, "b": 0.9}) == "b"


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


def made(costs, found=None, mistakes=0.1, **options):
    found = found or {name: standing() for name in costs}
    resolved = StudyOptions.parse(options)
    prices = Prices.of(resolved)
    bills = {name: bill(own, 600, right(1 - mistakes), prices) for name, own in costs.items()} if prices else {}
    return rule(found, FAMILIES, costs, ACCURACY, resolved, bills=bills)


def right(share) -> Estimate:
    return Estimate(share, None, None, None, None, "this model", 1, None)


def totals(built):
    return {name: pytest.approx(price.total) for name, price in built.costs.items()}


COSTS = {"probe": cost(fit=2.0, each=1.0), "lora": cost(fit=60.0, each=1.0)}


def test_cost_is_the_time_of_a_fit_and_a_months_predictions():
    assert totals(made(COSTS)[0]) == {"probe": 12.0, "lora": 70.0}
    assert totals(made(COSTS, predictions_per_month=1_000_000)[0]) == {"probe": 1002.0, "lora": 1060.0}


def test_cost_is_money_where_the_machine_has_a_price():
    built, _ = made(COSTS, price_per_hour=3600, price_per_label=0.02, price_per_mistake=0.5)
    labels, mistakes = 600 * 0.02 / 12, 10_000 * 0.1 * 0.5
    assert totals(built) == {"probe": labels + 2 / 12 + 10 + mistakes, "lora": labels + 60 / 12 + 10 + mistakes}
    assert built.costs["probe"].timed == pytest.approx(2 / 12 + 10)
    assert built.per_unit == 5_000


def test_without_a_price_of_the_machine_time_goes_on_to_count():
    assert totals(made(COSTS, price_per_label=0.02)[0]) == {"probe": 12.0, "lora": 70.0}


def test_prices_decide_nothing_where_something_else_is_preferred():
    assert made(COSTS, price_per_hour=1, prefer="score")[0].by_score
    alone = {name: cost(alone=own.fit_seconds) for name, own in COSTS.items()}
    assert totals(made(alone, price_per_hour=1, prefer="latency")[0]) == {"probe": 2.0, "lora": 60.0}


def test_priced_mistakes_let_the_better_of_two_close_ones_win():
    costs = {"probe": cost(fit=1.0), "lora": cost(fit=3600.0)}
    found = {"probe": standing(0.004), "lora": standing()}
    free = rule(found, FAMILIES, costs, ACCURACY, StudyOptions.parse({"price_per_hour": 1}), bills=_bills(costs, 0.0))
    dear = rule(found, FAMILIES, costs, ACCURACY, StudyOptions.parse(PRICED), bills=_bills(costs, 1.0))
    scores = {"probe": 0.896, "lora": 0.9}
    assert free[0](scores) == "probe"
    assert dear[0](scores) == "lora"


PRICED = {"price_per_hour": 1, "price_per_mistake": 1.0}


def _bills(costs, per_mistake):
    shares = {"probe": 0.896, "lora": 0.9}
    prices = Prices(1.0, None, per_mistake, 10_000)
    return {name: bill(own, 0, right(shares[name]), prices) for name, own in costs.items()}


def test_preferring_latency_counts_one_example_alone_and_never_many_at_once():
    costs = {"probe": cost(fit=500.0, each=1.0, alone=4.0), "lora": cost(fit=1.0, each=3.0), "words": None}
    assert totals(made(costs, prefer="latency")[0]) == {"probe": 4.0, "lora": np.inf, "words": np.inf}


def test_where_nobody_was_timed_alone_the_score_decides():
    costs = {"probe": cost(), "lora": cost()}
    assert made(costs, prefer="latency")[0]({"probe": 0.899, "lora": 0.9}) == "lora"


def test_answers_that_were_given_cost_no_time():
    assert made({"probe": None, "lora": cost()})[0].costs["probe"].total == 0.0


def test_worth_is_in_points_of_the_metric():
    assert made({"probe": cost()}, worth=2)[0].worth == pytest.approx(0.02)


def test_limits_exclude_with_the_figures():
    costs = {"probe": cost(alone=3.0, memory=2**30), "lora": cost(alone=25.0, memory=3 * 2**30)}
    latency, memory = "takes 25.0 ms for one example (the limit is 20 ms)", "needs 3,072 MiB (the limit is 2,048 MiB)"
    built, why = made(costs, max_latency="20ms")
    assert built.excluded == {"lora"}
    assert why == {"lora": latency}
    assert made(costs, max_memory="2GiB")[1] == {"lora": memory}
    assert made(costs, max_latency="20ms", max_memory="2GiB")[1] == {"lora": f"{latency} and {memory}"}


def test_what_was_not_measured_on_what_is_limited_is_not_picked():
    costs = {"probe": cost(alone=3.0), "lora": cost(each=0.1), "words": None}
    built, why = made(costs, max_latency="20ms")
    assert built.excluded == {"lora", "words"}
    assert set(why.values()) == {"was not timed for one example at a time"}
    assert made({"probe": cost(memory=1), "lora": cost()}, max_memory="1GiB")[0].excluded == {"lora"}


def within(costs, scores, **options):
    require_one_within_limits(scores, costs, ACCURACY, StudyOptions.parse(options))


def test_limits_that_nobody_keeps_to_fail_with_the_nearest_and_its_figures():
    costs = {"probe": cost(alone=30.0), "lora": cost(alone=25.0), "words": None}
    scores = {"probe": 0.8, "lora": 0.9, "words": 0.7}
    with pytest.raises(CheckFailedError) as failed:
        within(costs, scores, max_latency="20ms")
    assert "None of the 3 candidates that were measured keeps to --max-latency 20ms." in str(failed.value)
    assert "The nearest is lora (accuracy 0.90): it takes 25.0 ms for one example (the limit is 20 ms)." in str(
        failed.value
    )
    assert failed.value.exit_code == 1


def test_the_nearest_is_who_is_least_over_the_limit_that_is_broken_most():
    costs = {"probe": cost(alone=21.0, memory=9 * 2**30), "lora": cost(alone=40.0, memory=2 * 2**30)}
    with pytest.raises(CheckFailedError, match=r"The nearest is lora .*40\.0 ms.*2,048 MiB"):
        within(costs, {"probe": 0.8, "lora": 0.9}, max_latency="20ms", max_memory="1GiB")


def test_one_within_the_limits_is_enough():
    within({"probe": cost(alone=30.0), "lora": cost(alone=2.0)}, {"probe": 0.8, "lora": 0.9}, max_latency="20ms")
    within({"probe": None}, {"probe": 0.8})


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


def test_a_tiny_time_is_not_told_as_nothing():
    [found] = made({"probe": cost(alone=0.0071)}, max_latency="0.001ms")[1].values()
    assert found == "takes 0.0071 ms for one example (the limit is 0.001 ms)"
