"""Choosing among settings of a method by cross-validation inside its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Backbone, Dataset, FitContext, Prediction, Task, TrainingError
from nshot.training import frozen, selection
from nshot.training.wrapping import examples_seen, part_of

if TYPE_CHECKING:
    from nshot.spec import Method
    from nshot.training.rowwise import Array


@dataclass(frozen=True)
class Held:
    """What a method answered for rows that it was not fitted on.

    Attributes:
        rows: Positions of the rows, ascending, shape (m,).
        prediction: The answers for them, in that order.
        examples_seen: Examples that its fits passed through the network.
    """

    rows: Array
    prediction: Prediction
    examples_seen: int


@dataclass(frozen=True)
class Choice:
    """What came of some trials.

    Attributes:
        best: Which trial is to be fitted on all rows.
        scores: The objective on the held-out rows by trial; None where the training diverged, and everywhere if no row
            could be held out.
        fits: How many fits that took.
        held_out: How many rows were held out.
        examples_seen: Examples that all fits passed through the network.
    """

    best: int
    scores: tuple[float | None, ...]
    fits: int
    held_out: int
    examples_seen: int


def cross_validated(
    method: Method, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, contexts: Sequence[FitContext]
) -> Held:
    """Return what `method` answers for each row of `train` when its fold is left out.

    Args:
        method: Classifies.
        task: What is asked.
        train: n labelled rows.
        pool: As in `Method.fit`.
        backbone: As in `Method.fit`.
        contexts: One for the fit of each fold; see `n_folds`.

    Raises:
        TrainingError: The training diverged.
    """
    folds = _folds(train)
    labels: dict[int, str] = {}
    probabilities: dict[int, Array] = {}
    seen = 0
    for fold, context in enumerate(contexts):
        rows = np.flatnonzero(folds == fold)
        predictor = method.fit(task, train.take(np.flatnonzero(folds != fold)), pool, backbone, context)
        seen += examples_seen(predictor)
        answers = predictor.predict(train.take(rows).examples)
        labels.update(zip(rows.tolist(), answers.labels or (), strict=True))
        if answers.probabilities is not None:
            probabilities.update(zip(rows.tolist(), answers.probabilities, strict=True))
    held = np.array(sorted(labels), dtype=np.int64)
    matrix = np.stack([probabilities[row] for row in held.tolist()]) if probabilities else None
    return Held(held, Prediction([labels[row] for row in held.tolist()], matrix), seen)


def n_folds(train: Dataset) -> int:
    """Return how many fits `cross_validated` takes; 0 where no row can be held out."""
    return int(_folds(train).max(initial=selection.NEVER)) + 1


def choose(
    trials: Sequence[Method],
    task: Task,
    train: Dataset,
    pool: Dataset,
    backbone: Backbone | None,
    context: FitContext,
) -> Choice:
    """Return which of the trials to use; the first is the usual one, left only for what is clearly better.

    Raises:
        TrainingError: The training diverged in every trial.
    """
    folds = n_folds(train)
    if folds == 0 or len(trials) == 1:
        return Choice(0, (None,) * len(trials), 0, 0, 0)
    total = folds * len(trials) + 1
    targets = train.labelled_targets()
    scores: list[float | None] = []
    diverged: list[TrainingError] = []
    held_out = seen = 0
    for number, method in enumerate(trials):
        doing = f"trial {number + 1} of {len(trials)}"
        contexts = [part_of(context, number * folds + fold, total, doing) for fold in range(folds)]
        try:
            held = cross_validated(method, task, train, pool, backbone, contexts)
        except TrainingError as error:
            diverged.append(error)
            scores.append(None)
            continue
        held_out, seen = len(held.rows), seen + held.examples_seen
        score = context.objective([targets[row] for row in held.rows.tolist()], held.prediction)
        scores.append(round(float(score), 6))
    judged = {number: score for number, score in enumerate(scores) if score is not None}
    if not judged:
        raise diverged[0]
    best = max(judged, key=lambda number: judged[number])
    usual = scores[0]
    if usual is not None and not selection.clearly_better(judged[best], usual, held_out):
        best = 0
    return Choice(best, tuple(scores), folds * len(trials), held_out, seen)


def _folds(train: Dataset) -> Array:
    _, codes = frozen.numbered(train.labelled_targets())
    return selection.inner_folds(codes, train.groups)
