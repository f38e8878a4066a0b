"""Factors on what flows through the layers of a frozen network."""

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


class Ia3(TrainingOptions, Method):
    """Train factors on keys, values and inner activations of the network, and a linear head, on the labels.

    **Idea.** Keys and values of attention become ``l * (W x + b)``, the input of the second layer of a feed-forward
    block becomes ``l * x``, entry by entry; only the vectors l, which start at 1, and the head are trained. Multiplied
    into W and b, they cost nothing afterwards.

    **Needs** a backbone that embeds and trains, and one label. Does not read label names. Chooses nothing: the number
    of passes follows from the number of labels.

    **Wins** with few labels, where so few numbers (some ten thousand) are hard to overfit, and where a model must be
    tiny. **Loses** to LoRA and full fine-tuning where the network has to move far: it can weaken and strengthen
    directions, not turn them.

    **Source.** Liu et al. 2022, https://arxiv.org/abs/2205.05638, section 3.3.

    **Example.** ``nshot fit tickets.csv --method ia3 --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.CLASSIFY, TaskKind.TAG}), abilities=frozenset({Ability.EMBEDS, Ability.TRAINS})
    )
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    target_modules: tuple[str, ...] = ("key", "value", "k_proj", "v_proj", "k_lin", "v_lin", "k", "v")
    """Last parts of the names of the layers that make keys and values; where there are none, every linear layer is
    scaled."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """The highest learning rate of factors and head."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay: draws factors to 0, not to the 1 that they start from."""

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
            classifier.set_dropout(bare, self.dropout)
            encoder = adapters.with_scales(bare, target_modules=self.target_modules)
            return supervised.with_head(encoder, start)

        labelled = supervised.Labelled.of(task, train, source, pool=pool)
        trained = supervised.fit(labelled, build, self, self.learning_rate, context)
        config, tensors = adapters.adapter_state(trained.network.encoder)
        return self._predictor(task, source, trained.state(source.ref, tensors, adapter=config))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved classifier; see `Method.restore`."""
        from nshot.training import classifier

        source = classifier.reopened(state, open_backbone)
        return self._predictor(task, source, state)

    def _predictor(self, task: Task, source: TrainableEncoder, state: State) -> Predictor:
        """Return the classifier with the factors multiplied into the network, so that none of them is seen again."""
        from nshot.training import adapters, classifier

        weights = adapters.rescaled(source.module().state_dict(), state.tensors)
        return classifier.FineTuned(task, source.adapted(weights), self.label_smoothing, state)
