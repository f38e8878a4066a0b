"""Which candidate is better, as far as these rows and draws can tell.

Differences are paired: all candidates of a study see the same draws and the same test rows, so the same variance
formulas as in `intervals` apply to contrasts of their pseudo-values, and what is common to them cancels. (On the
same data an unpaired test can give p = 0.08 where the paired one gives p = 0.008.)

To a bounded metric's variance of a difference, two imagined rows are added, one that speaks for each side (Bonett &
Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data"): two
candidates that agree on every test row are not thereby proven equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval
from nshot.evaluation.intervals import (
    TEST_ROWS_ONLY,
    Block,
    Components,
    Target,
    common_blocks,
    components,
    is_hold_out,
    t_quantile,
)
from nshot.metrics import Array, Metric


@dataclass(frozen=True)
class Difference:
    """Candidate a minus candidate b, in the metric's own unit and direction.

    Attributes:
        mean: The difference on the common blocks.
        interval: Both ends, or None where the data cannot give one.
        standard_error: Of the mean, or None.
        degrees_of_freedom: Of its t distribution, or None.
        p_value: Two-sided, of no difference; None without an interval.
        smallest_detectable: The true difference that such a comparison finds with 80 % probability, or None.
        marked: ``test rows only`` where one repeat cannot show how much draws differ, else None.
        repeats: How many repeats the candidates have in common.
    """

    mean: float
    interval: Interval | None
    standard_error: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    smallest_detectable: float | None
    marked: str | None
    repeats: int


@dataclass(frozen=True)
class VersusBest:
    """One candidate against the best of the others.

    Attributes:
        mean: Its score minus the highest-ranked candidate's, in the metric's own unit and direction (0 for that one).
        shortfall: How much it falls short of the highest-ranked, at least 0, whichever way the metric goes.
        interval: Simultaneous interval of its score minus the best other one's; None where there is none.
        distinguishable: It is shown not to be the best.
        best: It is the highest-ranked.
    """

    mean: float
    shortfall: float
    interval: Interval | None
    distinguishable: bool
    best: bool


@dataclass(frozen=True)
class Correction:
    """The score of a pick, before and after allowing for its having been picked.

    Attributes:
        picked: Whom the rule picks on all rows.
        score: Its score as measured.
        corrected: Its score corrected for the picking.
        picks: How often the rule picked each candidate in the resamples (shares; those never picked are left out).
    """

    picked: str
    score: float
    corrected: float
    picks: Mapping[str, float]


def as_constant(blocks: Sequence[Block], like: Iterable[Block]) -> list[Block]:
    """Return the answers of a candidate that no draw changes (n = 0, a constant) cut into the blocks of another one.

    So a zero-shot model, run once on every test row, is compared with all repeats and folds of a trained one and not
    with the first alone. Rows it has no answer for are left out.
    """
    first = min(block.repeat for block in blocks)
    once = [block for block in blocks if block.repeat == first]
    rows = np.concatenate([block.rows for block in once])
    statistics = np.concatenate([block.statistics for block in once])
    order = np.argsort(rows, kind="stable")
    cut = []
    for block in like:
        known = np.flatnonzero(np.isin(block.rows, rows))
        where = order[np.searchsorted(rows, block.rows[known], sorter=order)]
        cut.append(replace(block.take(known), statistics=statistics[where]))
    return cut


def _contrast(m: int, a: int, b: int) -> Array:
    contrast = np.zeros(m)
    contrast[a], contrast[b] = 1.0, -1.0
    return contrast


def _difference_variance(parts: Components, a: int, b: int, least_draws: float = 0.0) -> tuple[float, float]:
    variance, freedom = parts.variance(_contrast(len(parts.scores), a, b), least_draws)
    mistake = max(float(parts.mistake[a]), float(parts.mistake[b]))
    return variance + 2.0 * mistake**2, freedom


def _within(low: float, high: float, metric: Metric, level: float) -> Interval:
    width = metric.highest - metric.lowest
    return Interval(max(-width, low), min(width, high), level)


def paired_difference(
    a_blocks: Sequence[Block],
    b_blocks: Sequence[Block],
    metric: Metric,
    *,
    rho: float | None,
    target: Target,
    n_train: int | None = None,
    n_test: int | None = None,
    level: float = 0.95,
) -> Difference:
    """Return how much better or worse a is than b, on the (repeat, fold)s and rows that both have.

    The smallest detectable difference is (t_0.975 + t_0.80) x standard error (Bloom 1995).

    Args:
        a_blocks: Blocks of a.
        b_blocks: Blocks of b.
        metric: What the statistics belong to.
        rho: n / N, see `intervals.components`.
        target: What the difference speaks for, see `intervals.estimate`. ``this model`` compares the first repeats.
        n_train: k-fold only, see `intervals.components`.
        n_test: k-fold only, see `intervals.components`.
        level: Coverage of the interval.
    """
    parts = components([a_blocks, b_blocks], metric, rho=rho, target=target, n_train=n_train, n_test=n_test)
    mean = float(parts.scores[0] - parts.scores[1])
    variance, freedom = _difference_variance(parts, 0, 1)
    marked = TEST_ROWS_ONLY if parts.one_fit and target != "this model" else None
    repeats = len(parts.by_repeat)
    if not math.isfinite(variance) or variance <= 0.0 or freedom <= 0.0:
        return Difference(mean, None, None, None, None, None, marked, repeats)
    error = math.sqrt(variance)
    t = t_quantile((1.0 + level) / 2.0, freedom)
    return Difference(
        mean=mean,
        interval=_within(mean - t * error, mean + t * error, metric, level),
        standard_error=error,
        degrees_of_freedom=freedom,
        p_value=_p_value(mean / error, freedom),
        smallest_detectable=(t + t_quantile(0.8, freedom)) * error,
        marked=marked,
        repeats=repeats,
    )


def _p_value(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(2.0 * stdtr(freedom, -abs(t)))


def _single_levels(covariance: Array, errors: Array, level: float, draws: int = 10_000) -> Array:
    """Return, for each candidate as the reference, the level of one comparison that makes all of them hold together.

    Shape (m,). The standardised differences from the reference are taken as jointly normal with the estimated
    correlations; their smallest p-value falls below the returned level with probability 1 - `level`. Degrees of
    freedom differ from pair to pair and enter afterwards, by each pair's own t quantile.
    """
    from scipy.special import ndtr

    m = len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    # The seed is fixed: the same ledger always gives the same verdict.
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(draws, m)) @ root.T
    # What `errors` has beyond the covariance (the imagined rows) is independent from pair to pair.
    found = np.empty(m)
    for reference in range(m):
        others = [j for j in range(m) if j != reference]
        explained = normal[:, others] - normal[:, [reference]]
        variance = errors[reference, others] ** 2
        of_covariance = (
            covariance[others, others] + covariance[reference, reference] - 2.0 * covariance[reference, others]
        )
        extra = np.sqrt(np.maximum(variance - of_covariance, 0.0))
        total = np.sqrt(np.maximum(of_covariance, 0.0) + extra**2)
        shaken = explained + rng.normal(size=explained.shape) * extra
        largest = np.abs(shaken / np.maximum(total, np.finfo(np.float64).tiny)).max(axis=1)
        found[reference] = 2.0 * float(ndtr(-np.quantile(largest, level)))
    return found


def versus_best(
    candidates: Mapping[str, Sequence[Block]],
    metric: Metric,
    *,
    rho: float | None,
    target: Target,
    n_train: int | None = None,
    n_test: int | None = None,
    level: float = 0.95,
) -> dict[str, VersusBest]:
    """Return each candidate against the best of the others, all statements holding together at `level`.

    Multiple comparisons with the best (Hsu 1981, 1996 ch. 4; from two-sided intervals, Edwards & Hsu 1983): take every
    candidate in turn as the reference and give simultaneous intervals of the others' differences from it. Candidates
    that no other one is shown to beat may be the best; a candidate's interval is the hull of its intervals against all
    of those. Who is best need not be known beforehand, so comparing with the winner of the same data costs nothing
    extra. The correlations come from the pseudo-values.

    Args:
        candidates: Blocks by name; only (repeat, fold)s and rows that all have are used.
        metric: What the statistics belong to.
        rho: n / N, see `intervals.components`.
        target: What the differences speak for, see `intervals.estimate`.
        n_train: k-fold only, see `intervals.components`.
        n_test: k-fold only, see `intervals.components`.
        level: Simultaneous coverage.
    """
    names = list(candidates)
    m = len(names)
    if m == 0:
        return {}
    parts = components(list(candidates.values()), metric, rho=rho, target=target, n_train=n_train, n_test=n_test)
    sign = 1.0 if metric.higher_is_better else -1.0
    good = sign * parts.scores
    best = int(np.argmax(good))
    errors, freedoms = np.zeros((m, m)), np.ones((m, m))
    pairs = [(a, b) for a in range(m) for b in range(a + 1, m)]
    # Among many pairs of few repeats each, some agree by chance and would look very sure: no pair's variance
    # between draws is taken to be below the mean over all pairs.
    usual = float(np.mean([parts.draws(_contrast(m, a, b)) for a, b in pairs])) if pairs else 0.0
    for a, b in pairs:
        variance, freedom = _difference_variance(parts, a, b, usual)
        errors[a, b] = errors[b, a] = math.sqrt(variance) if variance > 0 else math.nan
        freedoms[a, b] = freedoms[b, a] = freedom
    usable = m > 1 and bool(np.all(np.isfinite(errors[~np.eye(m, dtype=bool)])))
    lows, highs, excluded = _hulls(parts.covariance(), good, errors, freedoms, level) if usable else (good, good, [])
    answer = {}
    for i, name in enumerate(names):
        interval = None
        if usable:
            ends = sorted((sign * float(lows[i]), sign * float(highs[i])))
            interval = _within(ends[0], ends[1], metric, level)
        answer[name] = VersusBest(
            mean=float(parts.scores[i] - parts.scores[best]),
            shortfall=float(good[best] - good[i]),
            interval=interval,
            distinguishable=i in excluded,
            best=i == best,
        )
    return answer


def _hulls(
    covariance: Array, good: Array, errors: Array, freedoms: Array, level: float
) -> tuple[Array, Array, list[int]]:
    """Return the ends of "candidate minus the best other one", higher being better, and who is not the best."""
    from scipy.special import stdtrit

    m = len(good)
    singles = _single_levels(covariance, np.nan_to_num(errors), level)
    reach = stdtrit(freedoms, 1.0 - singles[:, None] / 2.0) * errors  # row: the reference
    difference = good[:, None] - good[None, :]
    off = ~np.eye(m, dtype=bool)
    # As the reference, i minus j is at most this; below 0 for one j means that i is not the best.
    at_most = np.where(off, difference + reach, np.inf)
    possible = [i for i in range(m) if at_most[i].min() >= 0.0]
    lows, highs = np.empty(m), np.empty(m)
    for i in range(m):
        references = [g for g in possible if g != i]
        if not references:
            others = off[i]
            lows[i] = max(0.0, float((difference[i] - reach[i])[others].min()))
            highs[i] = float(at_most[i].min())
            continue
        lows[i] = min(0.0, *(float(difference[i, g] - reach[g, i]) for g in references))
        if i in possible:
            highs[i] = max(0.0, float(at_most[i].min()))
        else:
            highs[i] = min(0.0, max(float(difference[i, g] + reach[g, i]) for g in references))
    return lows, highs, [i for i in range(m) if i not in possible]


def joint_covariance(
    candidates: Mapping[str, Sequence[Block]],
    metric: Metric,
    *,
    rho: float | None,
    target: Target,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Array:
    """Return the covariance matrix of the candidates' scores, in the order of the mapping, shape (m, m)."""
    parts = components(list(candidates.values()), metric, rho=rho, target=target, n_train=n_train, n_test=n_test)
    return parts.covariance()


# --- the winner's curse ----------------------------------------------------------------------------------------------


def _bags(n_groups: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each group was drawn, shape (groups, resamples)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_groups, size=(resamples, n_groups))
    keys = drawn + np.arange(resamples)[:, None] * n_groups
    counts = np.bincount(keys.reshape(-1), minlength=resamples * n_groups).reshape(resamples, n_groups)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def _units(blocks: Sequence[Block], metric: Metric) -> list[tuple[NDArray[np.int64], Array]]:
    """Return (rows, statistics) of what is scored at once: a repeat's folds, or one fold of a ranking metric."""
    if metric.ranks:
        return [(block.rows, block.statistics) for block in blocks]
    units = []
    for repeat in sorted({block.repeat for block in blocks}):
        own = [block for block in blocks if block.repeat == repeat]
        units.append((np.concatenate([b.rows for b in own]), np.concatenate([b.statistics for b in own])))
    return units


def _group_of_row(blocks: Sequence[Block]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different rows, ascending, and the number of each one's group."""
    rows, first = np.unique(np.concatenate([block.rows for block in blocks]), return_index=True)
    if blocks[0].groups is None:
        return rows, np.arange(len(rows))
    groups = np.concatenate([np.asarray(block.groups) for block in blocks])[first]
    return rows, np.unique(groups, return_inverse=True)[1].reshape(-1)


def corrected_score(
    candidates: Mapping[str, Sequence[Block]],
    metric: Metric,
    pick: Callable[[dict[str, float]], str],
    *,
    target: Target,
    resamples: int = 500,
    seed: int = 0,
) -> Correction:
    """Return the score of the pick, corrected for its having been picked on the same rows.

    Bootstrap bias corrected cross-validation (BBC-CV: Tsamardinos, Greasidou & Borboudakis 2018): draw test groups with
    replacement, let the rule pick by the scores in the bag, score its pick on the groups left out; the mean over
    resamples is the corrected score. Each candidate's scores out of the bag are first shifted to have its measured
    score as their mean: that leaves the correction of one candidate at exactly nothing, and takes out what a metric
    such as macro F1 loses on the fewer rows outside the bag. The correction never raises a score.

    Args:
        candidates: Blocks by name; only (repeat, fold)s and rows that all have are used.
        metric: What the statistics belong to.
        pick: The whole rule, from scores (in the metric's own direction) to a name.
        target: ``this model`` scores the first repeat of a hold-out alone, as `estimate` does.
        resamples: Number of bootstrap samples.
        seed: Of the resampling.
    """
    names = list(candidates)
    aligned = common_blocks(list(candidates.values()))
    if not aligned or not aligned[0]:
        raise ValueError("the candidates have no (repeat, fold) in common")
    if target == "this model" and is_hold_out(aligned[0]):
        aligned = [blocks[:1] for blocks in aligned]
    rows, group = _group_of_row(aligned[0])
    bags = _bags(int(group.max()) + 1, resamples, seed)[group]  # (rows, resamples)
    weights = np.concatenate([bags, (bags == 0.0).astype(np.float64)], axis=1)
    measured = np.empty(len(names))
    resampled = np.empty((len(names), 2 * resamples))
    same_rows = [np.searchsorted(rows, own) for own, _ in _units(aligned[0], metric)]
    for i, blocks in enumerate(aligned):
        units = _units(blocks, metric)
        measured[i] = np.mean([metric.aggregate(statistics) for _, statistics in units])
        if metric.is_mean:
            resampled[i] = _mean_of_units(units, same_rows, weights)
            continue
        scores = np.zeros((len(units), 2 * resamples))
        for j, ((_, statistics), where) in enumerate(zip(units, same_rows, strict=True)):
            scores[j] = metric.aggregate_many(statistics, _rows_of(weights, where).T)
        resampled[i] = scores.mean(axis=0)
    in_bag, out_of_bag = resampled[:, :resamples], resampled[:, resamples:]
    valid = np.isfinite(resampled).reshape(len(names), 2, resamples).all(axis=(0, 1))
    picked = pick(dict(zip(names, measured.tolist(), strict=True)))
    score = float(measured[names.index(picked)])
    if not valid.any():
        return Correction(picked, score, score, {picked: 1.0})
    in_bag, out_of_bag = in_bag[:, valid], out_of_bag[:, valid]
    out_of_bag = out_of_bag - out_of_bag.mean(axis=1, keepdims=True) + measured[:, None]
    position = {name: i for i, name in enumerate(names)}
    winners = [position[pick(dict(zip(names, column, strict=True)))] for column in in_bag.T.tolist()]
    corrected = float(out_of_bag[winners, np.arange(len(winners))].mean())
    corrected = min(corrected, score) if metric.higher_is_better else max(corrected, score)
    corrected = min(max(corrected, metric.lowest), metric.highest)
    shares = {names[i]: count / len(winners) for i, count in Counter(winners).most_common()}
    return Correction(picked, score, corrected, shares)


def _rows_of(weights: Array, where: NDArray[np.int64]) -> Array:
    return weights if len(where) == len(weights) and np.array_equal(where, np.arange(len(where))) else weights[where]


def _mean_of_units(
    units: Sequence[tuple[NDArray[np.int64], Array]], places: Sequence[NDArray[np.int64]], weights: Array
) -> Array:
    """Return the mean over repeats of a metric that is a mean, for weights of shape (rows, resamples)."""
    table, answered = np.zeros((2, len(weights), len(units)))
    for j, ((_, statistics), where) in enumerate(zip(units, places, strict=True)):
        table[where, j], answered[where, j] = statistics[:, 0], 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        if answered.all():
            # Every repeat has every row: average the repeats first, weigh once.
            return np.asarray((table.mean(axis=1) @ weights) / weights.sum(axis=0))
        return np.asarray(((table.T @ weights) / (answered.T @ weights)).mean(axis=0))
