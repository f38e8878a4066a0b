"""Learning curves: what a score does as the number of labels grows.

    score(n) = a - b n^-c,      b >= 0, 0.05 <= c <= 2, a inside the metric's range

(the power law of Cortes et al. 1994 and Hestness et al. 2017; Viering & Loog 2022 compare families and find it among
the best with three parameters). For errors and losses the sign of b turns. a and b enter linearly, so for each c of a
grid they are a weighted regression, and the best c wins: no starting values, no failed optimiser, and thousands of
refits at once for the bands. A curve without slope (zero-shot) is a constant.

Bands come from a parametric bootstrap: the points are drawn again from their own standard errors (or their joint
covariance: points of one study share test rows, so differences along a curve are surer than its level), and refitted.
Where four points or more scatter wider than their errors say, the errors are widened (Birge ratio), because then the
family is wrong. Nothing is said beyond four times the largest n that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval
from nshot.metrics import Array

FARTHEST = 4.0
EXPONENTS = np.geomspace(0.05, 2.0, 60)
DRAWS = 500
FEWEST_POINTS = 3


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted learning curve with its bootstrap refits.

    Attributes:
        ns: Shape (points,), the numbers of labels it was fitted to.
        parameters: Shape (3,): a, b, c of a - b n^-c (b < 0 for metrics where lower is better).
        draws: Shape (draws, 3): the same, refitted to redrawn points.
        higher_is_better: Which way the metric goes.
    """

    ns: Array
    parameters: Array
    draws: Array
    higher_is_better: bool = True

    @property
    def farthest(self) -> float:
        """The largest n that anything is said about."""
        return FARTHEST * float(self.ns.max())

    def predict(self, n: float, level: float = 0.95) -> tuple[float, Interval]:
        """Return the expected score at n labels and its interval.

        Raises:
            ValueError: n is below 1 or beyond `farthest`.
        """
        if not 1 <= n <= self.farthest:
            raise ValueError(f"this curve speaks of 1 to {self.farthest:.0f} labels, not of {n:g}")
        score = float(_value(self.parameters, np.array([n]))[0, 0])
        return score, _interval(_value(self.draws, np.array([n]))[:, 0], score, level)


@dataclass(frozen=True)
class Crossover:
    """Where a second candidate overtakes a first one and stays ahead.

    Attributes:
        n_labels: The expected number of labels.
        interval: Both ends, in labels.
    """

    n_labels: float
    interval: Interval


def _value(parameters: Array, ns: Array) -> Array:
    """Return scores, shape (draws, ns)."""
    parameters = np.atleast_2d(parameters)
    a, b, c = parameters[:, :1], parameters[:, 1:2], parameters[:, 2:]
    return np.asarray(a - b * ns[None, :] ** -c)


def _interval(draws: Array, score: float, level: float) -> Interval:
    low, high = np.quantile(draws, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(min(float(low), score), max(float(high), score), level)


def _fit(ns: Array, scores: Array, weights: Array, ceiling: float) -> tuple[Array, Array]:
    """Return the best (a, b, c), shape (draws, 3), and the weighted squared errors, for scores (draws, points).

    Higher is better here. Each c gives a weighted regression on x = n^-c; bounds are handled by the regression that
    they leave: b < 0 by the constant, a above the ceiling by the slope alone.
    """
    draws = len(scores)
    best = np.empty((draws, 3))
    error = np.full(draws, np.inf)
    total = weights.sum()
    mean = scores @ weights / total
    for c in EXPONENTS:
        x = ns**-c
        centre = float(x @ weights / total)
        spread = float(((x - centre) ** 2) @ weights)
        slope = ((scores - mean[:, None]) * (x - centre)) @ weights / spread
        slope = np.minimum(slope, 0.0)
        a = mean - slope * centre
        high = a > ceiling
        if high.any():
            slope[high] = np.minimum(0.0, ((scores[high] - ceiling) * x) @ weights / float(x**2 @ weights))
            a[high] = ceiling
        squares = ((scores - a[:, None] - slope[:, None] * x) ** 2) @ weights
        better = squares < error
        error[better] = squares[better]
        best[better] = np.stack([a, -slope, np.full(draws, c)], axis=1)[better]
    return best, error


def fit_curve(
    ns: Sequence[float],
    scores: Sequence[float],
    standard_errors: Sequence[float],
    seed: int,
    *,
    covariance: Array | None = None,
    higher_is_better: bool = True,
    bound: float = 1.0,
) -> Curve | None:
    """Return the learning curve through these points, or None for fewer than three different n.

    Args:
        ns: Numbers of labels, 1 or more each.
        scores: A score for each.
        standard_errors: Of each score, above 0.
        seed: Of the bootstrap.
        covariance: Shape (points, points), of the scores, where it is known (`comparison.joint_covariance`); it takes
            the place of the standard errors in the bootstrap, not in the weights.
        higher_is_better: False for errors and losses.
        bound: The best value that the metric can take (1 for shares, 0 for errors); infinite where there is none.
    """
    x, y = np.asarray(ns, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    errors = np.asarray(standard_errors, dtype=np.float64)
    if not len(x) == len(y) == len(errors):
        raise ValueError("ns, scores and standard_errors differ in length")
    usable = np.isfinite(y) & np.isfinite(errors) & (x >= 1)
    if len(np.unique(x[usable])) < FEWEST_POINTS:
        return None
    joint = None if covariance is None else np.asarray(covariance, dtype=np.float64)[np.ix_(usable, usable)]
    x, y, errors = x[usable], y[usable], errors[usable]
    sign = 1.0 if higher_is_better else -1.0
    ceiling = sign * bound if math.isfinite(bound) else math.inf
    # A point without error would take all the weight; no point is surer than a tenth of the typical one.
    typical = float(np.median(errors[errors > 0])) if bool((errors > 0).any()) else 1e-3
    errors = np.maximum(errors, typical / 10.0)
    weights = errors**-2
    parameters, squares = _fit(x, sign * y[None, :], weights, ceiling)
    spare = len(x) - 3
    widen = math.sqrt(max(1.0, float(squares[0]) / spare)) if spare > 0 else 1.0
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(DRAWS, len(x)))
    if joint is None:
        noise = noise * errors * widen
    else:
        values, vectors = np.linalg.eigh((joint + joint.T) / 2.0)
        noise = noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        # Misfit is each point's own; it does not move them together.
        noise = noise + rng.normal(size=noise.shape) * errors * math.sqrt(widen**2 - 1.0)
    draws, _ = _fit(x, sign * (y[None, :] + noise), weights, ceiling)
    turn = np.array([sign, sign, 1.0])
    return Curve(x, parameters[0] * turn, draws * turn, higher_is_better)


def constant_curve(
    ns: Sequence[float], score: float, standard_error: float, seed: int, *, higher_is_better: bool = True
) -> Curve:
    """Return the curve of a candidate that labels do not change, such as zero-shot.

    Args:
        ns: The numbers of labels that its competitors were measured at; they bound what is said.
        score: Its score.
        standard_error: Of the score.
        seed: Of the bootstrap.
        higher_is_better: False for errors and losses.
    """
    drawn = score + np.random.default_rng(seed).normal(size=DRAWS) * standard_error
    flat = np.stack([drawn, np.zeros(DRAWS), np.ones(DRAWS)], axis=1)
    return Curve(np.asarray(ns, dtype=np.float64), np.array([score, 0.0, 1.0]), flat, higher_is_better)


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
        curve_b: Overtakes.
        upper: The largest n of interest.
        level: Of the interval.
    """
    first = max(float(curve_a.ns.min()), float(curve_b.ns.min()), 1.0)
    last = min(float(upper), curve_a.farthest, curve_b.farthest)
    if last <= first:
        return None
    sign = 1.0 if curve_a.higher_is_better else -1.0
    grid = np.geomspace(first, last, 400)
    expected = sign * (_value(curve_b.parameters, grid) - _value(curve_a.parameters, grid))
    n = float(_overtakes(expected > 0.0, grid)[0])
    if not first < n < math.inf:
        return None
    paired = min(len(curve_a.draws), len(curve_b.draws))
    drawn = sign * (_value(curve_b.draws[:paired], grid) - _value(curve_a.draws[:paired], grid))
    places = np.sort(_overtakes(drawn > 0.0, grid))
    tail = (1.0 - level) / 2.0
    low, high = float(places[math.floor(tail * (paired - 1))]), float(places[math.ceil((1.0 - tail) * (paired - 1))])
    if high == math.inf or low <= first:
        return None
    return Crossover(n, Interval(min(low, n), max(high, n), level))


def gain(curve: Curve, n_from: float, n_to: float, level: float = 0.95) -> tuple[float, Interval] | None:
    """Return by how much the score is expected to change from n_from to n_to labels, with its interval.

    In the metric's own direction: for errors a gain is negative. None beyond four times the largest n measured.
    """
    if n_to > curve.farthest or n_from < 1:
        return None
    places = np.array([n_from, n_to], dtype=np.float64)
    expected, drawn = _value(curve.parameters, places)[0], _value(curve.draws, places)
    change = float(expected[1] - expected[0])
    return change, _interval(drawn[:, 1] - drawn[:, 0], change, level)
