"""The pick: which candidate to use at today's number of labels, by one rule that can be replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nshot.core import CheckFailedError, Cost, Family
from nshot.evaluation.comparison import VersusBest, paired_difference, versus_best
from nshot.evaluation.intervals import Block, Target, components
from nshot.metrics import Metric
from nshot.study.money import TIMES_ARE_KNOWN_TO, Bill
from nshot.study.options import StudyOptions


@dataclass(frozen=True)
class Standing:
    """How one candidate stands in today's comparison.

    Attributes:
        versus: Against the best of the others.
        adjusted: Its score, put on the same rows as everybody else's: where it was run on fewer draws, the
            reference's score on all draws plus the paired difference on the common ones.
    """

    versus: VersusBest
    adjusted: float


def standings(
    blocks: Mapping[str, Sequence[Block]],
    metric: Metric,
    *,
    target: Target,
    rho: float | None,
    fold_sizes: tuple[int | None, int | None],
) -> dict[str, Standing]:
    """Compare all candidates, each on as many draws as it shares with the others.

    Candidates that were run on every draw are compared on all of them. One that was run on fewer is compared on those
    that it has: its score there is not set against the others' scores elsewhere.
    """
    n_train, n_test = fold_sizes

    def compared(names: Sequence[str]) -> dict[str, VersusBest]:
        return versus_best(
            {name: blocks[name] for name in names}, metric, rho=rho, target=target, n_train=n_train, n_test=n_test
        )

    most = max(len(own) for own in blocks.values())
    full = [name for name, own in blocks.items() if len(own) == most]
    fewer = [name for name in blocks if name not in full]
    result = compared(full)
    reference = next(name for name, versus in result.items() if versus.best)
    level = float(components([blocks[reference]], metric, rho=rho, target=target).scores[0])
    found = {name: Standing(versus, level + versus.mean) for name, versus in result.items()}
    for name in fewer:
        own = compared([*full, name])[name]
        difference = paired_difference(
            blocks[name], blocks[reference], metric, rho=rho, target=target, n_train=n_train, n_test=n_test
        )
        found[name] = Standing(own, level + difference.mean)
    sign = 1.0 if metric.higher_is_better else -1.0
    best = max(found, key=lambda name: (sign * found[name].adjusted, name))
    if best in fewer:
        # The leader has fewer draws: who falls behind it can only be judged on those.
        judged = compared(list(blocks))
        found = {name: Standing(judged[name], standing.adjusted) for name, standing in found.items()}
    return {name: _relative(standing, found[best].adjusted, name == best, sign) for name, standing in found.items()}


def _relative(standing: Standing, best: float, is_best: bool, sign: float) -> Standing:
    """Restate a standing against the candidate that is best after adjusting."""
    mean = standing.adjusted - best
    versus = standing.versus
    distinguishable = versus.distinguishable and not is_best
    return Standing(VersusBest(mean, -sign * mean, versus.interval, distinguishable, is_best), standing.adjusted)


@dataclass(frozen=True)
class Price:
    """What a candidate costs, in the unit that its rivals are counted in: seconds, milliseconds or money.

    Attributes:
        total: All of it.
        timed: What of it was measured on a clock.
    """

    total: float
    timed: float


@dataclass(frozen=True)
class Rule:
    """The whole pick rule as a function of scores, so that it can be replayed on resampled test rows.

    Attributes:
        costs: What each candidate costs.
        baselines: The candidates that are picked only if nothing beats them.
        excluded: The candidates that a hard limit forbids, or that are shown to be worse.
        worth: The shortfall that is not worth a higher cost, in the metric's unit.
        higher_is_better: Which way the metric goes.
        by_score: Cost never decides.
        measured: The scores at which `costs` hold.
        per_unit: What a loss of one unit of the metric adds to the cost, where mistakes have a price.
    """

    costs: Mapping[str, Price]
    baselines: frozenset[str]
    excluded: frozenset[str]
    worth: float
    higher_is_better: bool
    by_score: bool
    measured: Mapping[str, float]
    per_unit: float

    def __call__(self, scores: Mapping[str, float]) -> str:
        """Return the name of the pick."""
        sign = 1.0 if self.higher_is_better else -1.0
        good = {name: sign * score for name, score in scores.items()}
        allowed = [name for name in good if name not in self.excluded] or list(good)
        real = [name for name in allowed if name not in self.baselines]
        if real:
            beaten = max(good[name] for name in real)
            allowed = [name for name in allowed if name not in self.baselines or good[name] > beaten]
        best = max(good[name] for name in allowed)
        if self.by_score:
            close = [name for name in allowed if good[name] == best]
        else:
            close = [name for name in allowed if best - good[name] <= self.worth]
        # A worse score in a resample stands for more mistakes than were measured.
        costs = {
            name: self.costs[name].total + self.per_unit * (sign * self.measured[name] - good[name]) for name in close
        }
        cheapest = min(close, key=lambda name: (costs[name], name))
        most = costs[cheapest] + TIMES_ARE_KNOWN_TO * self.costs[cheapest].timed
        return min((name for name in close if costs[name] <= most), key=lambda name: (-good[name], name))


def rule(
    found: Mapping[str, Standing],
    families: Mapping[str, Family],
    costs: Mapping[str, Cost | None],
    metric: Metric,
    options: StudyOptions,
    *,
    bills: Mapping[str, Bill],
) -> tuple[Rule, dict[str, str]]:
    """Return the pick rule for these candidates, and why some of them may not be picked.

    Args:
        found: How each one stands.
        families: What kind of answer each one is.
        costs: What each one takes; None for answers that were given.
        metric: The primary metric.
        options: Worth, preference, limits and prices.
        bills: What each one costs in money; empty without prices.
    """
    limits = over_limits(costs, options)
    worse = frozenset(name for name, standing in found.items() if standing.versus.distinguishable)
    outside = frozenset(limits)
    # Who is shown to be worse than a candidate that may not be picked may still be the best that may.
    excluded = outside | worse if not outside or set(found) - outside - worse else outside
    # Without a price of the machine a fit of an hour would count nothing.
    in_money = bool(bills) and options.prefer == "cost" and options.price_per_hour is not None
    width = metric.highest - metric.lowest if metric.bounded else None
    per_month = options.predictions_per_month * (options.price_per_mistake or 0.0)
    made = Rule(
        costs={name: _in_money(bills[name]) if in_money else _in_time(costs[name], options) for name in found},
        baselines=frozenset(name for name in found if families[name] == Family.BASELINE),
        excluded=excluded,
        worth=options.worth_in(metric),
        higher_is_better=metric.higher_is_better,
        by_score=options.prefer == "score",
        measured={name: standing.adjusted for name, standing in found.items()},
        per_unit=per_month / width if in_money and width else 0.0,
    )
    return made, limits


def _in_money(own: Bill) -> Price:
    return Price(own.month, own.timed)


def _in_time(cost: Cost | None, options: StudyOptions) -> Price:
    """Return milliseconds for one example, or seconds of one fit and a month's predictions.

    Answers that were given cost no time. For the predictions stands the time of all test rows at once: candidates on
    the same frozen features share most of it, so that a busy moment of the machine does not decide between them.
    """
    if options.prefer == "latency":
        alone = _latency(cost)
        time = math.inf if alone is None else alone
    elif cost is None:
        time = 0.0
    else:
        time = cost.fit_seconds + options.predictions_per_month * cost.milliseconds_per_example / 1000
    return Price(time, time)


def _latency(cost: Cost | None) -> float | None:
    return None if cost is None else cost.milliseconds_alone


# ---------------------------------------------------------------------------------------------- limits


@dataclass(frozen=True)
class _Limit:
    """A hard limit and how a candidate stands to it.

    Attributes:
        flag: The limit as the user gave it.
        most: What is allowed.
        measured: What the candidate takes, or None where that was not measured.
        words: What it takes, in words.
    """

    flag: str
    most: float
    measured: float | None
    words: str

    @property
    def times_over(self) -> float:
        """How many times the limit it takes; infinitely many where that is not known."""
        return math.inf if self.measured is None else self.measured / self.most


def _limits(cost: Cost | None, options: StudyOptions) -> list[_Limit]:
    """Return how a candidate stands to each limit that was set."""
    found = []
    if options.max_latency is not None:
        alone, most = _latency(cost), options.max_latency
        words = "was not timed for one example at a time"
        if alone is not None:
            words = f"takes {_milliseconds(alone)} ms for one example (the limit is {most:g} ms)"
        found.append(_Limit(f"--max-latency {most:g}ms", most, alone, words))
    if options.max_memory is not None:
        memory, most = cost.peak_memory_bytes if cost else None, options.max_memory
        words = "was not measured for memory"
        if memory is not None:
            words = f"needs {memory / 2**20:,.0f} MiB (the limit is {most / 2**20:,.0f} MiB)"
        found.append(_Limit(f"--max-memory {most / 2**20:g}MiB", most, memory, words))
    return found


def _milliseconds(value: float) -> str:
    """Return a time with the digits that say something: ``25.3``, ``0.0071``."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def over_limits(costs: Mapping[str, Cost | None], options: StudyOptions) -> dict[str, str]:
    """Return who may not be picked and why: what is over a hard limit, or was not measured on what is limited."""
    found = {}
    for name, cost in costs.items():
        broken = [limit.words for limit in _limits(cost, options) if limit.times_over > 1]
        if broken:
            found[name] = " and ".join(broken)
    return found


def require_one_within_limits(
    scores: Mapping[str, float], costs: Mapping[str, Cost | None], metric: Metric, options: StudyOptions
) -> None:
    """Raise where the hard limits leave nobody to pick.

    Args:
        scores: Of everybody who could be picked.
        costs: What each one takes.
        metric: The primary metric.
        options: For the limits.

    Raises:
        CheckFailedError: With the nearest candidate and its figures.
    """
    broken = over_limits({name: costs[name] for name in scores}, options)
    if len(broken) < len(scores):
        return
    sign = 1.0 if metric.higher_is_better else -1.0

    def nearness(name: str) -> tuple[float, float, str]:
        return max(limit.times_over for limit in _limits(costs[name], options)), -sign * scores[name], name

    nearest = min(scores, key=nearness)
    flags = " and ".join(limit.flag for limit in _limits(costs[nearest], options))
    raise CheckFailedError(
        f"None of the {len(scores)} candidates that were measured keeps to {flags}. The nearest is {nearest} "
        f"({metric.name} {scores[nearest]:.2f}): it {broken[nearest]}. Raise the limit, or compare others (--also, "
        "--backbone). What was run is kept: the same command with another limit goes on from there."
    )
