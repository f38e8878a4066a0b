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
from nshot.training.options import TrainingOptions

if TYPE_CHECKING:
    from nshot.training.classifier import Classifier, TrainableEncoder
    from nshot.training.logistic import Logistic
    from nshot.training.loop import Group


class Lora(TrainingOptions, Method):
    """Train low-rank changes of the network's matrices, and a linear head, on the labels.

    **Idea.** Each target layer ``W x`` becomes ``W x + alpha / rank * B A x`` with A of shape (rank, in) and B of shape
    (out, rank); only A, B and the head are trained, by AdamW on the cross-entropy. Merged into W, it answers as
    fast as the original network, and its file is a small part of the network's.

    **Needs** a backbone that embeds and trains, and one label. Does not read label names. Chooses nothing: the number
    of passes follows from the number of labels.

    **Wins** where many models for one backbone are to be kept, or the network is too large to train in full; a step is
    also a little quicker, because the large matrices need no gradient. **Loses** to full fine-tuning where few labels
    have to move the network far.

    **Source.** Hu et al. 2021, https://arxiv.org/abs/2106.09685; for `dora` Liu et al. 2024,
    https://arxiv.org/abs/2402.09353.

    **Example.** ``nshot fit tickets.csv --method lora --set rank=16 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.REGRESS}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
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
    dora: bool = False
    """Train the length of each row of a matrix apart from its direction (DoRA): slower steps, the same file format."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """The highest learning rate of adapters and head."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices that are trained."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            OptionError: The network has no linear layer.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import adapters, classifier, supervised

        source = classifier.trainable(backbone)

        def build(start: Logistic) -> tuple[Classifier, list[Group]]:
            bare = source.module()
            classifier.set_dropout(bare, 0.0)
            encoder = adapters.with_adapters(
                bare,
                rank=self.rank,
                alpha=self.alpha,
                dropout=self.dropout,
                target_modules=self.target_modules,
                seed=context.seed,
                dora=self.dora,
            )
            return supervised.with_head(encoder, start)

        labelled = supervised.Labelled.of(task, train, source)
        trained = supervised.fit(labelled, build, self, self.learning_rate, context)
        config, tensors = adapters.adapter_state(trained.network.encoder)
        return self._predictor(task, source, trained.state(source.ref, tensors, adapter=config))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier

        source = classifier.reopened(state, open_backbone)
        return self._predictor(task, source, state)

    def _predictor(self, task: Task, source: TrainableEncoder, state: State) -> Predictor:
        """Return the classifier with the adapters merged into the network, so that none of them is seen again."""
        from nshot.training import adapters, classifier

        weights = adapters.merged(source.module().state_dict(), state.tensors, rank=self.rank, alpha=self.alpha)
        return classifier.FineTuned(task, source.adapted(weights), self.label_smoothing, state)
