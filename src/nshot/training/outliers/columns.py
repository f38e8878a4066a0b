"""What is rare in single columns: the scores of columns are added up, none is looked at together with another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.training.outliers.detector import Detector
from nshot.training.outliers.scaling import Scaling

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_FLOOR = 0.1
_TOLERANCE = 0.5


@dataclass(frozen=True)
class TailProbabilities(Detector):
    """How far out in the tails of its columns a row lies.

    With F the share of values up to x, and G that of values from x on, ``sum over columns of max(-log F, -log G)``.
    Both shares count the row itself as one more of the rows that were learnt from, and no other: where they are counted
    within a batch instead, a score changes with whatever else is scored.

    Source: Li et al. 2022, ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions.

    Attributes:
        ordered: The values of each column, ascending, float32, shape (width, rows).
    """

    ordered: Array

    @classmethod
    def of(cls, vectors: Array) -> TailProbabilities:
        """Return what is learnt from vectors of shape (n, width)."""
        return cls(np.sort(vectors.T.astype(np.float32), axis=1))

    def scores(self, vectors: Array) -> Array:
        """Return the sums of the larger of both tails' surprise, in nats; see `Detector.scores`."""
        total, n = np.zeros(len(vectors)), self.ordered.shape[1]
        surprise = -np.log((np.arange(n + 1) + 1.0) / (n + 1))
        for values, column in zip(self.ordered, np.ascontiguousarray(vectors.T, dtype=np.float32), strict=True):
            up_to = np.searchsorted(values, column, "right")
            from_there_on = n - np.searchsorted(values, column, "left")
            total += surprise[np.minimum(up_to, from_there_on)]
        return total


@dataclass(frozen=True)
class Histograms(Detector):
    """How rare the bins of a row's values are: ``-sum over columns of log2(density + 0.1)``.

    A density has a unit: it is that of the column brought to spread 1. A value beyond the outermost bin, by up to half
    a bin, counts as in it; one that lies further is as rare as the rarest bin.

    Source: Goldstein and Dengel 2012, Histogram-based Outlier Score (HBOS).

    Attributes:
        edges: Of the bins of each column, float64, shape (width, bins + 1).
        rarity: The score of each bin, float64, shape (width, bins).
    """

    edges: Array
    rarity: Array

    @classmethod
    def of(cls, vectors: Array, bins: int) -> Histograms:
        """Return what is learnt from vectors of shape (n, width)."""
        found = [np.histogram(column.astype(np.float64), bins, density=True) for column in vectors.T]
        densities, edges = np.stack([one[0] for one in found]), np.stack([one[1] for one in found])
        return cls(edges, -np.log2(densities * Scaling.of(vectors).spread[:, None] + _FLOOR))

    def scores(self, vectors: Array) -> Array:
        """Return the sums of the bins' rarity, in bits; see `Detector.scores`."""
        total = np.zeros(len(vectors))
        columns = np.ascontiguousarray(vectors.T, dtype=np.float64)
        for column, edges, rarity in zip(columns, self.edges, self.rarity, strict=True):
            beyond = _TOLERANCE * (edges[1] - edges[0])
            bins = np.searchsorted(edges, column, "left") - 1
            own = rarity[np.clip(bins, 0, len(rarity) - 1)]
            is_beyond = (column < edges[0] - beyond) | (column > edges[-1] + beyond)
            total += np.where(is_beyond, rarity.max(), own)
        return total
