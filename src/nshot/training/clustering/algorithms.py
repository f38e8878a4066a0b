"""The ways to find groups, each from scikit-learn, each with the rule that puts further rows into its groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.training.clustering.rules import LikeliestComponent, NearestCentre, NearestMember, Rule

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

K_MEANS, GAUSSIAN_MIXTURE, AGGLOMERATIVE, HDBSCAN = "k_means", "gaussian_mixture", "agglomerative", "hdbscan"

_STARTS = 3
_ROUNDS = 50
_ROWS_PER_PARAMETER = 3
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Algorithm:
    """A way to find groups.

    Attributes:
        name: The name of its method.
        fit: ``fit(rows, sizes, seed)`` with rows of shape (n, c): the rule it finds for each of the sizes, None where
            it finds nothing.
        sizes_are_groups: A size is a number of groups. Otherwise it is the smallest share of the rows that is taken
            for a group, in per mille, and the number of groups follows.
    """

    name: str
    fit: Callable[[Array, Sequence[int], int], list[Rule | None]]
    sizes_are_groups: bool = True


def k_means(rows: Array, sizes: Sequence[int], seed: int) -> list[Rule | None]:
    """Return the centres that k-means finds, the best of 3 starts."""
    return [NearestCentre(centres(rows, n_groups, seed, starts=_STARTS, rounds=_ROUNDS)) for n_groups in sizes]


def centres(rows: Array, n_groups: int, seed: int, *, starts: int, rounds: int) -> Array:
    """Return the centres that k-means finds, started by k-means++, float32, shape (n_groups, c).

    Args:
        rows: Shape (n, c).
        n_groups: How many; of fewer different rows some centres are equal.
        seed: The only source of chance.
        starts: How often it is started; the best solution is taken.
        rounds: The most rounds from one start.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than groups
        fitted = KMeans(n_groups, n_init=starts, max_iter=rounds, random_state=seed).fit(rows)
    return np.asarray(fitted.cluster_centers_, dtype=np.float32)


def gaussian_mixture(rows: Array, sizes: Sequence[int], seed: int) -> list[Rule | None]:
    """Return the components that expectation maximisation finds, started from k-means.

    Each has its own full covariance where there are 3 rows for each of its numbers, and one variance per dimension
    otherwise.
    """
    return [_mixture(rows, n_groups, seed) for n_groups in sizes]


def _mixture(rows: Array, n_groups: int, seed: int) -> Rule | None:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    n, width = rows.shape
    numbers = n_groups * width * (width + 3) // 2
    shape = "full" if n >= _ROWS_PER_PARAMETER * numbers else "diag"
    floor = 1e-4 * float(rows.var(axis=0).mean())
    if not floor:
        return None  # all of these rows are equal
    with warnings.catch_warnings():
        # A fit that still creeps after 50 rounds is good enough to be compared with others of its kind.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GaussianMixture(
            n_groups, covariance_type=shape, tol=1e-2, reg_covar=floor, max_iter=_ROUNDS, random_state=seed
        ).fit(rows.astype(np.float64))
    factors = fitted.precisions_cholesky_
    if shape == "diag":
        factors = factors[:, :, None] * np.eye(width)
    return LikeliestComponent(fitted.weights_, fitted.means_, np.ascontiguousarray(factors))


def agglomerative(rows: Array, sizes: Sequence[int], seed: int) -> list[Rule | None]:
    """Return the groups that Ward's method has merged the rows to."""
    from scipy.cluster.hierarchy import cut_tree, ward

    labels = cut_tree(ward(rows), list(sizes)).astype(np.int64)
    members, everywhere = rows.astype(np.float32), np.full(len(rows), np.inf)
    return [NearestMember(members, np.ascontiguousarray(column), everywhere) for column in labels.T]


def hdbscan(rows: Array, sizes: Sequence[int], seed: int) -> list[Rule | None]:
    """Return the dense groups that HDBSCAN finds, each with at least `sizes` per mille of the rows."""
    return [_dense(rows, smallest) for smallest in sizes]


def _dense(rows: Array, smallest: int) -> Rule | None:
    from sklearn import cluster
    from sklearn.neighbors import NearestNeighbors

    size = max(_NEIGHBOURS, len(rows) * smallest // 1000)
    found = cluster.HDBSCAN(min_cluster_size=size, min_samples=_NEIGHBOURS, copy=True).fit(rows)
    labels = found.labels_.astype(np.int64)
    inside = labels >= 0
    if len(np.unique(labels[inside])) < 2:
        return None
    # A member speaks for what is as near to it as members of its group are to their neighbours.
    distances = NearestNeighbors(n_neighbors=_NEIGHBOURS + 1).fit(rows).kneighbors(rows[inside])[0][:, -1]
    groups = labels[inside]
    widest = np.array([np.quantile(distances[groups == g], 0.95) for g in range(groups.max() + 1)])
    return NearestMember(rows[inside].astype(np.float32), groups, widest[groups])


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(K_MEANS, k_means),
        Algorithm(GAUSSIAN_MIXTURE, gaussian_mixture),
        Algorithm(AGGLOMERATIVE, agglomerative),
        Algorithm(HDBSCAN, hdbscan, sizes_are_groups=False),
    )
}
