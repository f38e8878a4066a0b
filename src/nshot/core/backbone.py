"""What a pre-trained model is to the rest of the house: a reference and the abilities it really has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nshot.core.dataset import Example

if TYPE_CHECKING:
    import numpy as np
    import torch


class Ability(StrEnum):
    """What a backbone instance can do; each has a protocol of the same name."""

    EMBEDS = "embeds"
    SCORES = "scores"
    GENERATES = "generates"
    TRAINS = "trains"


@dataclass(frozen=True)
class BackboneRef:
    """Which pre-trained model: enough to open exactly the same weights again.

    Attributes:
        id: A name (``all-MiniLM-L6-v2``), a hub id (``org/model``) or a local folder.
        revision: Hub commit, or None for what has none.
        sha256: Hash of the weights file, or None before it was opened.
    """

    id: str
    revision: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Return the short name shown to people: the last part of the id."""
        return self.id.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> BackboneRef:
        """Return the reference that `as_json` wrote."""
        return cls(record["id"], record.get("revision"), record.get("sha256"))

    def as_json(self) -> dict[str, str | None]:
        """Return the reference as a json-able record."""
        return {"id": self.id, "revision": self.revision, "sha256": self.sha256}


@runtime_checkable
class Backbone(Protocol):
    """A pre-trained model. Opening one is cheap; weights are loaded when they are first used."""

    @property
    def ref(self) -> BackboneRef:
        """Which model this is, with the hash of its weights."""

    @property
    def modality(self) -> str:
        """The modality of the examples it takes (`Dataset.modality`)."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this instance can really do."""


@runtime_checkable
class Embeds(Protocol):
    """Turns examples into vectors."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one float32 vector per example, shape (n, width), each independent of the others."""


@runtime_checkable
class Scores(Protocol):
    """Says how likely given continuations are."""

    def score(self, examples: Sequence[Example], continuations: Sequence[str]) -> np.ndarray:
        """Return log-probabilities, shape (n examples, n continuations), float32."""


@runtime_checkable
class Generates(Protocol):
    """Writes text."""

    def generate(self, examples: Sequence[Example], *, seed: int, max_new_tokens: int) -> list[str]:
        """Return one text per example."""


@runtime_checkable
class Trains(Protocol):
    """Hands out its network for training and takes trained weights back."""

    @property
    def width(self) -> int:
        """Length of the vector that `module` returns for an example."""

    def module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, training mode off.

        ``module(**batch)`` returns features of shape (batch, width). Changing it never changes the backbone.
        """

    def random_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with freshly initialised weights."""

    def tokenize(self, examples: Sequence[Example]) -> Sequence[Any]:
        """Return examples prepared once for any number of batches; ``len(item)`` is its cost in tokens."""

    def collate(self, prepared: Sequence[Any]) -> Mapping[str, torch.Tensor]:
        """Return the keyword arguments of `module` for one batch of prepared examples."""

    def adapted(self, weights: Mapping[str, np.ndarray]) -> Embeds:
        """Return a backbone of the same kind whose network has these weights (names as in `module`).

        Names that are absent keep the pre-trained value.
        """


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a network reads and can be asked to guess.

    Attributes:
        size: Number of tokens; they are numbered from 0.
        mask: The token that stands for a hidden one.
        special: Tokens that are no part of a text: padding, beginning, end, the mask itself and the like.
    """

    size: int
    mask: int
    special: frozenset[int]


@runtime_checkable
class ReadsTokens(Protocol):
    """Prepares texts as token ids, of which some can be hidden.

    The network of `Trains.module` then also has ``hidden(**batch)``, the vectors of all tokens that are no padding,
    shape (tokens, hidden), text by text with the shortest first, and ``word_table()``, shape (vocabulary, hidden).
    """

    def vocabulary(self) -> Vocabulary | None:
        """Return the vocabulary, or None where it has no token that stands for a hidden one."""


class Split(Protocol):
    """A network cut below one of its layers: what lies below the cut stays as it is, what lies above is trained."""

    def states(self, prepared: Sequence[Any]) -> Iterator[torch.Tensor]:
        """Yield what the lower part makes of each prepared example, in their order: shape (tokens, hidden).

        All of them have one floating-point format, and none has a gradient.
        """

    def upper(self) -> torch.nn.Module:
        """Return a fresh copy of the upper part, float32, training mode off.

        ``upper(**batch)`` returns features of shape (batch, width). Its parameters that require a gradient are those
        above the cut; names are those of `Trains.module`.
        """

    def collate(self, states: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Return the keyword arguments of `upper` for a batch of examples, given their states."""


@runtime_checkable
class Splits(Protocol):
    """Cuts its network between two layers."""

    @property
    def depth(self) -> int:
        """Number of layers."""

    def split(self, top: int) -> Split:
        """Return the network cut below its `top` last layers, ``1 <= top <= depth``.

        Raises:
            UnsupportedError: This network cannot be cut.
        """


@dataclass(frozen=True)
class PrefixShape:
    """The sizes of a prefix: keys and values that stand before every example in every layer.

    Attributes:
        layers: Number of layers.
        heads: Heads of attention in each.
        hidden: Entries of a key (or value) over all heads.
        longest: The most keys there may be.
    """

    layers: int
    heads: int
    hidden: int
    longest: int


@runtime_checkable
class Prefixes(Protocol):
    """Takes a prefix: an array of shape (length, layers * 2 * hidden), of each layer the keys, then the values."""

    @property
    def prefix_shape(self) -> PrefixShape | None:
        """The sizes, or None where this network takes no prefix."""

    def prefixed_module(self, prefix: np.ndarray) -> torch.nn.Module:
        """Return `Trains.module` with this prefix, the only parameter of it that requires a gradient."""

    def prefixed(self, prefix: np.ndarray) -> Embeds:
        """Return a backbone of the same kind with this prefix."""
