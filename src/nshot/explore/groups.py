"""Groups of rows, their number found by how stable they are; "there are none" is an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Progress, silent

if TYPE_CHECKING:
    from nshot.training.rowwise import Array


@dataclass(frozen=True)
class Considered:
    """One way to group the rows that was considered.

    Attributes:
        algorithm: A name among `nshot methods` of the task ``cluster``.
        n_groups: How many groups it makes.
        agreement: Adjusted Rand index of the groups found on overlapping samples, mean over pairs of them.
        interval: 95 % interval of `agreement`.
        silhouette: Mean silhouette of the rows searched, -1 to 1.
    """

    algorithm: str
    n_groups: int
    agreement: float
    interval: tuple[float, float]
    silhouette: float


@dataclass(frozen=True)
class Groups:
    """Groups of n rows.

    Attributes:
        labels: Shape (n,), int64: the group of each row, 0 the largest; -1 of a row in none.
        n_groups: How many there are; 0 where there are none.
        algorithm: What found them.
        agreement: How stable they are: see `Considered.agreement`.
        interval: 95 % interval of `agreement`.
        considered: Everything that was tried.
        centres: Shape (n_groups, d), float32: the mean of each group.
        confidence: Shape (n,), float64: how surely each row belongs to its group, 0 to 1; 0 of a row in none.
        sampled: How many rows the search used.
        reason: In words, why this number, or why there are none.
    """

    labels: Array
    n_groups: int
    algorithm: str
    agreement: float
    interval: tuple[float, float]
    considered: tuple[Considered, ...]
    centres: Array
    confidence: Array
    sampled: int
    reason: str


def find_groups(
    vectors: Array,
    *,
    seed: int = 0,
    threads: int = 1,
    n_groups: int | None = None,
    most: int = 20,
    progress: Progress = silent,
) -> Groups:
    """Return the groups of these rows.

    Args:
        vectors: Shape (n, d), finite numbers.
        seed: The only source of chance.
        threads: Processor threads that may be used.
        n_groups: How many groups; None: found.
        most: The most groups that are considered.
        progress: Where to report.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(vectors))[:2000])
    best, considered = None, []
    for k in range(2, min(most, 8, len(drawn) - 1) + 1) if n_groups is None else [n_groups]:
        model = KMeans(k, n_init=2, random_state=seed).fit(vectors[drawn])
        score = float(silhouette_score(vectors[drawn], model.labels_))
        considered.append(Considered("k_means", k, score, (score, score), score))
        if best is None or score > best[0]:
            best = (score, model)
    score, model = best
    labels = model.predict(vectors).astype(np.int64)
    sizes = np.bincount(labels, minlength=len(model.cluster_centers_))
    order = np.argsort(-sizes, kind="stable")
    labels = np.argsort(order)[labels]
    return Groups(
        labels,
        len(order),
        "k_means",
        score,
        (score, score),
        tuple(considered),
        model.cluster_centers_[order].astype(np.float32),
        np.ones(len(vectors)),
        len(drawn),
        f"{len(order)} groups.",
    )
