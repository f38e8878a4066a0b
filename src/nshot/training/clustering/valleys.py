"""Whether there is a valley between groups: rows are rarer there than on both its sides.

Any algorithm cuts any data into k groups, and cuts a single heap in a way that other rows repeat. So groups count only
where rows are rarer between them. Where there are none, the density has one peak and falls from it in every direction
(normal, uniform, any log-concave distribution); inside a tube around a line, and projected onto that line, it still has
one peak (Prekopa 1973, On logarithmic concave measures and functions). The place of the tube, and of three windows
of one width on its line - the valley and the peaks on its two sides - is chosen on one half of the rows. On the other
half the rows in the windows are counted: of one peak, the valley's window expects at least as many as one of the two
others, so that the larger of two sign tests is a p-value with no further assumption (Berger 1982, Multiparameter
hypothesis testing and acceptance sampling).

Two groups are apart if no path over other groups leads from one to the other without a valley.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_INSIDE = 0.9
"""The share of two groups' own rows that lies in the tube between them."""
_WIDTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Widths of the windows, as shares of the distance between two centres."""
_PLACES = np.linspace(-0.4, 1.4, 37)
"""Where windows are tried: 0 is the first centre, 1 the second."""
_INNER = np.arange(12, 25)
"""Those at which a valley may lie: from 0.2 to 0.8."""


def pairs(chosen_on: Array, labels: Array, counted_on: Array) -> Array:
    """Return for every two groups the p-value of there being no valley between them, symmetric, shape (k, k).

    Args:
        chosen_on: Rows, shape (n, c).
        labels: The group of each, shape (n,), -1 of none; groups 0 to k - 1, of which each has a row.
        counted_on: Other rows, shape (m, c).
    """
    from sklearn.covariance import ledoit_wolf

    n_groups = int(labels.max()) + 1
    rows, groups = chosen_on[labels >= 0].astype(np.float64), labels[labels >= 0]
    centres = np.array([rows[groups == g].mean(axis=0) for g in range(n_groups)])
    within = rows - centres[groups]
    values = np.ones((n_groups, n_groups))
    if not within.any():
        return values
    # Where the spread within groups is a sphere, the line between two centres is Fisher's discriminant. The covariance
    # is shrunk: one that fits these rows alone would leave the others outside of every tube.
    covariance = ledoit_wolf(within, assume_centered=True)[0]
    covariance += 1e-9 * np.trace(covariance) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    rows, centres = rows @ whiten, centres @ whiten
    others, every = counted_on.astype(np.float64) @ whiten, chosen_on.astype(np.float64) @ whiten
    for i in range(n_groups):
        for j in range(i):
            direction = centres[j] - centres[i]
            length = float(direction @ direction)
            if length == 0:
                continue
            own = _along(rows[(groups == i) | (groups == j)], centres[i], direction, length)[1]
            radius = float(np.quantile(own, _INSIDE))
            seen, tested = (_in_tube(part, centres[i], direction, length, radius) for part in (every, others))
            values[i, j] = values[j, i] = _of_no_valley(np.sort(seen), np.sort(tested))
    return values


def one_peak(chosen_on: Array, labels: Array, counted_on: Array) -> float:
    """Return the p-value of the groups not falling into two parts that are apart.

    Groups are connected where a valley between them is in doubt; the p-value is the level at which not all of them
    are connected any more: the smallest edge of the maximum spanning tree of `pairs` (Prim's algorithm).

    Args:
        chosen_on: Rows, shape (n, c).
        labels: The group of each, shape (n,), -1 of none.
        counted_on: Other rows, shape (m, c).
    """
    present, numbered = np.unique(labels[labels >= 0], return_inverse=True)
    if len(present) < 2:
        return 1.0
    compact = np.full(len(labels), -1)
    compact[labels >= 0] = numbered
    values = pairs(chosen_on, compact, counted_on)
    reached, best, smallest = np.zeros(len(present), dtype=bool), values[0], 1.0
    reached[0] = True
    while not reached.all():
        nearest = int(np.where(reached, -1.0, best).argmax())
        smallest = min(smallest, float(best[nearest]))
        reached[nearest] = True
        best = np.maximum(best, values[nearest])
    return smallest


def _along(rows: Array, start: Array, direction: Array, length: float) -> tuple[Array, Array]:
    """Return the place of each row along the line, 0 at its start and 1 at its end, and its distance from the line."""
    moved = rows - start
    place = moved @ direction / length
    return place, np.sqrt(np.maximum(0.0, np.square(moved).sum(axis=1) - np.square(place) * length))


def _in_tube(rows: Array, start: Array, direction: Array, length: float, radius: float) -> Array:
    place, distance = _along(rows, start, direction, length)
    return place[distance <= radius]


def _of_no_valley(seen: Array, tested: Array) -> float:
    """Return the p-value of no valley along a line: windows are chosen on `seen` and counted on `tested`, ascending."""
    _, places, width = min(_three_windows(seen, width) for width in _WIDTHS)
    return _sign_tests(*_counts(tested, np.array(places), width))


def _three_windows(seen: Array, width: float) -> tuple[float, tuple[float, float, float], float]:
    """Return the emptiest window between the centres with the fullest on either side: p-value, places and width."""
    counts, steps = _counts(seen, _PLACES, width), round(width / (_PLACES[1] - _PLACES[0]))
    emptiest = _INNER[counts[_INNER] == counts[_INNER].min()]
    valley = int(emptiest[len(emptiest) // 2])
    left = int(counts[: valley - steps + 1].argmax())
    right = valley + steps + int(counts[valley + steps :].argmax())
    value = _sign_tests(counts[left], counts[valley], counts[right])
    return value, (float(_PLACES[left]), float(_PLACES[valley]), float(_PLACES[right])), width


def _counts(ordered: Array, places: Array, width: float) -> Array:
    return np.searchsorted(ordered, places + width / 2) - np.searchsorted(ordered, places - width / 2)


def _sign_tests(first: float, valley: float, last: float) -> float:
    from scipy.special import bdtr

    return float(max(bdtr(valley, valley + first, 0.5), bdtr(valley, valley + last, 0.5)))
