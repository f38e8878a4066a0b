"""Groups of rows, their number found by how stable they are; "there are none" is an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Progress, silent
from nshot.training.clustering.algorithms import ALGORITHMS
from nshot.training.clustering.rules import Rule
from nshot.training.clustering.search import Considered, Found, search
from nshot.training.clustering.space import Space

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

__all__ = ["Considered", "Groups", "find_groups"]

_BLOCK_ROWS = 50_000


@dataclass(frozen=True)
class Groups:
    """Groups of n rows.

    Attributes:
        labels: Shape (n,), int64: the group of each row, 0 the largest; -1 of a row in none.
        n_groups: How many there are; 0 where there are none.
        algorithm: What found them; empty where there are none.
        agreement: How well groups found on one half of the rows agree with those of the other half: adjusted Rand
            index, 1 for the same groups, 0 for chance; 0 where there are none.
        interval: 95 % interval of `agreement`.
        considered: What else was tried.
        centres: Shape (n_groups, d), float32: the mean of each group.
        confidence: Shape (n,), float64: how surely each row belongs to its group, 0 to 1; 0 of a row in none.
        sampled: How many rows the search used.
        reason: In words, why this number, or why there are none.
        space: What the rule makes of vectors first.
        rule: Puts further rows into these groups; None where there are none.
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
    space: Space
    rule: Rule | None


def find_groups(
    vectors: Array,
    *,
    seed: int = 0,
    threads: int = 1,
    n_groups: int | None = None,
    most: int = 20,
    progress: Progress = silent,
) -> Groups:
    """Return the groups of these rows; see `training.clustering.search` for how they are found.

    Groups are looked for in a sample of at most 4,000 rows; every row is then put into one of them. So memory stays
    bounded for any number of rows.

    Args:
        vectors: Shape (n, d), finite numbers.
        seed: The only source of chance.
        threads: Processor threads that may be used.
        n_groups: How many groups; None: found.
        most: The most groups that are considered.
        progress: Where to report.

    Raises:
        DataError: There are fewer than two rows for each group asked for.
    """
    from threadpoolctl import threadpool_limits

    # What is told a number of groups has no say where the algorithm decides on it.
    names = tuple(name for name, one in ALGORITHMS.items() if n_groups is None or one.sizes_are_groups)
    with threadpool_limits(threads):
        found = search(vectors, algorithms=names, size=n_groups, most=most, seed=seed, progress=progress)
        if found.rule is None or found.chosen is None:
            return _none(vectors, found)
        labels, confidence = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors))
        sums = np.zeros((found.rule.n_groups, vectors.shape[1]))
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            labels[block], confidence[block] = found.rule.assign(found.space.of(vectors[block]))
            for group in range(found.rule.n_groups):
                sums[group] += vectors[block][labels[block] == group].sum(axis=0, dtype=np.float64)
    sizes = np.bincount(labels[labels >= 0], minlength=found.rule.n_groups)
    order = np.argsort(-sizes, kind="stable")
    rank = np.append(np.argsort(order), -1)
    return Groups(
        labels=rank[labels],
        n_groups=found.rule.n_groups,
        algorithm=found.chosen.algorithm,
        agreement=found.chosen.agreement,
        interval=found.chosen.interval,
        considered=found.considered,
        centres=(sums / np.maximum(1, sizes)[:, None])[order].astype(np.float32),
        confidence=confidence,
        sampled=len(found.rows),
        reason=found.reason,
        space=found.space,
        rule=found.rule.reordered(order),
    )


def _none(vectors: Array, found: Found) -> Groups:
    return Groups(
        labels=np.full(len(vectors), -1, dtype=np.int64),
        n_groups=0,
        algorithm="",
        agreement=0.0,
        interval=(0.0, 0.0),
        considered=found.considered,
        centres=np.zeros((0, vectors.shape[1]), dtype=np.float32),
        confidence=np.zeros(len(vectors)),
        sampled=len(found.rows),
        reason=found.reason,
        space=found.space,
        rule=None,
    )
