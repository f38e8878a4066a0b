"""Unlabelled examples that a predictor is sure enough of to be learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Dataset, Example, Prediction, Predictor, State
from nshot.training.readout import Readout, required
from nshot.training.wrapping import probabilities_of

if TYPE_CHECKING:
    from nshot.training.rowwise import Array
    from nshot.training.trials import Held

_MOST_COMPARED = 2_000
"""Examples by which two predictors are compared: the mean of their confidences is then known to a percent."""
_HALVINGS = 40
_STRONGEST = 20.0


@dataclass(frozen=True)
class Student:
    """A predictor that was taught by another one, no surer than that one was.

    Attributes:
        inner: Answers.
        power: What its probabilities are raised to before they are made to sum to one again.
        saved: Its state.
    """

    inner: Predictor
    power: float
    saved: State

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the answers of the inner predictor with probabilities that can be trusted more."""
        prediction = self.inner.predict(examples)
        if self.power == 1.0 or prediction.probabilities is None:
            return prediction
        return replace(prediction, probabilities=_raised(prediction.probabilities, self.power).astype(np.float32))

    def readout(self) -> Readout:
        """Return that of the inner predictor, as sure as this one.

        Raises:
            UnsupportedError: It has none, or none that can be made as sure.
        """
        return required(self.inner).sharpened(self.power)

    def state(self) -> State:
        """Return the state of both."""
        return self.saved


def as_sure_as(teacher: Predictor, student: Predictor, unlabelled: Dataset, name: str) -> float:
    """Return the power of the student's probabilities with which it is as sure as its teacher, on average.

    A student that was fitted to answers of its teacher takes them for the truth, and its own calibration is by them;
    the teacher's is by labels.

    Args:
        teacher: Fitted to labels only.
        student: Fitted to examples of `unlabelled` too.
        unlabelled: Examples by which they are compared.
        name: Of the method, for messages.
    """
    spread = np.linspace(0, len(unlabelled) - 1, min(len(unlabelled), _MOST_COMPARED)).astype(np.int64)
    examples = unlabelled.take(spread).examples
    wanted = float(probabilities_of(teacher.predict(examples), name).max(axis=1).mean())
    own = probabilities_of(student.predict(examples), name)
    least, most = 0.0, _STRONGEST
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if float(_raised(own, middle).max(axis=1).mean()) < wanted:
            least = middle
        else:
            most = middle
    return most


def sure_enough(train: Dataset, held: Held, precision: float, name: str) -> float | None:
    """Return the lowest confidence above which the held-out answers were right often enough; None: there is none.

    One wrong answer is added to those that were given: with few rows above a confidence, all of them right can be luck.

    Args:
        train: The labelled rows.
        held: What was answered for those of them that were held out.
        precision: The share of right answers that is asked for.
        name: Of the method, for messages.
    """
    if not len(held.rows):
        return None
    targets = train.labelled_targets()
    answers = held.prediction.labels or ()
    right = np.array([answer == targets[row] for answer, row in zip(answers, held.rows.tolist(), strict=True)])
    confidences = probabilities_of(held.prediction, name).max(axis=1)
    order = np.argsort(-confidences, kind="stable")
    shares = right[order].cumsum() / (np.arange(len(order)) + 2)
    # Rows of one confidence are above it together.
    last_of_its_value = np.append(np.diff(confidences[order]) != 0, True)
    enough = np.flatnonzero((shares >= precision) & last_of_its_value)
    return float(confidences[order[enough[-1]]]) if len(enough) else None


def surest(
    predictor: Predictor, unlabelled: Dataset, train: Dataset, confidence: float, growth: float, name: str
) -> Dataset:
    """Return the examples that `predictor` is surest of, with its answers for targets.

    Args:
        predictor: Gives probabilities.
        unlabelled: Where to take them from.
        train: The labelled rows: of a class at most `growth` times as many are taken as it has labels, so that the
            classes keep their proportions.
        confidence: The least probability.
        growth: See `train`.
        name: Of the method, for messages.
    """
    prediction = predictor.predict(unlabelled.examples)
    confidences = probabilities_of(prediction, name).max(axis=1)
    answers = prediction.labels or ()
    room = {label: int(growth * count) for label, count in Counter(train.labelled_targets()).items()}
    taken = []
    for position in np.argsort(-confidences, kind="stable").tolist():
        if confidences[position] < confidence:
            break
        if room.get(answers[position], 0) > 0:
            room[answers[position]] -= 1
            taken.append(position)
    chosen = unlabelled.take(taken)
    return Dataset(chosen.examples, chosen.modality, targets=[answers[position] for position in taken])


def together(train: Dataset, found: Dataset) -> Dataset:
    """Return the labelled rows followed by those found; none of these is of anybody's group."""
    groups = None
    if train.groups is not None:
        groups = [*(("own", group) for group in train.groups), *(("found", row) for row in range(len(found)))]
    return Dataset(
        [*train.examples, *found.examples],
        train.modality,
        targets=[*train.labelled_targets(), *found.labelled_targets()],
        groups=groups,
        name=train.name,
    )


def _raised(probabilities: Array, power: float) -> Array:
    """Return the probabilities raised to a power and made to sum to one, float64, shape (n, labels)."""
    # Divided by the largest first: a power of many small numbers alone would be zero.
    shares = probabilities.astype(np.float64) / probabilities.max(axis=1, keepdims=True, initial=0.0)
    raised = np.where(shares > 0, shares**power, 0.0)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
