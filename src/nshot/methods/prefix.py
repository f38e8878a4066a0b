"""Trained keys and values before the text, in every layer of a frozen network."""

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
    OptionError,
    Predictor,
    Prefixes,
    PrefixShape,
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
    from nshot.training.loop import Group


_SPREAD = 0.1
"""Standard deviation of the entries that a prefix starts from."""


class Prefix(TrainingOptions, Method):
    """Train keys and values that stand before every text in every layer, and a linear head, on the labels.

    **Idea.** In each layer attention reads ``[P_K; K]`` and ``[P_V; V]`` in place of K and V; only P_K and P_V, of
    shape (length, hidden) each, and the head are trained. The text comes behind the prefix: its first position is
    `length`. The prefix stays in place when the model answers, and makes it a little slower.

    **Needs** a backbone with the architecture of BERT that embeds and trains, and one label. Does not read label names.
    Chooses nothing: the number of passes follows from the number of labels.

    **Wins** where one frozen network in memory serves many tasks. **Loses** elsewhere to LoRA and IA3, which cost
    nothing once they are multiplied into the network.

    **Source.** Li and Liang 2021, https://arxiv.org/abs/2101.00190, without its reparametrisation.

    **Example.** ``nshot fit tickets.csv --method prefix --set length=20 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    length: int = Field(default=10, ge=1)
    """Keys and values in the prefix of a layer."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """The highest learning rate of prefix and head."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the prefix and the head."""

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this method cannot do `task` with `backbone`; see `Method.supports`."""
        reason = super().supports(task, backbone)
        if reason is not None or backbone is None:
            return reason
        if isinstance(backbone, Prefixes) and backbone.prefix_shape is not None:
            return None
        return (
            f"{self.method_name()} needs a backbone with the architecture of BERT; {backbone.ref.name} has another. "
            "Use lora or ia3."
        )

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained classifier; see `Method.fit`.

        Raises:
            OptionError: The prefix is longer than the network has positions.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import adapters, classifier, supervised

        source = classifier.trainable(backbone)
        taking, shape = _taking_a_prefix(backbone)
        if self.length > shape.longest:
            raise OptionError(
                f"A prefix of length {self.length} was asked for, and {source.ref.name} has positions for "
                f"{shape.longest} besides a text. Set length to {shape.longest} or less."
            )
        generator = np.random.default_rng(context.seed)
        drawn = generator.normal(0.0, _SPREAD, (self.length, shape.layers * 2 * shape.hidden)).astype(np.float32)

        def build(start: Logistic) -> tuple[Classifier, list[Group]]:
            encoder = taking.prefixed_module(drawn)
            classifier.set_dropout(encoder, self.dropout)
            return supervised.with_head(encoder, start)

        labelled = supervised.Labelled.of(task, train, source)
        trained = supervised.fit(labelled, build, self, self.learning_rate, context)
        (prefix,) = (each for each in trained.network.encoder.parameters() if each.requires_grad)
        config, tensors = adapters.prefix_state(prefix.detach().cpu().numpy().copy(), shape)
        return self._predictor(task, taking, trained.state(source.ref, tensors, adapter=config))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        backbone = open_backbone(BackboneRef.from_json(state.settings["backbone"]))
        return self._predictor(task, _taking_a_prefix(backbone)[0], state)

    def _predictor(self, task: Task, taking: Prefixes, state: State) -> Predictor:
        from nshot.training import adapters, classifier

        encoder = taking.prefixed(state.tensors[adapters.PREFIX])
        return classifier.FineTuned(task, encoder, self.label_smoothing, state)


def _taking_a_prefix(backbone: Backbone | None) -> tuple[Prefixes, PrefixShape]:
    if backbone is None or not isinstance(backbone, Prefixes) or backbone.prefix_shape is None:
        raise UnsupportedError("prefix needs a backbone with the architecture of BERT. Use lora or ia3.")
    return backbone, backbone.prefix_shape
