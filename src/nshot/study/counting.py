"""What n counts, by kind of task: most often rows with a label, to detect labelled anomalies, for groups nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import DataError, Task, TaskKind, counted

FEWEST_FOUND = 4
"""Fewer anomalies cannot be learnt from and looked for both."""


class Pool(StrEnum):
    """Which training rows the pool of a fit holds, without their targets."""

    ALL = "all"
    """Every one, those that the fit is given with their targets among them."""
    OTHERS = "others"
    """All but those that the fit is given with their targets."""
    UNCOUNTED = "uncounted"
    """Only those that n does not count."""


@dataclass(frozen=True)
class Counts:
    """How the protocol is to treat labelled rows.

    Attributes:
        strata: n names, or n tuples of them: every part has them in the same proportions; None: there is nothing to
            keep in proportion.
        counted: Shape (n,): the rows that n counts; None: all.
        pool: What the pool of a fit holds.
    """

    strata: Sequence[str] | Sequence[tuple[str, ...]] | None
    counted: NDArray[np.bool_] | None = None
    pool: Pool = Pool.ALL

    def everything(self, n: int, *, with_labels: bool) -> tuple[Sequence[int], Sequence[int]]:
        """Return the positions of what a fit on all n rows is given with its targets, and of its pool.

        Args:
            n: Number of rows.
            with_labels: Whether the fit learns from labels.
        """
        if self.counted is None:
            return range(n), range(n)
        labelled = np.flatnonzero(self.counted).tolist() if with_labels else []
        if self.pool is Pool.ALL:
            return labelled, range(n)
        is_left = ~self.counted if with_labels or self.pool is Pool.UNCOUNTED else np.ones(n, dtype=bool)
        return labelled, np.flatnonzero(is_left).tolist()


def counts(task: Task, targets: Sequence[Any], name: str, *, only_normal: bool = False) -> Counts:
    """Return how n counts these rows.

    Args:
        task: What is asked.
        targets: n targets.
        name: What messages call the data.
        only_normal: To detect: nothing but rows that are known to be normal stands in a pool.

    Raises:
        DataError: There are too few anomalies, or no normal rows.
    """
    if task.kind is TaskKind.DETECT:
        marks = np.fromiter((bool(target) for target in targets), dtype=bool, count=len(targets))
        _refuse_one_sided(marks, name)
        pool = Pool.UNCOUNTED if only_normal else Pool.OTHERS
        return Counts(["anomaly" if mark else "normal" for mark in marks.tolist()], marks, pool)
    if task.kind is TaskKind.CLUSTER:
        if not len(targets):
            raise DataError(
                f"Comparing ways to find groups needs rows whose true group is known, to hold the found ones against; "
                f"{name} has none. Name the column: --label COLUMN. To find groups without any: nshot explore."
            )
        return Counts([str(target) for target in targets], np.zeros(len(targets), dtype=bool))
    if task.kind is TaskKind.EXTRACT:
        rows = [tuple(sorted({span.label for span in target})) for target in targets]
        # Where every row has the same labels, or none has, there are no proportions to keep.
        return Counts(rows if len(set(rows)) > 1 else None)
    return Counts(targets if task.labels else None)


def _refuse_one_sided(marks: NDArray[np.bool_], name: str) -> None:
    n, anomalies = len(marks), int(marks.sum())
    if anomalies < FEWEST_FOUND:
        raise DataError(
            f"Comparing ways to detect anomalies needs at least {FEWEST_FOUND} labelled ones, to learn from some and "
            f"look for the others; {name} has {anomalies}. Name the column that marks them (--label), or the labels "
            "that are anomalies (--anomalies). Without any: nshot explore, or nshot fit --method isolation_forest."
        )
    if n - anomalies < FEWEST_FOUND:
        raise DataError(
            f"Comparing ways to detect anomalies needs at least {FEWEST_FOUND} rows that are known to be normal; "
            f"{name} has {n - anomalies}, and {counted(anomalies, 'anomaly', 'anomalies')}. Name the labels that are "
            "anomalies: --anomalies."
        )


@dataclass(frozen=True)
class Unit:
    """What sentences call what n counts.

    Attributes:
        one: ``label``.
        many: ``labels``.
    """

    one: str
    many: str


LABELS = Unit("label", "labels")


def unit(task: Task) -> Unit:
    """Return what sentences call what n counts."""
    if task.kind is TaskKind.GENERATE:
        return Unit("answer", "answers")
    if task.kind is TaskKind.DETECT:
        return Unit("labelled anomaly", "labelled anomalies")
    if task.kind is TaskKind.EXTRACT:
        return Unit("labelled text", "labelled texts")
    return LABELS
