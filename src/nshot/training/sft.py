"""Fine-tuning a decoder on answers: what the methods have in common that differ in which weights are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nshot.core import (
    Ability,
    Dataset,
    FitContext,
    Needs,
    State,
    Task,
    TaskKind,
    as_conversation,
)
from nshot.training.options import LoopOptions
from nshot.training.writing import ModelWriter, WritingOptions, instructed, longest_answer

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from nshot.training.batching import Schedule
    from nshot.training.decoders import Texts, TrainableDecoder
    from nshot.training.loop import TrainingRecord

NEEDS = Needs(
    tasks=frozenset({TaskKind.GENERATE}),
    abilities=frozenset({Ability.GENERATES, Ability.TRAINS}),
    modalities=frozenset({"text", "conversation"}),
)
_EPOCHS_AT_64 = 10.0
_RATE_AT_A_BILLION = 3e-5
_RATE_FALLS = 0.55
"""The rate falls with this power of the number of weights."""
_ADAPTERS = 10
_HIGHEST_RATE = 3e-3


class SftOptions(LoopOptions, WritingOptions):
    """How a decoder is trained on answers; a method adds what of it is trained, and how fast."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of activations dropped while training, where the network has layers that drop: GPT-2; not Llama."""
    max_length: int | None = Field(default=None, ge=2)
    """The most tokens of an example with its answer; longer ones are left out. Left out: what the model can read."""
    every_answer: bool = False
    """In conversations of several turns, learn the earlier answers of the assistant too."""
    gradient_checkpointing: bool = False
    """Compute activations again on the way back instead of keeping them: a third slower, in much less memory."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        return schedule(self, n_labels).examples


def schedule(options: LoopOptions, n: int) -> Schedule:
    """Return the steps of a fine-tuning on n texts: fewer passes the more there are (10 at 64, 3.5 at 4,299)."""
    from nshot.training import batching

    return batching.schedule(n, epochs=options.epochs, batch_size=options.batch_size, epochs_at_64=_EPOCHS_AT_64)


def usual_rate(weights: int, *, adapters: bool = False) -> float:
    """Return the highest learning rate that suits a network of this size.

    Args:
        weights: Of the whole network.
        adapters: Whether low-rank adapters are trained: ten times the rate.
    """
    rate: float = _RATE_AT_A_BILLION * (1e9 / weights) ** _RATE_FALLS
    return min(_HIGHEST_RATE, rate * (_ADAPTERS if adapters else 1))


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went.

    Attributes:
        texts: What was trained on.
        record: Of the loop.
        longest_answer: Tokens of the longest answer.
    """

    texts: Texts
    record: TrainingRecord
    longest_answer: int | None

    def settings(self, source: TrainableDecoder, seed: int) -> dict[str, Any]:
        """Return what is saved besides weights, json-able.

        Args:
            source: The backbone that was trained.
            seed: Of the fit.
        """
        return {
            "backbone": source.ref.as_json(),
            "longest_answer": self.longest_answer,
            "seed": seed,
            "data": self.texts.as_json(),
            "training": self.record.as_json(),
        }


def fit(
    options: SftOptions,
    train: Dataset,
    texts: Texts,
    source: TrainableDecoder,
    module: nn.Module,
    learning_rate: float,
    context: FitContext,
) -> Tuned:
    """Train what of `module` wants a gradient, in place.

    Args:
        options: How.
        train: n examples with answers.
        texts: The same, from `learnable`.
        source: The backbone that `module` is of.
        module: ``source.causal_module()``, perhaps with adapters in it.
        learning_rate: The highest rate.
        context: Seed, device and so on.

    Raises:
        TrainingError: The training diverged.
    """
    from nshot.training import decoders

    record = decoders.train(
        module,
        texts.kept,
        plan=schedule(options, len(texts.kept)),
        learning_rate=learning_rate,
        options=options,
        checkpointing=options.gradient_checkpointing,
        chance=decoders.untouched_loss(module, texts.kept),
        context=context,
    )
    return Tuned(texts, record, longest_answer(source, train))


def learnable(options: SftOptions, task: Task, train: Dataset, source: TrainableDecoder) -> Texts:
    """Return the examples with their first answers as `source` trains on them.

    Args:
        options: How long a text may be, and which answers are learnt.
        task: Its instruction stands before every example, as it does when answers are written.
        train: n examples with answers.
        source: Prepares them.

    Raises:
        DataError: No example is short enough.
    """
    from nshot.training import decoders

    asked = instructed(task)
    told = [as_conversation(example, asked) for example in train.examples]
    answers = [target[0] for target in train.labelled_targets()]
    tokenised = source.conversations(told, answers, every_answer=options.every_answer)
    return decoders.within(tokenised, source.longest if options.max_length is None else options.max_length)


def writer(
    options: SftOptions, task: Task, source: TrainableDecoder, weights: Mapping[str, np.ndarray], state: State
) -> ModelWriter:
    """Return the predictor of a fine-tuned decoder.

    Args:
        options: Those that it was fitted with.
        task: Its instruction stands before every example.
        source: The backbone that was trained.
        weights: What of it has changed.
        state: Holds the settings of `Tuned`.
    """
    from nshot.training import decoders

    decoding = options.decoding(state.settings["seed"], state.settings["longest_answer"])
    return ModelWriter(decoders.rewritten(source, weights), decoding, state, instructed(task))
