"""Entities by an encoder that is trained together with a head on its words: token classification on the one loop.

As in Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 5.3, but for a word's vector, which is the mean over
its tokens. A text longer than the network takes in is trained on and read in windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nshot.core import Backbone, BackboneRef, Dataset, Example, FitContext, Prediction, State, Task, TaskKind, Trains
from nshot.training import batching, logistic, losses
from nshot.training.averaging import drawn_back
from nshot.training.batching import Batch
from nshot.training.entities.head import TaggedWords
from nshot.training.entities.tags import Tags, answered
from nshot.training.entities.vectors import SHAPE_SIZE, TokenEncoder, token_encoder, tokens_of, word_vectors
from nshot.training.entities.words import Cut, cut_of, sentences, shapes
from nshot.training.loop import Group, train
from nshot.training.options import TrainingOptions
from nshot.training.rowwise import normalised, products

if TYPE_CHECKING:
    from nshot.training.classifier import Classifier
    from nshot.training.rowwise import Array

_START_STRENGTH = 0.1
"""C of the head that training starts from; see `goals.Goal.start`."""

Build = Callable[[logistic.Logistic], "tuple[Classifier, Sequence[Group]]"]
"""A fresh network with this head on it, and what of it is trained."""


class TokenNetwork(Protocol):
    """A network that hands out the vectors of tokens."""

    def hidden(self, **inputs: Tensor) -> Tensor:
        """Return the vectors of all tokens that are no padding, shape (tokens, hidden)."""


class WordReader(nn.Module):
    """An encoder that answers with the vectors of words, as `vectors.word_vectors` makes them."""

    def __init__(self, encoder: nn.Module) -> None:
        """Read the words of `encoder`, which has the function of `TokenNetwork`."""
        super().__init__()
        self.encoder = encoder

    def forward(self, places: Tensor, sizes: Tensor, marks: Tensor, **inputs: Tensor) -> Tensor:
        """Return a vector for each word, shape (words, width).

        Args:
            places: The tokens of all words, counted over all texts of the batch, word by word, shape (places,).
            sizes: How many each word has, shape (words,).
            marks: How the words are written, shape (words, 30).
            inputs: Of the encoder.
        """
        tokens = cast("TokenNetwork", self.encoder).hidden(**inputs)[places].float()
        vectors = torch.segment_reduce(tokens, "mean", lengths=sizes)
        return torch.cat([functional.normalize(vectors, dim=-1), marks], dim=-1)


class TrainableTokens(TokenEncoder, Trains, Protocol):
    """A backbone that embeds tokens and trains."""


def reader(task: Task, encoder: nn.Module) -> nn.Module:
    """Return what a head is put on: the encoder itself, or what reads its words where entities are looked for."""
    return WordReader(encoder) if task.kind is TaskKind.EXTRACT else encoder


@dataclass(frozen=True)
class _Item:
    """A window of a training text.

    Attributes:
        ids: Its tokens.
        tokens: The tokens of the words that it has, word by word, int64.
        sizes: How many tokens each word has, int64, shape (words,).
        marks: How these words are written, float32, shape (words, 30).
        codes: Their tags, int64, shape (words,).
    """

    ids: tuple[int, ...]
    tokens: Array
    sizes: Array
    marks: Array
    codes: Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TunedTagger:
    """A trained encoder with a head on its words.

    Attributes:
        encoder: With the trained weights.
        saved: Its state: settings with ``labels``, ``cut`` and ``backbone``, tensors with ``head.weight`` and
            ``head.bias``.
    """

    encoder: TokenEncoder
    saved: State

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the entities of each text."""
        settings, tensors = self.saved.settings, self.saved.tensors
        own = sentences(examples, Cut(settings["cut"]))
        vectors = normalised(word_vectors(self.encoder, own))
        scores = products(vectors, tensors["head.weight"], tensors["head.bias"])
        return Prediction(spans=answered(Tags(tuple(settings["labels"])), own, scores))

    def state(self) -> State:
        """Return what was trained."""
        return self.saved


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        tags: What its head says.
        cut: Where texts are cut into words.
        network: In evaluation mode.
        training: Json-able: how the training went, None where there was nothing to train.
    """

    tags: Tags
    cut: Cut
    network: Classifier
    training: dict[str, Any] | None

    @property
    def encoder(self) -> nn.Module:
        """Return the encoder alone."""
        return cast("WordReader", self.network.encoder).encoder

    def predictor(
        self, ref: BackboneRef, encoder: object, tensors: Mapping[str, np.ndarray], **more: Any
    ) -> TunedTagger:
        """Return what answers.

        Args:
            ref: Of the backbone that was trained.
            encoder: It, with the trained weights.
            tensors: What of it has changed; the head is added.
            more: Further settings, json-able.
        """
        settings = {
            "labels": list(self.tags.labels),
            "cut": self.cut,
            "backbone": ref.as_json(),
            **more,
            "training": self.training,
        }
        state = State(settings, {**tensors, **self.network.head_for_unit_vectors()})
        return TunedTagger(token_encoder(cast("Backbone", encoder)), state)


def fit(
    data: Dataset, source: object, build: Build, options: TrainingOptions, learning_rate: float, context: FitContext
) -> Trained:
    """Return the network of `build` trained on the entities of `data`.

    Raises:
        TrainingError: The training diverged.
        UnsupportedError: The backbone has no vectors of words.
    """
    encoder = cast("TrainableTokens", token_encoder(cast("Backbone", source)))
    cut = cut_of(data.examples, data.labelled_targets())
    own = sentences(data.examples, cut)
    words = TaggedWords.of(data, own, word_vectors(encoder, own))
    codes, tags = words.codes, words.tags
    if len(codes):
        start = logistic.fit(normalised(words.features), codes, len(tags), strength=_START_STRENGTH)
    else:
        start = logistic.Logistic(np.zeros((len(tags), words.features.shape[1])), np.zeros(len(tags)), _START_STRENGTH)
    network, groups = build(start)
    items = _items(encoder, words)
    if len(np.unique(codes)) < 2:
        return Trained(tags, cut, network, None)
    plan = batching.schedule(len(items), epochs=options.epochs, batch_size=options.batch_size)
    with drawn_back([parameter for group in groups for parameter in group.parameters], options.keep):
        record = train(
            network,
            plan.plan([len(item) for item in items], context.seed),
            groups=groups,
            batch=_batches(encoder.collate, items),
            loss=losses.cross_entropy(options.label_smoothing),
            settings=options.settings(learning_rate),
            context=context,
            chance=losses.chance_loss(codes, len(tags), options.label_smoothing),
        )
    return Trained(tags, cut, network, record.as_json())


def restored(source: object, state: State) -> TunedTagger:
    """Return the predictor whose `state` was saved, given its encoder with the trained weights."""
    return TunedTagger(token_encoder(cast("Backbone", source)), state)


def _items(encoder: TokenEncoder, words: TaggedWords) -> list[_Item]:
    """Return the windows of the training texts that have a word."""
    codes = words.codes
    items, row = [], 0
    for sentence, windows in zip(
        words.sentences, encoder.token_windows([sentence.text for sentence in words.sentences]), strict=True
    ):
        found = tokens_of(windows, sentence)
        marks = shapes(sentence.words) * np.float32(SHAPE_SIZE)
        own = codes[row : row + len(found)]
        row += len(found)
        for at, window in enumerate(windows):
            inside = (found[:, 0] == at) & (found[:, 2] > found[:, 1])
            if inside.any():
                first, stop = found[inside, 1], found[inside, 2]
                tokens = np.concatenate([np.arange(*ends) for ends in zip(first, stop, strict=True)])
                items.append(_Item(window.ids, tokens, stop - first, marks[inside], own[inside]))
    return items


def _batches(
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]], items: Sequence[_Item]
) -> Callable[[Sequence[int]], Batch]:
    """Return the function that builds a batch of some windows."""

    def build(positions: Sequence[int]) -> Batch:
        # The shortest first: so the order of the tokens is the same whether the network packs or pads.
        chosen = sorted((items[at] for at in positions), key=len)
        before = np.cumsum([0, *(len(item) for item in chosen[:-1])])
        places = np.concatenate([item.tokens + start for item, start in zip(chosen, before, strict=True)])
        codes = torch.from_numpy(np.concatenate([item.codes for item in chosen]))
        inputs = {
            **collate([list(item.ids) for item in chosen]),
            "places": torch.from_numpy(places),
            "sizes": torch.from_numpy(np.concatenate([item.sizes for item in chosen])),
            "marks": torch.from_numpy(np.concatenate([item.marks for item in chosen])),
        }
        return Batch(inputs, codes, len(codes))

    return build
