"""How far rows are from the rows nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Progress, silent

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_BLOCK_PAIRS = 1 << 23
_MOST_PAIRS = 1 << 30


@dataclass(frozen=True)
class Neighbours:
    """The rows nearest to each of n rows, the row itself left out.

    Attributes:
        distances: Shape (n, k), float32: Euclidean, ascending.
        positions: Shape (n, k), int64: which rows these are.
        compared: With how many rows each was compared.
    """

    distances: Array
    positions: Array
    compared: int


def nearest(vectors: Array, k: int, *, most: int = 4_000, seed: int = 0, progress: Progress = silent) -> Neighbours:
    """Return the k nearest rows of each row.

    Args:
        vectors: Shape (n, d), float32.
        k: At least 1; fewer come back where there are fewer other rows.
        most: The most rows that each is compared with, drawn at random where there are more; fewer for very many rows,
            so that the work stays below a billion pairs.
        seed: The only source of chance.
        progress: Where to report.
    """
    n = len(vectors)
    wanted = min(n, most, max(1000, _MOST_PAIRS // max(1, n)))
    compared = np.sort(np.random.default_rng(seed).permutation(n)[:wanted])
    found = min(k, wanted - 1)
    distances = np.zeros((n, max(found, 0)), dtype=np.float32)
    positions = np.zeros((n, max(found, 0)), dtype=np.int64)
    if found < 1:
        return Neighbours(distances, positions, wanted)
    # Differences of large numbers lose digits, so distances are taken from the middle of the data.
    middle = vectors[compared].mean(axis=0)
    others = vectors[compared] - middle
    squares = np.square(others, dtype=np.float64).sum(axis=1)
    step = max(1, _BLOCK_PAIRS // wanted)
    for start in range(0, n, step):
        block = vectors[start : start + step] - middle
        squared = (block @ others.T) * np.float32(-2) + squares.astype(np.float32)
        # Where a row stands among those compared, it is not its own neighbour.
        own = np.searchsorted(compared, np.arange(start, start + len(block)))
        itself = np.flatnonzero(compared[own.clip(max=wanted - 1)] == np.arange(start, start + len(block)))
        squared[itself, own[itself]] = np.inf
        at = np.argpartition(squared, found - 1, axis=1)[:, :found]
        # Of the few that are left the distance is computed as a difference, which is exact for copies.
        apart = np.stack([np.square(block - others[at[:, j]]).sum(axis=1) for j in range(found)], axis=1)
        order = np.argsort(apart, axis=1, kind="stable")
        distances[start : start + len(block)] = np.sqrt(np.take_along_axis(apart, order, axis=1))
        positions[start : start + len(block)] = compared[np.take_along_axis(at, order, axis=1)]
        progress(min(n, start + step), n, "measuring distances")
    return Neighbours(distances, positions, wanted)
