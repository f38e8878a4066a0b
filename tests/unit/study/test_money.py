from __future__ import annotations

import pytest

from nshot.core import Cost, Interval
from nshot.evaluation.comparison import Difference
from nshot.evaluation.intervals import Estimate
from nshot.study.money import Prices, bill, break_even, seconds_per_prediction
from nshot.study.options import StudyOptions

HOUR = 3600.0


def estimate(share, low=None, high=None) -> Estimate:
    reach = None if low is None else Interval(low, high)
    return Estimate(share, reach, None, None, None, "this model", 1, None)


def difference(mean, low=None, high=None) -> Difference:
    return Difference(mean, None if low is None else Interval(low, high), None, None, None, None, None, 1)


def prices(**given) -> Prices:
    return Prices(**{"per_hour": None, "per_label": None, "per_mistake": None, "predictions_per_month": 10_000} | given)


def cost(fit=0.0, each=0.0, per_second=None) -> Cost:
    return Cost(fit, 1.0, each, examples_per_second=per_second)


# ------------------------------------------------------------------------------------------ a bill


def test_without_any_price_there_are_no_prices():
    assert Prices.of(StudyOptions.parse({"predictions_per_month": 5})) is None
    assert Prices.of(StudyOptions.parse({"price_per_label": 0})) is not None


def test_setting_up_is_the_labels_and_the_fit():
    own = bill(cost(fit=HOUR / 2), 1_000, estimate(0.9), prices(per_hour=2.0, per_label=0.1))
    assert own.set_up == pytest.approx(100 + 1)


def test_a_month_is_its_predictions_its_mistakes_and_a_twelfth_of_the_set_up():
    paid = prices(per_hour=3.6, per_label=0.12, per_mistake=0.5, predictions_per_month=20_000)
    own = bill(cost(per_second=100.0), 1_000, estimate(0.9, 0.88, 0.91), paid)
    machine, labels = 20_000 / 100 * 0.001, 120 / 12
    assert own.month == pytest.approx(labels + machine + 20_000 * 0.1 * 0.5)
    assert own.month_interval is not None
    assert own.month_interval.as_json() == pytest.approx([labels + machine + 900, labels + machine + 1_200])


def test_a_month_has_no_interval_where_mistakes_have_no_price():
    assert bill(cost(fit=1), 10, estimate(0.9, 0.8, 0.95), prices(per_hour=1.0)).month_interval is None


def test_a_prediction_takes_what_it_takes_at_the_best_batch():
    assert seconds_per_prediction(cost(each=9.0, per_second=500.0)) == 0.002
    assert seconds_per_prediction(cost(each=9.0)) == 0.009


def test_answers_that_were_given_cost_their_mistakes_alone():
    own = bill(None, 0, estimate(0.8), prices(per_hour=9.0, per_label=9.0, per_mistake=1.0))
    assert (own.set_up, own.is_known) == (0.0, False)
    assert own.month == pytest.approx(2_000)


# ------------------------------------------------------------------------------------------ break-even


def between(probe, lora, accuracy, labels=(100, 100), **given):
    paid = prices(**given)
    bills = {
        "probe": bill(probe, labels[0], estimate(0.9), paid),
        "lora": bill(lora, labels[1], estimate(0.9), paid),
    }
    return break_even(bills, "probe", "lora", accuracy)


def test_a_dearer_fit_pays_from_where_its_fewer_mistakes_make_up_for_it():
    """An hour at 120 is 10 a month; 2 mistakes less in 100 at 0.05 save 0.001 a prediction."""
    found = between(cost(), cost(fit=HOUR), difference(-0.02, -0.03, -0.01), per_hour=120.0, per_mistake=0.05).as_json()
    assert found == {
        "from": "probe",
        "to": "lora",
        "predictions_per_month": 10_000,
        "interval": [6_667, 20_000],
        "outcome": "from",
    }


def test_the_machine_counts_beside_the_mistakes():
    """Each prediction of the dearer fit takes 0.01 s longer, at 120 an hour: 0.00033 of the 0.001 that it saves."""
    lora = cost(fit=HOUR, per_second=50.0)
    found = between(cost(per_second=100.0), lora, difference(-0.02, -0.03, -0.015), per_hour=120.0, per_mistake=0.05)
    assert found.predictions_per_month == pytest.approx(10 / (0.001 - 1 / 3000))


def test_labels_pay_against_what_needs_none():
    found = between(cost(), cost(), difference(-0.4, -0.45, -0.35), (0, 1_200), per_label=0.1, per_mistake=0.5)
    assert (found.cheaper, found.dearer) == ("probe", "lora")
    assert found.predictions_per_month == pytest.approx(50)


def test_the_order_of_the_two_does_not_matter():
    paid = prices(per_hour=120.0, per_mistake=0.05)
    bills = {"a": bill(cost(), 0, estimate(0.9), paid), "b": bill(cost(fit=HOUR), 0, estimate(0.92), paid)}
    one = break_even(bills, "a", "b", difference(-0.02, -0.03, -0.01)).as_json()
    assert break_even(bills, "b", "a", difference(0.02, 0.01, 0.03)).as_json() == one


def test_what_is_dearer_and_wrong_more_often_never_pays():
    found = between(cost(), cost(fit=HOUR), difference(0.02, 0.01, 0.03), per_hour=1.0, per_mistake=1.0)
    assert found.as_json()["outcome"] == "never"
    assert found.as_json()["predictions_per_month"] is None


def test_mistakes_that_could_go_either_way_cannot_tell():
    found = between(cost(), cost(fit=HOUR), difference(-0.02, -0.05, 0.01), per_hour=1.0, per_mistake=1.0)
    assert (found.outcome, found.predictions_per_month, found.interval) == ("cannot tell", None, None)
    assert between(cost(), cost(), difference(0.0), per_mistake=1.0).outcome == "cannot tell"


def test_what_pays_before_the_first_prediction_always_pays():
    found = between(cost(), cost(fit=1.0), difference(-0.02, -0.03, -0.01), per_hour=1.0, per_mistake=1.0)
    assert (found.outcome, found.predictions_per_month) == ("always", 0.0)


def test_faster_answers_alone_can_make_up_for_a_dearer_fit():
    slow, fast = cost(per_second=10.0), cost(fit=HOUR, per_second=1_000.0)
    found = between(slow, fast, difference(0.0, -0.1, 0.1), per_hour=36.0)
    assert found.outcome == "from"
    assert found.predictions_per_month == pytest.approx(3 / (0.001 - 0.00001))
    assert found.interval is None, "times have none"


def test_times_that_a_clock_cannot_tell_apart_do_not_pay():
    slow, fast = cost(fit=1.0, per_second=100.0), cost(fit=HOUR, per_second=110.0)
    assert between(slow, fast, difference(0.0), per_hour=36.0).outcome == "never"
    alike = cost(fit=1.1, per_second=110.0)
    assert between(slow, alike, difference(0.0), per_hour=36.0).outcome == "cannot tell"
