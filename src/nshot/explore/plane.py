"""Rows as points of a map: near each other where they are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

MOST_POINTS = 1_500
_FEWEST_FOR_NEIGHBOURS = 30
_DIMENSIONS = 30


@dataclass(frozen=True)
class Plane:
    """A map of some of n rows.

    Attributes:
        rows: Shape (m,), int64: which rows.
        points: Shape (m, 2), float64, from 0 to 1 in both directions.
        method: ``t-SNE``, or ``PCA`` where there are few rows.
        kept: Share of the rows' variance that the two directions show; None of t-SNE, which has no such share.
    """

    rows: Array
    points: Array
    method: str
    kept: float | None


def plane(vectors: Array, *, always: Array, seed: int = 0, threads: int = 1) -> Plane:
    """Return a map of at most 2,000 rows drawn at random.

    Source: van der Maaten and Hinton 2008, Visualizing Data using t-SNE; started from the first two principal
    components, so that what is far apart tends to stay so (Kobak and Berens 2019).

    Args:
        vectors: Shape (n, d).
        always: Rows that are to be on the map, such as the strangest ones; at most 2,000.
        seed: The only source of chance.
        threads: Processor threads.
    """
    n = len(vectors)
    drawn = np.random.default_rng(seed).permutation(n)
    further = drawn[~np.isin(drawn, always)][: max(0, MOST_POINTS - len(always))]
    rows = np.sort(np.concatenate([np.asarray(always, dtype=np.int64), further]))
    own = vectors[rows].astype(np.float64)
    own -= own.mean(axis=0)
    components, shares = _principal(own, _DIMENSIONS, seed)
    if len(np.unique(components, axis=0)) < _FEWEST_FOR_NEIGHBOURS or components.shape[1] < 3:
        flat = np.zeros((len(rows), 2))
        flat[:, : min(2, components.shape[1])] = components[:, :2]
        return Plane(rows, _between_0_and_1(flat), "PCA", float(shares[:2].sum()))
    from sklearn.manifold import TSNE

    begin = components[:, :2] / (components[:, 0].std() or 1.0) * 1e-4
    perplexity = min(30.0, (len(rows) - 1) / 3)
    embedded = TSNE(
        init=begin, perplexity=perplexity, max_iter=500, random_state=seed, n_jobs=threads, learning_rate="auto"
    ).fit_transform(components.astype(np.float32))
    return Plane(rows, _between_0_and_1(embedded.astype(np.float64)), "t-SNE", None)


def _principal(centred: Array, most: int, seed: int) -> tuple[Array, Array]:
    """Return the coordinates on the first principal components, and their shares of the variance."""
    total = float(np.square(centred).sum())
    width = min(most, *centred.shape)
    if not total or not width:
        return np.zeros((len(centred), 1)), np.zeros(1)
    if min(centred.shape) <= 500:
        left, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    else:
        from sklearn.utils.extmath import randomized_svd

        left, strengths, _ = randomized_svd(centred, width, n_iter=4, random_state=seed)
    coordinates = left[:, :width] * strengths[:width]
    # The sign of a component is nobody's choice: its largest coordinate is made positive.
    largest = coordinates[np.abs(coordinates).argmax(axis=0), np.arange(width)]
    return coordinates * np.where(largest < 0, -1.0, 1.0), np.square(strengths[:width]) / total


def _between_0_and_1(points: Array) -> Array:
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - low) / np.where(high > low, high - low, 1.0))
