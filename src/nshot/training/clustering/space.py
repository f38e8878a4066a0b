"""The space in which groups are looked for: few dimensions, and no column whose tails decide everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

MOST_DIMENSIONS = 20
"""More make groups harder to find, not easier: distances between rows of one group and of two become alike."""

_ROWS_PER_DIMENSION = 20
_HEAVY = 5.0
_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Space:
    """Principal components of columns whose heavy tails were drawn in.

    A column whose middle 99 % are more than 5 times as wide as its middle half (3.8 times of a normal distribution,
    7.6 times of Student's t with 3 degrees of freedom) is replaced by ``m + s asinh((x - m) / s)``, m being its median
    and s its interquartile range over 1.35: as it was in the middle, a logarithm in the tails. Otherwise rows that are
    far out in one column each would look like groups.

    Attributes:
        heavy: Shape (h,), int64: which columns are drawn in.
        middles: Shape (h,), float64: m of each.
        scales: Shape (h,), float64: s of each.
        mean: Shape (d,), float64: what becomes the origin.
        components: Shape (c, d), float64: the directions of largest variance, each of length one.
    """

    heavy: Array
    middles: Array
    scales: Array
    mean: Array
    components: Array

    @classmethod
    def learnt(cls, vectors: Array, seed: int = 0) -> Space:
        """Return the space of these rows, shape (n, d) with n at least 2.

        At most 20 dimensions, and at most one for 20 rows. Rows that are all equal have a space of no dimension.
        """
        from sklearn.decomposition import PCA

        low, first, middle, third, high = np.quantile(vectors, [0.005, 0.25, 0.5, 0.75, 0.995], axis=0)
        heavy = np.flatnonzero((third > first) & (high - low > _HEAVY * (third - first)))
        scales = (third - first)[heavy] / 1.349
        tamed = _tamed(vectors, heavy, middle[heavy], scales)
        wanted = min(MOST_DIMENSIONS, vectors.shape[1], len(vectors) - 1, max(2, len(vectors) // _ROWS_PER_DIMENSION))
        if not np.ptp(tamed, axis=0).any():
            nothing = np.zeros((0, vectors.shape[1]))
            return cls(heavy, middle[heavy], scales, tamed.mean(axis=0), nothing)
        found = PCA(wanted, random_state=seed).fit(tamed)
        kept = found.explained_variance_ > 1e-10 * found.explained_variance_[0]
        return cls(heavy, middle[heavy], scales, found.mean_, np.ascontiguousarray(found.components_[kept]))

    def __len__(self) -> int:
        return len(self.components)

    def of(self, vectors: Array) -> Array:
        """Return rows of shape (n, d) in this space, float32, shape (n, c); each as if it were alone."""
        from nshot.training.rowwise import products

        offsets = -(self.components @ self.mean)
        placed = np.empty((len(vectors), len(self)), dtype=np.float32)
        step = max(1, _BLOCK_ELEMENTS // max(1, vectors.shape[1]))
        for start in range(0, len(vectors), step):
            block = _tamed(vectors[start : start + step], self.heavy, self.middles, self.scales)
            placed[start : start + step] = products(block, self.components, offsets)
        return placed

    def tensors(self) -> dict[str, Array]:
        """Return the space as named arrays."""
        return {
            "heavy": self.heavy,
            "middles": self.middles,
            "scales": self.scales,
            "mean": self.mean,
            "components": self.components,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Space:
        """Return the space that `tensors` gave."""
        return cls(*(tensors[name] for name in ("heavy", "middles", "scales", "mean", "components")))


def _tamed(vectors: Array, heavy: Array, middles: Array, scales: Array) -> Array:
    tamed = np.array(vectors, dtype=np.float64)
    if len(heavy):
        tamed[:, heavy] = middles + scales * np.arcsinh((tamed[:, heavy] - middles) / scales)
    return tamed
