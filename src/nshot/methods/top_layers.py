"""The upper layers of the network, trained on the labels; what the others make of the examples is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    Split,
    Splits,
    State,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.spec import Method
from nshot.training.options import TrainingOptions

if TYPE_CHECKING:
    from nshot.training.classifier import Classifier
    from nshot.training.logistic import Logistic


class TopLayers(TrainingOptions, Method):
    """Train the last layers of the network and a linear head on the labels.

    **Idea.** With the layers cut into ``f = g h``, minimise the cross-entropy of ``softmax(W f(x) / |f(x)| + b)`` over
    W, b and the weights of g only. ``h(x)``, one vector per token, is computed once per example and read in every
    epoch, so that an epoch costs what g costs. Dense layers behind the pooling are trained too.

    **Needs** a backbone that embeds, trains and can be cut between its layers, one label, and 2 bytes per token and
    entry (4 without bf16): where they would fill a quarter of the memory, they go into a temporary file. Does not read
    label names. Chooses nothing.

    **Wins** with some hundreds of labels: a third of the cost of full fine-tuning and, because less of the network can
    overfit, often more accurate. **Loses** to it where there are many labels, or the lower layers miss what is asked.

    **Source.** Lee et al. 2019, https://arxiv.org/abs/1911.03090.

    **Example.** ``nshot fit tickets.csv --method top_layers --set layers=3 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 0.3

    layers: int = Field(default=2, ge=1)
    """How many layers are trained, counted from the last."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest learning rate of the network's weights."""
    head_rate: float = Field(default=10.0, gt=0)
    """The learning rate of the head, as a multiple of `learning_rate`."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; see `Method.supports`."""
        reason = super().supports(task, backbone)
        if reason is None and backbone is not None and not isinstance(backbone, Splits):
            return (
                f"{self.method_name()} needs a backbone that can be cut between its layers; {backbone.ref.name} cannot."
            )
        return reason

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            OptionError: The network has fewer layers.
            UnsupportedError: The layers of this network cannot be run without those below them.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import activations, classifier, supervised
        from nshot.training.loop import Group

        source = classifier.trainable(backbone)
        split = self._split(backbone)

        def build(start: Logistic) -> tuple[Classifier, list[Group]]:
            network = classifier.Classifier(split.upper(), start)
            classifier.set_dropout(network, self.dropout)
            upper = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
            return network, [Group(upper), Group(list(network.head.parameters()), rate=self.head_rate)]

        rows = supervised.Labelled.of(task, train, source, pool=pool)
        n = len(rows.prepared)
        with activations.kept(split, [*rows.prepared, *rows.unseen], context) as states:
            labelled = replace(rows, prepared=states[:n], unseen=states[n:], collate=split.collate)
            trained = supervised.fit(labelled, build, self, self.learning_rate, context)
        return supervised.fine_tuned(task, source, trained, self.label_smoothing)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import supervised

        return supervised.restored(task, state, open_backbone, self.label_smoothing)

    def _split(self, backbone: Backbone | None) -> Split:
        if backbone is None or not isinstance(backbone, Splits):
            raise UnsupportedError(f"{self.method_name()} needs a backbone that can be cut between its layers.")
        if self.layers > backbone.depth:
            raise OptionError(
                f"top_layers was to train the last {self.layers} layers, and this backbone has {backbone.depth}. "
                f"Set layers to {backbone.depth} or fewer."
            )
        return backbone.split(self.layers)
