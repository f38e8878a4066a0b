"""Labels, and unlabelled examples with the labels that a method gives them itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, Self

from pydantic import Field, model_validator

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
from nshot.training.wrapping import Options, classifying, following, with_pool


class SelfTraining(Method):
    """Fit a method to the labels, let it label the unlabelled examples, and fit it again to the surest of them too.

    **Idea.** A teacher is fitted to the n labels. Of the examples without a label it takes those that it is surest of,
    for each class at most `growth` times as many as the class has labels, and a student is fitted to both; the student
    is the next round's teacher. How sure is sure enough is measured: rows of the labels are held out in turn, and
    above the confidence that is asked for at least the share `precision` of them was answered right. Where no
    confidence is enough, or nothing is unlabelled, the teacher stays. The student's probabilities are softened until
    it is no surer than the teacher was: it was fitted to answers that it takes for the truth.

    **Needs** what the method needs, unlabelled examples of the same kind, and two rows in each of two classes to
    measure how far its confidence can be trusted.

    **Wins** 1 to 5 points over the probe with 50 to 150 labels and thousands of unlabelled examples. **Loses** nothing
    much with fewer, where it measures that nothing can be trusted, and gains nothing with 10 labels per class or more.

    **Source.** Yarowsky 1995, Unsupervised Word Sense Disambiguation Rivaling Supervised Methods; Lee 2013,
    Pseudo-Label.

    **Example.** ``nshot fit tickets.csv --method self_training --set base=contrastive --out model``
    """

    needs: ClassVar[Needs] = following(
        Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS}), pool=True),
        lambda method: with_pool(classifying(method.inner.needs)),
    )
    family: ClassVar[Family] = following(Family.FEW_SHOT, lambda method: method.inner.family)
    uses_seed: ClassVar[bool] = following(False, lambda method: method.inner.uses_seed)
    trains_network: ClassVar[bool] = following(False, lambda method: method.inner.trains_network)
    by_default: ClassVar[bool] = False

    base: str = "linear_probe"
    """The method that is teacher and student."""
    base_options: Options = Field(default={})
    """Its options, such as {"epochs": 3}."""
    rounds: int = Field(default=2, ge=1)
    """How often a student is fitted; each becomes the next one's teacher."""
    growth: float = Field(default=4.0, gt=0)
    """How many examples without a label are taken per label of a class at most, in every round more."""
    precision: float = Field(default=0.8, gt=0, lt=1)
    """The share of held-out labels above a confidence that must be right for that confidence to be enough."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """The probability from which an answer is taken for a label; left out: measured inside the labels."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.inner
        return self

    @cached_property
    def inner(self) -> Method:
        """Return the method that is teacher and student."""
        from nshot.methods import build

        return build(self.base, self.base_options)

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this cannot be done; see `Method.supports`."""
        if self.inner.needs.fewest_labels == 0:
            return f"self_training fits a method to labels, and {self.base} learns from none. Name another base."
        return super().supports(task, backbone) or self.inner.supports(task, backbone)

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples all fits on `n_labels` pass through the network at most."""
        from nshot.training.selection import n_inner_folds

        measured = 0 if self.confidence is not None else n_inner_folds(n_labels)
        students = sum(
            self.inner.planned_examples(n_labels + int(self.growth * (number + 1) * n_labels))
            for number in range(self.rounds)
        )
        return (1 + measured) * self.inner.planned_examples(n_labels) + students

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the last student, or the teacher where nothing could be taken; see `Method.fit`.

        Raises:
            UnsupportedError: The method gives no probabilities.
        """
        self.require(task, train, backbone)
        from nshot.training import pseudo_labels, trials
        from nshot.training.pool import distinct
        from nshot.training.wrapping import around, examples_seen, part_of, training_record

        unlabelled = distinct(pool, besides=train.examples)
        measured = 0 if self.confidence is not None or not len(unlabelled) else trials.n_folds(train)
        fits = 1 + measured + self.rounds
        teacher = self.inner.fit(task, train, pool, backbone, part_of(context, 0, fits, "fitting the teacher"))
        predictor, seen = teacher, examples_seen(teacher)
        confidence = self.confidence
        if measured:
            contexts = [part_of(context, 1 + fold, fits, "measuring confidence") for fold in range(measured)]
            held = trials.cross_validated(self.inner, task, train, pool, backbone, contexts)
            seen += held.examples_seen
            confidence = pseudo_labels.sure_enough(train, held, self.precision, self.base)
        taken: list[int] = []
        for number in range(self.rounds if confidence is not None and len(unlabelled) else 0):
            growth = self.growth * (number + 1)
            found = pseudo_labels.surest(predictor, unlabelled, train, confidence or 0.0, growth, self.base)
            if not len(found):
                break
            taken.append(len(found))
            student = part_of(context, 1 + measured + number, fits, f"fitting student {number + 1} of {self.rounds}")
            both = pseudo_labels.together(train, found)
            predictor = self.inner.fit(task, both, pool, backbone, student)
            seen += examples_seen(predictor)
        power = pseudo_labels.as_sure_as(teacher, predictor, unlabelled, self.base) if taken else 1.0
        settings = {
            "unlabelled": len(unlabelled),
            "taken": taken,
            "students": len(taken),
            "confidence": confidence,
            "power": power,
            "training": training_record(predictor, seen),
        }
        return pseudo_labels.Student(predictor, power, around(predictor.state(), settings))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved predictor; see `Method.restore`."""
        from nshot.training.pseudo_labels import Student
        from nshot.training.wrapping import within

        inner = self.inner.restore(task, within(state), open_backbone)
        return Student(inner, state.settings["power"], state)
