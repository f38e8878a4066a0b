"""Low-rank adapters beside the layers of a frozen network."""

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
    from nshot.training.classifier import TrainableEncoder


class Lora(Method):
    """Train low-rank changes of the network's matrices, and a linear head, on the labels.

    **Idea.** Each target layer ``W x`` becomes ``W x + alpha / rank * B A x`` with A of shape (rank, in) and B of shape
    (out, rank); only A, B and the head are trained, by AdamW on the cross-entropy. Merged into W, it answers as
    fast as the original network, and its file is a small part of the network's.

    **Needs** a backbone that embeds and trains, and one label. Does not read label names. Chooses nothing: the number
    of passes follows from the number of labels.

    **Wins** where many models for one backbone are to be kept, or the network is too large to train in full; a step is
    also a little quicker, because the large matrices need no gradient. **Loses** to full fine-tuning where few labels
    have to move the network far.

    **Source.** Hu et al. 2021, https://arxiv.org/abs/2106.09685.

    **Example.** ``nshot fit tickets.csv --method lora --set rank=16 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    rank: int = Field(default=8, ge=1)
    """Rows of A: how many directions of a matrix can change."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of the adapters; what is added is ``alpha / rank * B A``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of an adapter's input dropped while training."""
    target_modules: tuple[str, ...] = ("query", "key", "value", "dense")
    """Last parts of the names of the layers that get an adapter; where there are none, every linear layer does."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """The highest learning rate of adapters and head."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; left out: from their number (15 at 64, 8 at 770, 4 at 10,000)."""
    batch_size: int = Field(default=32, ge=1)
    """Examples in a step."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices that are trained."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of each target that is spread over all classes."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        from nshot.training.classifier import schedule

        return schedule(n_labels, epochs=self.epochs, batch_size=self.batch_size).examples

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            OptionError: The network has no linear layer.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import adapters, batching, classifier, frozen, loop, losses

        source = classifier.trainable(backbone)
        classes, codes = frozen.numbered(train.labelled_targets())
        start = classifier.soft_start(frozen.embed(source, train.examples), codes, len(classes))
        bare = source.module()
        classifier.set_dropout(bare, 0.0)
        encoder = adapters.with_adapters(
            bare,
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            target_modules=self.target_modules,
            seed=context.seed,
        )
        network = classifier.Classifier(encoder, start)
        record = None
        if len(classes) > 1:
            prepared = source.tokenize(train.examples)
            plan = classifier.schedule(len(train), epochs=self.epochs, batch_size=self.batch_size)
            record = loop.train(
                network,
                plan.plan([len(item) for item in prepared], context.seed),
                groups=[loop.Group([parameter for parameter in network.parameters() if parameter.requires_grad])],
                batch=batching.labelled_batches(source.collate, prepared, codes),
                loss=losses.cross_entropy(self.label_smoothing),
                settings=loop.TrainingSettings(self.learning_rate, weight_decay=self.weight_decay),
                context=context,
                chance=losses.chance_loss(codes, len(classes), self.label_smoothing),
            )
        config, tensors = adapters.adapter_state(encoder)
        settings = {
            "classes": list(classes),
            "backbone": source.ref.as_json(),
            "adapter": config,
            "training": record.as_json() if record else None,
        }
        return self._predictor(task, source, State(settings, {**tensors, **network.head_for_unit_vectors()}))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier

        source = classifier.trainable(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        return self._predictor(task, source, state)

    def _predictor(self, task: Task, source: TrainableEncoder, state: State) -> Predictor:
        """Return the classifier with the adapters merged into the network, so that none of them is seen again."""
        from nshot.training import adapters, classifier

        weights = adapters.merged(source.module().state_dict(), state.tensors, rank=self.rank, alpha=self.alpha)
        return classifier.FineTuned(task, source.adapted(weights), self.label_smoothing, state)
