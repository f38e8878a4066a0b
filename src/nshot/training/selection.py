"""Choosing inside n labels: which of a method's own training rows are held out for a choice, and when a choice counts.

A label used for choosing is a label counted, so nothing here ever sees more than the rows that the fit was given.
Folds follow from the rows and their order alone, with no chance in them: the protocol has already shuffled the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nshot.training.rowwise import softmax

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_Option = TypeVar("_Option", bound=Hashable)

NEVER = -1
"""The fold of a row that is never held out."""

_FIVE_FOLDS_UP_TO = 300
_THREE_FOLDS_UP_TO = 1_200
_HELD_OUT_ONCE = 4
"""Above that one quarter of the rows is held out, once."""

PRIOR_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FACTORS = tuple(0.25 * 2 ** (i / 3) for i in range(22))
"""From a quarter to 32 in steps of a third of a doubling."""
_FEWEST_TO_CALIBRATE = 50


def n_inner_folds(n: int) -> int:
    """Return how many times some of n rows are held out: see `inner_folds`."""
    return 5 if n <= _FIVE_FOLDS_UP_TO else 3 if n <= _THREE_FOLDS_UP_TO else 1


def inner_folds(codes: Array, groups: Sequence[Hashable] | None = None) -> Array:
    """Return which rows are held out together: stratified by class, whole groups at a time.

    Up to 300 rows there are five folds, up to 1,200 three; above that one quarter of the rows is held out once,
    because then a single held-out set is large enough and refitting costs the most.

    Args:
        codes: The class of each row, int, shape (n,).
        groups: The group of each row, or None: every row is its own.

    Returns:
        Fold of each row from 0 up, or `NEVER`: int64, shape (n,). The only row or group of its class is never held
        out, since nothing would be left to learn the class from; where fewer than two classes have a second one,
        no row is held out: there is nothing to choose by.
    """
    n = len(codes)
    times = n_inner_folds(n)
    n_folds = times if times > 1 else _HELD_OUT_ONCE
    members: dict[Hashable, list[int]] = {}
    for row, key in enumerate(range(n) if groups is None else groups):
        members.setdefault(key, []).append(row)
    units_of: dict[int, int] = {}
    for rows in members.values():
        for code in {int(codes[row]) for row in rows}:
            units_of[code] = units_of.get(code, 0) + 1
    folds = np.full(n, NEVER, dtype=np.int64)
    if sum(units > 1 for units in units_of.values()) < 2:
        return folds
    rows_in_fold = [0] * n_folds
    class_in_fold: dict[int, list[int]] = {}
    for rows in members.values():
        held = {int(codes[row]) for row in rows}
        if any(units_of[code] == 1 for code in held):
            continue
        of_class = class_in_fold.setdefault(int(codes[rows[0]]), [0] * n_folds)
        fold = min(range(n_folds), key=lambda k: (of_class[k], rows_in_fold[k], k))
        of_class[fold] += len(rows)
        rows_in_fold[fold] += len(rows)
        folds[rows] = fold
    if times == 1:
        folds[folds > 0] = NEVER
    return folds


def value_folds(n: int, groups: Sequence[Hashable] | None = None) -> Array:
    """Return which of n rows are held out together where answers are numbers: as `inner_folds`, without classes.

    Args:
        n: Number of rows.
        groups: As in `inner_folds`.

    Returns:
        As `inner_folds`; with fewer than two rows or groups none is held out.
    """
    times = n_inner_folds(n)
    n_folds = times if times > 1 else _HELD_OUT_ONCE
    members: dict[Hashable, list[int]] = {}
    for row, key in enumerate(range(n) if groups is None else groups):
        members.setdefault(key, []).append(row)
    folds = np.full(n, NEVER, dtype=np.int64)
    if len(members) < 2:
        return folds
    rows_in_fold = [0] * n_folds
    for rows in members.values():
        fold = min(range(n_folds), key=lambda k: (rows_in_fold[k], k))
        rows_in_fold[fold] += len(rows)
        folds[rows] = fold
    if times == 1:
        folds[folds > 0] = NEVER
    return folds


def best_of(judged: Mapping[_Option, float], usual: _Option) -> _Option:
    """Return what was judged best, and `usual` where nothing is better or nothing could be judged.

    For scores in the unit of the targets, of which nobody can say when one is `clearly_better`.

    Args:
        judged: A held-out score for every option, higher is better; one that is not finite does not count.
        usual: What to take otherwise.
    """
    counted = {option: score for option, score in judged.items() if math.isfinite(score)}
    if not counted:
        return usual
    top = max(counted.values())
    return usual if counted.get(usual) == top else next(option for option, score in counted.items() if score == top)


def clearly_better(score: float, usual: float, n: int) -> bool:
    """Return whether a held-out score is worth leaving the usual choice for.

    The line is half a standard error of a score between 0 and 1 over n rows at its widest, ``0.5 / sqrt(n)``: at few
    labels the held-out score is mostly chance, and on eight data sets following it there cost up to half a point.
    """
    return score > usual + 0.5 / math.sqrt(max(1, n))


def surest(scores: Sequence[float], surprises: Sequence[float], n: int) -> int:
    """Return which option surprises least among those that the best is not `clearly_better` than.

    For a choice among many options that lie on a path: the log-loss changes smoothly along it where the held-out score
    jumps.

    Args:
        scores: A held-out score for every option, higher is better.
        surprises: The log-loss of the same rows.
        n: How many rows were held out.
    """
    finite = [score if math.isfinite(score) else -math.inf for score in scores]
    best = max(finite)
    close = [option for option, score in enumerate(finite) if not clearly_better(best, score, n)]
    return min(close, key=lambda option: surprises[option])


def prior_share(scores: Array, log_prior: Array, judge: Callable[[Array], float]) -> float:
    """Return how much of the classes' frequencies to put back into scores learnt with balanced classes.

    Balanced learning suits metrics that count classes alike (macro F1); one that counts rows alike (accuracy) wants
    the frequencies: ``scores + share * log_prior``. Nothing is put back unless that is `clearly_better`.

    Args:
        scores: Of held-out rows, shape (n, k).
        log_prior: Log of each class's relative frequency, shape (k,).
        judge: ``judge(scores)``, higher is better.
    """
    if not len(scores):
        return 0.0
    judged = {share: judge(scores + share * log_prior) for share in PRIOR_SHARES}
    best = max(PRIOR_SHARES, key=lambda share: (judged[share], -share))
    return best if clearly_better(judged[best], judged[0.0], len(scores)) else 0.0


def calibration(scores: Array, codes: Array) -> float:
    """Return the factor on the scores that makes the held-out rows' log-loss smallest; 1 for fewer than 50 rows.

    Regularised models are too modest when classes are many and labels few. The factor changes no label.
    Source: temperature scaling, Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.

    Args:
        scores: Of held-out rows, shape (n, k).
        codes: As in `log_loss`.
    """
    if len(scores) < _FEWEST_TO_CALIBRATE:
        return 1.0
    return min(FACTORS, key=lambda factor: log_loss(scores * factor, codes))


def log_loss(scores: Array, codes: Array, weights: Array | None = None) -> float:
    """Return the mean of ``-log softmax(scores)[true]`` in nats, no single row above that of a probability of 1e-6.

    Args:
        scores: Shape (n, k).
        codes: The true classes, shape (n,); or the share that each has in a row, shape (n, k).
        weights: What each row counts, shape (n,); None: all the same.
    """
    found = np.maximum(softmax(scores), 1e-6)
    if codes.ndim == 1:
        surprises = -np.log(found[np.arange(len(codes)), codes])
    else:
        surprises = -(codes * np.log(found)).sum(axis=1)
    return float(surprises.mean() if weights is None else np.average(surprises, weights=weights))
