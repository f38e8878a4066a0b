"""The same architecture from random weights, trained on the labels: what pre-training is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
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
    from nshot.training.classifier import Classifier
    from nshot.training.logistic import Logistic

_EPOCHS = 15.0
_FEWEST_STEPS = 100


class FromScratch(TrainingOptions, Method):
    """Train the backbone's architecture from random weights, and a linear head, on the labels alone.

    **Idea.** Minimise the cross-entropy of ``softmax(W f(x) / |f(x)| + b)``, or of a number the squared error of
    ``w f(x) / |f(x)| + b``, over all weights of f, tables of word vectors included, W and b. The weights of f are drawn
    at random, W starts at zero. It is a control: what a pre-trained network does better than this is what its
    pre-training is worth. Of a table, f is a small network on the columns.

    **Needs** a backbone with an architecture that can be trained from random weights, and one label. Of the backbone it
    uses the architecture and the tokenizer, none of the weights. Does not read label names. Chooses nothing.

    **Wins** with very many labels in a language or a domain that the backbone never saw. **Loses** otherwise, to word
    counts too.

    **Source.** The comparison is that of Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 5.

    **Example.** ``nshot compare tickets.csv --also from_scratch``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS}),
        abilities=frozenset({Ability.EMBEDS, Ability.STARTS}),
    )
    family: ClassVar[Family] = Family.FROM_SCRATCH
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    learning_rate: float = Field(default=3e-4, gt=0)
    """The highest learning rate of all weights."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; left out: 15, and with few examples as many as make 100 steps."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """The share of activations dropped while training."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        if self.epochs is None and n_labels:
            return self._with_epochs(n_labels).planned_examples(n_labels)
        return super().planned_examples(n_labels)

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained network; see `Method.fit`.

        Raises:
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import classifier, supervised
        from nshot.training.loop import Group

        source = classifier.startable(backbone)

        def build(start: Logistic) -> tuple[Classifier, list[Group]]:
            network = classifier.Classifier(source.random_module(context.seed), start)
            classifier.set_dropout(network, self.dropout)
            return network, [Group(list(network.parameters()))]

        # A network that knows nothing has no features: the head starts at zero, with class frequencies or the mean.
        nothing = np.zeros((len(train), source.network_width), dtype=np.float32)
        labelled = supervised.Labelled.of(task, train, source, nothing, pool=pool)
        trained = supervised.fit(labelled, build, self._with_epochs(len(train)), self.learning_rate, context)
        return supervised.from_scratch(task, source, trained, self.label_smoothing)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved network; see `Method.restore`."""
        from nshot.training import supervised

        return supervised.from_scratch_restored(task, state, open_backbone, self.label_smoothing)

    def _with_epochs(self, n_labels: int) -> FromScratch:
        if self.epochs is not None:
            return self
        fewest = _FEWEST_STEPS * min(self.batch_size, n_labels) / n_labels
        return self.model_copy(update={"epochs": max(_EPOCHS, fewest)})
