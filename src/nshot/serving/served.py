"""A model that is offered, and an answer that it writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from nshot.backbones.remote_protocol import estimated_tokens
from nshot.core import (
    Conversation,
    DataError,
    Decoding,
    Generates,
    Message,
    Predictor,
    UnsupportedError,
    Writer,
    Written,
)
from nshot.training.writing import ModelWriter


class TooLongError(DataError):
    """A conversation leaves no room for an answer."""


@dataclass(frozen=True)
class Served:
    """A model that is offered.

    Attributes:
        name: What requests call it.
        writer: Writes the answers.
        decoding: How, unless a request says otherwise.
        model: Counts tokens; None: they are estimated.
        before: Turns that the writer puts before every conversation; they are counted.
        created: When it was loaded, in seconds since 1970.
    """

    name: str
    writer: Writer
    decoding: Decoding
    model: Generates | None = None
    before: tuple[Message, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def longest(self) -> int | None:
        """Return the most tokens that it takes in, answer included; None where nobody says."""
        return self.model.longest if self.model else None

    def tokens_of(self, conversation: Conversation) -> int:
        """Return how many tokens a conversation has as the model reads it."""
        if self.model:
            return self.model.prompt_tokens([conversation], before=self.before)[0]
        return sum(estimated_tokens(message.content) for message in conversation.messages)

    def tokens_in(self, text: str) -> int:
        """Return how many tokens an answer has."""
        if self.model is None:
            return estimated_tokens(text)
        whole, empty = self.model.prompt_tokens([text, ""])
        return max(0, whole - empty)


def served(name: str, predictor: Predictor) -> Served:
    """Return a predictor as a model that is offered.

    Args:
        name: What requests call it.
        predictor: What was fitted or loaded.

    Raises:
        UnsupportedError: It does not write.
    """
    if not isinstance(predictor, Writer):
        raise UnsupportedError(
            f"{name} does not write answers with a language model. Models that do are served so far, such as those of "
            "sft, in_context and prompt; use nshot predict for this one."
        )
    if isinstance(predictor, ModelWriter):
        return Served(name, predictor, predictor.decoding, predictor.model, predictor.before)
    return Served(name, predictor, predictor.decoding)


class Answer:
    """An answer that is being written; one thread writes, another reads the figures once it has ended.

    Attributes:
        tokens_in: Tokens of the conversation.
        tokens_out: Tokens of the answer.
        finish_reason: ``stop`` or ``length``; None: it has not ended.
    """

    def __init__(self, model: Served, conversation: Conversation, decoding: Decoding) -> None:
        self._model = model
        self._conversation = conversation
        self._decoding = decoding
        self.tokens_in = 0
        self.tokens_out = 0
        self.finish_reason: str | None = None

    def pieces(self) -> Iterator[str]:
        """Yield the answer in pieces.

        Raises:
            TooLongError: The conversation leaves no room for an answer.
            NshotError: What the model says.
        """
        self.tokens_in = self._model.tokens_of(self._conversation)
        longest = self._model.longest
        if longest is not None and self.tokens_in >= longest:
            raise TooLongError(
                f"The conversation has {self.tokens_in} tokens, and {self._model.name} takes {longest}, answer "
                "included. Shorten it."
            )
        parts: list[str] = []
        pieces = self._model.writer.stream(self._conversation, self._decoding)
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                written = end.value
                break
            parts.append(piece)
            yield piece
        if isinstance(written, Written):
            self.tokens_out, stopped = written.tokens, written.stopped
        else:
            self.tokens_out = self._model.tokens_in("".join(parts))
            stopped = self.tokens_out < self._decoding.max_new_tokens
        self.finish_reason = "stop" if stopped else "length"
