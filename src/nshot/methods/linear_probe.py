"""Logistic regression on the features of a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.head import LinearHead


class LinearProbe(Method):
    """Learn a linear classifier on the features of a frozen network.

    **Idea.** With features f(x) of length d, ``p(c | x) = softmax(W f(x) + b)_c``; W and b minimise
    ``C * sum_i v_i * -log p(y_i | x_i) + |W|^2 / 2`` with weights v that make every class count the same. C, and how
    much of the class frequencies to put back, are chosen by cross-validation inside the n labels, by the study's
    metric; the same held-out rows calibrate the probabilities.

    **Needs** a backbone that embeds, and one label. Does not read label names.

    **Wins** from some ten labels per class up to where fine-tuning has enough to learn from, at a thousandth of its
    cost. **Loses** to label names at one or two labels per class, and to fine-tuning where the features do not
    separate the classes (another language, another domain).

    **Source.** Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes; the class
    weights follow King and Zeng 2001, Logistic Regression in Rare Events Data, section 4.

    **Example.** ``nshot fit tickets.csv --method linear_probe --set strength=10 --out model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS}))
    family: ClassVar[Family] = Family.FEW_SHOT

    strength: float | None = Field(default=None, gt=0)
    """C, the inverse of the regularisation, for features of unit spread; left out: chosen inside the labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the fitted probe; see `Method.fit`."""
        from nshot.training import frozen
        from nshot.training.head import fit_head

        self.require(task, train, backbone)
        encoder = frozen.encoder(backbone)
        head = fit_head(
            task,
            frozen.embed(encoder, train.examples),
            train.labelled_targets(),
            objective=context.objective,
            groups=train.groups,
            strength=self.strength,
        )
        return FittedProbe(task, encoder, head)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved probe; see `Method.restore`."""
        from nshot.training import frozen
        from nshot.training.head import LinearHead

        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        return FittedProbe(task, encoder, LinearHead.restore(state))


@dataclass(frozen=True)
class FittedProbe:
    """A linear head on a frozen backbone."""

    task: Task
    backbone: Encoder
    head: LinearHead

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label and probabilities of each example."""
        from nshot.training import frozen

        return self.head.answers(self.task, frozen.embed(self.backbone, examples))

    def state(self) -> State:
        """Return the head and the reference of the backbone."""
        head = self.head.state()
        settings: Mapping[str, Any] = {**head.settings, "backbone": self.backbone.ref.as_json()}
        return State(settings, head.tensors)
