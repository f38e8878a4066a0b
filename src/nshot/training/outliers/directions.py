"""What lies where hardly any row lies among the directions in which rows differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.training.outliers.detector import Detector
from nshot.training.outliers.scaling import Scaling
from nshot.training.rowwise import products

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_USUAL = 0.75
"""The share of rows that the covariance is estimated from: those that are least strange."""
_ROUNDS = 5
_SMALLEST = 1e-4
"""The smallest variance of a direction beside the mean one, and the smallest mean one, of columns of spread 1."""


@dataclass(frozen=True)
class MahalanobisDistance(Detector):
    """The Mahalanobis distance from the middle of the usual rows.

    Columns are brought to spread 1. Mean m and covariance S come from the three quarters of the rows that lie
    nearest, found in a few rounds that begin with all (the concentration steps of Rousseeuw and Van Driessen 1999); the
    covariance is drawn towards a multiple of the identity as far as Ledoit and Wolf 2004 have it, so that there may be
    more columns than rows.

    Attributes:
        centre: Of the columns, shape (width,), float64.
        spread: Shape (width,), float64.
        middle: m, shape (width,), float64.
        directions: In which rows differ, shape (rank, width), float32.
        variances: Along each, shape (rank,), float64.
        rest: Variance along any other direction, float64, shape ().
    """

    centre: Array
    spread: Array
    middle: Array
    directions: Array
    variances: Array
    rest: Array

    @classmethod
    def of(cls, vectors: Array) -> MahalanobisDistance:
        """Return what is learnt from vectors of shape (n, width)."""
        scaling = Scaling.of(vectors)
        scaled = scaling.applied(vectors)
        usual = np.arange(len(scaled))
        for _ in range(_ROUNDS):
            found = cls(scaling.centre, scaling.spread, *_shape(scaled[usual]))
            nearest = np.argsort(found._squares(scaled), kind="stable")[: max(2, round(_USUAL * len(scaled)))]
            if np.array_equal(np.sort(nearest), usual):
                break
            usual = np.sort(nearest)
        return found

    def scores(self, vectors: Array) -> Array:
        """Return the distances; see `Detector.scores`."""
        return np.sqrt(self._squares(Scaling(self.centre, self.spread).applied(vectors)))

    def _squares(self, scaled: Array) -> Array:
        centred = scaled - self.middle
        along = products(centred, self.directions).astype(np.float64)
        squares = (np.square(along) / self.variances).sum(axis=1)
        if len(self.variances) < centred.shape[1]:
            squares += np.square(centred - products(along, self.directions.T)).sum(axis=1) / float(self.rest)
        return np.asarray(squares)


@dataclass(frozen=True)
class SubspaceResidual(Detector):
    """How far a row lies from the plane in which most of the rows' differences lie.

    Columns are brought to spread 1; the plane is that of the first principal components that together hold a share
    of the variance. With a share of 0 it is the middle alone.

    Attributes:
        centre: Of the columns, shape (width,), float64.
        spread: Shape (width,), float64.
        directions: That span the plane, shape (rank, width), float32.
    """

    centre: Array
    spread: Array
    directions: Array

    @classmethod
    def of(cls, vectors: Array, share: float) -> SubspaceResidual:
        """Return what is learnt from vectors of shape (n, width)."""
        scaling = Scaling.of(vectors)
        directions, along = principal(scaling.applied(vectors))
        held = np.cumsum(along) / max(float(along.sum()), np.finfo(np.float64).tiny)
        rank = int(np.searchsorted(held, share)) + 1 if share > 0 else 0
        return cls(scaling.centre, scaling.spread, directions[:rank])

    def scores(self, vectors: Array) -> Array:
        """Return the distances from the plane; see `Detector.scores`."""
        scaled = Scaling(self.centre, self.spread).applied(vectors)
        along = products(scaled, self.directions)
        return np.asarray(np.sqrt(np.square(scaled - products(along, self.directions.T)).sum(axis=1)))


def principal(rows: Array) -> tuple[Array, Array]:
    """Return the principal directions of centred rows, shape (n, width), and the variance along each, descending.

    Returns:
        Shape (rank, width), float32, and shape (rank,), float64.
    """
    n, width = rows.shape
    # The smaller of the two squares has the same eigenvalues and is the cheaper one.
    if width <= n:
        variances, columns = np.linalg.eigh(rows.T @ rows / n)
        return np.ascontiguousarray(columns.T[::-1]).astype(np.float32), np.maximum(variances[::-1], 0.0)
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    return directions.astype(np.float32), np.square(lengths) / n


def _shape(rows: Array) -> tuple[Array, Array, Array, Array]:
    """Return middle, directions, their variances and the variance of the rest of rows of shape (n, width)."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    middle = rows.mean(axis=0)
    directions, along = principal(rows - middle)
    mean = max(float(along.sum()) / rows.shape[1], _SMALLEST)
    drawn = float(ledoit_wolf_shrinkage(rows - middle, assume_centered=True))
    variances = np.maximum((1 - drawn) * along + drawn * mean, _SMALLEST * mean)
    return middle, directions, variances, np.array(max(drawn, _SMALLEST) * mean)
