"""Principal components of tiles: the directions in which they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.codecs.shapes import Tiling
    from nshot.training.rowwise import Array

_MOST_TILES = 20_000
_MOST_NUMBERS = 1 << 25
"""Numbers in the sample: 256 MiB."""
_MOST = 1024
_LEAST_SHARE = 1e-10
"""Components with a smaller share of the variance are rounding."""


@dataclass(frozen=True, eq=False)
class Components:
    """An orthogonal transform of tiles; float32, computed with in float64.

    Attributes:
        mean: Shape (size,).
        scale: What each number of a tile is divided by first, shape (size,): 1 of pixels.
        axes: Orthonormal rows, the direction of most variance first, shape (k, size).
        variances: Along the axes, shape (k,).
    """

    mean: Array
    scale: Array
    axes: Array
    variances: Array

    def analyse(self, tiles: Array) -> Array:
        """Return the coefficients, float64, shape (tiles, k), of tiles of shape (tiles, size)."""
        return np.asarray((tiles - self.mean) / self.scale @ self._wide.T)

    def synthesise(self, coefficients: Array) -> Array:
        """Return the tiles, float64, shape (tiles, size), of coefficients of shape (tiles, k)."""
        return np.asarray(coefficients @ self._wide * self.scale + self.mean)

    def first(self, number: int) -> Components:
        """Return the same with no more axes than this."""
        return Components(self.mean, self.scale, self.axes[:number], self.variances[:number])

    @cached_property
    def _wide(self) -> Array:
        return self.axes.astype(np.float64)


def sampled_tiles(arrays: Sequence[Array], tiling: Tiling, seed: int) -> Array:
    """Return tiles of a pool, float64, shape (tiles, size): all, or as many as a fit needs, drawn with `seed`."""
    counts = np.array([tiling.count(array.shape) for array in arrays])
    most = max(256, min(_MOST_TILES, _MOST_NUMBERS // tiling.size))
    total = int(counts.sum())
    if total <= most:
        return np.concatenate([tiling.cut(array) for array in arrays])
    chosen = np.sort(np.random.default_rng(seed).choice(total, size=most, replace=False))
    ends = np.cumsum(counts)
    owner = np.searchsorted(ends, chosen, side="right")
    parts = []
    for at in np.unique(owner):
        within = chosen[owner == at] - (ends[at] - counts[at])
        parts.append(tiling.cut(arrays[at])[within])
    return np.concatenate(parts)


def principal_components(tiles: Array, *, is_image: bool) -> Components:
    """Return the principal components of tiles of shape (n, size), n > 0.

    Numbers of vectors are divided by their standard deviation, so that no column counts more for its unit.

    Args:
        tiles: What to learn from.
        is_image: Whether the numbers are pixels, all of one unit.
    """
    mean = tiles.mean(axis=0)
    centred = tiles - mean
    scale = np.ones(tiles.shape[1])
    if not is_image:
        spread = np.sqrt(np.square(centred).mean(axis=0))
        scale = np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1.0), spread, 1.0)
        centred = centred / scale
    n, size = tiles.shape
    if size <= n:
        variances, vectors = np.linalg.eigh(centred.T @ centred / n)
        axes = vectors.T
    else:
        # Fewer tiles than numbers in one: their products with each other hold the same components.
        variances, vectors = np.linalg.eigh(centred @ centred.T / n)
        lengths = np.sqrt(np.maximum(variances * n, np.finfo(np.float64).tiny))
        axes = (centred.T @ vectors / lengths).T
    order = np.argsort(-variances, kind="stable")[:_MOST]
    order = order[variances[order] > _LEAST_SHARE * max(float(variances.sum()), np.finfo(np.float64).tiny)]
    axes = axes[order]
    # An axis may point either way: the same one on every machine.
    if len(axes):
        largest = np.abs(axes).argmax(axis=1)
        axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
    narrow = (np.ascontiguousarray(part, dtype=np.float32) for part in (mean, scale, axes, variances[order]))
    return Components(*narrow)
