"""What a candidate costs in money, from the user's own prices: once to set it up, and with every prediction.

    set-up          labels x price per label + seconds of the fit x price of the machine
    a prediction    seconds at the best batch x price of the machine + what a model behind an address asks for it
                    + share of wrong answers x price per mistake
    a month         set-up / 12 + predictions a month x a prediction

What has no price counts nothing. The machine is paid for while it computes, not while it waits. Intervals are those of
the share of wrong answers, or of the difference of two shares on the same rows; times are measured once and are taken
to be known to a quarter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nshot.core import Cost, Interval
from nshot.evaluation.comparison import Difference
from nshot.evaluation.intervals import Estimate
from nshot.study.options import StudyOptions

SET_UP_MONTHS = 12
"""The set-up is spread over so many months: after a year data and models are usually new."""
TIMES_ARE_KNOWN_TO = 0.25
"""Two times that differ by less than this share count as equal."""

Outcome = Literal["from", "always", "never", "cannot tell"]


@dataclass(frozen=True)
class Prices:
    """What the user pays.

    Attributes:
        per_hour: For an hour of this machine, or None.
        per_label: For labelling one example, or None.
        per_mistake: What one wrong answer costs, or None.
        predictions_per_month: How many answers are going to be asked for.
    """

    per_hour: float | None
    per_label: float | None
    per_mistake: float | None
    predictions_per_month: int

    @classmethod
    def of(cls, options: StudyOptions) -> Prices | None:
        """Return the prices among the options, or None where there is none."""
        given = (options.price_per_hour, options.price_per_label, options.price_per_mistake)
        of_tokens = (options.price_in, options.price_out)
        is_any = any(price is not None for price in (*given, *of_tokens))
        return cls(*given, options.predictions_per_month) if is_any else None

    def as_json(self) -> dict[str, Any]:
        """Return the record of the verdict."""
        return {**asdict(self), "set_up_months": SET_UP_MONTHS}


@dataclass(frozen=True)
class Bill:
    """What one candidate costs.

    Attributes:
        labels: Money for its labels.
        fit: Money for the machine while it is fitted.
        machine: Money for the machine during one prediction.
        paid: Money that a model behind an address asks for one prediction.
        mistakes: Share of wrong answers; 0 where nobody says which are wrong.
        mistakes_interval: Both ends of that share, or None.
        prices: Whose.
        is_known: False for answers that were given: only their mistakes are known then.
    """

    labels: float
    fit: float
    machine: float
    paid: float
    mistakes: float
    mistakes_interval: Interval | None
    prices: Prices
    is_known: bool = True

    @property
    def set_up(self) -> float:
        """Money before the first prediction."""
        return self.labels + self.fit

    @property
    def prediction(self) -> float:
        """Money for one prediction, mistakes aside."""
        return self.machine + self.paid

    @property
    def timed(self) -> float:
        """Money of a month that was measured on a clock."""
        return self.fit / SET_UP_MONTHS + self.prices.predictions_per_month * self.machine

    @property
    def month(self) -> float:
        """Money of a month, a twelfth of the set-up and the mistakes included."""
        return self._month(self.mistakes)

    @property
    def month_interval(self) -> Interval | None:
        """Both ends of `month`, where mistakes have a price and the share of them has an interval."""
        share = self.mistakes_interval
        if share is None or not self.prices.per_mistake:
            return None
        return Interval(self._month(share.low), self._month(share.high), share.level)

    def _month(self, mistakes: float) -> float:
        priced = self.prices.predictions_per_month * (self.paid + mistakes * (self.prices.per_mistake or 0.0))
        return self.labels / SET_UP_MONTHS + self.timed + priced


def bill(cost: Cost | None, n_labels: int, accuracy: Estimate | None, prices: Prices) -> Bill:
    """Return what a candidate costs; answers that were given cost nothing but their mistakes.

    Args:
        cost: Measured, or None for answers that were given.
        n_labels: How many labels it was fitted on.
        accuracy: Its share of right answers; None where nobody says which are wrong.
        prices: What the user pays.
    """
    per_second = (prices.per_hour or 0.0) / 3600
    right = accuracy.interval if accuracy else None
    wrong = right and Interval(1 - right.high, 1 - right.low)
    return Bill(
        labels=n_labels * (prices.per_label or 0.0) if cost else 0.0,
        fit=cost.fit_seconds * per_second if cost else 0.0,
        machine=seconds_per_prediction(cost) * per_second if cost else 0.0,
        paid=(cost.money_per_example or 0.0) if cost else 0.0,
        mistakes=1 - accuracy.score if accuracy else 0.0,
        mistakes_interval=wrong,
        prices=prices,
        is_known=cost is not None,
    )


def seconds_per_prediction(cost: Cost) -> float:
    """Return the time of one prediction among many, at the best batch where that was measured."""
    return 1 / cost.examples_per_second if cost.examples_per_second else cost.milliseconds_per_example / 1000


@dataclass(frozen=True)
class BreakEven:
    """From how many predictions a month the candidate that is dearer to set up is the cheaper one.

    Attributes:
        cheaper: Who is cheaper to set up.
        dearer: Who is dearer to set up.
        outcome: ``from`` some number of predictions on, ``always``, ``never``, or the data ``cannot tell``.
        predictions_per_month: That number; 0 for always, None for never and where the data cannot tell.
        interval: Both ends of it; None where mistakes have no price, because times have no interval.
    """

    cheaper: str
    dearer: str
    outcome: Outcome
    predictions_per_month: float | None = None
    interval: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record of the verdict."""
        n, reach = self.predictions_per_month, self.interval
        return {
            "from": self.cheaper,
            "to": self.dearer,
            "predictions_per_month": None if n is None else round(n),
            "interval": None if reach is None else [round(reach.low), round(reach.high)],
            "outcome": self.outcome,
        }


def break_even(bills: Mapping[str, Bill], one: str, other: str, accuracy: Difference | None) -> BreakEven:
    """Return from how many predictions a month the dearer set-up of the two pays.

        n = (difference of the set-ups / 12) / (what every prediction then saves)

    The interval is that of the difference in mistakes, which cancels the rows on which both are right or wrong; where
    it leaves open whether a prediction saves or costs, the data cannot tell.

    Args:
        bills: Of both.
        one: A candidate.
        other: Another one.
        accuracy: Paired difference in right answers, `one` minus `other`; None where nobody says which are wrong.
    """
    a, b = bills[one], bills[other]
    if b.set_up >= a.set_up:
        cheaper, dearer, sign = one, other, -1.0
    else:
        cheaper, dearer, sign = other, one, 1.0
    extra = abs(a.set_up - b.set_up) / SET_UP_MONTHS
    per_mistake = a.prices.per_mistake
    machine = sign * (b.prediction - a.prediction)
    if not per_mistake or accuracy is None:
        if abs(machine) <= TIMES_ARE_KNOWN_TO * min(a.prediction, b.prediction):
            # Predictions cost the same, as far as a clock tells: what is clearly dearer to set up stays dearer.
            clearly = extra * SET_UP_MONTHS > TIMES_ARE_KNOWN_TO * min(a.set_up, b.set_up)
            return BreakEven(cheaper, dearer, "never" if clearly else "cannot tell")
        return _from(cheaper, dearer, extra, machine, None)
    if accuracy.interval is None:
        return BreakEven(cheaper, dearer, "cannot tell")
    saved = machine + per_mistake * sign * accuracy.mean
    ends = sorted(machine + per_mistake * sign * end for end in (accuracy.interval.low, accuracy.interval.high))
    return _from(cheaper, dearer, extra, saved, Interval(ends[0], ends[1], accuracy.interval.level))


def _from(cheaper: str, dearer: str, extra: float, saved: float, reach: Interval | None) -> BreakEven:
    """Return where `extra` money a month is made up for by `saved` money a prediction.

    Args:
        cheaper: Who is cheaper to set up.
        dearer: Who is dearer to set up.
        extra: At least 0.
        saved: Negative where a prediction of the dearer one costs more as well.
        reach: Interval of `saved`, or None.
    """
    least, most = (reach.low, reach.high) if reach else (saved, saved)
    if most <= 0:
        return BreakEven(cheaper, dearer, "never")
    if least <= 0:
        return BreakEven(cheaper, dearer, "cannot tell")
    if extra / least < 1:
        return BreakEven(cheaper, dearer, "always", 0.0)
    between = Interval(extra / most, extra / least, reach.level) if reach else None
    return BreakEven(cheaper, dearer, "from", extra / saved, between)
