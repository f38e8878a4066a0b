"""A decoder with a network of its own that is small enough for tests: it can be trained to write within a second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nshot.core import (
    ASSISTANT,
    ROLES,
    Ability,
    BackboneRef,
    Conversation,
    DataError,
    Decoding,
    Example,
    Message,
    ModelError,
    TokenisedText,
    Written,
    as_conversation,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

_END = 1
_TURNS = {role: number for number, role in enumerate(ROLES, start=2)}
_FIRST_BYTE = 2 + len(ROLES)
_TOKENS = _FIRST_BYTE + 256


class FakeDecoder:
    """Writes byte by byte with a Llama of one layer and 23 thousand weights, which come from a hash.

    A token is a byte, the beginning of a turn, or the end of one. Every example passes through the network alone, so
    that batches change nothing, to the last bit.

    Args:
        weights: Arrays by the names of `causal_module`'s parameters that take the place of the fixed ones.
    """

    ID = "fake/decoder"
    modalities = frozenset({"text", "conversation"})
    abilities = frozenset({Ability.GENERATES, Ability.SCORES, Ability.TRAINS})
    longest = 512

    def __init__(self, weights: Mapping[str, np.ndarray] | None = None) -> None:
        self._weights = dict(weights or {})
        self._opened: torch.nn.Module | None = None

    @property
    def ref(self) -> BackboneRef:
        """Return the reference, hashed from what differs from the fixed weights."""
        digest = hashlib.sha256(self.ID.encode())
        for name in sorted(self._weights):
            digest.update(name.encode())
            digest.update(self._weights[name].tobytes())
        return BackboneRef(self.ID, sha256=digest.hexdigest())

    def prompt_tokens(self, examples: Sequence[Example], *, before: Sequence[Message] = ()) -> list[int]:
        """Return the number of bytes of each example with what stands before it, and of marks between turns."""
        return [len(_prompt(example, before)) for example in examples]

    def generate(
        self, examples: Sequence[Example], decoding: Decoding, *, before: Sequence[Message] = ()
    ) -> list[Written]:
        """Return one answer per example.

        Raises:
            DataError: An example is neither a text nor a conversation, or is too long.
        """
        return [self._write(_prompt(example, before), decoding) for example in examples]

    def stream(self, example: Example, decoding: Decoding, *, before: Sequence[Message] = ()) -> Iterator[str]:
        """Yield the answer character by character."""
        yield from self.generate([example], decoding, before=before)[0].text

    def score(
        self, examples: Sequence[Example], continuations: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probabilities, float32, shape (n, continuations).

        Raises:
            DataError: An example is neither a text nor a conversation.
        """
        import numpy as np

        scores = np.zeros((len(examples), len(continuations)), dtype=np.float32)
        for row, example in enumerate(examples):
            for column, continuation in enumerate(continuations):
                scores[row, column] = self._log_probability(_prompt(example, before), _bytes(continuation))
        return scores

    def likelihoods(
        self, examples: Sequence[Example], answers: Sequence[str], *, before: Sequence[Message] = ()
    ) -> np.ndarray:
        """Return log-probability and number of tokens of each example's answer with its end, shape (n, 2)."""
        import numpy as np

        rows = []
        for example, answer in zip(examples, answers, strict=True):
            ended = [*_bytes(answer), _END]
            rows.append((self._log_probability(_prompt(example, before), ended), len(ended)))
        return np.array(rows, dtype=np.float64).reshape(len(examples), 2)

    def causal_module(self) -> torch.nn.Module:
        """Return a fresh copy of the network, float32, training mode off."""
        import torch

        module = self.random_causal_module(0)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                own = self._weights.get(name)
                value = _fixed(name, tuple(parameter.shape)) if own is None else own
                parameter.copy_(torch.from_numpy(value.copy()))
        return module

    def random_causal_module(self, seed: int) -> torch.nn.Module:
        """Return the same architecture with freshly initialised weights."""
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=_TOKENS,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=self.longest,
            bos_token_id=None,
            eos_token_id=_END,
            pad_token_id=0,
            tie_word_embeddings=True,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: torch.nn.Module = LlamaForCausalLM(config)
        return module.eval()

    def conversations(
        self, examples: Sequence[Example], answers: Sequence[str], *, every_answer: bool = False
    ) -> list[TokenisedText]:
        """Return each example with its answer; see `TrainsToWrite.conversations`."""
        return [_with_answer(example, answer, every_answer) for example, answer in zip(examples, answers, strict=True)]

    def plain_texts(self, texts: Sequence[str]) -> list[TokenisedText]:
        """Return the bytes of texts, each with the token that ends it."""
        every = ([*_bytes(text), _END] for text in texts)
        return [TokenisedText(tuple(ids), (True,) * len(ids)) for ids in every]

    def rewritten(self, weights: Mapping[str, np.ndarray]) -> FakeDecoder:
        """Return a decoder with these weights; names that are absent keep their value.

        Raises:
            ModelError: A name or a shape is not one of its network.
        """
        known = {name: tuple(value.shape) for name, value in self._network().named_parameters()}
        for name, value in weights.items():
            if known.get(name) != value.shape:
                raise ModelError(f"{self.ID} has no weight {name} of shape {value.shape}. It has: {known}.")
        return FakeDecoder({**self._weights, **weights})

    def _network(self) -> Any:
        if self._opened is None:
            self._opened = self.causal_module()
        return self._opened

    def _log_probability(self, prompt: Sequence[int], answer: Sequence[int]) -> float:
        import torch

        if not answer:
            return 0.0
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            scores = self._network()(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        each = torch.log_softmax(scores, dim=-1)[torch.arange(len(answer)), torch.tensor(answer)]
        return float(each.sum())

    def _write(self, prompt: Sequence[int], decoding: Decoding) -> Written:
        import torch

        if len(prompt) >= self.longest:
            raise DataError(
                f"An example has {len(prompt)} tokens, and {self.ref.name} takes {self.longest}, answer included. "
                "Shorten it, or show fewer examples before it."
            )
        network, past = self._network(), None
        generator = torch.Generator().manual_seed(decoding.seed)
        ids, written = torch.tensor([list(prompt)]), bytearray()
        room = min(decoding.max_new_tokens, self.longest - len(prompt))
        for step in range(room):
            with torch.no_grad():
                found = network(input_ids=ids, past_key_values=past, use_cache=True)
            past, scores = found.past_key_values, found.logits[0, -1]
            if decoding.temperature:
                token = int(torch.multinomial((scores / decoding.temperature).softmax(0), 1, generator=generator))
            else:
                token = int(scores.argmax())
            if token < _FIRST_BYTE:
                return Written(_text(written), True, step + 1)
            written.append(token - _FIRST_BYTE)
            stops = [_text(written).find(stop) for stop in decoding.stop if stop in _text(written)]
            if stops:
                return Written(_text(written)[: min(stops)], True, step + 1)
            ids = torch.tensor([[token]])
        return Written(_text(written), False, room)


def _bytes(text: str) -> list[int]:
    return [_FIRST_BYTE + byte for byte in text.encode("utf-8", "surrogatepass")]


def _text(written: bytearray) -> str:
    return written.decode("utf-8", "replace")


def _turn(message: Message) -> list[int]:
    calls = json.dumps([dict(call) for call in message.tool_calls]) if message.tool_calls else ""
    return [_TURNS[message.role], *_bytes(message.content + calls), _END]


def _messages(example: Example, before: Sequence[Message] = ()) -> tuple[Message, ...]:
    if not isinstance(example, str | Conversation):
        raise DataError(
            f"A text or a conversation was expected, {type(example).__name__} was found. Turn every example into one."
        )
    return as_conversation(example, before).messages


def _prompt(example: Example, before: Sequence[Message]) -> list[int]:
    turns = [token for message in _messages(example, before) for token in _turn(message)]
    return [*turns, _TURNS[ASSISTANT]]


def _with_answer(example: Example, answer: str, every_answer: bool) -> TokenisedText:
    ids: list[int] = []
    learnt: list[bool] = []
    messages = (*_messages(example), Message(ASSISTANT, answer))
    for number, message in enumerate(messages, start=1):
        turn = _turn(message)
        is_learnt = number == len(messages) or (every_answer and message.role == ASSISTANT)
        ids += turn
        learnt += [False, *[is_learnt] * (len(turn) - 1)]
    return TokenisedText(tuple(ids), tuple(learnt))


def _fixed(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of a parameter, float32: random generators may change between versions."""
    import numpy as np

    if len(shape) == 1:
        return np.ones(shape, dtype=np.float32)
    data = hashlib.shake_256(name.encode()).digest(int(np.prod(shape)))
    return ((np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 127.5) / 127.5 * 0.05).reshape(shape)
