"""Columns brought to mean 0 and spread 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_FURTHEST = 1e6
"""Spreads from the centre at which a value is cut, so that no square of it overflows."""


@dataclass(frozen=True)
class Scaling:
    """Centre and spread of each column, shape (width,), float64; the spread of a constant column is 1."""

    centre: Array
    spread: Array

    @classmethod
    def of(cls, vectors: Array) -> Scaling:
        """Return the means and standard deviations of the columns of vectors, shape (n, width)."""
        wide = vectors.astype(np.float64)
        centre, spread = wide.mean(axis=0), wide.std(axis=0)
        # Of equal numbers the mean is a little off, and their spread with it.
        flat = spread <= 1e-7 * np.maximum(np.abs(centre), np.finfo(np.float32).tiny)
        return cls(centre, np.where(flat, 1.0, spread))

    def applied(self, vectors: Array) -> Array:
        """Return the scaled vectors, float64, shape (n, width)."""
        return np.clip((vectors.astype(np.float64) - self.centre) / self.spread, -_FURTHEST, _FURTHEST)
