"""Learning curves: what a score does as the number of labels grows.

    score(n) = a - b n^-c,      b >= 0, 0.05 <= c <= 2, a inside the metric's range

(the power law of Cortes et al. 1994 and Hestness et al. 2017; Viering & Loog 2022 compare families and find it among
the best with three parameters). For errors and losses the sign of b turns. a and b enter linearly, so for each c of a
grid they are a weighted regression, and the best c wins: no starting values, no failed optimiser, and thousands of
refits at once for the bands.

Three families: a constant, the power law with a usual exponent (c = 0.4), and the power law with c free. Which one a
curve gets is decided by points that it was not fitted to (rolling origin: fit the first points, predict the next one,
its squared error divided by its variance). Where the points then still scatter far wider about the curve than their
errors say, as when a method starts to learn late, no law holds for all n: the usual one goes through the last two
points, and before them the points are joined. A candidate that needs no labels is a constant.

Bands come from a parametric bootstrap of all points of a study together: the points are drawn again from their joint
distribution (they share test rows, so that differences between curves, and along one, are surer than their levels), and
everything is done again with the redrawn points, the choice of the family included. Where a law has only two or three
points to go by, its draws get exponents as found on real learning curves. Where points scatter somewhat wider about
their curve than their errors say, the errors are widened (Birge 1932). Nothing is said beyond four times the largest n
that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval
from nshot.metrics import Array

FARTHEST = 4.0
EXPONENTS = np.geomspace(0.05, 2.0, 60)
USUAL_EXPONENT = 0.4
EXPONENTS_SEEN = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.8, 1.4])
"""Eight values that stand for the exponents of 47 learning curves of six methods on eight text sets (median 0.37, a
tenth below 0.1, a tenth above 0.8), a little wider because of curves of which only the last points count."""
DRAWS = 500
FEWEST_POINTS = 3
PARAMETERS = np.array([1, 2, 3])
"""Of the families: a constant, the usual power law, the power law."""
MISFIT = 3.84
"""Points whose squared distances from the curve are so many times what their errors let one expect show that the law
does not hold for all of them (3.84: the 95 % point of chi-square with one degree of freedom)."""


@dataclass(frozen=True)
class Point:
    """A measured point of a learning curve.

    Attributes:
        n_labels: The number of labels; 0 for a candidate that needs none.
        score: The score there.
        standard_error: Of the score as that of a fresh draw of n labels, draws and test rows together.
    """

    n_labels: float
    score: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Laws:
    """Power laws, one per row, each with the points that it was fitted to.

    Attributes:
        parameters: Shape (rows, 3): a, b, c of a - b n^-c (b < 0 for metrics where lower is better).
        scores: Shape (rows, points): the points.
        recent: Shape (rows,): the law holds from the last point but one; before it the points are joined.
    """

    parameters: Array
    scores: Array
    recent: NDArray[np.bool_]

    def at(self, places: Array, ns: Array) -> Array:
        """Return scores, shape (rows, places), where the points were measured at `ns`."""
        values = _value(self.parameters, places)
        early = places < ns[-2] if len(ns) > 1 else np.zeros(len(places), dtype=bool)
        if not (self.recent.any() and early.any()):
            return values
        # Joined by straight lines over log n.
        shares = np.stack([np.interp(np.log(places[early]), np.log(ns), one) for one in np.eye(len(ns))])
        values[np.ix_(self.recent, early)] = self.scores[self.recent] @ shares
        return values


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted learning curve with its bootstrap refits.

    Attributes:
        ns: Shape (points,), the numbers of labels it was fitted to.
        expected: The fitted law, one row.
        drawn: The laws fitted to redrawn points. Curves of one `fit_curves` are redrawn together: row i of one
            belongs to row i of another.
        higher_is_better: Which way the metric goes.
    """

    ns: Array
    expected: Laws
    drawn: Laws
    higher_is_better: bool = True

    @property
    def farthest(self) -> float:
        """The largest n that anything is said about."""
        return FARTHEST * float(self.ns.max())

    @property
    def rises(self) -> bool:
        """Whether more labels are expected to change the score."""
        return bool(self.expected.parameters[0, 1] != 0.0)

    def predict(self, n: float, level: float = 0.95) -> tuple[float, Interval]:
        """Return the expected score at n labels and its interval.

        Raises:
            ValueError: n is below 1 or beyond `farthest`.
        """
        if not 1 <= n <= self.farthest:
            raise ValueError(f"this curve speaks of 1 to {self.farthest:.0f} labels, not of {n:g}")
        place = np.array([float(n)])
        score = float(self.expected.at(place, self.ns)[0, 0])
        return score, _interval(self.drawn.at(place, self.ns)[:, 0], score, level)


@dataclass(frozen=True)
class Crossover:
    """Where a second candidate overtakes a first one and stays ahead.

    Attributes:
        n_labels: The expected number of labels.
        interval: Both ends, in labels.
    """

    n_labels: float
    interval: Interval


@dataclass(frozen=True)
class Gain:
    """What more labels bring, whoever is best then.

    Attributes:
        change: By how much the best score changes, in the metric's own direction (negative for errors).
        interval: Both ends.
        best: The candidate that is expected to be the best with the larger number of labels.
    """

    change: float
    interval: Interval
    best: str


def _value(parameters: Array, ns: Array) -> Array:
    """Return scores, shape (draws, ns)."""
    parameters = np.atleast_2d(parameters)
    a, b, c = parameters[:, :1], parameters[:, 1:2], parameters[:, 2:]
    return np.asarray(a - b * ns[None, :] ** -c)


def _interval(draws: Array, score: float, level: float) -> Interval:
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(min(float(low), score), max(float(high), score), level)


# --- one curve: families, and the choice among them ------------------------------------------------------------------


def _constant(scores: Array, weights: Array, ceiling: float) -> tuple[Array, Array]:
    """Return the best (a, 0, 1), shape (draws, 3), and the weighted squared errors, for scores (draws, points)."""
    a = np.minimum(scores @ weights / weights.sum(), ceiling)
    found = np.stack([a, np.zeros_like(a), np.ones_like(a)], axis=1)
    return found, ((scores - a[:, None]) ** 2) @ weights


def _power_law(ns: Array, scores: Array, weights: Array, ceiling: float, exponents: Array) -> tuple[Array, Array]:
    """Return the best (a, b, c), shape (draws, 3), and the weighted squared errors, for scores (draws, points).

    Higher is better here. Each c gives a weighted regression on x = n^-c; bounds are handled by the regression that
    they leave: b < 0 by the constant, a above the ceiling by the slope alone.
    """
    x = ns[None, :] ** -exponents[:, None]  # (exponents, points)
    total = weights.sum()
    centre = x @ weights / total
    apart = x - centre[:, None]
    spread = apart**2 @ weights
    mean = (scores @ weights / total)[:, None]
    slope = np.minimum(scores @ (apart * weights).T / spread, 0.0)  # (draws, exponents)
    a = mean - slope * centre
    squares = ((scores - mean) ** 2 @ weights)[:, None] - slope**2 * spread
    if math.isfinite(ceiling) and bool((high := a > ceiling).any()):
        below, through = scores - ceiling, x**2 @ weights
        alone = np.minimum(below @ (x * weights).T / through, 0.0)
        slope, a = np.where(high, alone, slope), np.minimum(a, ceiling)
        squares = np.where(high, (below**2 @ weights)[:, None] - alone**2 * through, squares)
    best = np.argmin(squares, axis=1)
    at = (np.arange(len(scores)), best)
    return np.stack([a[at], -slope[at], exponents[best]], axis=1), squares[at]


def _usual_power_law(
    ns: Array, scores: Array, weights: Array, ceiling: float, exponent_of: Array
) -> tuple[Array, Array]:
    """Return what `_power_law` does, each draw with an exponent of its own, shape (draws,)."""
    found, squares = np.empty((len(scores), 3)), np.empty(len(scores))
    for exponent in np.unique(exponent_of):
        own = exponent_of == exponent
        found[own], squares[own] = _power_law(ns, scores[own], weights, ceiling, np.array([exponent]))
    return found, squares


def _fits(ns: Array, scores: Array, weights: Array, ceiling: float, exponent_of: Array) -> list[tuple[Array, Array]]:
    """Return the fit of every family that so many points can tell, in the order of `PARAMETERS`.

    Args:
        ns: Shape (points,), ascending.
        scores: Shape (draws, points), higher being better.
        weights: Shape (points,).
        ceiling: The best score.
        exponent_of: Shape (draws,), c of the usual power law where a law has three points or fewer to go by.
    """
    usual = exponent_of if len(ns) <= FEWEST_POINTS else np.full(len(scores), USUAL_EXPONENT)
    fits = [
        _constant(scores, weights, ceiling),
        _usual_power_law(ns, scores, weights, ceiling, usual),
    ]
    if len(ns) > 2:
        fits.append(_power_law(ns, scores, weights, ceiling, EXPONENTS))
    return fits


def _chosen(
    ns: Array, scores: Array, weights: Array, ceiling: float, exponent_of: Array, usual: Array
) -> tuple[Laws, Array]:
    """Return the law of the family that each draw chooses and by how much its points scatter too much.

    Args:
        ns: Shape (points,), ascending.
        scores: Shape (draws, points), higher being better.
        weights: Shape (points,).
        ceiling: The best score.
        exponent_of: Shape (draws,), c of a law through so few points that they do not tell it.
        usual: Shape (families,): the weighted squared errors to be expected from each family if it is right.
    """
    points, rows = len(ns), np.arange(len(scores))
    missed = np.zeros(1)
    for k in range(3 if points > 3 else 2, points):
        fits = _fits(ns[:k], scores[:, :k], weights[:k], ceiling, exponent_of)
        expected = np.stack([_value(found, ns[k : k + 1])[:, 0] for found, _ in fits])
        missed = missed + weights[k] * (scores[:, k] - expected) ** 2
    best = np.argmin(missed, axis=0)
    fits = _fits(ns, scores, weights, ceiling, exponent_of)
    squares = np.stack([squares for _, squares in fits])[best, rows]
    spare = points - PARAMETERS[best]
    excess = np.where(spare > 0, (squares - usual[best]) / np.maximum(spare, 1), 0.0)
    parameters = np.stack([found for found, _ in fits])[best, rows]
    last, _ = _usual_power_law(ns[-2:], scores[:, -2:], weights[-2:], ceiling, exponent_of)
    recent = (spare > 0) & (squares > MISFIT * usual[best]) & (last[:, 1] > 0.0)
    parameters[recent], excess[recent] = last[recent], 0.0
    return Laws(parameters, scores, recent), np.maximum(excess, 0.0)


def _usual_squares(ns: Array, scores: Array, noise: Array, weights: Array, ceiling: float) -> Array:
    """Return the weighted squared errors that each family is expected to leave if it is right, shape (families,).

    Errors that points share move the curve and not the points about it, so this is no number of spare points but what
    redrawing the points leaves about a curve of the family.
    """
    some = noise[: DRAWS // 5]
    exponent_of = np.full(len(some), USUAL_EXPONENT)
    laws = _fits(ns, scores, weights, ceiling, exponent_of[:1])
    return np.array(
        [
            float(_fits(ns, _value(law, ns) + some, weights, ceiling, exponent_of)[i][1].mean())
            for i, (law, _) in enumerate(laws)
        ]
    )


# --- all curves of a study -------------------------------------------------------------------------------------------


def fit_curves(
    points: Mapping[str, Sequence[Point]],
    *,
    correlation: Array | None = None,
    higher_is_better: bool = True,
    bound: float = 1.0,
    seed: int = 0,
) -> dict[str, Curve]:
    """Return the learning curve of every candidate that has three points or more, or that needs no labels.

    Args:
        points: Each candidate's points; a single one at n = 0 for a candidate that needs no labels. What is said of
            that one is bounded by the labels that the others were measured at.
        correlation: Shape (all points, all points), of the scores' errors, in the order of `points`
            (`comparison.correlations`); None: every point is measured apart.
        higher_is_better: False for errors and losses.
        bound: The best value that the metric can take (1 for shares, 0 for errors); infinite where there is none.
        seed: Of the bootstrap.
    """
    every = [point for own in points.values() for point in own]
    measured = sorted({point.n_labels for point in every if point.n_labels >= 1})
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(DRAWS, len(every)))
    if correlation is not None:
        values, vectors = np.linalg.eigh(correlation)
        noise = noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    curves: dict[str, Curve] = {}
    end = 0
    for name, own in points.items():
        start, end = end, end + len(own)
        ns, scores, errors = (
            np.array(column, dtype=np.float64)
            for column in ([p.n_labels for p in own], [p.score for p in own], [p.standard_error for p in own])
        )
        shaken = noise[:, start:end] * errors
        if len(own) == 1 and ns[0] == 0 and measured:
            labels = np.array(measured, dtype=np.float64)
            curves[name] = Curve(labels, _flat(scores), _flat(scores + shaken[:, 0]), higher_is_better)
        elif len(np.unique(ns)) >= FEWEST_POINTS:
            curves[name] = _fitted(ns, scores, errors, shaken, rng, higher_is_better, bound)
    return curves


def _fitted(
    ns: Array,
    scores: Array,
    errors: Array,
    noise: Array,
    rng: np.random.Generator,
    higher_is_better: bool,
    bound: float,
) -> Curve:
    """Return the curve through the points, refitted with every row of `noise`, shape (draws, points), added to them."""
    order = np.argsort(ns, kind="stable")
    ns, scores, errors, noise = ns[order], scores[order], errors[order], noise[:, order]
    sign = 1.0 if higher_is_better else -1.0
    ceiling = sign * bound if math.isfinite(bound) else math.inf
    # A point without error would take all the weight; no point is surer than a tenth of the typical one.
    typical = float(np.median(errors[errors > 0])) if bool((errors > 0).any()) else 1e-3
    least = np.maximum(errors, typical / 10.0)
    weights = least**-2
    up = sign * scores[None, :]
    usual = _usual_squares(ns, up, noise, weights, ceiling)
    expected, excess = _chosen(ns, up, weights, ceiling, np.array([USUAL_EXPONENT]), usual)
    # Misfit is each point's own; it does not move them together.
    redrawn = up + noise + rng.normal(size=noise.shape) * least * math.sqrt(float(excess[0]))
    # Redrawn points have the errors of the measured ones and as much again.
    drawn, _ = _chosen(ns, redrawn, weights, ceiling, rng.choice(EXPONENTS_SEEN, size=len(noise)), 2.0 * usual)
    return Curve(ns, _turned(expected, sign), _turned(drawn, sign), higher_is_better)


def _flat(levels: Array) -> Laws:
    """Return laws that labels do not change."""
    parameters = np.stack([levels, np.zeros_like(levels), np.ones_like(levels)], axis=1)
    return Laws(parameters, levels[:, None], np.zeros(len(levels), dtype=bool))


def _turned(laws: Laws, sign: float) -> Laws:
    return Laws(laws.parameters * np.array([sign, sign, 1.0]), laws.scores * sign, laws.recent)


# --- what curves say -------------------------------------------------------------------------------------------------


def _overtakes(ahead: NDArray[np.bool_], grid: Array) -> Array:
    """Return for each row the first n from which it is ahead up to the end; inf where it is not ahead at the end."""
    behind_last = ahead.shape[1] - np.argmax(~ahead[:, ::-1], axis=1)  # one past the last place where it is behind
    never_behind = ahead.all(axis=1)
    padded = np.append(grid, np.inf)
    return np.asarray(np.where(never_behind, grid[0], padded[behind_last]))


def crossover(curve_a: Curve, curve_b: Curve, upper: float, level: float = 0.95) -> Crossover | None:
    """Return the n from which b stays ahead of a, or None where the data do not support one.

    Supported means: a is ahead at the smallest n that both were measured at, b at `upper`, and both hold throughout the
    central `level` of the bootstrap: its earliest draws still see a ahead at first, and its latest see b overtake by
    `upper`. Nothing beyond four times the largest n that both were measured at is looked at.

    Args:
        curve_a: Ahead at first.
        curve_b: Overtakes; of the same `fit_curves`.
        upper: The largest n of interest.
        level: Of the interval.
    """
    first = max(float(curve_a.ns.min()), float(curve_b.ns.min()), 1.0)
    last = min(float(upper), curve_a.farthest, curve_b.farthest)
    if last <= first:
        return None
    sign = 1.0 if curve_a.higher_is_better else -1.0
    grid = np.geomspace(first, last, 400)
    expected = sign * (curve_b.expected.at(grid, curve_b.ns) - curve_a.expected.at(grid, curve_a.ns))
    n = float(_overtakes(expected > 0.0, grid)[0])
    if not first < n < math.inf:
        return None
    drawn = sign * (curve_b.drawn.at(grid, curve_b.ns) - curve_a.drawn.at(grid, curve_a.ns))
    places = np.sort(_overtakes(drawn > 0.0, grid))
    tail, count = (1.0 - level) / 2.0, len(places) - 1
    low, high = float(places[math.floor(tail * count)]), float(places[math.ceil((1.0 - tail) * count)])
    if high == math.inf or low <= first:
        return None
    return Crossover(n, Interval(min(low, n), max(high, n), level))


def gain(curves: Mapping[str, Curve], n_from: float, n_to: float, level: float = 0.95) -> Gain | None:
    """Return by how much the best score changes from n_from to n_to labels, or None beyond what the curves speak of.

    With more labels another candidate may be the best, so the upper envelope of the curves counts. Who is best at
    either end is read from the expectation and kept in all draws: the largest of several redrawn curves grows with how
    far they are extrapolated, and intervals made of it covered 58 % where ten candidates were equal, these 99 to 100 %.
    The best score never falls with more labels.

    Args:
        curves: Of one `fit_curves`; those that do not reach `n_to` are left out.
        n_from: Today's number of labels.
        n_to: A larger one.
        level: Of the interval.
    """
    names = [name for name, curve in curves.items() if curve.farthest >= n_to]
    if not names or n_from < 1:
        return None
    places = np.array([n_from, n_to], dtype=np.float64)
    sign = 1.0 if curves[names[0]].higher_is_better else -1.0
    expected = sign * np.stack([curves[name].expected.at(places, curves[name].ns)[0] for name in names])
    today, then = (names[int(i)] for i in expected.argmax(axis=0))
    change = float(np.diff(expected.max(axis=0))[0])
    ends_at, starts_at = (curves[name].drawn.at(places, curves[name].ns) for name in (then, today))
    drawn = sign * (ends_at[:, 1] - starts_at[:, 0])
    low, high = np.quantile(np.maximum(drawn, 0.0), [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    ends = sorted((sign * min(float(low), change), sign * max(float(high), change)))
    return Gain(sign * change, Interval(ends[0], ends[1], level), then)
