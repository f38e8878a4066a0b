"""How much two solutions found on different rows agree, and which of their groups come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array


def come_back(groups: Array, again: Sequence[Array]) -> Array:
    """Return of each group how well it is found again: its largest Jaccard similarity, mean over solutions.

    Hennig 2007, Cluster-wise assessment of cluster stability: above 0.75 a group is stable, below 0.5 it dissolves.

    Args:
        groups: Shape (n,), 0 to k - 1, -1 of none.
        again: The same rows in other solutions.

    Returns:
        Shape (k,).
    """
    n_groups = int(groups.max()) + 1
    found = []
    for other in again:
        width = int(other.max()) + 2
        cells = np.bincount((groups + 1) * width + other + 1, minlength=(n_groups + 1) * width)
        table = cells.reshape(n_groups + 1, width)
        either = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
        similar = np.divide(table, either, out=np.zeros(table.shape), where=either > 0)
        found.append(similar[1:, 1:].max(axis=1, initial=0.0))
    return np.asarray(np.mean(found, axis=0))


def interval(agreements: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean agreement of halves.

    The splits are of the same rows, so their variance is enlarged by n_other / n_fitted = 1 (Nadeau and Bengio 2003,
    Inference for the generalization error).
    """
    from scipy.stats import t

    values = np.asarray(agreements, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    reach = float(t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) * np.sqrt(1 / n + 1)
    return max(-1.0, mean - reach), min(1.0, mean + reach)
