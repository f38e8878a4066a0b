"""Distances to the nearest rows that were kept: what lies far from all others, or in a thinner place, is strange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import DataError
from nshot.training.outliers.detector import Detector

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_MORE = 8
"""So many candidates more are looked at than are wanted: whoever finds them works with rounded distances."""
_ROWS_AT_ONCE = 4_096
_TINY = 1e-10


@dataclass(frozen=True)
class Near:
    """For each of n rows the nearest kept ones, the nearest first: shape (n, k)."""

    distances: Array
    positions: Array


class Search:
    """Finds the nearest of some vectors, shape (kept, width).

    scikit-learn finds the candidates; their distances are then computed one by one, so that those of a row do not
    depend on the rows beside it, as they do in the last bits of a matrix product.
    """

    def __init__(self, kept: Array) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._kept = kept.astype(np.float64)
        self._index: Any = NearestNeighbors().fit(self._kept)

    def nearest(self, vectors: Array, k: int) -> Near:
        """Return the k nearest of each vector, of fewer kept ones all; Euclidean distances, float64."""
        k = min(k, len(self._kept))
        wide = vectors.astype(np.float64)
        found = self._index.kneighbors(wide, min(k + _MORE, len(self._kept)), return_distance=False)
        return self._exact(wide, found, k)

    def nearest_others(self, k: int) -> Near:
        """Return the k nearest others of each kept vector."""
        others = len(self._kept) - 1
        found = self._index.kneighbors(None, min(k + _MORE, others), return_distance=False)
        return self._exact(self._kept, found, min(k, others))

    def _exact(self, vectors: Array, candidates: Array, k: int) -> Near:
        distances, positions = np.empty((len(vectors), k)), np.empty((len(vectors), k), dtype=np.int64)
        for at in range(0, len(vectors), _ROWS_AT_ONCE):
            part = slice(at, at + _ROWS_AT_ONCE)
            own = np.sort(candidates[part], axis=1)  # of equally near ones, that which comes first
            squares = np.stack([np.square(vectors[part] - self._kept[column]).sum(axis=1) for column in own.T], axis=1)
            order = np.argsort(squares, axis=1, kind="stable")[:, :k]
            distances[part] = np.sqrt(np.take_along_axis(squares, order, axis=1))
            positions[part] = np.take_along_axis(own, order, axis=1)
        return Near(distances, positions)


@dataclass(frozen=True)
class NeighbourDistance(Detector):
    """The distance to the k-th nearest row.

    Source: Ramaswamy, Rastogi and Shim 2000, Efficient Algorithms for Mining Outliers from Large Data Sets.

    Attributes:
        kept: Shape (kept, width), float32.
        k: int64, shape ().
    """

    kept: Array
    k: Array

    def scores(self, vectors: Array) -> Array:
        """Return the distances; see `Detector.scores`."""
        return Search(self.kept).nearest(vectors, int(self.k)).distances[:, -1]


@dataclass(frozen=True)
class LocalFactor(Detector):
    """How many times thinner the place of a row is than the places of its neighbours.

    With the reach of x from o, ``r(x, o) = max(|x - o|, distance of o to its k-th nearest other)``, the density at x is
    1 / mean of r(x, o) over the k nearest o, and the factor is the mean density of those o over that of x.

    Source: Breunig, Kriegel, Ng and Sander 2000, LOF: Identifying Density-Based Local Outliers, definitions 5 to 7.

    Attributes:
        kept: Shape (kept, width), float32.
        reach: Distance of each kept row to its k-th nearest other, float64, shape (kept,).
        density: At each kept row, float64, shape (kept,).
        k: int64, shape ().
    """

    kept: Array
    reach: Array
    density: Array
    k: Array

    @classmethod
    def of(cls, vectors: Array, k: int, method: str) -> LocalFactor:
        """Return what is learnt from vectors of shape (n, width).

        Raises:
            DataError: There is one only, which has no neighbour.
        """
        if len(vectors) < 2:
            raise DataError(f"{method} compares unlabelled rows with their neighbours; there is only one. Add rows.")
        near = Search(vectors).nearest_others(k)
        reach = near.distances[:, -1]
        return cls(vectors, reach, _density(near, reach), np.array(k))

    def scores(self, vectors: Array) -> Array:
        """Return the factors; see `Detector.scores`."""
        near = Search(self.kept).nearest(vectors, min(int(self.k), len(self.kept) - 1))
        return np.asarray(self.density[near.positions].mean(axis=1) / _density(near, self.reach))


def _density(near: Near, reach: Array) -> Array:
    return np.asarray(1.0 / (np.maximum(near.distances, reach[near.positions]).mean(axis=1) + _TINY))
