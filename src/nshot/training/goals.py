"""What a head on a network is to say: classes, labels or values. What `supervised` has to know of the task is here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nshot.core import Prediction, Task, TaskKind
from nshot.training import distillation, frozen, logistic, losses, ridge, selection, tagging
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

    def among(self, scores: Array, label_smoothing: float) -> Goal:
        """Return the goal as it is once the outputs for unlabelled examples are known, shape (m, k)."""

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return which of several lengths of training to take: the last unless another is better.

        Args:
            judged: The study's metric of each, on held-out rows.
            n: How many rows were held out.
        """

    def settings(self) -> dict[str, Any]:
        """Return what `said` needs to know of it, json-able."""


def goal(
    task: Task,
    targets: Sequence[Any],
    features: Array,
    groups: Sequence[Hashable] | None = None,
    probabilities: Array | None = None,
) -> Goal:
    """Return the goal of n labelled examples.

    Args:
        task: What is asked.
        targets: n targets.
        features: Of the untrained encoder, shape (n, width).
        groups: n group keys, or None.
        probabilities: How sure a teacher, whose answers the targets are, is of each label, shape (n, labels); not for
            values.

    Raises:
        DataError: A target of a regression is no finite number.
    """
    if task.kind is TaskKind.REGRESS:
        scale = Scale.of(targets)
        return Values(task, scale, scale.standard(targets).astype(np.float32))
    if task.kind is TaskKind.TAG:
        names, marks = tagging.numbered(targets)
        # A network has one output at least; of labels that no example has it learns that they do not apply.
        if not names:
            names, marks = task.labels, np.zeros((len(targets), len(task.labels)), np.float32)
        return Labels(task, names, marks, _limits(features, marks, groups))
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
    if task.kind is TaskKind.TAG:
        shares = losses.unsmoothed_shares(tagging.sigmoid(scores), label_smoothing)
        return tagging.answers(task, settings["labels"], shares, np.array(settings["limits"]))
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

    def among(self, scores: Array, label_smoothing: float) -> Classes:
        """Return the goal as it is."""
        return self

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return the best, if it is clearly better than the last."""
        best = max(range(len(judged)), key=lambda k: judged[k])
        return best if selection.clearly_better(judged[best], judged[-1], n) else len(judged) - 1

    def settings(self) -> dict[str, Any]:
        """Return the labels."""
        return {"classes": list(self.names)}


@dataclass(frozen=True)
class Labels:
    """A score for each label; any number of them may apply.

    Attributes:
        task: Its labels are the columns of answers.
        names: The labels that occur, k of them.
        marks: Which each example has, float32, shape (n, k).
        limits: The probability from which on each is given, float32, shape (k,).
    """

    task: Task
    names: tuple[str, ...]
    marks: Array
    limits: Array

    @property
    def outputs(self) -> int:
        """Return the number of labels."""
        return len(self.names)

    @property
    def is_settled(self) -> bool:
        """Return whether all examples have the same labels."""
        return not np.ptp(self.marks, axis=0).any()

    @property
    def targets(self) -> Array:
        """Return the marks."""
        return self.marks

    def part(self, rows: Array) -> Labels:
        """Return these rows, the labels staying all."""
        return replace(self, marks=self.marks[rows])

    def start(self, features: Array) -> Logistic:
        """Return strongly regularised logistic regressions on vectors of length one."""
        return logistic.fit(normalised(features), self.marks, self.outputs, strength=_START_STRENGTH, exclusive=False)

    def loss(self, label_smoothing: float) -> losses.Loss:
        """Return the cross-entropy of each label, summed."""
        return losses.binary_cross_entropy(label_smoothing)

    def chance(self, label_smoothing: float) -> float:
        """Return the entropy of each label, summed."""
        return losses.binary_chance_loss(self.marks, label_smoothing)

    def folds(self, groups: Sequence[Hashable] | None) -> Array:
        """Return folds with rare labels in proportion."""
        return tagging.folds(self.marks, groups)

    def true(self, rows: Array) -> list[Any]:
        """Return the labels of these rows."""
        return [tuple(self.names[k] for k in np.flatnonzero(self.marks[row])) for row in rows]

    def answers(self, scores: Array, label_smoothing: float) -> Prediction:
        """Return labels and probabilities."""
        return said(self.task, self.settings(), scores, label_smoothing)

    def among(self, scores: Array, label_smoothing: float) -> Labels:
        """Return the goal with limits that as many of these examples reach as have each label."""
        shares = losses.unsmoothed_shares(tagging.sigmoid(scores), label_smoothing)
        return replace(self, limits=tagging.limits_at(shares, self.marks.mean(axis=0)))

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return the best, if it is clearly better than the last."""
        best = selection.best_of(dict(enumerate(judged)), len(judged) - 1)
        return best if selection.clearly_better(judged[best], judged[-1], n) else len(judged) - 1

    def settings(self) -> dict[str, Any]:
        """Return the labels and their limits."""
        return {"labels": list(self.names), "limits": [float(limit) for limit in self.limits]}


def _limits(features: Array, marks: Array, groups: Sequence[Hashable] | None) -> Array:
    """Return the probability from which on each label is given, as regressions on the untrained features have it.

    They are kept where there are too few unlabelled examples: a network has seen the rows that it was trained on, while
    regressions can be cross-validated in no time. Fine-tuned on 256 labels, the macro F1 was 0.38 with these limits
    on genres of films, 0.29 with a half, and 0.37 with what 600 unlabelled examples say; on unfair clauses 0.15, 0.06
    and 0.25; see docs/experiments.md.

    Args:
        features: Of the untrained encoder, shape (n, width).
        marks: Which labels each example has, shape (n, k).
        groups: n group keys, or None.
    """
    folds = tagging.folds(marks, groups)
    if not (folds != selection.NEVER).any():
        return np.full(marks.shape[1], tagging.HALF, dtype=np.float32)
    selected = logistic.select_and_fit(
        normalised(features),
        marks,
        marks.shape[1],
        folds=folds,
        judge=lambda scores: 0.0,
        strengths=(logistic.USUAL_STRENGTH,),
        exclusive=False,
    )
    return tagging.limits_at(tagging.sigmoid(selected.scores), marks.mean(axis=0))


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

    def among(self, scores: Array, label_smoothing: float) -> Values:
        """Return the goal as it is."""
        return self

    def preferred(self, judged: Sequence[float], n: int) -> int:
        """Return the best, of equally good ones the last."""
        return selection.best_of(dict(enumerate(judged)), len(judged) - 1)

    def settings(self) -> dict[str, Any]:
        """Return the scale."""
        return {"scale": self.scale.as_json()}
