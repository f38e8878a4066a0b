"""Low-rank adapters beside the layers of a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Embeds,
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
    import numpy as np

    from nshot.training.classifier import Classifier, TrainableEncoder
    from nshot.training.logistic import Logistic
    from nshot.training.loop import Group

_FULL_RATE_FROM = 48
"""Examples: with 16, the full rate lets one class take almost everything (docs/experiments.md, Fine-tuning)."""


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

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS, TaskKind.EXTRACT}),
        abilities=frozenset({Ability.EMBEDS, Ability.TRAINS}),
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
    """The highest learning rate of adapters and head; with fewer than 48 examples in proportion less."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices that are trained."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; see `Method.supports`."""
        from nshot.training.entities.support import not_trainable

        return super().supports(task, backbone) or not_trainable(
            self.method_name(), task, backbone, early_stopping=self.early_stopping
        )

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
        from nshot.training.entities import tuned

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
            return supervised.with_head(tuned.reader(task, encoder), start)

        rate = self.learning_rate * min(1.0, len(train) / _FULL_RATE_FROM)
        if task.kind is TaskKind.EXTRACT:
            found = tuned.fit(train, source, build, self, rate, context)
            config, tensors = adapters.adapter_state(found.encoder)
            return found.predictor(source.ref, self._merged(source, tensors), tensors, adapter=config)
        labelled = supervised.Labelled.of(task, train, source, pool=pool)
        trained = supervised.fit(labelled, build, self, rate, context)
        config, tensors = adapters.adapter_state(trained.network.encoder)
        return self._predictor(task, source, trained.state(source.ref, tensors, adapter=config))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier
        from nshot.training.entities import tuned

        source = classifier.reopened(state, open_backbone)
        if task.kind is TaskKind.EXTRACT:
            return tuned.restored(self._merged(source, state.tensors), state)
        return self._predictor(task, source, state)

    def _predictor(self, task: Task, source: TrainableEncoder, state: State) -> Predictor:
        from nshot.training import classifier

        return classifier.FineTuned(task, self._merged(source, state.tensors), self.label_smoothing, state)

    def _merged(self, source: TrainableEncoder, tensors: Mapping[str, np.ndarray]) -> Embeds:
        """Return the network with the adapters merged into it, so that none of them is seen again."""
        from nshot.training import adapters

        weights = adapters.merged(source.module().state_dict(), tensors, rank=self.rank, alpha=self.alpha)
        return source.adapted(weights)
