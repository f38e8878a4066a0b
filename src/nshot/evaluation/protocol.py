"""Who is trained on, who is tested on, and how n grows: the part of the protocol that is decided before any fit.

Three designs (`Design.kind`):

* ``given``: the user's own test; its rows are never trained on.
* ``holdout``: 2,000 rows or more; one grouped, stratified hold-out shared by all repeats.
* ``kfold``: fewer rows; repeated grouped, stratified k-fold.

Within each draw (a repeat, and in k-fold a fold of it) the training rows stand in one random order: first one row of
every class (where answers are classes; of every label, where there may be several), then as they come. The training
subset of size n is the first n of that order, for every candidate, so that subsets are nested and comparisons are
paired. Where n counts only some of the rows (labelled anomalies), the others belong to the pool of every n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nshot.core import DataError
from nshot.evaluation import several_labels
from nshot.training.tagging import rarest

HOLDOUT_FROM = 2_000
"""From this many rows on, one hold-out tells enough; below it every row has to serve as test."""
FEWEST_COUNTED = 80
"""Where n counts only some of the rows, a hold-out needs so many of these, a quarter of which are tested."""
ALWAYS_HOLDOUT_FROM = 20_000
"""From this many rows on, one hold-out has to do, whatever n counts."""
FOLDS = 5
REPEATS = {"given": 5, "holdout": 5, "kfold": 3}
TEST_SHARE = 0.25
MOST_TEST_ROWS = 5_000

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """One random division: which rows are trained on, in which order, and which are tested on.

    Attributes:
        repeat: Which random order.
        fold: Which fold of it; 0 for a hold-out.
        order: Positions of all training rows that n counts, in the order in which n grows.
        test: Positions of the test rows (in the test data for ``given``, else in the same data).
        rest: Positions of the training rows that n does not count, ascending.
    """

    repeat: int
    fold: int
    order: Positions
    test: Positions
    rest: Positions = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Design:
    """How a study divides its data.

    Attributes:
        kind: ``given``, ``holdout`` or ``kfold``.
        draws: Every draw, by repeat, then fold.
        ladder: The sizes n of the training subsets, ascending; the last is `n_train`.
        n_train: The largest n of every draw.
        n_test: Number of different test rows.
        n_rows: The n of the model that is handed over, if it is fitted on every row.
        n_learnt: The most rows that every draw can learn from, those that n does not count among them.
        folds: Number of folds of a repeat; 1 where there are none.
        classes: Number of classes among the training rows.
    """

    kind: Literal["given", "holdout", "kfold"]
    draws: tuple[Draw, ...]
    ladder: tuple[int, ...]
    n_train: int
    n_test: int
    n_rows: int
    n_learnt: int
    folds: int
    classes: int

    @property
    def repeats(self) -> int:
        """Return the number of repeats."""
        return len(self.draws) // self.folds

    def draw(self, repeat: int, fold: int) -> Draw:
        """Return one draw."""
        return self.draws[repeat * self.folds + fold]


def ladder(classes: int, n_train: int, ratio: int = 4) -> tuple[int, ...]:
    """Return the sizes n to measure: from ``max(16, classes)`` in steps of `ratio` up to all `n_train` rows.

    A rung within a factor 1.5 of all rows would cost nearly as much and tell nearly the same; it is left out.
    """
    rungs, n = [], max(16, classes)
    while n * 1.5 <= n_train:
        rungs.append(n)
        n *= ratio
    return (*rungs, n_train)


def counted_ladder(n_train: int) -> tuple[int, ...]:
    """Return the sizes n to measure where n counts only some of the rows: 2, 5, 10, 20, 50 ... up to all `n_train`."""
    rungs, power = [], 1
    while 2 * power * 1.5 <= n_train:
        rungs += [digit * power for digit in (2, 5, 10) if digit * power * 1.5 <= n_train]
        power *= 10
    return (*rungs, n_train)


def per_class_ladder(classes: int, n_train: int) -> tuple[int, ...]:
    """Return the k-shot sizes of papers: 1, 2, 4, 8, ... rows per class."""
    rungs, shots = [], 1
    while shots * classes <= n_train:
        rungs.append(shots * classes)
        shots *= 2
    return tuple(rungs) or (n_train,)


def design(
    targets: Sequence[str] | Sequence[tuple[str, ...]] | None,
    groups: NDArray[np.int64],
    *,
    seed: int,
    trainable: Positions | None = None,
    testable: Positions | None = None,
    n_given_test: int | None = None,
    repeats: int | None = None,
    sizes: Sequence[int] | None = None,
    per_class: bool = False,
    counted: NDArray[np.bool_] | None = None,
) -> Design:
    """Divide n labelled rows into draws.

    Args:
        targets: n labels, or n tuples of them, which every part has in the same proportions; None where answers are no
            classes.
        groups: n group ids; rows of one group never straddle a split.
        seed: Decides every draw.
        trainable: Positions that may be trained on; None: all.
        testable: Positions that may be tested (in the given test where there is one); None: all.
        n_given_test: Number of rows of a test that the user gave, or None.
        repeats: Number of repeats; None: the design's default.
        sizes: What to measure on the way to all rows, instead of the default ladder.
        per_class: Equal numbers per class (k-shot) at every size below all rows, instead of natural proportions.
        counted: Shape (n,): the rows that n counts; None: all.

    Raises:
        DataError: There is nothing that can be both trained on and tested.
    """
    n = len(groups)
    positions = np.arange(n) if trainable is None else np.asarray(trainable)
    codes = _codes(targets, n)
    labels = several_labels.marks(targets) if targets is not None else None
    of_count = np.ones(n, dtype=bool) if counted is None else counted
    if targets is None:
        _refuse_too_few(groups[positions], n, tested_apart=n_given_test is not None)
    else:
        in_test, n_left = n - len(positions), len(np.unique(codes[positions]))
        if in_test and n_left < 2:
            raise DataError(
                f"{in_test:,} of the {n:,} rows also stand in the test and are not trained on. What is left has "
                f"{n_left} labels; expected two or more. Give a test of other rows (--test), or none: then nshot holds "
                "rows back by itself."
            )
        _refuse_hopeless(codes[positions], groups[positions], tested_apart=n_given_test is not None)
    folds = 1
    if n_given_test is not None:
        kind: Literal["given", "holdout", "kfold"] = "given"
        held = np.arange(n_given_test)
        divisions = [[(positions, held)]] * (repeats or REPEATS[kind])
    elif _is_held_out(positions, of_count):
        kind = "holdout"
        share = min(TEST_SHARE, MOST_TEST_ROWS / len(positions))
        train, held = _divided(codes, labels, groups, positions, round(1 / share), seed)[0]
        divisions = [[(train, held)]] * (repeats or REPEATS[kind])
    else:
        # A ranking of a fold needs something to find in it.
        ranked = positions[of_count[positions]] if of_count.any() else positions
        kind, folds = "kfold", _most_folds(groups[ranked])
        divisions = [
            _divided(codes, labels, groups, positions, folds, seed * 1_000 + repeat)
            for repeat in range(repeats or REPEATS[kind])
        ]
    draws = tuple(
        Draw(
            repeat,
            fold,
            order=_ordered(codes, labels, train[of_count[train]], (seed, repeat, fold), per_class),
            test=_tested(held, testable),
            rest=train[~of_count[train]],
        )
        for repeat, division in enumerate(divisions)
        for fold, (train, held) in enumerate(division)
    )
    n_train = min(len(draw.order) for draw in draws)
    own = positions[of_count[positions]]
    classes = len(np.unique(codes[own])) if labels is None else int(labels[own].any(axis=0).sum())
    if per_class:
        usual = per_class_ladder(classes, n_train)
    else:
        usual = ladder(classes, n_train) if counted is None else counted_ladder(n_train)
    return Design(
        kind,
        draws,
        # Today's question is asked at all rows, so they are measured whatever else is.
        ladder=tuple(sorted({n_train, *(min(int(n), n_train) for n in sizes or usual)})),
        n_train=n_train,
        n_test=len(np.unique(np.concatenate([draw.test for draw in draws]))),
        n_rows=len(own),
        n_learnt=min(len(draw.order) + len(draw.rest) for draw in draws),
        folds=folds,
        classes=classes,
    )


def hold_out(
    targets: Sequence[str] | Sequence[tuple[str, ...]] | None, groups: NDArray[np.int64], *, share: float, seed: int
) -> tuple[Positions, Positions]:
    """Divide n rows once: return the positions to learn from, and those held out.

    Args:
        targets: As in `design`.
        groups: As in `design`.
        share: Of the rows that are held out, about; from 0 to a half.
        seed: Decides which.

    Raises:
        DataError: There is one group only, so that nothing would be left to learn from.
    """
    different = len(np.unique(groups))
    if different < 2:
        raise DataError(
            "All rows are the same, or nearly: none can be held out from the others. Give rows that differ."
        )
    n = len(groups)
    labels = several_labels.marks(targets) if targets is not None else None
    return _divided(_codes(targets, n), labels, groups, np.arange(n), min(round(1 / share), different), seed)[0]


def _is_held_out(positions: Positions, counted: NDArray[np.bool_]) -> bool:
    """Return whether one hold-out tells enough."""
    n, n_counted = len(positions), int(counted[positions].sum())
    if n < HOLDOUT_FROM or n >= ALWAYS_HOLDOUT_FROM:
        return n >= HOLDOUT_FROM
    return n_counted in (0, n) or n_counted >= FEWEST_COUNTED


def _codes(targets: Sequence[str] | Sequence[tuple[str, ...]] | None, n: int) -> NDArray[np.int64]:
    """Return the class of each of n rows; all are of one where answers are no classes.

    Of several labels the rarest counts, and having none is a class.
    """
    if targets is None:
        return np.zeros(n, dtype=np.int64)
    labels = several_labels.marks(targets)
    if labels is not None:
        return rarest(labels)
    return np.unique(np.asarray(targets, dtype=object).astype(str), return_inverse=True)[1]


def _tested(held: Positions, testable: Positions | None) -> Positions:
    return held if testable is None else held[np.isin(held, testable)]


def _refuse_too_few(groups: NDArray[np.int64], n: int, *, tested_apart: bool) -> None:
    found = len(np.unique(groups))
    if tested_apart and not found:
        raise DataError(
            f"All {n:,} rows also stand in the test, so there is nothing to learn from. Give a test of other rows "
            "(--test), or none: then nshot holds rows back by itself."
        )
    if not tested_apart and found < 2 * FOLDS:
        raise DataError(
            f"Comparing needs at least {2 * FOLDS} different inputs with an answer, to learn from some and test on "
            f"others; found {found}. Add rows, or give a test (--test)."
        )


def _refuse_hopeless(codes: NDArray[np.int64], groups: NDArray[np.int64], *, tested_apart: bool) -> None:
    # A group counts once: its rows cannot be trained on and tested both.
    counts = np.bincount(np.unique(np.stack([codes, groups]), axis=1)[0])
    counts = counts[counts > 0]
    if len(counts) < 2:
        raise DataError(
            f"Comparing needs at least two different labels; found {len(counts)}. "
            "Name the label column if it was recognised wrongly: --label COLUMN."
        )
    if not tested_apart and (counts >= 2).sum() < 2:
        raise DataError(
            f"Each of the {len(counts)} labels needs rows to learn from and rows to be tested on, but "
            f"{(counts == 1).sum()} of them have a single row (or group of rows that stay together). "
            "Add rows, merge rare labels, give a test (--test), or name the label column if it was recognised wrongly: "
            "--label COLUMN."
        )


def _most_folds(groups: NDArray[np.int64]) -> int:
    """Return how many folds there can be: no more than groups, at least two."""
    return max(2, min(FOLDS, len(np.unique(groups))))


def _k_folds(
    codes: NDArray[np.int64], groups: NDArray[np.int64], positions: Positions, folds: int, seed: int
) -> list[tuple[Positions, Positions]]:
    """Divide `positions` into folds that keep groups whole and classes spread evenly.

    Groups are dealt out class by class, the largest first, each to the fold that has the fewest rows of its class (then
    the fewest rows at all). Every fold so differs by at most one group per class, which scikit-learn's
    StratifiedGroupKFold does not promise for rare classes.
    """
    rng = np.random.default_rng(seed)
    _, dense, sizes = np.unique(groups[positions], return_inverse=True, return_counts=True)
    first = np.full(len(sizes), -1)
    first[dense[::-1]] = codes[positions][::-1]  # a group's class: its first row's
    shuffled = rng.permutation(len(sizes))
    rarity = np.bincount(codes)
    dealt = sorted(shuffled.tolist(), key=lambda g: (rarity[first[g]], first[g], -sizes[g]))
    of_class = np.zeros((folds, codes.max() + 1), dtype=np.int64)
    total = np.zeros(folds, dtype=np.int64)
    tie = rng.permutation(folds)
    fold_of = np.empty(len(sizes), dtype=np.int64)
    for group in dealt:
        chosen = np.lexsort((tie, total, of_class[:, first[group]]))[0]
        fold_of[group] = chosen
        of_class[chosen, first[group]] += sizes[group]
        total[chosen] += sizes[group]
    fold = fold_of[dense]
    return [(positions[fold != k], positions[fold == k]) for k in range(folds)]


def _divided(
    codes: NDArray[np.int64],
    labels: NDArray[np.bool_] | None,
    groups: NDArray[np.int64],
    positions: Positions,
    folds: int,
    seed: int,
) -> list[tuple[Positions, Positions]]:
    """Divide `positions` into folds that keep groups whole, and classes (or labels, where there are several) even."""
    if labels is None:
        return _k_folds(codes, groups, positions, folds, seed)
    return several_labels.k_folds(labels, groups, positions, folds, seed)


def _ordered(
    codes: NDArray[np.int64],
    labels: NDArray[np.bool_] | None,
    train: Positions,
    entropy: tuple[int, ...],
    per_class: bool,
) -> Positions:
    """Return `train` in the order in which n grows."""
    if labels is None or per_class:
        return _order(codes, train, entropy, per_class)
    return several_labels.order(labels, train, entropy)


def _order(codes: NDArray[np.int64], train: Positions, entropy: tuple[int, ...], per_class: bool) -> Positions:
    """Return `train` in random order, one row of every class first (all rounds so, for `per_class`)."""
    if not len(train):
        return train
    rng = np.random.default_rng([abs(part) for part in entropy])
    shuffled = rng.permutation(train)
    own = codes[shuffled]
    # Number the rows of each class in the order in which they come: 0 is the class's first.
    by_class = np.argsort(own, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(own[by_class])) + 1]
    sizes = np.diff(np.r_[starts, len(own)])
    turn = np.empty(len(own), dtype=np.int64)
    turn[by_class] = np.arange(len(own)) - np.repeat(starts, sizes)
    rounds = turn if per_class else np.minimum(turn, 1)
    return shuffled[np.argsort(rounds, kind="stable")]
