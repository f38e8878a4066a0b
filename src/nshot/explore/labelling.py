"""Which rows to label first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_MOST_ROWS = 10_000
_TYPICAL_SHARE = 0.6
_UNSURE_SHARE = 0.2


class Why(StrEnum):
    """Why a row is to be labelled."""

    TYPICAL = "typical of its region"
    UNSURE = "between groups"
    RANDOM = "drawn at random"


@dataclass(frozen=True)
class Choice:
    """A row to label: its position, and why."""

    row: int
    why: Why


def first_to_label(
    vectors: Array,
    *,
    labels: Array,
    confidence: Array,
    distinct: Array,
    candidates: Array,
    n: int,
    seed: int = 0,
) -> list[Choice]:
    """Return which rows to label, in the order in which to do it.

    First rows that cover the data: k-means with as many centres as rows are wanted, and of each region the row nearest
    its centre, large regions first. Then rows between groups, those whose group is least sure. Then rows drawn at
    random, which say how the model does on what comes. Of near-duplicates one is chosen. Any beginning of the order is
    a sensible choice.

    Source: Hacohen, Dekel and Weinshall 2022, Active Learning on a Budget (typical rows first where labels are few).

    Args:
        vectors: Shape (n rows, d).
        labels: Shape (n rows,), int64: the group of each row, -1 of a row in none.
        confidence: Shape (n rows,): how surely each row belongs to its group.
        distinct: Shape (n rows,), int64: equal for near-duplicates.
        candidates: Shape (m,), int64: rows that may be chosen.
        n: How many to choose; fewer come back where there are fewer.
        seed: The only source of chance.
    """
    rng = np.random.default_rng(seed)
    first_of_each = np.unique(distinct[candidates], return_index=True)[1]
    free = np.sort(candidates[first_of_each])
    n = min(n, len(free))
    chosen: list[Choice] = []
    if not n:
        return chosen
    has_groups = len(np.unique(labels[labels >= 0])) > 1
    n_unsure = int(_UNSURE_SHARE * n) if has_groups else 0
    n_typical = min(n, max(1, round(_TYPICAL_SHARE * n) if n > 4 else n))
    drawn = np.sort(rng.permutation(free)[:_MOST_ROWS])
    chosen += [Choice(row, Why.TYPICAL) for row in _covering(vectors, drawn, n_typical, seed)]
    taken = {choice.row for choice in chosen}
    if n_unsure:
        left = np.array([row for row in drawn.tolist() if row not in taken and labels[row] >= 0], dtype=np.int64)
        chosen += [Choice(row, Why.UNSURE) for row in _unsure(vectors, left, confidence, n_unsure)]
        taken = {choice.row for choice in chosen}
    rest = [row for row in rng.permutation(free).tolist() if row not in taken]
    return chosen + [Choice(row, Why.RANDOM) for row in rest[: n - len(chosen)]]


def _covering(vectors: Array, rows: Array, n: int, seed: int) -> list[int]:
    """Return of each of n regions the row nearest its centre, large regions first."""
    from sklearn.cluster import KMeans

    if len(rows) <= n:
        return [int(row) for row in rows]
    own = vectors[rows]
    distinct = len(np.unique(own, axis=0))
    regions = KMeans(min(n, distinct), n_init=1, random_state=seed, max_iter=50).fit(own)
    distances = np.square(own - regions.cluster_centers_[regions.labels_]).sum(axis=1)
    sizes = np.bincount(regions.labels_, minlength=len(regions.cluster_centers_))
    nearest: list[int] = []
    for region in np.argsort(-sizes, kind="stable"):
        members = np.flatnonzero(regions.labels_ == region)
        if len(members):
            nearest.append(int(rows[members[distances[members].argmin()]]))
    return nearest


def _unsure(vectors: Array, rows: Array, confidence: Array, n: int) -> Sequence[int]:
    """Return the n rows whose group is least sure, far from each other."""
    if len(rows) <= n:
        return [int(row) for row in rows]
    # Of the least sure ones those that are spread out: neighbours would ask the same question twice.
    least = rows[np.argsort(confidence[rows], kind="stable")[: 5 * n]]
    chosen = [0]
    apart = np.square(vectors[least] - vectors[least[0]]).sum(axis=1)
    while len(chosen) < n and apart.max() > 0:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.square(vectors[least] - vectors[least[chosen[-1]]]).sum(axis=1))
    return [int(least[i]) for i in chosen]
