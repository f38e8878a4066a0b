"""The pick: which candidate to use at today's number of labels, by one rule that can be replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nshot.core import Cost, Family
from nshot.evaluation.comparison import VersusBest, paired_difference, versus_best
from nshot.evaluation.intervals import Block, Target, components
from nshot.metrics import Metric
from nshot.study.options import StudyOptions

_PREDICTIONS_PRICED = 10_000
"""The cost of a candidate is one fit and so many predictions."""
_COSTS_COUNT_AS_EQUAL = 1.25


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
class Rule:
    """The whole pick rule as a function of scores, so that it can be replayed on resampled test rows.

    Attributes:
        costs: What each candidate costs, in seconds (or milliseconds for one prediction, by preference).
        baselines: The candidates that are picked only if nothing beats them.
        excluded: The candidates that a hard limit forbids, or that are shown to be worse.
        worth: The shortfall that is not worth a higher cost, in the metric's unit.
        higher_is_better: Which way the metric goes.
        by_score: Cost never decides.
    """

    costs: Mapping[str, float]
    baselines: frozenset[str]
    excluded: frozenset[str]
    worth: float
    higher_is_better: bool
    by_score: bool

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
        cheapest = min(self.costs[name] for name in close)
        equal = [name for name in close if self.costs[name] <= _COSTS_COUNT_AS_EQUAL * cheapest]
        return min(equal, key=lambda name: (-good[name], name))


def rule(
    found: Mapping[str, Standing],
    families: Mapping[str, Family],
    costs: Mapping[str, Cost | None],
    metric: Metric,
    options: StudyOptions,
) -> tuple[Rule, dict[str, str]]:
    """Return the pick rule for these candidates, and why some of them may not be picked."""
    limits = {name: reason for name, cost in costs.items() if (reason := _over_limit(cost, options)) is not None}
    worse = frozenset(name for name, standing in found.items() if standing.versus.distinguishable)
    outside = frozenset(limits)
    # Who is shown to be worse than a candidate that may not be picked may still be the best that may.
    excluded = outside | worse if not outside or set(found) - outside - worse else outside
    price: Callable[[Cost | None], float] = _latency if options.prefer == "latency" else _seconds
    made = Rule(
        costs={name: price(costs[name]) for name in found},
        baselines=frozenset(name for name in found if families[name] == Family.BASELINE),
        excluded=excluded,
        worth=options.worth / 100 * (metric.highest - metric.lowest if metric.bounded else 1.0),
        higher_is_better=metric.higher_is_better,
        by_score=options.prefer == "score",
    )
    return made, limits


def _seconds(cost: Cost | None) -> float:
    """Return the seconds of one fit and 10,000 predictions; nothing for answers that were given."""
    return 0.0 if cost is None else cost.fit_seconds + _PREDICTIONS_PRICED * cost.milliseconds_per_example / 1000


def _latency(cost: Cost | None) -> float:
    if cost is None:
        return 0.0
    return cost.milliseconds_per_example if cost.milliseconds_alone is None else cost.milliseconds_alone


def _over_limit(cost: Cost | None, options: StudyOptions) -> str | None:
    if cost is None:
        return None
    if options.max_latency is not None and _latency(cost) > options.max_latency:
        return f"takes {_latency(cost):.1f} ms for one example; the limit is {options.max_latency:g} ms"
    memory = cost.peak_memory_bytes
    if options.max_memory is not None and memory is not None and memory > options.max_memory:
        return f"needs {memory / 2**20:,.0f} MiB; the limit is {options.max_memory / 2**20:,.0f} MiB"
    return None
