"""Heaps of rows with known groups, and rows without any."""

from __future__ import annotations

import numpy as np


def blobs(n_groups, n=400, width=4, distance=8.0, seed=0):
    """Return rows around centres that are at least `distance` standard deviations apart, and the group of each."""
    rng = np.random.default_rng([seed, n_groups])
    centres = rng.normal(size=(n_groups, width))
    gaps = np.sqrt(np.square(centres[:, None] - centres[None]).sum(-1))[~np.eye(n_groups, dtype=bool)]
    groups = rng.integers(0, n_groups, n)
    return (centres * distance / gaps.min())[groups] + rng.normal(size=(n, width)), groups


def without_groups(kind, n=300, width=3, seed=0):
    """Return rows of one heap."""
    rng = np.random.default_rng([seed, n, width])
    if kind == "uniform":
        return rng.random((n, width))
    if kind == "heavy tails":
        return rng.standard_t(3, size=(n, width))
    rows = rng.normal(size=(n, width))
    return rows @ rng.normal(size=(width, width)) if kind == "correlated" else rows
