"""The network read on in the texts of its domain, then another method on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Family,
    FitContext,
    Needs,
    Predictor,
    ReadsTokens,
    State,
    Task,
    TaskKind,
    TrainsToWrite,
    UnsupportedError,
)
from nshot.spec import Method
from nshot.training.options import LoopOptions
from nshot.training.wrapping import Options, following, with_pool

if TYPE_CHECKING:
    import numpy as np

    from nshot.training.batching import Schedule
    from nshot.training.loop import TrainingRecord

_TRAINS = frozenset({Ability.TRAINS})
_BOTH = frozenset({Ability.EMBEDS, Ability.TRAINS})
_ENCODER_RATE = 1e-4
_BLOCK = 1_024
"""The most tokens of a block where nobody says how many a decoder takes in."""


class ContinuedPretraining(LoopOptions, Method):
    """Train the network further on the unlabelled texts, then fit another method with it.

    **Idea.** ``causal``, for a decoder: every token is predicted from those before it. ``masked``, for an encoder: 15 %
    of the tokens are hidden, and the network guesses them through its own table of word vectors. ``twins``: every text
    passes through the network twice with other activations dropped, and of all vectors in the step its twin is to be
    the nearest (cross-entropy over cosines divided by `temperature`). The weights of an encoder are then drawn most of
    the way back to the pre-trained ones (`keep`), and `then` is fitted with the network as if it had come so.

    **Needs** a backbone that trains (and for ``masked`` one whose tokenizer can hide a token), unlabelled examples, and
    what the other method needs.

    **Wins** where the texts are of another kind than those that the network knows: on TREC's questions 2 to 6 points
    for the probe at 8 labels per class. **Loses** time where the network was made for such texts: on Banking77 it
    gained nothing certain, and read too long or with too high a rate it cost up to 5 points. ``twins`` lost wherever it
    was tried, with a network that had learnt to tell sentences apart already.

    **Source.** Gururangan et al. 2020, https://arxiv.org/abs/2004.10964; twins: Gao et al. 2021,
    https://arxiv.org/abs/2104.08821, section 3; masked: Devlin et al. 2019, https://arxiv.org/abs/1810.04805.

    **Example.** ``nshot fit tickets.csv --method continued_pretraining --set then=full_finetune --out model``
    """

    needs: ClassVar[Needs] = following(
        Needs(tasks=frozenset({TaskKind.CLASSIFY}), abilities=_BOTH, pool=True),
        lambda method: replace(
            with_pool(method.inner.needs), abilities=_TRAINS | (method.inner.needs.abilities or _BOTH)
        ),
    )
    family: ClassVar[Family] = following(Family.FEW_SHOT, lambda method: method.inner.family)
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    by_default: ClassVar[bool] = False

    then: str = "linear_probe"
    """The method that is fitted with the network afterwards."""
    then_options: Options = Field(default={})
    """Its options, such as {"strength": 4}."""
    objective: Literal["causal", "masked", "twins"] | None = None
    """What the network learns from the texts; left out: causal for a decoder, masked for an encoder."""
    learning_rate: float | None = Field(default=None, gt=0)
    """The highest learning rate of the network's weights; left out: 1e-4, of a decoder from its size, as in sft."""
    temperature: float = Field(default=0.05, gt=0)
    """What cosines are divided by for twins."""
    steps: int = Field(default=100, ge=1)
    """The most steps."""
    epochs: float | None = Field(default=3.0, gt=0)
    """The most passes over the unlabelled texts; none: as many as the steps make."""
    batch_size: int = Field(default=64, ge=2)
    """Examples in a step."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """The share of activations dropped while training: what makes twins differ."""
    keep: float = Field(default=0.7, ge=0, lt=1)
    """How far the final weights are drawn back to those that training started from; a decoder's only if asked for."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.inner
        return self

    @cached_property
    def inner(self) -> Method:
        """Return the method that is fitted afterwards."""
        from nshot.methods import build

        return build(self.then, self.then_options)

    def supports(self, task: Task, backbone: Backbone | None) -> str | None:
        """Return None, or the reason why this cannot be done; see `Method.supports`."""
        if self.inner.needs.abilities is None:
            return (
                f"continued_pretraining changes a backbone, and {self.then} uses none. Name another method to follow."
            )
        reason = super().supports(task, backbone) or self.inner.supports(task, backbone)
        if reason or backbone is None:
            return reason
        found: object = backbone
        objective = self._objective(backbone)
        if (objective == "causal") != isinstance(found, TrainsToWrite):
            other = "masked or twins" if objective == "causal" else "causal"
            return f"{backbone.ref.name} cannot learn with objective={objective}. Use objective={other}."
        if objective != "masked" or (isinstance(found, ReadsTokens) and found.vocabulary() is not None):
            return None
        return f"{backbone.ref.name} has no token that stands for a hidden one. Use objective=twins."

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network at most."""
        views = 2 if self.objective == "twins" else 1
        return self.steps * self.batch_size * views + self.inner.planned_examples(n_labels)

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the predictor of the other method; see `Method.fit`.

        Raises:
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import encoders
        from nshot.training.pool import distinct
        from nshot.training.wrapping import around, examples_seen, wrapped

        if backbone is None:
            raise UnsupportedError("continued_pretraining changes a backbone; none was given.")
        texts = distinct(pool)
        found: object = backbone
        if isinstance(found, TrainsToWrite):
            weights, record = self._read_on_as_decoder(backbone, texts, context)
        else:
            weights, record = self._read_on(backbone, texts, context)
        predictor = self.inner.fit(task, train, pool, _adapted(backbone, weights), context)
        inner = predictor.state()
        pretraining = record.as_json() if record else None
        training: dict[str, Any] | None = inner.settings.get("training") or pretraining
        seen = examples_seen(predictor) + (record.examples_seen if record else 0)
        settings = {
            "backbone": backbone.ref.as_json(),
            "texts": len(texts),
            "pretraining": pretraining,
            "training": {**training, "examples_seen": seen} if training else None,
        }
        return wrapped(predictor, around(inner, settings, encoders.as_tensors(weights)))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved predictor; see `Method.restore`."""
        from nshot.training import encoders
        from nshot.training.wrapping import within, wrapped

        source = open_backbone(BackboneRef.from_json(state.settings["backbone"]))
        adapted = _adapted(source, encoders.of_tensors(state.tensors))

        def opened(ref: BackboneRef) -> Backbone:
            return adapted if ref.id == source.ref.id else open_backbone(ref)

        return wrapped(self.inner.restore(task, within(state), opened), state)

    def _objective(self, backbone: Backbone) -> str:
        found: object = backbone
        return self.objective or ("causal" if isinstance(found, TrainsToWrite) else "masked")

    def _steps(self, n: int) -> Schedule:
        """Return the steps for n texts."""
        from nshot.training.batching import Schedule

        size = min(self.batch_size, n)
        passes = self.steps if self.epochs is None else -(-int(self.epochs * n) // size)
        return Schedule(size, max(1, min(self.steps, passes)))

    def _read_on(
        self, backbone: Backbone, texts: Dataset, context: FitContext
    ) -> tuple[dict[str, np.ndarray], TrainingRecord | None]:
        """Return the weights that have changed, and how the training went; None where there was nothing to read."""
        from nshot.training import classifier, encoders, reading_on

        source, masked = classifier.trainable(backbone), self._objective(backbone) == "masked"
        prepared = reading_on.readable(source, texts, masked=masked)
        if len(prepared) < 2:
            return {}, None
        network = source.module()
        classifier.set_dropout(network, self.dropout)
        trained = classifier.without_tables(network)
        plan = self._steps(len(prepared))
        kind = (
            reading_on.masked(source, network, prepared, plan, context.seed)
            if masked
            else reading_on.twins(source, network, prepared, plan, context.seed, self.temperature)
        )
        record = encoders.train(
            kind.network,
            kind.steps,
            encoder=trained,
            besides=kind.besides,
            batch=kind.batch,
            loss=kind.loss,
            learning_rate=self.learning_rate or _ENCODER_RATE,
            options=self,
            context=context,
        )
        return classifier.changed(source, network), record

    def _read_on_as_decoder(
        self, backbone: Backbone, texts: Dataset, context: FitContext
    ) -> tuple[dict[str, np.ndarray], TrainingRecord | None]:
        """Return the weights of a decoder, and how the training went; None where there was nothing to read."""
        from nshot.training import classifier, decoders, sft
        from nshot.training.prompting import one_text

        source = decoders.trainable(backbone)
        whole = source.plain_texts([one_text(example) for example in texts.examples])
        blocks = [text for text in decoders.in_blocks(whole, source.longest or _BLOCK) if len(text) > 1]
        if not blocks:
            return {}, None
        module = source.causal_module()
        classifier.set_dropout(module, self.dropout)
        record = decoders.train(
            module,
            blocks,
            plan=self._steps(len(blocks)),
            learning_rate=self.learning_rate or sft.usual_rate(decoders.n_weights(module)),
            options=self if "keep" in self.model_fields_set else self.model_copy(update={"keep": 0.0}),
            checkpointing=False,
            chance=decoders.untouched_loss(module, blocks),
            context=context,
        )
        return decoders.weights_of(module), record


def _adapted(backbone: Backbone, weights: Mapping[str, np.ndarray]) -> Backbone:
    """Return the backbone with these weights; itself where there are none."""
    found: object = backbone
    if not weights:
        return backbone
    if isinstance(found, TrainsToWrite):
        return found.rewritten(weights)
    from nshot.training import classifier, encoders

    return encoders.adapted(classifier.trainable(backbone), weights)
