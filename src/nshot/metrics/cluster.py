"""Metrics of `cluster`: found groups against true ones, by which rows are together; what groups are called is nothing.

An example in no group counts as one of a further group. Groups of different fits have nothing in common but their
names, so folds are scored one by one and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import Prediction, Task, TaskKind, UnsupportedError
from nshot.metrics.metric import Array, Metric

KINDS = frozenset({TaskKind.CLUSTER})


def _true_and_found(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
    """Return (number of the true group, number of the found group) per example."""
    if prediction.labels is None:
        raise UnsupportedError("This metric needs groups, and this method has none.")
    if len(targets) != len(prediction.labels):
        raise ValueError(f"{len(prediction.labels)} answers for {len(targets)} targets")
    columns = [
        np.unique(np.array([str(name) for name in names], dtype=object), return_inverse=True)[1]
        for names in (targets, prediction.labels)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _sums(keys: NDArray[np.int64], weights: Array) -> Array:
    """Return the (b, number of different keys) sums of the (b, n) weights by key, ascending."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return np.asarray(np.add.reduceat(weights[:, order], starts, axis=1))


def _pairs(statistics: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different (true, found) pairs, shape (p, 2), and which of them each row is."""
    true, found = statistics.astype(np.int64).T
    n_found = int(found.max(initial=0)) + 1
    different, which = np.unique(true * n_found + found, return_inverse=True)
    return np.stack([different // n_found, different % n_found], axis=1), which


def _times_log(values: Array) -> Array:
    return np.where(values > 0, values * np.log(np.where(values > 0, values, 1.0)), 0.0)


def _mutual_information(pairs: NDArray[np.int64], counts: Array) -> Array:
    """Return the normalised mutual information of b tables: counts of pairs, shape (b, p)."""
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    both, true, found = (
        -_times_log(part).sum(axis=1) for part in (shares, _sums(pairs[:, 0], shares), _sums(pairs[:, 1], shares))
    )
    # Two tables of one group each agree, though neither says anything.
    entropy = true + found
    information = np.divide(2 * (entropy - both), entropy, out=np.ones_like(entropy), where=entropy > 1e-12)
    return np.where(total[:, 0] > 0, np.clip(information, 0.0, 1.0), np.nan)


def _adjusted_rand(pairs: NDArray[np.int64], counts: Array) -> Array:
    """Return the adjusted Rand index of b tables: counts of pairs, shape (b, p)."""

    def together(sizes: Array) -> Array:
        return np.asarray((sizes * (sizes - 1) / 2).sum(axis=1))

    both, true, found = (together(part) for part in (counts, _sums(pairs[:, 0], counts), _sums(pairs[:, 1], counts)))
    total = counts.sum(axis=1)
    every = total * (total - 1) / 2
    chance = np.divide(true * found, every, out=np.zeros_like(every), where=every > 0)
    most = (true + found) / 2
    index = np.divide(both - chance, most - chance, out=np.ones_like(both), where=np.abs(most - chance) > 1e-9)
    return np.where(total > 0, index, np.nan)


def adjusted_rand(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Return the adjusted Rand index of two ways to group the same rows, each as numbers from 0, shape (n,)."""
    pairs, which = _pairs(np.stack([first, second], axis=1))
    return float(_adjusted_rand(pairs, np.bincount(which).astype(np.float64)[None, :])[0])


def _metric(name: str, signature: str, lowest: float, score: Callable[[NDArray[np.int64], Array], Array]) -> Metric:
    def weighted(statistics: Array, weights: Array) -> Array:
        pairs, which = _pairs(statistics)
        return np.asarray(score(pairs, _sums(which, np.asarray(weights, dtype=np.float64))))

    def leave_one_out(statistics: Array) -> Array:
        # Rows of one pair are alike: as many tables as there are pairs, not rows.
        pairs, which = _pairs(statistics)
        counts = np.bincount(which).astype(np.float64)
        return np.asarray(score(pairs, counts[None, :] - np.eye(len(counts)))[which])

    return Metric(
        name=name,
        task_kinds=KINDS,
        signature=signature,
        statistics=_true_and_found,
        weighted=weighted,
        ranks=True,
        lowest=lowest,
        leave_one_out=leave_one_out,
    )


nmi = _metric("nmi", "nmi|normalised by the arithmetic mean|no group: a group|v1", 0.0, _mutual_information)
"""Normalised mutual information, ``2 I(true; found) / (H(true) + H(found))``: 1 for the same groups.

Not adjusted for chance: many small groups have some mutual information with anything (Vinh, Epps and Bailey 2010).
"""

ari = _metric("ari", "ari|Hubert and Arabie|no group: a group|v1", -1.0, _adjusted_rand)
"""Adjusted Rand index: the share of pairs of rows on which both agree, 0 by chance and 1 for the same groups.

Hubert and Arabie 1985, Comparing partitions, equation 5.
"""

METRICS = (nmi, ari)
