"""Texts of one label drawn together, then a linear head."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

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
from nshot.training.options import LoopOptions


class Contrastive(LoopOptions, Method):
    """Train the network so that examples of one label come together, then learn a linear classifier on its features.

    **Idea.** With unit vectors z, the others P(i) of i's label and all others A(i) in the step, minimise
    ``sum_i -1/|P(i)| sum_{p in P(i)} log(exp(z_i z_p / t) / sum_{a in A(i)} exp(z_i z_a / t))``. A step holds the same
    number of examples of each of several classes, and every pair in it counts, so that nothing is enumerated. Then the
    weights are drawn half-way back to the pre-trained ones (`keep`), and the head of `linear_probe` is fitted to the
    new features. What a head has to choose is chosen on the features before the training, which know none of the
    labels.

    **Needs** a backbone that embeds and trains, and one label; two of one class and another class to learn anything
    that `linear_probe` does not. Does not read label names.

    **Wins** from a few labels per class on, most where the classes cut through what the features separate: with 8 per
    class on TREC by 20 points over the probe. **Loses** its lead over full fine-tuning with thousands of labels.

    **Source.** Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2; the two stages follow Tunstall et al.
    2022, https://arxiv.org/abs/2209.11055; drawing back: Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.

    **Example.** ``nshot fit tickets.csv --method contrastive --set epochs=3 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest learning rate of the network's weights."""
    temperature: float = Field(default=0.1, gt=0)
    """t: the smaller, the more the nearest other examples count."""
    epochs: float | None = Field(default=None, gt=0)
    """How often an example is seen on average; left out: from their number (7.5 at 64, 4 at 770, 2 at 10,000)."""
    batch_size: int = Field(default=64, ge=2)
    """The most examples in a step: up to 4 of each of 16 classes, more of each where there are fewer classes."""
    keep: float = Field(default=0.5, ge=0, lt=1)
    """How far the final weights are drawn back to those that training started from."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network at most."""
        from nshot.training.contrastive import schedule

        return schedule(n_labels, epochs=self.epochs, batch_size=self.batch_size).examples

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import classifier, contrastive, encoders, frozen
        from nshot.training.head import fit_head, refit_head

        source = classifier.trainable(backbone)
        targets = train.labelled_targets()
        _, codes = frozen.numbered(targets)
        untouched = frozen.embed(source, train.examples)
        head = fit_head(task, untouched, targets, objective=context.objective, groups=train.groups)
        weights, record = {}, None
        if contrastive.comparable(codes):
            network = source.module()
            classifier.set_dropout(network, self.dropout)
            prepared = source.tokenize(train.examples)
            plan = contrastive.schedule(len(train), epochs=self.epochs, batch_size=self.batch_size)
            record = encoders.train(
                contrastive.InParts(network),
                contrastive.balanced_steps(codes, [len(item) for item in prepared], plan=plan, seed=context.seed),
                encoder=classifier.without_tables(network),
                batch=contrastive.compared_batches(source.collate, prepared, codes),
                loss=contrastive.attraction(self.temperature),
                learning_rate=self.learning_rate,
                options=self,
                context=context,
            )
            weights = classifier.changed(source, network)
        encoder = encoders.adapted(source, weights) if weights else source
        if weights:
            head = refit_head(head, frozen.embed(encoder, train.examples), targets)
        kept = head.state()
        settings = {
            **kept.settings,
            "backbone": source.ref.as_json(),
            "training": record.as_json() if record else None,
        }
        state = State(settings, {**kept.tensors, **encoders.as_tensors(weights)})
        return contrastive.TunedProbe(task, encoder, head, state)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier, encoders
        from nshot.training.contrastive import TunedProbe
        from nshot.training.head import LinearHead

        source = classifier.reopened(state, open_backbone)
        encoder = encoders.adapted(source, encoders.of_tensors(state.tensors))
        return TunedProbe(task, encoder, LinearHead.restore(state), state)
