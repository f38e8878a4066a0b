"""A linear head that gives any number of labels: a logistic regression for each, with one strength for all.

Plain regressions, in which every row counts the same; C and the limits of the probabilities (`tagging`) are chosen on
rows that were held out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import Prediction, State, Task
from nshot.training import logistic, selection, tagging
from nshot.training.rowwise import products

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

NO_READOUT = "Models that give several labels cannot be exported to ONNX yet. Serve them: nshot serve MODEL."


@dataclass(frozen=True)
class TagHead:
    """A score for each label: ``features @ coefficients.T + offsets``.

    Attributes:
        names: k labels, in order of first appearance.
        coefficients: Shape (k, d), float32.
        offsets: Shape (k,), float32.
        limits: The probability from which on each is given, shape (k,), float32.
        chosen: Json-able: what was chosen, and what it was chosen by.
    """

    names: tuple[str, ...]
    coefficients: Array
    offsets: Array
    limits: Array
    chosen: dict[str, Any]

    def answers(self, task: Task, features: Any) -> Prediction:
        """Return the answers for features of shape (n, d), dense or SciPy CSR."""
        scores = products(features, self.coefficients, self.offsets)
        return tagging.answers(task, self.names, tagging.sigmoid(scores), self.limits)

    def state(self) -> State:
        """Return the head as settings and tensors."""
        tensors = {"coefficients": self.coefficients, "offsets": self.offsets, "limits": self.limits}
        return State({"labels": list(self.names), "chosen": self.chosen}, tensors)

    @classmethod
    def restore(cls, state: State) -> TagHead:
        """Return the head whose `state` was saved."""
        settings, tensors = state.settings, state.tensors
        return cls(
            tuple(settings["labels"]),
            tensors["coefficients"],
            tensors["offsets"],
            tensors["limits"],
            dict(settings["chosen"]),
        )


def fit_head(
    task: Task,
    features: Any,
    targets: Sequence[Sequence[str]],
    *,
    feature_scale: float,
    objective: tagging.Objective,
    groups: Sequence[Hashable] | None = None,
    strength: float | None = None,
) -> TagHead:
    """Return a head fitted to n rows.

    Args:
        task: What is asked.
        features: Shape (n, d): dense float32, or a SciPy CSR matrix.
        targets: n tuples of labels.
        feature_scale: Factor that brings the features to unit spread.
        objective: As in `FitContext`.
        groups: n group keys, or None; a group is never on both sides of an inner split.
        strength: C, or None to choose it.

    Raises:
        TrainingError: The features are too large for the arithmetic.
    """
    names, marks = tagging.numbered(targets)
    if not names:
        nothing = np.zeros(0, np.float32)
        return TagHead(names, np.zeros((0, features.shape[1]), np.float32), nothing, nothing, {})
    folds = tagging.folds(marks, groups)
    held_targets = [target for target, fold in zip(targets, folds, strict=True) if fold != selection.NEVER]
    shares = marks.mean(axis=0)

    def limits(scores: Array) -> tagging.Limits:
        return tagging.chosen_limits(task, names, tagging.sigmoid(scores), held_targets, shares, objective)

    selected = logistic.select_and_fit(
        features * feature_scale,
        marks,
        len(names),
        folds=folds,
        judge=lambda scores: limits(scores).score,
        strengths=logistic.STRENGTHS if strength is None else (strength,),
        exclusive=False,
    )
    found = limits(selected.scores)
    chosen = {
        "strength": selected.model.strength,
        "limits": found.rule,
        "held_out": len(selected.held),
        "judged": {f"{c:g}": round(score, 6) for c, score in selected.judged.items() if np.isfinite(score)},
    }
    coefficients = (selected.model.coefficients * feature_scale).astype(np.float32)
    return TagHead(names, coefficients, selected.model.offsets.astype(np.float32), found.values, chosen)
