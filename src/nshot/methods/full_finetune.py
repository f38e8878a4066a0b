"""All weights of the network, trained on the labels."""

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

_NETWORK = "network."
"""Before the names of the network's weights among the saved tensors."""


class FullFinetune(Method):
    """Train the whole network and a linear head on the labels.

    **Idea.** Minimise the cross-entropy of ``softmax(W f(x) / |f(x)| + b)`` over W, b and the weights of f, with
    AdamW, a short warm-up and a cosine down to zero. The head starts as a strongly regularised probe. The table of word
    vectors stays as it is, unless `train_embeddings`: most of its rows never occur in the training texts.

    **Needs** a backbone that embeds and trains, and one label. Does not read label names. Chooses nothing: the number
    of passes follows from the number of labels.

    **Wins** from some ten labels per class where the classes cut through what the features separate (question types,
    sentiment), and with many labels everywhere. **Loses** with few labels, at hundreds of times the cost of a probe.

    **Source.** Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 4.1; Loshchilov and Hutter 2019,
    https://arxiv.org/abs/1711.05101.

    **Example.** ``nshot fit tickets.csv --method full_finetune --set epochs=5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest learning rate of the network's weights."""
    head_rate: float = Field(default=10.0, gt=0)
    """The learning rate of the head, as a multiple of `learning_rate`."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; left out: from their number (15 at 64, 8 at 770, 4 at 10,000)."""
    batch_size: int = Field(default=32, ge=1)
    """Examples in a step."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay, not on biases and normalisations."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of each target that is spread over all classes."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of activations dropped while training."""
    train_embeddings: bool = False
    """Also train the tables of word, position and segment vectors."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        from nshot.training.classifier import schedule

        return schedule(n_labels, epochs=self.epochs, batch_size=self.batch_size).examples

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import batching, classifier, frozen, loop, losses

        source = classifier.trainable(backbone)
        classes, codes = frozen.numbered(train.labelled_targets())
        start = classifier.soft_start(frozen.embed(source, train.examples), codes, len(classes))
        network = classifier.Classifier(source.module(), start)
        classifier.set_dropout(network, self.dropout)
        encoder = network.encoder
        trained = list(encoder.parameters()) if self.train_embeddings else classifier.without_tables(encoder)
        record = None
        if len(classes) > 1:
            prepared = source.tokenize(train.examples)
            plan = classifier.schedule(len(train), epochs=self.epochs, batch_size=self.batch_size)
            record = loop.train(
                network,
                plan.plan([len(item) for item in prepared], context.seed),
                groups=[
                    loop.Group(trained),
                    loop.Group(list(network.head.parameters()), rate=self.head_rate),
                ],
                batch=batching.labelled_batches(source.collate, prepared, codes),
                loss=losses.cross_entropy(self.label_smoothing),
                settings=loop.TrainingSettings(self.learning_rate, weight_decay=self.weight_decay),
                context=context,
                chance=losses.chance_loss(codes, len(classes), self.label_smoothing),
            )
        weights = classifier.changed(source, encoder)
        settings = {
            "classes": list(classes),
            "backbone": source.ref.as_json(),
            "training": record.as_json() if record else None,
        }
        tensors = {_NETWORK + name: value for name, value in weights.items()} | network.head_for_unit_vectors()
        return classifier.FineTuned(task, source.adapted(weights), self.label_smoothing, State(settings, tensors))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier

        source = classifier.trainable(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        weights = {
            name.removeprefix(_NETWORK): value for name, value in state.tensors.items() if name.startswith(_NETWORK)
        }
        return classifier.FineTuned(task, source.adapted(weights), self.label_smoothing, state)
