"""What a network can learn from texts without labels: to tell a text from others, or to guess its hidden words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from nshot.core import Dataset, ReadsTokens, Trains, UnsupportedError, Vocabulary
from nshot.training import contrastive, masking
from nshot.training.batching import Batch, Schedule, Step
from nshot.training.loop import Group
from nshot.training.losses import Loss

_ADDED_RATE = 10.0
"""The learning rate of what is put on the encoder, as a multiple of the encoder's: it has everything to learn yet."""


@dataclass(frozen=True)
class Reading:
    """What the loop needs, besides the encoder, to let it read.

    Attributes:
        network: The encoder with whatever is put on it.
        steps: Which texts meet.
        batch: Builds the batch of some of them.
        loss: Sums over a batch.
        besides: What is trained besides the encoder.
    """

    network: nn.Module
    steps: Sequence[Step]
    batch: Callable[[Sequence[int]], Batch]
    loss: Loss
    besides: Group | None = None


def readable(source: Trains, texts: Dataset, *, masked: bool) -> Sequence[Any]:
    """Return the texts prepared for the network, without those that have nothing to hide where that is asked for."""
    prepared = source.tokenize(texts.examples)
    if not masked:
        return prepared
    special = _vocabulary(source).special
    return [item for item in prepared if not special.issuperset(item)]


def twins(
    source: Trains, network: nn.Module, prepared: Sequence[Any], plan: Schedule, seed: int, temperature: float
) -> Reading:
    """Return the reading in which a text is to be recognised though the network drops other activations each time.

    Source: Gao et al. 2021, https://arxiv.org/abs/2104.08821, equation 4, with all other vectors of the step as
    negatives (Chen et al. 2020, https://arxiv.org/abs/2002.05709, equation 1).

    Args:
        source: Builds the batches.
        network: The encoder, with dropout.
        prepared: The texts.
        plan: How many steps, and how large.
        seed: Decides which texts meet.
        temperature: What cosines are divided by.
    """
    compared = contrastive.compared_batches(source.collate, prepared, np.arange(len(prepared)))
    steps = _whole(plan, prepared, seed)
    doubled = [[[at for position in positions for at in (position, position)] for positions in step] for step in steps]
    return Reading(contrastive.InParts(network), doubled, compared, contrastive.attraction(temperature))


def masked(source: Trains, network: nn.Module, prepared: Sequence[Any], plan: Schedule, seed: int) -> Reading:
    """Return the reading in which hidden tokens are guessed; see `masking`.

    Args:
        source: Builds the batches, and has a vocabulary.
        network: The encoder.
        prepared: The texts, each with a token that can be hidden.
        plan: How many steps, and how large.
        seed: Decides which texts meet; what is hidden follows from the loop's random state.
    """
    guesser = masking.Guesser(network, source.collate(prepared[:1]))
    return Reading(
        guesser,
        plan.plan([len(item) for item in prepared], seed),
        masking.masked_batches(source.collate, prepared, _vocabulary(source)),
        masking.guesses(),
        Group(guesser.added(), _ADDED_RATE),
    )


def _whole(plan: Schedule, prepared: Sequence[Any], seed: int) -> list[list[list[int]]]:
    """Return the steps of a plan with no step cut: all of its texts are compared."""
    lengths = [len(item) for item in prepared]
    return [
        [sorted((at for part in step for at in part), key=lambda at: lengths[at])] for step in plan.plan(lengths, seed)
    ]


def _vocabulary(source: Trains) -> Vocabulary:
    found = source.vocabulary() if isinstance(source, ReadsTokens) else None
    if found is None:
        raise UnsupportedError("A backbone whose tokenizer can hide a token is needed.")
    return found
