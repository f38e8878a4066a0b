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
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval
from nshot.evaluation.intervals import (
    FEWEST_COMPARABLE,
    TEST_ROWS_ONLY,
    Block,
    Components,
    Target,
    Usual,
    common_blocks,
    components,
    is_hold_out,
    row_effects,
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
        won: In how many common draws, (repeat, fold)s, a is better. With `lost`, `tied` and `median` this is the sign
            result beside the mean: one collapsed run can stretch a mean.
        lost: In how many it is worse.
        tied: In how many they are equal.
        median: Median of the single draws' differences; None where no draw can be scored alone.
    """

    mean: float
    interval: Interval | None
    standard_error: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    smallest_detectable: float | None
    marked: str | None
    repeats: int
    won: int = 0
    lost: int = 0
    tied: int = 0
    median: float | None = None


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


def _difference_variance(parts: Components, a: int, b: int, usual: Usual | None = None) -> tuple[float, float]:
    variance, freedom = parts.variance(_contrast(len(parts.scores), a, b), usual)
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
    apart = np.diff(_draw_scores([b_blocks, a_blocks], metric, target), axis=0)[0]
    good = apart if metric.higher_is_better else -apart
    won, lost = int((good > 0).sum()), int((good < 0).sum())
    signs = (won, lost, len(apart) - won - lost, float(np.median(apart)) if len(apart) else None)
    if not math.isfinite(variance) or variance <= 0.0 or freedom <= 0.0:
        return Difference(mean, None, None, None, None, None, marked, repeats, *signs)
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
        won=won,
        lost=lost,
        tied=signs[2],
        median=signs[3],
    )


def _draw_scores(candidates: Sequence[Sequence[Block]], metric: Metric, target: Target) -> Array:
    """Return the scores of the single draws that all have, shape (candidates, draws), where all are defined."""
    aligned = _judged(candidates, target)
    scores = np.array([[metric.aggregate(block.statistics) for block in blocks] for blocks in aligned])
    # Sums in another order differ in their last digits; that is no victory.
    return np.round(scores[:, np.isfinite(scores).all(axis=0)], 12)


def mean_ranks(candidates: Mapping[str, Sequence[Block]], metric: Metric, *, target: Target) -> dict[str, float]:
    """Return each candidate's mean rank over the draws, 1 being the best; equal scores share their ranks.

    It is 1 plus, for each other candidate, the share of the draws common to the two in which that one is better (half
    where they are equal). Where all have the same draws this is the mean of the ranks in each; and candidates with
    fewer draws are ranked among all the others nevertheless, on the draws that they have.

    Args:
        candidates: Blocks by name.
        metric: What the statistics belong to.
        target: ``this model`` ranks the first repeat of a hold-out alone, as `paired_difference` compares it.
    """
    ranks = dict.fromkeys(candidates, 1.0)
    for a, b in combinations(candidates, 2):
        scores = _draw_scores([candidates[a], candidates[b]], metric, target)
        if not scores.shape[1]:
            continue
        ahead = np.sign(scores[0] - scores[1]) * (1.0 if metric.higher_is_better else -1.0)
        share = float((ahead + 1.0).mean()) / 2.0  # of the draws in which a is better
        ranks[a] += 1.0 - share
        ranks[b] += share
    return ranks


def independent_difference(a: float, a_interval: Interval, b: float, b_interval: Interval) -> Interval:
    """Return the interval of a - b for scores that were measured on different rows, from the interval of each.

    The MOVER: each end takes from either score the distance to the end that it depends on,

        low = (a - b) - sqrt((a - a_low)^2 + (b_high - b)^2),    high likewise

    (Zou & Donner 2008, "Construction of confidence limits about effect measures: a general approach"; of Wilson's
    intervals it makes method 10 of Newcombe 1998, "Interval estimation for the difference between independent
    proportions"). So skewed intervals stay skewed, and nothing but what was printed needs to be known.

    Args:
        a: One score.
        a_interval: Its interval.
        b: The other score.
        b_interval: Its interval, of the same level.
    """
    # A score that was corrected after its interval was taken may lie outside: that side then adds nothing.
    down, up = max(0.0, a - a_interval.low), max(0.0, a_interval.high - a)
    b_down, b_up = max(0.0, b - b_interval.low), max(0.0, b_interval.high - b)
    return Interval(a - b - math.hypot(down, b_up), a - b + math.hypot(up, b_down), a_interval.level)


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

    All of it is needed to call a candidate behind. The plain `paired_difference` from the highest-ranked covers its own
    true difference 94 to 99 % in 170 studies of public texts, at 0.7 times the width, although the highest-ranked was
    picked by the same data; but of eight equally good candidates it calls one behind in 9 to 25 of 100 studies, and
    these intervals in 0 to 4. Of their width 1.35 times is for speaking of eight at once, 1.0 to 1.14 times for not
    knowing who is best.

    Critical values from a bootstrap of the largest difference over test rows and draws were tried in place of the joint
    t (`bench/decision/simulation.py --only best`). Of eight equally good candidates they call 3.4 % not the best on 32
    test rows and 4.4 % on 64, against 0.4 % and 2.6 %: redrawn rows repeat the few disagreements that were seen, and
    know nothing of degrees of freedom.

    Args:
        candidates: Blocks by name; only (repeat, fold)s and rows that all have are used.
        metric: What the statistics belong to.
        rho: n / N, see `intervals.components`.
        target: What the differences speak for, see `intervals.estimate`.
        n_train: k-fold only, see `intervals.components`.
        n_test: k-fold only, see `intervals.components`.
        level: Simultaneous coverage.
    """
    # In one order: the critical values are drawn, and must not depend on who was named first.
    names = sorted(candidates)
    m = len(names)
    if m == 0:
        return {}
    parts = components(
        [candidates[name] for name in names], metric, rho=rho, target=target, n_train=n_train, n_test=n_test
    )
    sign = 1.0 if metric.higher_is_better else -1.0
    good = sign * parts.scores
    best = int(np.argmax(good))
    errors, freedoms = np.zeros((m, m)), np.ones((m, m))
    pairs = [(a, b) for a in range(m) for b in range(a + 1, m)]
    # Among many pairs of few repeats each, some agree by chance and would look very sure: no pair's variance between
    # draws is taken to be below the mean over all pairs, which counts for further draws.
    mean = float(np.mean([parts.draws(_contrast(m, a, b)) for a, b in pairs])) if pairs else 0.0
    usual = Usual(mean, weight=2 if m > FEWEST_COMPARABLE else 0, least=True)
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
    return {name: answer[name] for name in candidates}


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


def correlations(points: Sequence[Sequence[Block]], standard_errors: Sequence[float], metric: Metric) -> Array:
    """Return how the errors of several scores go together, shape (points, points), positive semi-definite.

    Scores are correlated by the test rows that they share: the covariance of two scores is the sum, over the rows
    (groups) that both were judged on, of the product of what the row adds to either. So points with other draws, other
    folds or another number of repeats need no common draws, and points without common rows are not correlated. What
    common draws of labels add is left out: a handful of draws cannot tell it, and without it differences between
    scores come out less sure, not surer.

    Args:
        points: The blocks of each score.
        standard_errors: Of each score, draws and rows together: what its rows do not explain is its own.
        metric: What the statistics belong to.
    """
    effects = [row_effects(blocks, metric) for blocks in points]
    rows, which = np.unique(np.concatenate([ids for ids, _ in effects]), return_inverse=True)
    table = np.zeros((len(points), len(rows)))
    ends = np.cumsum([len(ids) for ids, _ in effects])[:-1]
    for i, (where, (_, values)) in enumerate(zip(np.split(which.reshape(-1), ends), effects, strict=True)):
        table[i, where] = values
    explained = np.sqrt((table**2).sum(axis=1))
    scale = np.maximum(np.asarray(standard_errors, dtype=np.float64), explained)
    table /= np.where(scale > 0.0, scale, 1.0)[:, None]
    found = table @ table.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


# --- the winner's curse ----------------------------------------------------------------------------------------------


def _bags(n_groups: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each group was drawn, shape (groups, resamples)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_groups, size=(resamples, n_groups))
    keys = drawn + np.arange(resamples)[:, None] * n_groups
    counts = np.bincount(keys.reshape(-1), minlength=resamples * n_groups).reshape(resamples, n_groups)
    return np.ascontiguousarray(counts.T, dtype=np.float64)


def _draw_bags(draws: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how much each draw counts in the bags, then out of them, shape (draws, 2 x resamples).

    Out of the bag count the draws left out, and all of them where none is.
    """
    bags = _bags(draws, resamples, seed)
    out = (bags == 0.0).astype(np.float64)
    out[:, ~out.any(axis=0)] = 1.0
    return np.concatenate([bags, out], axis=1)


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
    scores: Mapping[str, float],
    target: Target,
    resamples: int = 500,
    seed: int = 0,
) -> Correction:
    """Return the score of the candidate that a rule picks, corrected for the picking.

    Bootstrap bias-corrected cross-validation (BBC-CV: Tsamardinos, Greasidou & Borboudakis 2018): draw test groups with
    replacement, let the rule pick by the scores in the bag, score its pick on the groups left out; the mean over
    resamples is the corrected score. Each candidate's scores out of the bag are first shifted to have its measured
    score as their mean: that leaves the correction of one candidate at exactly nothing, and takes out what a metric
    such as macro F1 loses on the fewer rows outside the bag. The correction never raises a score.

    Of a hold-out with several draws of labels the draws are resampled as well: the rule sees the bag's draws and rows,
    the score comes from the draws and rows left out. Who was lucky with its draws is otherwise still flattered.

    A candidate with fewer blocks than others enters with an adjusted score, in every resample as in the comparison:
    the score of the best one that has the most blocks, plus the difference from it on the blocks that both have.

    Args:
        candidates: Blocks by name. Those that have the most are compared on what all of these have.
        metric: What the statistics belong to.
        pick: The whole rule, from scores (in the metric's own direction) to a name.
        scores: The scores that the rule was applied to, those of candidates with fewer blocks adjusted.
        target: ``this model`` scores the first repeat of a hold-out alone, as `estimate` does.
        resamples: Number of bootstrap samples.
        seed: Of the resampling.

    Raises:
        ValueError: A candidate has no (repeat, fold) in common with the others.
    """
    names = list(candidates)
    most = max(len(blocks) for blocks in candidates.values())
    full = [name for name in names if len(candidates[name]) == most]
    sign = 1.0 if metric.higher_is_better else -1.0
    reference = max(full, key=lambda name: sign * scores[name])
    aligned = dict(zip(full, _judged([candidates[name] for name in full], target), strict=True))
    rows, group = _group_of_row(aligned[reference])
    bags = _bags(int(group.max()) + 1, resamples, seed)[group]  # (rows, resamples)
    weights = np.concatenate([bags, (bags == 0.0).astype(np.float64)], axis=1)
    found = {name: _resampled(aligned[name], metric, rows, weights, seed) for name in full}
    for name in names:
        if name not in aligned:
            own, other = _judged([candidates[name], aligned[reference]], target)
            apart = _resampled(own, metric, rows, weights, seed) - _resampled(other, metric, rows, weights, seed)
            found[name] = found[reference] + apart
    resampled = np.stack([found[name] for name in names])
    measured = np.array([scores[name] for name in names])
    in_bag, out_of_bag = resampled[:, :resamples], resampled[:, resamples:]
    valid = np.isfinite(resampled).reshape(len(names), 2, resamples).all(axis=(0, 1))
    picked = pick({name: float(scores[name]) for name in names})
    score = float(scores[picked])
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


def _judged(candidates: Sequence[Sequence[Block]], target: Target) -> list[list[Block]]:
    """Return what these candidates have in common and are judged by: of a hold-out's models, the first alone."""
    aligned = common_blocks(candidates)
    if not aligned or not aligned[0]:
        raise ValueError("the candidates have no (repeat, fold) in common")
    if target == "this model" and is_hold_out(aligned[0]):
        aligned = [blocks[:1] for blocks in aligned]
    return aligned


def _resampled(blocks: Sequence[Block], metric: Metric, rows: NDArray[np.int64], weights: Array, seed: int) -> Array:
    """Return a candidate's score for each column of weights of shape (rows, 2 x resamples), in the bag, then out."""
    units = _units(blocks, metric)
    scores = np.empty((len(units), weights.shape[1]))
    for j, (own, statistics) in enumerate(units):
        of_rows = _rows_of(weights, np.searchsorted(rows, own))
        if metric.is_mean:
            with np.errstate(invalid="ignore", divide="ignore"):
                scores[j] = (statistics[:, 0] @ of_rows) / of_rows.sum(axis=0)
        else:
            scores[j] = metric.aggregate_many(statistics, of_rows.T)
    if not is_hold_out(blocks):
        return np.asarray(scores.mean(axis=0))
    drawn = _draw_bags(len(units), weights.shape[1] // 2, seed)
    return np.asarray(np.where(drawn > 0.0, drawn * scores, 0.0).sum(axis=0) / drawn.sum(axis=0))


def _rows_of(weights: Array, where: NDArray[np.int64]) -> Array:
    return weights if len(where) == len(weights) and np.array_equal(where, np.arange(len(where))) else weights[where]
