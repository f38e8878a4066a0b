"""Several labels for one example: which labels there are, and which of them probabilities mean.

Each label is a question of its own. A rare label seldom gets a probability of a half, even where it is the likeliest
thing to say, so that a label is given from the probability on that as many held-out rows reach as have the label. On
nine kinds of unfair clauses, 92 % of the sentences having none, that had a macro F1 of 0.37 at 1,024 labels, where a
half had 0.10 and the best one limit for all labels 0.27; see docs/experiments.md. Source: "PCut" of Yang 2001, A Study
of Thresholding Strategies for Text Categorization, section 2, with the limit kept for rows that come one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import Dataset, Example, Prediction, Task
from nshot.training import selection

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

HALF = 0.5
"""The probability from which on a label is given where nothing could be held out."""
_FEWEST_UNSEEN, _MOST_UNSEEN, _MOST_LOOKED_AT = 300, 1_000, 3_000

Objective = Callable[[Sequence[Any], Prediction], float]


def numbered(targets: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], Array]:
    """Return the labels in order of first appearance, k of them, and which each row has, float32, shape (n, k)."""
    numbers: dict[str, int] = {}
    for labels in targets:
        for label in labels:
            numbers.setdefault(label, len(numbers))
    marks = np.zeros((len(targets), len(numbers)), dtype=np.float32)
    for row, labels in enumerate(targets):
        marks[row, [numbers[label] for label in labels]] = 1.0
    return tuple(numbers), marks


def rarest(marks: Array) -> Array:
    """Return the number of each row's rarest label, one more than the last for a row that has none, int64, shape (n,).

    Args:
        marks: Which labels each row has, shape (n, k).
    """
    n_labels = marks.shape[1]
    if not n_labels:
        return np.zeros(len(marks), dtype=np.int64)
    has = marks > 0
    by_rarity = np.argsort(has.sum(axis=0), kind="stable")
    first = by_rarity[has[:, by_rarity].argmax(axis=1)]
    return np.asarray(np.where(has.any(axis=1), first, n_labels), dtype=np.int64)


def sigmoid(scores: Array) -> Array:
    """Return ``1 / (1 + exp(-s))``, float64."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(scores, dtype=np.float64))))


def answers(task: Task, names: Sequence[str], probabilities: Array, limits: Array) -> Prediction:
    """Return the labels whose probability reaches their limit, in the order of the task, and all probabilities.

    Args:
        task: Its labels are the columns of the result.
        names: k labels of the task; the others get probability 0.
        probabilities: Shape (n, k), each from 0 to 1.
        limits: Shape (k,), above 0.
    """
    index = task.index()
    columns = [index[name] for name in names]
    every = np.zeros((len(probabilities), len(task.labels)), dtype=np.float32)
    every[:, columns] = probabilities
    given = np.zeros(every.shape, dtype=bool)
    given[:, columns] = every[:, columns] >= np.asarray(limits, dtype=np.float32)
    return Prediction(
        labels=[tuple(task.labels[column] for column in np.flatnonzero(row)) for row in given], probabilities=every
    )


def limits_at(probabilities: Array, shares: Array) -> Array:
    """Return the probability that a share of the rows reaches, one row at least: float32, shape (k,).

    It lies half way to the next lower probability.

    Args:
        probabilities: Of held-out rows, shape (m, k), m > 0.
        shares: Of the rows that are to reach it, shape (k,).
    """
    m, k = probabilities.shape
    falling = -np.sort(-np.asarray(probabilities, dtype=np.float64), axis=0)
    below = np.vstack([falling, np.zeros((1, k))])
    reached = np.clip(np.round(shares * m), 1, m).astype(np.int64)
    columns = np.arange(k)
    between = (below[reached - 1, columns] + below[reached, columns]) / 2
    return np.where(between > 0, between, HALF).astype(np.float32)


@dataclass(frozen=True)
class Limits:
    """From which probability on each label is given.

    Attributes:
        values: Float32, shape (k,).
        rule: Json-able: what they were chosen by.
        score: How well held-out rows were answered; minus infinity where none was held out.
    """

    values: Array
    rule: str
    score: float


def chosen_limits(
    task: Task,
    names: Sequence[str],
    probabilities: Array,
    targets: Sequence[Any],
    shares: Array,
    objective: Objective,
) -> Limits:
    """Return the limits under which held-out rows are answered best.

    As many rows as have a label reach its limit, unless a limit of a half for all labels is
    `selection.clearly_better`: for metrics that count rows alike it often is.

    Args:
        task: What is asked.
        names: k labels.
        probabilities: Of the held-out rows, shape (m, k).
        targets: Their m targets.
        shares: Of the labelled rows that have each label, shape (k,).
        objective: As in `FitContext`.
    """
    half = Limits(np.full(len(names), HALF, dtype=np.float32), "half", -math.inf)
    if not len(probabilities):
        return half

    def judged(limits: Array, rule: str) -> Limits:
        return Limits(limits, rule, objective(targets, answers(task, names, probabilities, limits)))

    half, frequent = judged(half.values, "half"), judged(limits_at(probabilities, shares), "frequency")
    return half if selection.clearly_better(half.score, frequent.score, len(targets)) else frequent


def unseen(pool: Dataset, train: Dataset) -> Sequence[Example]:
    """Return examples of a pool that no model was fitted on, at most 1,000; none where there are fewer than 300.

    Args:
        pool: Unlabelled examples.
        train: Those that are labelled.
    """
    labelled = {repr(example) for example in train.examples}
    looked_at = np.unique(np.linspace(0, max(0, len(pool) - 1), min(_MOST_LOOKED_AT, len(pool))).astype(int))
    found = [at for at in looked_at.tolist() if repr(pool.examples[at]) not in labelled]
    if len(found) < _FEWEST_UNSEEN:
        return ()
    return pool.take(found[:: -(-len(found) // _MOST_UNSEEN)]).examples


def folds(marks: Array, groups: Sequence[Hashable] | None) -> Array:
    """Return which rows are held out together: by their rarest labels, or, while these are too rare, any.

    Args:
        marks: Which labels each row has, shape (n, k).
        groups: As in `selection.inner_folds`.
    """
    by_label = selection.inner_folds(rarest(marks), groups)
    held = bool((by_label != selection.NEVER).any())
    return by_label if held else selection.value_folds(len(marks), groups)
