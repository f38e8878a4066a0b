"""Dividing rows that may have several labels, or none: the same proportions of every label in every part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray


def marks(targets: Sequence[Any]) -> NDArray[np.bool_] | None:
    """Return which labels each row has, shape (n, labels), or None where a target is one label."""
    if not len(targets) or not isinstance(targets[0], tuple):
        return None
    columns = {label: k for k, label in enumerate(sorted(set(chain.from_iterable(targets))))}
    found = np.zeros((len(targets), len(columns)), dtype=bool)
    for row, labels in enumerate(targets):
        found[row, [columns[label] for label in labels]] = True
    return found


def k_folds(
    labels: NDArray[np.bool_], groups: NDArray[np.int64], positions: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide `positions` into folds that keep groups whole and every label spread evenly.

    Groups are dealt out by the rarest label that any of their rows has, rare labels first and groups with many rows of
    it before others, each to the fold that has the fewest rows with that label (then the fewest rows at all): while a
    label is rare, it can still be placed. Source: Sechidis, Tsoumakas and Vlahavas 2011, On the Stratification of
    Multi-label Data, section 3, with the rarity of labels counted once, and with groups.

    Args:
        labels: Shape (n, labels).
        groups: Shape (n,).
        positions: Which rows are divided.
        folds: How many folds.
        seed: Decides ties.

    Returns:
        Per fold the other positions, and its own.
    """
    rng = np.random.default_rng(seed)
    _, dense, sizes = np.unique(groups[positions], return_inverse=True, return_counts=True)
    # Rows without a label are spread like one more label.
    own = np.column_stack([labels[positions], ~labels[positions].any(axis=1)])
    of_group = np.zeros((len(sizes), own.shape[1]), dtype=np.int64)
    np.add.at(of_group, dense, own)
    rarity = of_group.sum(axis=0)
    by_rarity = np.argsort(rarity, kind="stable")
    first = by_rarity[(of_group[:, by_rarity] > 0).argmax(axis=1)]
    dealt = sorted(
        rng.permutation(len(sizes)).tolist(), key=lambda g: (rarity[first[g]], first[g], -of_group[g, first[g]])
    )
    in_fold = np.zeros((folds, own.shape[1]), dtype=np.int64)
    total = np.zeros(folds, dtype=np.int64)
    tie = rng.permutation(folds)
    fold_of = np.empty(len(sizes), dtype=np.int64)
    for group in dealt:
        chosen = np.lexsort((tie, total, in_fold[:, first[group]]))[0]
        fold_of[group] = chosen
        in_fold[chosen] += of_group[group]
        total[chosen] += sizes[group]
    fold = fold_of[dense]
    return [(positions[fold != k], positions[fold == k]) for k in range(folds)]


def order(labels: NDArray[np.bool_], train: NDArray[np.int64], entropy: Sequence[int]) -> NDArray[np.int64]:
    """Return `train` in random order, rows that together have every label first.

    Rare labels come first: a row that is taken for one of them often has a frequent one too.

    Args:
        labels: Shape (n, labels).
        train: Positions.
        entropy: Decides the order.
    """
    if not len(train):
        return train
    rng = np.random.default_rng([abs(part) for part in entropy])
    shuffled = rng.permutation(train)
    own = labels[shuffled]
    taken: list[int] = []
    for label in np.argsort(own.sum(axis=0), kind="stable").tolist():
        having = np.flatnonzero(own[:, label])
        if len(having) and not own[taken, label].any():
            taken.append(int(having[0]))
    # What is left stays in its order; a row without any label comes as early as chance has it.
    rest = np.setdiff1d(np.arange(len(shuffled)), taken)
    return np.asarray(shuffled[np.concatenate([np.array(taken, dtype=np.int64), rest])])
