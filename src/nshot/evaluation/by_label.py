"""Where a model goes wrong: each label's recall and precision with intervals, and what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import Task
from nshot.evaluation.intervals import Block, Estimate, estimate


@dataclass(frozen=True)
class LabelScore:
    """How one label fares.

    Attributes:
        label: The label.
        rows: How many rows have it.
        answers: How many rows were given it.
        hits: How many of both.
        recall: Of the rows that have it the share that was given it; None without such a row.
        precision: Of the rows that were given it the share that has it; None without such a row.
    """

    label: str
    rows: int
    answers: int
    hits: int
    recall: Estimate | None
    precision: Estimate | None

    @property
    def f1(self) -> float:
        """Return 2 hits / (rows + answers), what macro F1 is the mean of."""
        return 2 * self.hits / (self.rows + self.answers)


@dataclass(frozen=True)
class Confusion:
    """Rows of one label that were given another.

    Attributes:
        label: What they have.
        answer: What they were given.
        rows: How many.
    """

    label: str
    answer: str
    rows: int


def by_label(codes: NDArray[np.int64], groups: NDArray[np.int64], task: Task) -> list[LabelScore]:
    """Return the scores of the labels that some row has or was given, the lowest F1 first.

    Args:
        codes: Shape (n, 2), index of the true and of the given label; -1 for an answer outside the labels.
        groups: Shape (n,), which rows belong together.
        task: Its labels are the ones that are counted.
    """
    truth, answer = codes[:, 0], codes[:, 1]
    return _of_labels(((truth == i, answer == i) for i in range(len(task.labels))), groups, task)


def by_several_labels(
    true: NDArray[np.bool_], answered: NDArray[np.bool_], groups: NDArray[np.int64], task: Task
) -> list[LabelScore]:
    """Return what `by_label` does where a row may have several labels.

    Args:
        true: Which labels each row has, shape (n, labels) or wider.
        answered: Which it was given, likewise.
        groups: As in `by_label`.
        task: Likewise.
    """
    k = len(task.labels)
    return _of_labels(zip(true.T[:k], answered.T[:k], strict=True), groups, task)


def _of_labels(
    masks: Iterable[tuple[NDArray[np.bool_], NDArray[np.bool_]]], groups: NDArray[np.int64], task: Task
) -> list[LabelScore]:
    """Return the scores of labels, given for each of the task which rows have it, and which were given it."""
    rows = np.arange(len(groups))

    def share(among: NDArray[np.bool_], hits: NDArray[np.bool_]) -> Estimate | None:
        positions = np.flatnonzero(among)
        if not len(positions):
            return None
        right = Block(0, 0, rows, hits[:, None].astype(np.float64), groups).take(positions)
        return estimate([right], metrics.get("accuracy"), rho=None, target="this model")

    found = []
    for label, (having, given) in zip(task.labels, masks, strict=True):
        if having.any() or given.any():
            hits = having & given
            counts = int(having.sum()), int(given.sum()), int(hits.sum())
            found.append(LabelScore(label, *counts, share(having, hits), share(given, hits)))
    return sorted(found, key=lambda score: (score.f1, -score.rows))


def confusions(codes: NDArray[np.int64], task: Task, most: int) -> list[Confusion]:
    """Return the most frequent mistakes, at most so many.

    Args:
        codes: As in `by_label`; answers outside the labels are left out.
        task: Its labels are the ones that are counted.
        most: How many to return.
    """
    wrong = codes[(codes[:, 0] != codes[:, 1]) & (codes[:, 1] >= 0)]
    pairs, counts = np.unique(wrong, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [Confusion(task.labels[pairs[i, 0]], task.labels[pairs[i, 1]], int(counts[i])) for i in order]


def by_entity_label(counts: NDArray[np.float64], groups: NDArray[np.int64], task: Task) -> list[LabelScore]:
    """Return what `by_label` does where entities are looked for: its rows and answers are then entities.

    Args:
        counts: From the metric ``macro_entity_f1``, shape (n, 3 labels).
        groups: As in `by_label`.
        task: Likewise.
    """
    rows = np.arange(len(counts))
    found = []
    for label, own in zip(task.labels, np.split(counts, len(task.labels), axis=1), strict=True):
        hits, given, true = own.sum(axis=0).astype(int).tolist()
        if not given and not true:
            continue
        recall, precision = (
            estimate([Block(0, 0, rows, own, groups).take(rows[of])], metrics.get(name), rho=None, target="this model")
            if of.any()
            else None
            for name, of in (("entity_recall", own[:, 2] > 0), ("entity_precision", own[:, 1] > 0))
        )
        found.append(LabelScore(label, true, given, hits, recall, precision))
    return sorted(found, key=lambda score: (score.f1, -score.rows))
