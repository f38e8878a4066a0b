"""Rows that are unlike the others: far from the rows nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.explore.neighbours import Neighbours

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

NEIGHBOURS = 10
"""How many of the nearest rows count."""
_FENCE = 2.2


@dataclass(frozen=True)
class Strangeness:
    """How unlike the others each of n rows is.

    Attributes:
        scores: Shape (n,), float64: the share of the rows that are less strange, 0 to 1.
        times: Shape (n,), float64: mean distance to the nearest rows, as a multiple of what is usual (the median); 1
            where all rows are equally far from each other.
        fence: The multiple above which a row counts as an outlier: see `strangeness`.
        compared: With how many rows each was compared.
    """

    scores: Array
    times: Array
    fence: float
    compared: int

    @property
    def n_outliers(self) -> int:
        """Return how many rows lie beyond the fence."""
        return int((self.times > self.fence).sum())


def strangeness(near: Neighbours) -> Strangeness:
    """Return how unlike the others each row is: the mean distance to its nearest rows, ranked.

    A row counts as an outlier beyond 2.2 interquartile ranges above the upper quartile of the distances' logarithms,
    because distances are skewed.

    Source: Angiulli and Pizzuti 2002, Fast Outlier Detection in High Dimensional Spaces (the weight of a point);
    Hoaglin and Iglewicz 1987, Fine-Tuning Some Resistant Rules for Outlier Labeling.

    Args:
        near: The nearest rows of each; none where there is one row only.
    """
    from scipy.stats import rankdata

    n, k = near.distances.shape
    mean = near.distances.mean(axis=1, dtype=np.float64) if k else np.zeros(n)
    if not mean.any():
        return Strangeness(np.zeros(n), np.ones(n), 1.0, near.compared)
    # Half of the rows may be copies of others: what is usual is then what is usual of the rest.
    times = mean / (np.median(mean) or np.median(mean[mean > 0]))
    lower, upper = np.quantile(np.log(times[times > 0]), (0.25, 0.75))
    return Strangeness(
        (rankdata(mean, method="min") - 1) / n, times, float(np.exp(upper + _FENCE * (upper - lower))), near.compared
    )


def strangest(found: Strangeness, distinct: Array, most: int) -> list[int]:
    """Return the rows that are strangest, outliers or not, of near-duplicates one; none where all are equally strange.

    Args:
        found: Of n rows.
        distinct: Shape (n,), int64: equal for near-duplicates.
        most: How many rows at most.
    """
    chosen: list[int] = []
    seen: set[int] = set()
    for row in np.lexsort((np.arange(len(found.times)), -found.times)).tolist():
        if len(chosen) == most or found.times[row] <= 1.0:
            break
        if int(distinct[row]) not in seen:
            seen.add(int(distinct[row]))
            chosen.append(row)
    return chosen
