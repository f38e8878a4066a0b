"""Logistic or ridge regression on the features of a frozen network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Family,
    FitContext,
    Needs,
    Predictor,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.rowwise import Array


class LinearProbe(Method):
    """Learn a linear model of classes, or of a number, on the features of a frozen network.

    **Idea.** With features f(x) of length d, ``p(c | x) = softmax(W f(x) + b)_c``; W and b minimise
    ``C * sum_i v_i * -log p(y_i | x_i) + |W|^2 / 2`` with weights v that make every class count the same. C, and how
    much of the class frequencies to put back, are chosen by cross-validation inside the n labels, by the study's
    metric; the same held-out rows calibrate the probabilities. Of several labels each is a regression of its own with
    the sigmoid for the softmax and rows that count the same, and is given from the probability on that as many held-out
    rows reach as have the label (Yang 2001, A Study of Thresholding Strategies for Text Categorization). Of a number
    z, scaled to unit spread, w and b minimise ``C * sum_i (z_i - w f(x_i) - b)^2 + |w|^2``. To detect anomalies, the
    labelled ones are one class and the pool, at most 20,000 rows of it, is the other; the score is
    ``log p(anomaly | x) - log p(normal | x)``. To extract entities, the classes are tags of words (outside of all
    entities, or the first or a further word of one), the features are the means of the vectors of the words' tokens,
    with marks of how the words are written, and the best possible sequence of tags is answered.

    **Needs** a backbone that embeds, and one label. Does not read label names.

    **Wins** from some ten labels per class up to where fine-tuning has enough to learn from, at a thousandth of its
    cost. **Loses** to label names at one or two labels per class, and to fine-tuning where the features do not
    separate the classes (another language, another domain).

    **Source.** Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes; the class
    weights follow King and Zeng 2001, Logistic Regression in Rare Events Data, section 4; Hoerl and Kennard 1970,
    Ridge Regression: Biased Estimation for Nonorthogonal Problems.

    **Example.** ``nshot fit tickets.csv --method linear_probe --set strength=10 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS, TaskKind.DETECT, TaskKind.EXTRACT}),
        abilities=frozenset({Ability.EMBEDS}),
    )
    family: ClassVar[Family] = Family.FEW_SHOT

    strength: float | None = Field(default=None, gt=0)
    """C, the inverse of the regularisation, for features of unit spread; left out: chosen inside the labels."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; see `Method.supports`."""
        from nshot.training.entities.support import unsupported

        return super().supports(task, backbone) or unsupported(self.method_name(), task, backbone)

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the fitted probe; see `Method.fit`."""
        from nshot.training import detection
        from nshot.training.entities import probe

        self.require(task, train, backbone)
        if task.kind is TaskKind.EXTRACT:
            return probe.fitted(train, backbone, context, self.strength)
        if task.kind is TaskKind.DETECT:
            return detection.fitted(self, task, train, pool, backbone, context)
        return self._fitted(task, train, backbone, context)

    def distilled(
        self, task: Task, train: Dataset, probabilities: Array, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the probe that answers like a teacher; see `Distils`."""
        self.require(task, train, backbone)
        return self._fitted(task, train, backbone, context, probabilities)

    def _fitted(
        self,
        task: Task,
        train: Dataset,
        backbone: Backbone | None,
        context: FitContext,
        probabilities: Array | None = None,
    ) -> Predictor:
        from nshot.training import frozen
        from nshot.training.head import FittedProbe, fit_to

        encoder = frozen.encoder(backbone)
        features = frozen.embed(encoder, train.examples)
        head = fit_to(
            task, features, train, objective=context.objective, strength=self.strength, probabilities=probabilities
        )
        return FittedProbe(task, encoder, head)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved probe; see `Method.restore`."""
        from nshot.training import detection
        from nshot.training.entities import probe
        from nshot.training.head import FittedProbe

        if task.kind is TaskKind.EXTRACT:
            return probe.restored(state, open_backbone)
        if task.kind is TaskKind.DETECT:
            return detection.restored(self, task, state, open_backbone)
        return FittedProbe.restore(task, state, open_backbone)
