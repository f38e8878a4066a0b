"""Vectors of tokens that were computed once, kept in memory while there is room.

A study fits many times on the same texts. The vectors of their tokens are far too large for the cache on disk, and
small enough to stay in memory: about a quarter of a million tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_MOST_BYTES = 256 << 20


class KeptTokens:
    """Vectors by the tokens of a window, and how long each took."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], tuple[np.ndarray, float]] = {}
        self._bytes = 0

    def get(self, ids: tuple[int, ...]) -> np.ndarray | None:
        """Return the vectors of a window, or None where they are not kept."""
        found = self._kept.get(ids)
        return None if found is None else found[0]

    def keep(self, ids: tuple[int, ...], vectors: np.ndarray, seconds: float) -> None:
        """Keep the vectors of a window, which took so many seconds, if there is room."""
        if ids not in self._kept and self._bytes + vectors.nbytes <= _MOST_BYTES:
            self._kept[ids] = vectors, seconds
            self._bytes += vectors.nbytes

    def seconds(self, windows: Iterable[tuple[int, ...]]) -> float:
        """Return how long those of these windows took that are kept."""
        return sum(self._kept[ids][1] for ids in windows if ids in self._kept)

    def __len__(self) -> int:
        return len(self._kept)
