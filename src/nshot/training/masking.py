"""Masked language modelling: some tokens of a text are hidden, and the network guesses them.

Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3.1 and appendix A.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nshot.core import Vocabulary
from nshot.training.batching import Batch
from nshot.training.losses import Loss

_SHARE = 0.15
"""The share of the tokens that is to be guessed."""
_MASKED = 0.8
"""Of these, the share that is replaced by the mask; half of the others by any token, and half stay."""
_PLACES = "places"


class TokenNetwork(Protocol):
    """A network that hands out the vectors of tokens."""

    def hidden(self, **inputs: Tensor) -> Tensor:
        """Return the vectors of all tokens that are no padding, shape (tokens, hidden)."""

    def word_table(self) -> Tensor:
        """Return the vectors of the vocabulary, shape (vocabulary, width)."""


class Guesser(nn.Module):
    """An encoder with what it takes to guess hidden tokens: a layer, and the table of word vectors once more.

    The layer starts as one that changes nothing but the length, so that the first gradients are about the vectors as
    they are.
    """

    def __init__(self, encoder: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        """Put the layer on `encoder`, which has the functions of `TokenNetwork`; `inputs` is any batch of it."""
        super().__init__()
        self.encoder = encoder
        vocabulary, width = self._tokens().word_table().shape
        with torch.no_grad():
            hidden = self._tokens().hidden(**inputs).shape[-1]
        with torch.random.fork_rng(devices=[]):
            self.layer = nn.Linear(hidden, width)
        self.normalise = nn.LayerNorm(width)
        self.offsets = nn.Parameter(torch.zeros(vocabulary))
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, places: Tensor, **inputs: Tensor) -> Tensor:
        """Return the scores of all tokens of the vocabulary at some places, shape (places, vocabulary).

        Args:
            places: Which tokens of the batch, counted over all of its texts, shape (places,).
            inputs: Of the encoder.
        """
        tokens = self._tokens()
        vectors = self.normalise(self.layer(tokens.hidden(**inputs)[places]))
        return functional.linear(vectors, tokens.word_table(), self.offsets)

    def added(self) -> list[nn.Parameter]:
        """Return the parameters that the encoder does not have."""
        return [*self.layer.parameters(), *self.normalise.parameters(), self.offsets]

    def _tokens(self) -> TokenNetwork:
        return cast("TokenNetwork", self.encoder)


def masked_batches(
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]], prepared: Sequence[Sequence[int]], vocabulary: Vocabulary
) -> Callable[[Sequence[int]], Batch]:
    """Return the function that hides tokens of some texts and builds the batch; what it hides is drawn every time.

    Args:
        collate: `Trains.collate` of the backbone.
        prepared: The token ids of n texts; each has a token that is not special.
        vocabulary: Of the backbone.
    """
    special = torch.tensor(sorted(vocabulary.special))

    def build(positions: Sequence[int]) -> Batch:
        # The shortest first: so the order of the tokens is the same whether the network packs or pads.
        texts = [torch.as_tensor(prepared[at]) for at in sorted(positions, key=lambda at: len(prepared[at]))]
        tokens = torch.cat(texts)
        lengths = [len(text) for text in texts]
        free = ~torch.isin(tokens, special)
        # The token with the lowest draw of its text is always hidden: a text without one would teach nothing.
        draws = torch.where(free, torch.rand(len(tokens)), 2.0)
        hidden = torch.cat([(part < _SHARE) | (part == part.min()) for part in torch.split(draws, lengths)]) & free
        places = hidden.nonzero().squeeze(1)
        fate = torch.rand(len(places))
        anything = torch.randint(vocabulary.size, (len(places),))
        shown = torch.where(fate < _MASKED, vocabulary.mask, tokens[places])
        shown = torch.where(fate >= (1 + _MASKED) / 2, anything, shown)
        seen = tokens.scatter(0, places, shown)
        inputs = dict(collate([part.tolist() for part in torch.split(seen, lengths)]))
        return Batch({**inputs, _PLACES: places}, tokens[places], len(places))

    return build


def guesses() -> Loss:
    """Return the cross-entropy of a `Guesser`, summed over the hidden tokens."""

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        if batch.targets is None:
            raise ValueError("this loss needs targets")
        return functional.cross_entropy(network(**batch.inputs).float(), batch.targets, reduction="sum")

    return loss
