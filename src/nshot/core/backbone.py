"""What a pre-trained model is to the rest of the house: a reference and the abilities it really has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nshot.core.conversation import Message
from nshot.core.dataset import Example

if TYPE_CHECKING:
    import numpy as np
    import torch


REMOTE = "openai:"
"""How the id of a model behind an address that speaks OpenAI's protocol begins."""
TABLE = "table"
"""The id of the backbone of rows; ``table:ENCODER`` names the text encoder for columns of texts."""


class Ability(StrEnum):
    """What a backbone instance can do; each has a protocol of the same name."""

    EMBEDS = "embeds"
    SCORES = "scores"
    GENERATES = "generates"
    STARTS = "starts"
    TRAINS = "trains"


@dataclass(frozen=True)
class BackboneRef:
    """Which pre-trained model: enough to open exactly the same weights again.

    Attributes:
        id: A name (``all-MiniLM-L6-v2``), a hub id (``org/model``), a local folder, or a model behind an address
            (``openai:MODEL``, ``openai:MODEL@http://host:port/v1``).
        revision: Hub commit, or None for what has none.
        sha256: Hash of the weights file, or None before it was opened; of what was learnt, where that is not None.
        learnt: Json-able: what a backbone that `Learns` took from the user's own examples, which is all there is to it;
            None of a pre-trained model, and before it learnt. `sha256` stands for it where references are compared.
    """

    id: str
    revision: str | None = None
    sha256: str | None = None
    learnt: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return the short name shown to people: the last part of the id; of a remote model, without its address."""
        model = self.id.removeprefix(REMOTE).partition("@http")[0] if self.is_remote else self.id
        last = model.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1]
        return f"{TABLE}:{last}" if self.is_table and last != model else last

    @property
    def is_table(self) -> bool:
        """Return whether it stands for the rows of a table, of which nothing is pre-trained but the text encoder."""
        return self.id == TABLE or self.id.startswith(f"{TABLE}:")

    @property
    def is_remote(self) -> bool:
        """Return whether the model is behind an address, so that what it reads leaves this process."""
        return self.id.startswith(REMOTE)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> BackboneRef:
        """Return the reference that `as_json` wrote."""
        return cls(record["id"], record.get("revision"), record.get("sha256"), record.get("learnt"))

    def as_json(self) -> dict[str, Any]:
        """Return the reference as a json-able record."""
        learnt = {} if self.learnt is None else {"learnt": dict(self.learnt)}
        return {"id": self.id, "revision": self.revision, "sha256": self.sha256, **learnt}


@runtime_checkable
class Backbone(Protocol):
    """A pre-trained model. Opening one is cheap; weights are loaded when they are first used."""

    @property
    def ref(self) -> BackboneRef:
        """Which model this is, with the hash of its weights."""

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities of the examples it takes (`Dataset.modality`)."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What this instance can really do."""


@runtime_checkable
class Computes(Protocol):
    """Computes on this machine."""

    @property
    def device(self) -> str:
        """The torch device that computes."""

    @property
    def precision(self) -> str:
        """The number format that computes: ``fp32`` or ``bf16``."""


@runtime_checkable
class Learns(Protocol):
    """Has to see examples, without their targets, before it can do anything else.

    The protocol hands it every pool in turn: what it takes from examples (the spread of a column, its categories) is
    then never taken from a test.
    """

    def learnt_from(self, examples: Sequence[Example]) -> Backbone:
        """Return a backbone with the same abilities that has seen these examples; this one stays as it is.

        Its `ref` has all that is needed to open it again (`BackboneRef.learnt`).

        Raises:
            DataError: There is nothing in the examples that tells one from another.
        """


@runtime_checkable
class Embeds(Protocol):
    """Turns examples into vectors."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one float32 vector per example, shape (n, width), each independent of the others."""


@dataclass(frozen=True)
class Decoding:
    """How an answer is written.

    Attributes:
        max_new_tokens: The longest answer in tokens.
        temperature: 0: always the likeliest token; otherwise what logits are divided by before a token is drawn.
        top_p: Only the likeliest tokens that together have this probability are drawn from.
        stop: Texts at whose first occurrence an answer ends; they are no part of it.
        seed: The only source of chance.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Written:
    """An answer that a model wrote.

    Attributes:
        text: Without the tokens that end it.
        stopped: It ended by itself or at a stop text, not at the longest length.
        tokens: How many tokens were written, the one that ends it included.
    """

    text: str
    stopped: bool
    tokens: int


@runtime_checkable
class Generates(Protocol):
    """Writes answers to examples: texts or conversations.

    Every function takes ``before``: turns that stand before all of the examples, such as worked examples. They are
    read once, however many examples follow.
    """

    @property
    def longest(self) -> int | None:
        """The most tokens that it takes in, answer included; None where nobody says."""

    def prompt_tokens(self, examples: Sequence[Example], *, before: Sequence[Message] = ()) -> list[int]:
        """Return how many tokens each example has as the model reads it; an estimate where it cannot be counted."""

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> list[Written]:
        """Return one answer per example, each independent of the others.

        Raises:
            DataError: An example leaves no room for an answer; the message says which and how long it is.
        """


@runtime_checkable
class Streams(Protocol):
    """Writes an answer piece by piece."""

    def stream(self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()) -> Iterator[str]:
        """Yield the answer in pieces, which joined are what `Generates.generate` would return.

        A generator may return the `Written`, so that whoever reads to its end knows why it ended.
        """


@runtime_checkable
class Scores(Protocol):
    """Says how likely given answers are."""

    def score(
        self, examples: Sequence[Example], continuations: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return the log-probability (nats, summed over tokens) of each continuation, shape (n, k), float32.

        A continuation is the beginning of an answer: that it ends there is not part of its probability.
        """

    def likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return of each example's own answer, with its end: log-probability (nats) and number of tokens.

        Args:
            examples: n examples.
            answers: n answers.
            before: As in `Generates`.

        Returns:
            Shape (n, 2), float64.
        """


@dataclass(frozen=True)
class TokenisedText:
    """A text as a decoder trains on it.

    Attributes:
        ids: Its tokens.
        learnt: For each token, whether it is to be predicted: those of answers, and the one that ends an answer.
    """

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class TrainsToWrite(Protocol):
    """A decoder that hands out its network for training and takes trained weights back."""

    @property
    def longest(self) -> int | None:
        """The most tokens that it takes in."""

    def causal_module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, training mode off: a causal language model of transformers.

        ``module(input_ids, ...)`` returns an object with ``logits``. Changing it never changes the backbone.
        """

    def random_causal_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with freshly initialised weights."""

    def conversations(
        self, examples: Sequence[Example], answers: Sequence[str], *, every_answer: bool = False
    ) -> list[TokenisedText]:
        """Return each example with its answer in the model's own chat format.

        Args:
            examples: n texts or conversations.
            answers: n answers.
            every_answer: Earlier answers of the assistant in a conversation are learnt too, not only the last one.
        """

    def plain_texts(self, texts: Sequence[str]) -> list[TokenisedText]:
        """Return texts as they are, each with the token that ends it; everything is learnt. None is cut."""

    def rewritten(self, weights: Mapping[str, np.ndarray]) -> Backbone:
        """Return a backbone of the same kind (`Generates`, `Scores`) whose network has these weights.

        Names are those of `causal_module`; those that are absent keep the pre-trained value.
        """


@runtime_checkable
class HandsOver(Protocol):
    """A decoder that can be written as a model folder which the transformers library opens."""

    @property
    def ref(self) -> BackboneRef:
        """Which model this is."""

    def files_for_saving(self) -> Mapping[str, bytes]:
        """Return what stands beside the weights, by the file names of transformers: what `State.blobs` may hold.

        ``config.json`` (whose ``dtype`` is float32), ``generation_config.json``, the tokenizer's files, and
        ``chat_template.jinja`` also where the model came without one: the format that this backbone puts
        conversations in, so that other programs do the same.
        """


@runtime_checkable
class Starts(Protocol):
    """Has an architecture that can be trained from random weights."""

    @property
    def network_width(self) -> int:
        """Length of the vector that the network returns for an example; `Embeds.width` where that is what embeds."""

    def random_module(self, seed: int) -> torch.nn.Module:
        """Return the network with freshly initialised weights, float32, training mode off.

        ``network(**batch)`` returns features of shape (batch, network_width).
        """

    def tokenize(self, examples: Sequence[Example]) -> Sequence[Any]:
        """Return examples prepared once for any number of batches; ``len(item)`` is its cost in tokens."""

    def collate(self, prepared: Sequence[Any]) -> Mapping[str, torch.Tensor]:
        """Return the keyword arguments of the network for one batch of prepared examples."""

    def adapted(self, weights: Mapping[str, np.ndarray]) -> Embeds:
        """Return a backbone that embeds with this network and these weights, by the names of its parameters.

        Names that are absent keep the pre-trained value; where nothing is pre-trained, none may be absent.
        """


@runtime_checkable
class Trains(Starts, Protocol):
    """Hands out its pre-trained network for training, and takes trained weights back."""

    @property
    def width(self) -> int:
        """Length of the vector that `module` returns for an example."""

    def module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, training mode off.

        ``module(**batch)`` returns features of shape (batch, width). Changing it never changes the backbone.
        """


@runtime_checkable
class Centred(Protocol):
    """Embeds into vectors that lie around zero: their distance says how unlike two examples are, not their angle."""

    @property
    def usual_length(self) -> float:
        """Root mean square length of a vector."""


@runtime_checkable
class NamesFeatures(Protocol):
    """Embeds into vectors whose entries mean something by themselves."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each entry of a vector stands for, in words that a reader of the data understands."""


@dataclass(frozen=True, eq=False)
class TokenWindow:
    """A stretch of a text as a network reads it, with where its tokens stand in the text.

    A text longer than a network takes in is read in several windows, which overlap.

    Attributes:
        ids: Its tokens, as `Starts.collate` takes them.
        places: Characters of the text from which and up to which each token goes, int64, shape (tokens, 2); the same
            two for a token that is no part of the text.
        start: From this character of the text on, this is the window to look into.
        end: Up to this character; the next window begins here.
    """

    ids: tuple[int, ...]
    places: np.ndarray
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class EmbedsTokens(Protocol):
    """Turns texts into a vector for each token, and says which characters the token stands for.

    The network of `Trains.module` then also has ``hidden(**batch)``, as for `ReadsTokens`.
    """

    @property
    def token_width(self) -> int:
        """Length of a token's vector."""

    def token_windows(self, texts: Sequence[Example]) -> list[list[TokenWindow]]:
        """Return the windows of each text in order, one or more; together they reach over all of it.

        Raises:
            DataError: An example is no text.
        """

    def embed_tokens(self, windows: Sequence[TokenWindow]) -> list[np.ndarray]:
        """Return the vectors of each window's tokens, float32, shape (tokens, token_width), each window for itself."""


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


@runtime_checkable
class Shortens(Protocol):
    """Hands out a smaller model: its first layers alone, with the pooling that it has."""

    @property
    def depth(self) -> int:
        """Number of layers."""

    def shortened(self, layers: int) -> Backbone:
        """Return a backbone of the same kind, and under the same `ref`, that has the first `layers` only.

        Raises:
            UnsupportedError: This network cannot do without its other layers.
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
