"""What a user enforces on an evaluation: the score must not be below a limit, a new model not worse than the old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from nshot import metrics
from nshot.core import Interval, OptionError
from nshot.evaluation.comparison import Difference
from nshot.evaluation.intervals import Estimate
from nshot.metrics import Metric
from nshot.spec import Spec

_WISH = "a number such as 0.85, or METRIC=NUMBER such as accuracy=0.85; several are separated by commas"


class Limit(Spec):
    """A number that a metric is held to."""

    metric: str | None = None
    """Name of the metric; the one that decides unless named."""
    value: float = Field(allow_inf_nan=False)
    """The limit, in the metric's own unit."""


def _limit(written: Any) -> Limit:
    if isinstance(written, Limit):
        return written
    name, equals, number = str(written).rpartition("=")
    try:
        return Limit(metric=name.strip() or None if equals else None, value=float(number))
    except ValueError:
        raise ValueError(_WISH) from None


def _limits(value: Any) -> tuple[Limit, ...]:
    """Let ``0.85``, ``accuracy=0.85,macro_f1=0.8`` and ``{"accuracy": 0.85}`` mean limits."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    elif isinstance(value, Mapping):
        value = [Limit(metric=name, value=number) for name, number in value.items()]
    elif not isinstance(value, Sequence):
        value = [value]
    return tuple(_limit(part) for part in value)


Limits = Annotated[tuple[Limit, ...], BeforeValidator(_limits)]


class Gates(Spec):
    """What has to hold, or the command ends with code 1."""

    fail_under: Limits = ()
    """Exit with code 1 if the score is below X: of the metric that decides, or METRIC=X. With two models the score of
    B counts. Of metrics where lower is better, such as log_loss, the score must not be above X."""
    fail_if_worse: Limits = ()
    """With two models: exit with code 1 if B is shown to be worse than A by more than X (0: worse at all), which is
    when the whole interval of their difference lies there. With --against: if the model is, on the later rows."""
    strict: bool = False
    """Ask the same of the whole interval: exit with code 1 unless the score is shown to be at least X
    (--fail-under), or B is shown not to be worse by more than X (--fail-if-worse)."""

    def named(self) -> tuple[str, ...]:
        """Return the metrics that are named."""
        return tuple(limit.metric for limit in (*self.fail_under, *self.fail_if_worse) if limit.metric)

    def require_sense(self, deciding: str, *, two_models: bool) -> None:
        """Refuse limits that can never be meant.

        Raises:
            OptionError: No score can keep or break the limit, or there is nothing to compare with.
        """
        if self.fail_if_worse and not two_models:
            raise OptionError(
                "--fail-if-worse compares two models, or later rows with earlier ones: nshot evaluate A B DATA "
                "--fail-if-worse X, or nshot evaluate MODEL LATER --against EARLIER --fail-if-worse X."
            )
        if self.strict and not (self.fail_under or self.fail_if_worse):
            raise OptionError("--strict sharpens --fail-under or --fail-if-worse, and neither was given.")
        for limit in self.fail_under:
            metric = metrics.get(limit.metric or deciding)
            if not metric.lowest <= limit.value <= metric.highest:
                raise OptionError(
                    f"--fail-under must be a limit that {metric.name} can keep or break, "
                    f"{metric.lowest:g} to {metric.highest:g}. Got {limit.value:g} instead."
                )
        for limit in self.fail_if_worse:
            if limit.value < 0:
                raise OptionError(
                    "--fail-if-worse must be how much worse B may be, 0 or more, in points of the score (0.01). "
                    f"Got {limit.value:g} instead."
                )

    def failures(
        self,
        deciding: str,
        scores: Mapping[str, Estimate],
        differences: Mapping[str, Difference],
        on: str,
        names: Sequence[str],
    ) -> list[str]:
        """Return a sentence for each limit that does not hold.

        Args:
            deciding: The metric of limits that name none.
            scores: Of the model that is judged, by metric.
            differences: Of the second model minus the first, by metric.
            on: On what it was measured, such as ``500 rows of test.csv``.
            names: What the models are called.
        """
        found = []
        for limit in self.fail_under:
            metric = metrics.get(limit.metric or deciding)
            found.append(_under(metric, scores[metric.name], limit.value, on, strict=self.strict))
        for limit in self.fail_if_worse:
            metric = metrics.get(limit.metric or deciding)
            found.append(_worse(metric, differences[metric.name], limit.value, on, names, strict=self.strict))
        return [sentence for sentence in found if sentence]


_Side = Literal["good", "bad"]


def _end(metric: Metric, interval: Interval, side: _Side) -> float:
    """Return the end of an interval that is better, or worse, for the model."""
    return interval.high if (side == "good") == metric.higher_is_better else interval.low


def _beyond(metric: Metric, value: float, limit: float) -> bool:
    """Return whether `value` is worse than `limit`."""
    return value < limit if metric.higher_is_better else value > limit


def _under(metric: Metric, score: Estimate, limit: float, on: str, *, strict: bool) -> str | None:
    from nshot.report import wording

    name, direction = wording.named_metric(metric.name), "below" if metric.higher_is_better else "above"
    places = _places(score.score, limit)
    ends = (score.interval.low, score.interval.high) if score.interval else None
    shown = f"{name} is {wording.with_interval(score.score, ends, places)} on {on}"
    if _beyond(metric, score.score, limit):
        return f"{shown}: {direction} the limit {limit:g} (--fail-under)."
    if strict and score.interval is None:
        return f"{shown}, without an interval: so it is not shown to keep the limit {limit:g} (--fail-under, --strict)."
    if strict and score.interval and _beyond(metric, _end(metric, score.interval, "bad"), limit):
        return f"{shown}: it may as well be {direction} the limit {limit:g} (--fail-under, --strict)."
    return None


def _worse(
    metric: Metric, difference: Difference, allowed: float, on: str, names: Sequence[str], *, strict: bool
) -> str | None:
    from nshot.report import wording

    margin = -allowed if metric.higher_is_better else allowed
    interval = difference.interval
    places = _places(difference.mean, margin)
    ends = (interval.low, interval.high) if interval else None
    by = f"{wording.signed(difference.mean, places)} {wording.signed_interval(ends, places)}".rstrip()
    shown = f"{wording.named_metric(metric.name)} of {names[1]} against {names[0]} is {by} on {on}"
    more = f"worse by more than {allowed:g}" if allowed else "worse"
    if interval and _beyond(metric, _end(metric, interval, "good"), margin):
        return f"{shown}: shown to be {more} (--fail-if-worse)."
    if strict and (interval is None or _beyond(metric, _end(metric, interval, "bad"), margin)):
        return f"{shown}: it may be {more} (--fail-if-worse, --strict)."
    return None


def _places(value: float, limit: float) -> int:
    """Return decimals with which a value and its limit do not look the same."""
    return next((places for places in (2, 3, 4, 5) if round(value, places) != round(limit, places)), 6)
