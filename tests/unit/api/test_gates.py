"""What a user enforces on an evaluation."""

from __future__ import annotations

import pytest

from nshot.api.gates import Gates
from nshot.core import Interval, OptionError
from nshot.evaluation.comparison import Difference
from nshot.evaluation.intervals import Estimate

ON, NAMES = "500 rows of test.csv", ("old", "new")


def score(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, Interval(low, high), 0.01, 499.0, None, "this model", 1, None)


def difference(mean: float, low: float, high: float) -> Difference:
    return Difference(mean, Interval(low, high), 0.01, 499.0, 0.5, 0.02, None, 1)


SCORES = {"macro_f1": score(0.86, 0.83, 0.89), "accuracy": score(0.9, 0.88, 0.92), "log_loss": score(0.4, 0.3, 0.5)}


def failures(differences: dict[str, Difference] | None = None, **options: object) -> list[str]:
    return Gates.parse(options).failures("macro_f1", SCORES, differences or {}, ON, NAMES)


@pytest.mark.parametrize(
    "written", [0.85, "0.85", ("0.85",), {"macro_f1": 0.85}, "macro_f1=0.85", ("macro_f1 = 0.85",)]
)
def test_a_limit_may_be_written_in_several_ways(written):
    gates = Gates.parse({"fail_under": written})
    assert [(limit.metric or "macro_f1", limit.value) for limit in gates.fail_under] == [("macro_f1", 0.85)]


def test_several_limits_are_separated_by_commas():
    gates = Gates.parse({"fail_under": "accuracy=0.85,0.8"})
    assert [(limit.metric, limit.value) for limit in gates.fail_under] == [("accuracy", 0.85), (None, 0.8)]
    assert gates.named() == ("accuracy",)


@pytest.mark.parametrize("written", ["abc", "accuracy=", "nan", [None]])
def test_what_is_no_limit_is_refused_in_plain_words(written):
    with pytest.raises(OptionError, match=r"'fail_under(\.value)?' of Gates must be|number such as 0.85"):
        Gates.parse({"fail_under": written})


@pytest.mark.parametrize(("limit", "fails"), [(0.85, False), (0.86, False), (0.87, True)])
def test_the_score_itself_counts_unless_strict(limit, fails):
    assert bool(failures(fail_under=limit)) == fails


def test_a_failure_tells_figure_interval_rows_and_limit():
    (told,) = failures(fail_under=0.87)
    assert told == "macro F1 is 0.86 [0.83, 0.89] on 500 rows of test.csv: below the limit 0.87 (--fail-under)."


def test_figure_and_limit_never_look_the_same():
    assert "is 0.8600 [" in failures(fail_under=0.8601)[0]


@pytest.mark.parametrize(("limit", "fails"), [(0.82, False), (0.83, False), (0.85, True)])
def test_strict_asks_for_the_whole_interval(limit, fails):
    told = failures(fail_under=limit, strict=True)
    assert bool(told) == fails
    assert all("may as well be below" in sentence for sentence in told)


def test_of_a_loss_the_limit_is_the_highest():
    assert failures(fail_under={"log_loss": 0.45}) == []
    assert "above the limit 0.35" in failures(fail_under={"log_loss": 0.35})[0]
    assert "may as well be above" in failures(fail_under={"log_loss": 0.45}, strict=True)[0]


def test_a_score_without_an_interval_is_not_shown_to_keep_a_limit():
    one_row = {"macro_f1": Estimate(1.0, None, None, None, None, "this model", 1, None)}
    gates = Gates.parse({"fail_under": 0.5, "strict": True})
    assert "without an interval" in gates.failures("macro_f1", one_row, {}, ON, NAMES)[0]


@pytest.mark.parametrize(
    ("interval", "fails", "fails_strictly"),
    [
        ((-0.05, -0.02), True, True),
        ((-0.05, -0.005), False, True),
        ((-0.03, 0.03), False, True),
        ((-0.009, 0.03), False, False),
        ((0.01, 0.03), False, False),
    ],
)
def test_a_worse_model_fails_if_that_is_shown_and_strictly_unless_the_contrary_is(interval, fails, fails_strictly):
    found = {"macro_f1": difference(sum(interval) / 2, *interval)}
    assert bool(failures(found, fail_if_worse=0.01)) == fails
    assert bool(failures(found, fail_if_worse=0.01, strict=True)) == fails_strictly


def test_a_higher_loss_is_worse():
    found = {"log_loss": difference(0.1, 0.05, 0.15)}
    (told,) = failures(found, fail_if_worse="log_loss=0")
    assert told == (
        "log loss of new against old is +0.10 [+0.05, +0.15] on 500 rows of test.csv: "
        "shown to be worse (--fail-if-worse)."
    )


@pytest.mark.parametrize(
    ("options", "two_models", "expected"),
    [
        ({"fail_under": 85}, False, "macro_f1 can keep or break, 0 to 1. Got 85 instead"),
        ({"fail_under": "mcc=-2"}, False, "mcc can keep or break, -1 to 1"),
        ({"fail_if_worse": 0.1}, False, "compares two models"),
        ({"fail_if_worse": -0.1}, True, "0 or more"),
        ({"strict": True}, False, "neither was given"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(options, two_models, expected):
    with pytest.raises(OptionError, match=expected):
        Gates.parse(options).require_sense("macro_f1", two_models=two_models)


def test_a_limit_that_is_no_number_is_shown_as_it_was_given():
    with pytest.raises(OptionError, match=r"Got 'abc' instead\."):
        Gates.parse({"fail_under": ("abc",)})
