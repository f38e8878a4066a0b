"""Rows that are the same, or nearly: by their letters, their cells, or their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Example
from nshot.explore.neighbours import Neighbours

if TYPE_CHECKING:
    from nshot.explore.cells import Cells
    from nshot.training.rowwise import Array

_FEWEST_DIMENSIONS = 3


@dataclass(frozen=True)
class Duplicates:
    """Which of n rows are the same or nearly.

    Attributes:
        groups: Shape (n,), int64: equal for rows that are the same or nearly, linked through others if need be.
        exact: Shape (n,), int64: equal for rows that are the same.
    """

    groups: Array
    exact: Array

    def largest(self) -> list[list[int]]:
        """Return the groups of two rows or more as positions, the largest first."""
        order = np.argsort(self.groups, kind="stable")
        found = np.split(order, np.flatnonzero(np.diff(self.groups[order])) + 1) if len(order) else []
        return sorted((rows.tolist() for rows in found if len(rows) > 1), key=lambda rows: (-len(rows), rows[0]))

    def exact_copies(self) -> int:
        """Return how many rows repeat an earlier one exactly."""
        return len(self.exact) - len(np.unique(self.exact))


def among_texts(texts: Sequence[str]) -> Duplicates:
    """Return which texts share at least four fifths of their letter triples; see `nshot.data.duplicates`."""
    from nshot.data.duplicates import exact_and_near, linked

    exact, pairs = exact_and_near(texts)
    return Duplicates(linked(exact, pairs), exact)


def among_rows(cells: Cells, near: Neighbours, width: int) -> Duplicates:
    """Return which rows have the same cells, or lie 20 times closer than rows usually are to their nearest.

    Args:
        cells: Of n rows.
        near: Their nearest rows.
        width: Length of the vectors that these were found by.
    """
    return _by_distance(cells.exact_groups(), near, 0.05, width)


def among_images(images: Sequence[Example], near: Neighbours, width: int) -> Duplicates:
    """Return which images are the same file, or lie 4 times closer than images usually are to their nearest.

    Args:
        images: n images.
        near: Their nearest images.
        width: Length of the vectors that these were found by.
    """
    from nshot.backbones.image_decoding import image_digest

    ids: dict[bytes, int] = {}
    digests = (image_digest(image, position) for position, image in enumerate(images))
    exact = np.fromiter((ids.setdefault(digest, len(ids)) for digest in digests), np.int64, len(images))
    return _by_distance(exact, near, 0.25, width)


def _by_distance(exact: Array, near: Neighbours, closeness: float, width: int) -> Duplicates:
    """Join rows to their nearest where that is much closer than usual.

    In one or two dimensions rows lie as close by chance: with random places the share of those nearer than c times the
    median distance is 1 - 2^(-c^d).
    """
    from nshot.data.duplicates import NearPairs, linked

    if not near.distances.shape[1] or width < _FEWEST_DIMENSIONS:
        return Duplicates(exact, exact)
    first = near.distances[:, 0]
    apart = first[first > 0]
    usual = float(np.median(apart)) if len(apart) else 0.0
    rows = np.flatnonzero(first <= closeness * usual)
    others = near.positions[rows, 0]
    pairs = NearPairs(np.minimum(rows, others), np.maximum(rows, others), np.ones(len(rows)))
    return Duplicates(linked(exact, pairs), exact)
