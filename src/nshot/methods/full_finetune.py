"""All weights of the network, trained on the labels."""

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
    OptionError,
    Predictor,
    Shortens,
    State,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.spec import Method
from nshot.training.options import TrainingOptions

if TYPE_CHECKING:
    from nshot.training.classifier import Classifier, TrainableEncoder
    from nshot.training.logistic import Logistic
    from nshot.training.rowwise import Array


class FullFinetune(TrainingOptions, Method):
    """Train the whole network and a linear head on the labels.

    **Idea.** Minimise the cross-entropy of ``softmax(W f(x) / |f(x)| + b)``, or of a number the squared error of
    ``w f(x) / |f(x)| + b``, over W, b and the weights of f, with AdamW, a short warm-up and a cosine down to zero. The
    head starts as a strongly regularised probe. The table of word vectors stays as it is, unless `train_embeddings`:
    most of its rows never occur in the training texts. Lower layers learn more slowly (`layer_decay`): they hold what
    is common to all texts. With `layers`, only the first so many layers are kept: the upper ones can be left out with
    the least loss (Sajjad et al. 2020), and half of them take half the time. Of several labels the cross-entropies of
    their sigmoids are summed, and each is given from the probability on that as many of the unlabelled examples reach
    as have it. A small network that is trained so on a
    large one's answers is what `nshot distill` is for.

    **Needs** a backbone that embeds and trains, and one label. Does not read label names. Chooses nothing: the number
    of passes follows from the number of labels.

    **Wins** from some ten labels per class where the classes cut through what the features separate (question types,
    sentiment), and with many labels everywhere. **Loses** with few labels, at hundreds of times the cost of a probe.

    **Source.** Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 4.1; Loshchilov and Hutter 2019,
    https://arxiv.org/abs/1711.05101; Sajjad et al. 2020, https://arxiv.org/abs/2004.03844.

    **Example.** ``nshot fit tickets.csv --method full_finetune --set epochs=5 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS, TaskKind.EXTRACT}),
        abilities=frozenset({Ability.EMBEDS, Ability.TRAINS}),
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest learning rate of the network's weights."""
    head_rate: float = Field(default=20.0, gt=0)
    """The learning rate of the head, as a multiple of `learning_rate`."""
    layer_decay: float = Field(default=0.6, gt=0, le=1)
    """Factor on the learning rate from each layer to the one below it."""
    train_embeddings: bool = False
    """Also train the tables of word, position and segment vectors."""
    layers: int | None = Field(default=None, ge=1)
    """Keep only the first so many layers of the network; left out: all."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; see `Method.supports`."""
        from nshot.training.entities.support import not_trainable

        reason = super().supports(task, backbone) or not_trainable(
            self.method_name(), task, backbone, early_stopping=self.early_stopping
        )
        if reason is None and self.layers is not None and backbone is not None and not isinstance(backbone, Shortens):
            return f"{backbone.ref.name} cannot be cut to its first layers. Leave the option layers out."
        return reason

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            OptionError: The network has fewer layers than are to be kept.
            UnsupportedError: It cannot do without its other layers.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        return self._trained(task, train, pool, backbone, context)

    def distilled(
        self, task: Task, train: Dataset, probabilities: Array, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the classifier that answers like a teacher; see `Distils`.

        Raises:
            OptionError: As `fit`.
            UnsupportedError: As `fit`.
            TrainingError: As `fit`.
        """
        self.require(task, train, backbone)
        return self._trained(task, train, train.without_targets(), backbone, context, probabilities)

    def _trained(
        self,
        task: Task,
        train: Dataset,
        pool: Dataset,
        backbone: Backbone | None,
        context: FitContext,
        probabilities: Array | None = None,
    ) -> Predictor:
        from nshot.training import classifier, encoders, supervised
        from nshot.training.entities import tuned
        from nshot.training.loop import Group

        source = self._kept(backbone)

        def build(start: Logistic) -> tuple[Classifier, list[Group]]:
            network = classifier.Classifier(tuned.reader(task, source.module()), start)
            classifier.set_dropout(network, self.dropout)
            encoder = network.encoder
            trained = list(encoder.parameters()) if self.train_embeddings else classifier.without_tables(encoder)
            head = Group(list(network.head.parameters()), rate=self.head_rate)
            return network, [*supervised.layered(encoder, trained, self.layer_decay), head]

        if task.kind is TaskKind.EXTRACT:
            found = tuned.fit(train, source, build, self, self.learning_rate, context)
            weights = classifier.changed(source, found.encoder)
            return found.predictor(source.ref, source.adapted(weights), encoders.as_tensors(weights))
        labelled = supervised.Labelled.of(task, train, source, probabilities=probabilities, pool=pool)
        trained = supervised.fit(labelled, build, self, self.learning_rate, context)
        return supervised.fine_tuned(task, source, trained, self.label_smoothing)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier, encoders, supervised
        from nshot.training.entities import tuned

        if task.kind is TaskKind.EXTRACT:
            source = classifier.reopened(state, lambda ref: self._kept(open_backbone(ref)))
            return tuned.restored(source.adapted(encoders.of_tensors(state.tensors)), state)
        return supervised.restored(task, state, lambda ref: self._kept(open_backbone(ref)), self.label_smoothing)

    def _kept(self, backbone: Backbone | None) -> TrainableEncoder:
        from nshot.training import classifier

        if self.layers is None:
            return classifier.trainable(backbone)
        if backbone is None or not isinstance(backbone, Shortens):
            raise UnsupportedError("A backbone that can be cut to its first layers is needed. Leave layers out.")
        if self.layers > backbone.depth:
            raise OptionError(
                f"full_finetune was to keep the first {self.layers} layers, and this backbone has {backbone.depth}. "
                f"Set layers to {backbone.depth} or fewer, or leave it out."
            )
        return classifier.trainable(backbone.shortened(self.layers))
