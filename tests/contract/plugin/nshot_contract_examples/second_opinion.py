"""A method with two backbones, one of them remote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Embeds,
    Example,
    Family,
    FitContext,
    ModelError,
    Needs,
    Prediction,
    Scores,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method


class SecondOpinion(Method):
    """Average what class means say with what a second, remote model says about the label names.

    **Idea.** p(c | x) is proportional to exp(cos(e(x), mean_c) / t + w log q(name_c | x)), q from the second backbone.

    **Needs.** A backbone that embeds, a remote one that scores, label names that say something, one label.

    **Wins.** With few labels per class; loses on cost.

    **Source.** A product of experts, Hinton (2002), equation 1.

    **Example.** ``nshot fit tickets.csv --method second_opinion --set weight=0.5``
    """

    needs = Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS}), label_names=True)
    family = Family.FEW_SHOT

    remote: str = "fake/remote"
    """The second backbone."""
    weight: float = 0.2
    """How much the second opinion counts."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> SecondOpinionPredictor:
        """Return class means and the second model."""
        self.require(task, train, backbone)
        if not isinstance(backbone, Embeds):
            raise ModelError("second_opinion needs a backbone that embeds.")
        vectors = backbone.embed(train.examples)
        targets = np.array([task.index()[target] for target in train.labelled_targets()])
        means = np.zeros((len(task.labels), backbone.width), dtype=np.float32)
        for column in set(targets.tolist()):
            means[column] = vectors[targets == column].mean(axis=0)
        second = context.open(BackboneRef(self.remote))
        return self._predictor(task, backbone, second, means)

    def restore(
        self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> SecondOpinionPredictor:
        """Return the saved predictor."""
        first = open_backbone(BackboneRef.from_json(state.settings["backbone"]))
        second = open_backbone(BackboneRef.from_json(state.settings["remote"]))
        return self._predictor(task, first, second, state.tensors["means"])

    def _predictor(self, task: Task, first: Backbone, second: Backbone, means: np.ndarray) -> SecondOpinionPredictor:
        if not isinstance(first, Embeds) or not isinstance(second, Scores):
            raise ModelError("second_opinion needs a backbone that embeds and one that scores.")
        names = [task.readable(label) for label in task.labels]
        return SecondOpinionPredictor(
            task.labels, names, first, second, {"backbone": first.ref, "remote": second.ref}, means, self.weight
        )


@dataclass(frozen=True)
class SecondOpinionPredictor:
    """Class means, and the label names for the second model."""

    labels: tuple[str, ...]
    names: Sequence[str]
    first: Embeds
    second: Scores
    refs: dict[str, BackboneRef]
    means: np.ndarray
    weight: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return labels and probabilities, shape (n, labels)."""
        vectors, opinions = self.first.embed(examples), self.second.score(examples, self.names)
        probabilities = np.zeros((len(examples), len(self.labels)), dtype=np.float32)
        for row, (vector, opinion) in enumerate(zip(vectors, opinions, strict=True)):
            logits = 10 * (self.means * vector).sum(axis=1) + self.weight * opinion
            weights = np.exp(logits - logits.max())
            probabilities[row] = weights / weights.sum()
        return Prediction([self.labels[column] for column in probabilities.argmax(axis=1)], probabilities)

    def state(self) -> State:
        """Return the means and both references."""
        return State({name: ref.as_json() for name, ref in self.refs.items()}, {"means": self.means})
