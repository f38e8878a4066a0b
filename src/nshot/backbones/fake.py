"""Deterministic stand-ins for pre-trained models: no weights to download, the same answers on every machine.

They ship with the package so that whoever writes a method can test it against the contract without a real model.
All of them treat every example on its own, so that batches change nothing, to the last bit.

========================  ==================  =====================  ===========================================
id                        class               takes                  can
========================  ==================  =====================  ===========================================
``fake/text-encoder``     `FakeTextEncoder`   texts                  embed, train: texts that share words are near
``fake/rows``             `FakeRows`          rows of numbers        embed: rows with similar values are near
``fake/generator``        `FakeGenerator`     texts                  generate, score: copies the best worked example
``fake/remote``           `FakeRemote`        texts                  the same, as a service without a weights file
``fake/decoder``          `FakeDecoder`       texts                  generate, score, train: a tiny real network
========================  ==================  =====================  ===========================================
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from nshot.backbones.fake_decoder import FakeDecoder
from nshot.core import (
    ASSISTANT,
    USER,
    Ability,
    Backbone,
    BackboneRef,
    Conversation,
    DataError,
    Decoding,
    Example,
    ExampleError,
    Message,
    ModelError,
    PrefixShape,
    TokenWindow,
    Vocabulary,
    Written,
    as_conversation,
    closest,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

_WORD = re.compile(r"\w+")
_BUCKETS = 1024
_TEXT_WIDTH = 64
_ROW_WIDTH = 16
_MOST_TOKENS = 256
_STEM = 4
_NO_WORDS = 0


def open(ref: BackboneRef) -> Backbone:  # noqa: A001 - reads as fake.open(ref), like gzip.open
    """Return the fake that `ref` names.

    Raises:
        ModelError: There is none of that name, or `ref` carries the hash of other weights.
    """
    kinds: dict[str, type[FakeTextEncoder] | type[FakeRows] | type[FakeGenerator] | type[FakeDecoder]] = {
        kind.ID: kind for kind in (FakeTextEncoder, FakeRows, FakeGenerator, FakeRemote, FakeDecoder)
    }
    if ref.id not in kinds:
        raise ModelError(
            f"There is no fake backbone '{ref.id}'.{closest(ref.id, kinds)} There are: {', '.join(kinds)}."
        )
    backbone = kinds[ref.id]()
    if ref.sha256 is not None and ref.sha256 != backbone.ref.sha256:
        raise ModelError(
            f"{ref.id} has the weights {backbone.ref.sha256}, and {ref.sha256} were asked for. "
            "Use the nshot version that this model was made with."
        )
    return backbone


class FakeTextEncoder:
    """Embeds texts by their words and hands out a tiny network of the same form for training.

    A text's words (and their first letters, so that ``card`` and ``cards`` are related) are hashed into 1,024
    buckets; the vector is the mean ``m`` of the buckets' vectors, one residual layer ``m + tanh(W m + b)``, scaled to
    length one.

    With a prefix, the mean of what its keys find in its values is added to m: ``m + softmax(K m) V``.

    Args:
        weights: Arrays by the names of `module`'s parameters; None: the fixed ones.
        prefix: Keys and values side by side, shape (length, 128), or None.
    """

    ID = "fake/text-encoder"
    modalities = frozenset({"text"})
    abilities = frozenset({Ability.EMBEDS, Ability.STARTS, Ability.TRAINS})
    width = network_width = token_width = _TEXT_WIDTH
    prefix_shape = PrefixShape(layers=1, heads=1, hidden=_TEXT_WIDTH, longest=_MOST_TOKENS)

    def __init__(self, weights: Mapping[str, np.ndarray] | None = None, prefix: np.ndarray | None = None) -> None:
        import numpy as np

        wanted = _text_weights()
        for name, array in (weights or {}).items():
            if name not in wanted or array.shape != wanted[name].shape:
                shapes = ", ".join(f"{known} {value.shape}" for known, value in wanted.items())
                raise ModelError(f"{self.ID} has the weights {shapes}. Got {name} {array.shape} instead.")
            wanted[name] = np.array(array, dtype=np.float32)
        for array in wanted.values():
            array.setflags(write=False)
        self._weights = wanted
        self._prefix = prefix

    @property
    def ref(self) -> BackboneRef:
        """Return the reference, hashed from the weights as they are now."""
        digest = hashlib.sha256()
        for name in sorted(self._weights):
            digest.update(name.encode())
            digest.update(self._weights[name].tobytes())
        return BackboneRef(self.ID, sha256=digest.hexdigest())

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector of length one per text, float32, shape (n, 64).

        Raises:
            DataError: An example is not a text.
        """
        import numpy as np

        vectors = np.zeros((len(examples), self.width), dtype=np.float32)
        table, matrix, offset = (self._weights[name] for name in ("words.weight", "dense.weight", "dense.bias"))
        # One text at a time: a matrix product over the batch rounds differently for different batch sizes.
        for row, text in enumerate(examples):
            mean = table[_tokens(text)].mean(axis=0)
            if self._prefix is not None:
                keys, values = np.split(self._prefix, 2, axis=1)
                raised = np.exp(keys @ mean)
                mean = mean + raised @ values / raised.sum()
            vector = mean + np.tanh(matrix @ mean + offset)
            vectors[row] = vector / np.linalg.norm(vector)
        return vectors

    def token_windows(self, texts: Sequence[Example]) -> list[list[TokenWindow]]:
        """Return the only window of each text: its words, the first 256 tokens of them.

        Raises:
            DataError: An example is not a text.
        """
        return [[_window(_text(text))] for text in texts]

    def embed_tokens(self, windows: Sequence[TokenWindow]) -> list[np.ndarray]:
        """Return the vectors of each window's tokens, float32, shape (tokens, 64)."""
        import numpy as np

        table, matrix, offset = (self._weights[name] for name in ("words.weight", "dense.weight", "dense.bias"))
        return [
            np.stack([vector + np.tanh(matrix @ vector + offset) for vector in table[list(window.ids)]])
            for window in windows
        ]

    def module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, training mode off."""
        import torch

        network = _network()
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self._weights.items()})
        return network.eval()

    def random_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with freshly drawn weights; the global random state is left alone."""
        import torch

        network = _network()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.uniform_(-0.5, 0.5, generator=generator)
        return network.eval()

    def tokenize(self, examples: Sequence[Example]) -> list[list[int]]:
        """Return the bucket numbers of each text's words, at least one and at most 256."""
        return [_tokens(text) for text in examples]

    def vocabulary(self) -> Vocabulary:
        """Return the buckets; the one that stands for a text without a word also stands for a hidden word."""
        return Vocabulary(_BUCKETS, mask=_NO_WORDS, special=frozenset({_NO_WORDS}))

    def collate(self, prepared: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return ``input_ids`` and ``attention_mask``, int64, shape (batch, longest)."""
        import torch

        longest = max(map(len, prepared), default=1)
        padding = [longest - len(tokens) for tokens in prepared]
        return {
            "input_ids": torch.tensor([[*tokens, *[0] * n] for tokens, n in zip(prepared, padding, strict=True)]),
            "attention_mask": torch.tensor([[1] * (longest - n) + [0] * n for n in padding]),
        }

    def prefixed_module(self, prefix: np.ndarray) -> torch.nn.Module:
        """Return `module` behind a prefix, shape (length, 128): the only parameter that is trained."""
        return _prefixed(self.module(), prefix)

    def prefixed(self, prefix: np.ndarray) -> FakeTextEncoder:
        """Return an encoder with this prefix."""
        import numpy as np

        return FakeTextEncoder(self._weights, np.array(prefix, dtype=np.float32))

    @property
    def depth(self) -> int:
        """Return 1: the residual layer."""
        return 1

    def split(self, top: int) -> FakeSplit:
        """Return the network cut between its words and its layer.

        Args:
            top: 1; there are no more layers.
        """
        return FakeSplit(self._weights)

    def shortened(self, layers: int) -> FakeTextEncoder:
        """Return the encoder of its first layer, which is all of it."""
        return self

    def adapted(self, weights: Mapping[str, np.ndarray]) -> FakeTextEncoder:
        """Return an encoder with these weights; names that are absent keep their value."""
        return FakeTextEncoder({**self._weights, **weights})


class FakeSplit:
    """The network of a `FakeTextEncoder`, cut: words below, the residual layer above."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights

    def states(self, prepared: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
        """Yield the vectors of each text's words, float32, shape (words, 64)."""
        import torch

        for tokens in prepared:
            yield torch.from_numpy(self._weights["words.weight"][list(tokens)])

    def upper(self) -> torch.nn.Module:
        """Return a fresh copy of the residual layer, float32, training mode off."""
        import torch

        network = _upper()
        own = {name: torch.from_numpy(self._weights[name].copy()) for name in network.state_dict()}
        network.load_state_dict(own)
        return network.eval()

    def collate(self, states: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return ``states``, padded, shape (batch, longest, 64), and ``lengths``, int64, shape (batch,)."""
        import torch

        padded = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
        return {"states": padded, "lengths": torch.tensor([len(each) for each in states])}


class FakeRows:
    """Embeds rows: mappings from a column's name to its value, or sequences of numbers.

    Every column has a fixed random direction, scaled by the value (on a logarithmic scale, so that any number is
    finite); a value that is no number gets a direction of its own.
    """

    ID = "fake/rows"
    modalities = frozenset({"row"})
    abilities = frozenset({Ability.EMBEDS})
    width = _ROW_WIDTH

    @property
    def ref(self) -> BackboneRef:
        """Return the reference."""
        return BackboneRef(self.ID, sha256=hashlib.sha256(f"{self.ID} {self.width}".encode()).hexdigest())

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per row, float32, shape (n, 16).

        Raises:
            DataError: An example is not a row.
        """
        import numpy as np

        vectors = np.zeros((len(examples), self.width), dtype=np.float32)
        for position, row in enumerate(examples):
            total = np.zeros(self.width)
            for column, value in _cells(row):
                size = _size(value)
                if size is None:
                    total += _direction(f"{column}={value!r}", self.width)
                else:
                    total += size * _direction(column, self.width)
            vectors[position] = total
        return vectors


class FakeGenerator:
    """Answers from the worked examples that it is shown.

    Worked examples are the earlier turns of a conversation, what a user said with what the assistant answered; inside a
    text they are pairs of lines ``Input: ...`` and ``Output: ...`` before a last ``Input: ...``. The answer is that of
    the worked example whose input shares the largest part of its words with the last input; with no worked example it
    is the last input itself. A word is a token.
    """

    ID = "fake/generator"
    modalities = frozenset({"text", "conversation"})
    abilities = frozenset({Ability.GENERATES, Ability.SCORES})
    longest = _MOST_TOKENS

    @property
    def ref(self) -> BackboneRef:
        """Return the reference."""
        return BackboneRef(self.ID, sha256=hashlib.sha256(self.ID.encode()).hexdigest())

    def prompt_tokens(self, examples: Sequence[Example], *, before: Sequence[Message] = ()) -> list[int]:
        """Return the number of words of each example with what stands before it."""
        return [sum(len(message.content.split()) for message in _turns(example, before)) for example in examples]

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> list[Written]:
        """Return one answer per example; ``decoding.seed`` decides between equally near worked examples.

        Raises:
            DataError: An example is neither a text nor a conversation, or is too long.
        """
        for position, size in enumerate(self.prompt_tokens(examples, before=before)):
            if size >= self.longest:
                raise ExampleError(
                    position,
                    f" has {size} tokens, and {self.ref.name} takes {self.longest}, answer included. Shorten it, or "
                    "show fewer examples before it.",
                )
        return [_answer(_turns(example, before), decoding) for example in examples]

    def stream(
        self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> Generator[str, None, Written]:
        """Yield the answer word by word; return it whole."""
        written = self.generate([example], decoding, before=before)[0]
        words = written.text.split(" ")
        yield words[0]
        yield from (f" {word}" for word in words[1:])
        return written

    def score(
        self, examples: Sequence[Example], continuations: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probabilities, float32, shape (n, continuations).

        A word that stands in the last turn or in the answer to the nearest worked example is likeliest, then one that
        was said at all.

        Raises:
            DataError: An example is neither a text nor a conversation.
        """
        import numpy as np

        scores = np.zeros((len(examples), len(continuations)), dtype=np.float32)
        for row, example in enumerate(examples):
            said = _said(example, before)
            for column, continuation in enumerate(continuations):
                scores[row, column] = _log_probability(continuation, said)
        return scores

    def likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probability and number of words of each example's answer, float64, shape (n, 2)."""
        import numpy as np

        rows = [
            (_log_probability(answer, _said(example, before)), len(_words(answer)) + 1)
            for example, answer in zip(examples, answers, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(examples), 2)


class FakeRemote(FakeGenerator):
    """The same answers from a service: it has a revision, and no weights file that could be hashed."""

    ID = "fake/remote"

    @property
    def ref(self) -> BackboneRef:
        """Return the reference."""
        return BackboneRef(self.ID, revision="1")


class _Worked(NamedTuple):
    words: frozenset[str]
    output: str


def _turns(example: Example, before: Sequence[Message]) -> tuple[Message, ...]:
    if not isinstance(example, str | Conversation):
        raise DataError(
            f"A text or a conversation was expected, {type(example).__name__} was found. Turn every example into one."
        )
    return as_conversation(example, before).messages


class _Said(NamedTuple):
    """The words that an answer is likely to have: of the last turn and the answer to copy, and of all turns."""

    now: frozenset[str]
    ever: frozenset[str]


def _said(example: Example, before: Sequence[Message]) -> _Said:
    turns = _turns(example, before)
    copied = _answer(turns, Decoding(_MOST_TOKENS)).text
    last = turns[-1].content if turns else ""
    return _Said(
        frozenset([*_words(last), *_words(copied)]),
        frozenset(word for message in turns for word in _words(message.content)),
    )


def _log_probability(answer: str, said: _Said) -> float:
    return sum(math.log(0.5 if word in said.now else 0.05 if word in said.ever else 0.01) for word in _words(answer))


def _worked_in(text: str) -> tuple[list[_Worked], str]:
    """Return the worked examples inside a text, and its last input."""
    worked: list[_Worked] = []
    question = text
    for line in text.splitlines():
        if line.startswith("Input:"):
            question = line.removeprefix("Input:").strip()
        elif line.startswith("Output:") and (output := line.removeprefix("Output:").strip()):
            worked.append(_Worked(frozenset(_words(question)), output))
    return worked, question


def _answer(turns: Sequence[Message], decoding: Decoding) -> Written:
    worked, question = _worked_in(turns[-1].content if turns else "")
    for said, answered in pairwise(turns):
        if said.role == USER and answered.role == ASSISTANT:
            worked.append(_Worked(frozenset(_words(said.content)), answered.content))
    asked = frozenset(_words(question))

    def nearness(example: _Worked) -> tuple[float, bytes]:
        shared = len(asked & example.words) / max(1, len(asked | example.words))
        return shared, _digest(f"{decoding.seed} {example.output}", 8)

    answer = (max(worked, key=nearness).output if worked else question).split()
    kept = answer[: decoding.max_new_tokens]
    # The end is a token as well: an answer that fills all the room did not get to it.
    stopped = len(answer) < decoding.max_new_tokens
    return Written(" ".join(kept), stopped, len(kept) + stopped)


def _text_weights() -> dict[str, np.ndarray]:
    import numpy as np

    return {
        "words.weight": _noise("words", _BUCKETS * _TEXT_WIDTH).reshape(_BUCKETS, _TEXT_WIDTH),
        "dense.weight": _noise("dense", _TEXT_WIDTH * _TEXT_WIDTH).reshape(_TEXT_WIDTH, _TEXT_WIDTH) / 16,
        "dense.bias": np.zeros(_TEXT_WIDTH, dtype=np.float32),
    }


def _network() -> torch.nn.Module:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(_BUCKETS, _TEXT_WIDTH)
            self.dense = torch.nn.Linear(_TEXT_WIDTH, _TEXT_WIDTH)

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            found: Callable[[torch.Tensor], torch.Tensor] | None = None,
        ) -> torch.Tensor:
            real = attention_mask.unsqueeze(-1).to(self.words.weight.dtype)
            mean = (self.words(input_ids) * real).sum(1) / real.sum(1)
            if found is not None:
                mean = mean + found(mean)
            return torch.nn.functional.normalize(mean + torch.tanh(self.dense(mean)), dim=-1)

        def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            vectors = self.words(input_ids[attention_mask.bool()])
            return torch.as_tensor(vectors + torch.tanh(self.dense(vectors)))

        def word_table(self) -> torch.Tensor:
            return self.words.weight

    return Network()


def _prefixed(network: torch.nn.Module, prefix: np.ndarray) -> torch.nn.Module:
    import torch

    class Prefixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.requires_grad_(False)
            self.prefix = torch.nn.Parameter(torch.from_numpy(prefix.copy()))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            keys, values = self.prefix.chunk(2, dim=1)
            vectors: torch.Tensor = self.network(
                input_ids, attention_mask, lambda mean: torch.softmax(mean @ keys.T, dim=-1) @ values
            )
            return vectors

    return Prefixed().eval()


def _upper() -> torch.nn.Module:
    import torch

    class Upper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(_TEXT_WIDTH, _TEXT_WIDTH)

        def forward(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            mean = states.sum(1) / lengths[:, None]
            return torch.nn.functional.normalize(mean + torch.tanh(self.dense(mean)), dim=-1)

    return Upper()


def _text(example: Example) -> str:
    if not isinstance(example, str):
        raise DataError(f"A text was expected, {type(example).__name__} was found. Turn every example into a string.")
    return example


def _words(text: str) -> list[str]:
    return [match.group().casefold() for match in islice(_WORD.finditer(text), _MOST_TOKENS)]


def _tokens(text: Example) -> list[int]:
    tokens: list[int] = []
    for word in _words(_text(text)):
        tokens.append(_bucket(word))
        if len(word) > _STEM:
            tokens.append(_bucket(word[:_STEM] + "*"))
    return tokens[:_MOST_TOKENS] or [_NO_WORDS]


def _window(text: str) -> TokenWindow:
    """Return the tokens of `_tokens`, each with the place of its word."""
    import numpy as np

    places = [
        match.span()
        for match in islice(_WORD.finditer(text), _MOST_TOKENS)
        for _ in range(1 + (len(match.group().casefold()) > _STEM))
    ]
    ids = _tokens(text)
    return TokenWindow(tuple(ids), np.array(places[: len(ids)] or [(0, 0)], dtype=np.int64), 0, len(text) + 1)


def _bucket(word: str) -> int:
    return 1 + int.from_bytes(_digest(word, 4), "little") % (_BUCKETS - 1)


def _cells(row: Example) -> list[tuple[str, Any]]:
    if isinstance(row, Mapping):
        return [(str(column), value) for column, value in row.items()]
    if isinstance(row, Sequence) and not isinstance(row, str | bytes):
        return [(str(position), value) for position, value in enumerate(row)]
    raise DataError(f"A row of values was expected, {type(row).__name__} was found. Use a mapping or a tuple.")


def _size(value: Any) -> float | None:
    """Return the logarithmic size of a number with its sign, or None for what is no number."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return None
    return None if math.isnan(number) else math.copysign(math.log1p(min(abs(number), 1e300)), number)


def _direction(name: str, width: int) -> np.ndarray:
    return _noise(f"direction {name}", width)


def _noise(name: str, count: int) -> np.ndarray:
    """Return numbers between -1 and 1 from a hash, float32: random generators may change between versions."""
    import numpy as np

    data = hashlib.shake_256(name.encode("utf-8", "surrogatepass")).digest(count)
    return (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 127.5) / 127.5


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
