"""What a head on a network is to say: classes or values. What `supervised` needs to know of the task is here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nshot.core import Prediction, Task, TaskKind
from nshot.training import distillation, frozen, logistic, losses, ridge, selection
from nshot.training.logistic import Logistic
from nshot.training.rowwise import normalised, softmax
from nshot.training.values import Scale

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_START_STRENGTH = 0.1
"""C of the head that training starts from."""


class Goal(Protocol):
    """The targets of n examples, and how a head with k outputs answers."""

    @property
    def outputs(self) -> int:
        """The number of outputs k."""

    @property
    def is_settled(self) -> bool:
        """Whether all targets are the same, so that there is nothing to train."""

    @property
    def targets(self) -> Array:
        """What the loss compares with, shape (n,) or (n, k)."""

    def part(self, rows: Array) -> Goal:
        """Return the goal of these rows only, with the same outputs."""

    def start(self, features: Array) -> Logistic:
        """Return a strongly regularised head for the untrained encoder: the right directions, hardly sure of anything.

        Its loss is close to chance, so that the first gradients still reach the encoder in full. A head that already
        fits leaves the encoder little to learn, and one that begins at zero lets it lose what it knew before the head
        has found a direction; at 64 labels each costs several points on one data set or another.

        Args:
            features: Of the untrained encoder, shape (n, width).
        """

    def loss(self, label_smoothing: float) -> losses.Loss:
        """Return what training minimises."""

    def chance(self, label_smoothing: float) -> float:
        """Return the smallest mean loss of an answer that is the same for every example."""

    def folds(self, groups: Sequence[Hashable] | None) -> Array:
        """Return which rows are held out together; see `selection.inner_folds`."""

    def true(self, rows: Array) -> list[Any]:
        """Return the targets of these rows as the study's metric takes them."""

    def answers(self, scores: Array, label_smoothing: float) -> Prediction:
        """Return the answers that outputs mean, shape (m, k)."""

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return which of several lengths of training to take: the last unless another is better.

        Args:
            judged: The study's metric of each, on held-out rows.
            n: How many rows were held out.
        """

    def settings(self) -> dict[str, Any]:
        """Return what `said` needs to know of it, json-able."""


def goal(task: Task, targets: Sequence[Any], probabilities: Array | None = None) -> Goal:
    """Return the goal of n labelled examples.

    Args:
        task: What is asked.
        targets: n targets.
        probabilities: How sure a teacher, whose answers the targets are, is of each label, shape (n, labels); not for
            values.

    Raises:
        DataError: A target of a regression is no finite number.
    """
    if task.kind is TaskKind.REGRESS:
        scale = Scale.of(targets)
        return Values(task, scale, scale.standard(targets).astype(np.float32))
    names, codes = frozen.numbered(targets)
    if probabilities is None:
        return Classes(task, names, codes)
    return Classes(task, names, codes, distillation.softened(distillation.shares(task, names, probabilities)))


def said(task: Task, settings: Mapping[str, Any], scores: Array, label_smoothing: float) -> Prediction:
    """Return the answers that the outputs of a trained network mean.

    Args:
        task: What is asked.
        settings: Of the goal.
        scores: Shape (n, k).
        label_smoothing: What the network was trained with.
    """
    if task.kind is TaskKind.REGRESS:
        return Scale.from_json(settings["scale"]).answers(scores[:, 0])
    probabilities = losses.unsmoothed(softmax(scores), label_smoothing)
    return frozen.answers(task, settings["classes"], probabilities)


@dataclass(frozen=True)
class Classes:
    """A score for each class.

    Attributes:
        task: Its labels are the columns of answers.
        names: The labels that occur, k of them.
        codes: The class of each example, int64, shape (n,).
        shares: Of each class in each example, softened, float32, shape (n, k), where that is learnt in place of the
            codes.
    """

    task: Task
    names: tuple[str, ...]
    codes: Array
    shares: Array | None = None

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @property
    def is_settled(self) -> bool:
        """Return whether there is one class only."""
        return len(self.names) < 2

    @property
    def temperature(self) -> float:
        """Return what the shares were softened by."""
        return 1.0 if self.shares is None else distillation.TEMPERATURE

    @property
    def targets(self) -> Array:
        """Return the codes, or the shares."""
        return self.codes if self.shares is None else self.shares

    def part(self, rows: Array) -> Classes:
        """Return these rows, the classes staying all."""
        return replace(self, codes=self.codes[rows], shares=None if self.shares is None else self.shares[rows])

    def start(self, features: Array) -> Logistic:
        """Return a strongly regularised logistic regression on vectors of length one."""
        found = logistic.fit(normalised(features), self.targets, self.outputs, strength=_START_STRENGTH)
        return replace(
            found, coefficients=found.coefficients * self.temperature, offsets=found.offsets * self.temperature
        )

    def loss(self, label_smoothing: float) -> losses.Loss:
        """Return the cross-entropy."""
        return losses.cross_entropy(label_smoothing, self.temperature)

    def chance(self, label_smoothing: float) -> float:
        """Return the entropy of the classes."""
        return losses.chance_loss(self.targets, self.outputs, label_smoothing)

    def folds(self, groups: Sequence[Hashable] | None) -> Array:
        """Return folds with the classes in proportion."""
        return selection.inner_folds(self.codes, groups)

    def true(self, rows: Array) -> list[Any]:
        """Return the labels."""
        return [self.names[self.codes[row]] for row in rows]

    def answers(self, scores: Array, label_smoothing: float) -> Prediction:
        """Return labels and probabilities."""
        return said(self.task, self.settings(), scores, label_smoothing)

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return the best, if it is clearly better than the last."""
        best = max(range(len(judged)), key=lambda k: judged[k])
        return best if selection.clearly_better(judged[best], judged[-1], n) else len(judged) - 1

    def settings(self) -> dict[str, Any]:
        """Return the labels."""
        return {"classes": list(self.names)}


@dataclass(frozen=True)
class Values:
    """One number.

    Attributes:
        task: What is asked.
        scale: Of the targets.
        standard: The targets on the common scale, float32, shape (n,).
    """

    task: Task
    scale: Scale
    standard: Array
    outputs = 1

    @property
    def is_settled(self) -> bool:
        """Return whether there is one value only."""
        return not np.ptp(self.standard)

    @property
    def targets(self) -> Array:
        """Return the targets on the common scale."""
        return self.standard

    def part(self, rows: Array) -> Values:
        """Return these rows, the scale staying that of all."""
        return replace(self, standard=self.standard[rows])

    def start(self, features: Array) -> Logistic:
        """Return a strongly regularised ridge regression on vectors of length one."""
        coefficients, offset = ridge.fit(normalised(features), self.standard, _START_STRENGTH)
        return Logistic(coefficients[None], np.array([offset]), _START_STRENGTH)

    def loss(self, label_smoothing: float) -> losses.Loss:
        """Return the squared error; there is no label to smooth."""
        return losses.squared_error

    def chance(self, label_smoothing: float) -> float:
        """Return the variance of the targets."""
        return float(np.var(self.standard))

    def folds(self, groups: Sequence[Hashable] | None) -> Array:
        """Return folds of about one size."""
        return selection.value_folds(len(self.standard), groups)

    def true(self, rows: Array) -> list[Any]:
        """Return the targets in their own unit."""
        return list(self.scale.centre + self.scale.spread * self.standard[rows].astype(np.float64))

    def answers(self, scores: Array, label_smoothing: float) -> Prediction:
        """Return values in the unit of the targets."""
        return said(self.task, self.settings(), scores, label_smoothing)

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return the best, of equally good ones the last."""
        return selection.best_of(dict(enumerate(judged)), len(judged) - 1)

    def settings(self) -> dict[str, Any]:
        """Return the scale."""
        return {"scale": self.scale.as_json()}
