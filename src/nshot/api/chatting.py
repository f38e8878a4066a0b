"""`chat`: a conversation with a model that writes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from nshot.api.options import resolved_options
from nshot.api.writers import open_writer
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import SYSTEM, USER, Conversation, DataError, Decoding, Message
from nshot.serving import Served
from nshot.study.options import ComputingOptions

_ROOM = 4
"""An answer gets at least a quarter of what the model takes in, unless it is to be shorter."""


class ChatOptions(RemoteOptions, ComputingOptions):
    """How to chat to a model."""

    system: str | None = None
    """What the model is told before the conversation, as a system message."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 writes the likeliest token every time; higher values draw. The model's own setting unless given."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The longest answer in tokens; the model's own setting unless given."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "chat"


class Chat:
    """A conversation with a model.

    Attributes:
        name: What people call the model.
        left_out: How many of the oldest turns were left out of the last question, because there was no room for them.
    """

    def __init__(self, model: Served, decoding: Decoding, system: str = "") -> None:
        """Begin a conversation.

        Args:
            model: Answers.
            decoding: How it writes.
            system: What it is told before.
        """
        self.name = model.name
        self.left_out = 0
        self._model = model
        self._decoding = decoding
        self._beginning = Conversation((Message(SYSTEM, system),) if system else ())
        self.conversation = self._beginning

    def reset(self) -> None:
        """Forget what was said."""
        self.conversation = self._beginning

    def say(self, text: str) -> Generator[str, None, None]:
        """Yield the answer in pieces; what was yielded until then stays part of the conversation if it is closed.

        Where the conversation becomes too long for the model, its oldest turns are forgotten.

        Raises:
            DataError: The text alone is too long; the conversation stays as it was.
            NshotError: What the model says.
        """
        asked, first, pieces = self._begun(self.conversation.then(text))
        said = [first]
        try:
            yield first
            for piece in pieces:
                said.append(piece)
                yield piece
        finally:
            self.conversation = asked.answered("".join(said))

    def _begun(self, asked: Conversation) -> tuple[Conversation, str, Any]:
        """Return the conversation that could be asked, the first piece of the answer and the others."""
        self.left_out = 0
        while True:
            shorter = _without_oldest_turns(asked)
            if shorter is None or self._has_room(asked):
                try:
                    pieces = self._model.writer.stream(asked, self._decoding)
                    return asked, next(pieces, ""), pieces
                except DataError:  # too long for a model of which nobody said how much it takes in
                    if shorter is None:
                        raise
            self.left_out += len(asked.messages) - len(shorter.messages)
            asked = shorter

    def _has_room(self, asked: Conversation) -> bool:
        longest = self._model.longest
        if longest is None:
            return True
        room = min(self._decoding.max_new_tokens, longest // _ROOM)
        return self._model.tokens_of(asked) + room <= longest


def chat(model: str, *, options: ChatOptions | Mapping[str, Any] | None = None, **more: Any) -> Chat:
    """Return a conversation with a model.

    Args:
        model: Folder of a saved model; or a folder, a hub id or an address (``openai:MODEL``) of a pre-trained one.
        options: A `ChatOptions` or its fields.
        more: Fields of `ChatOptions`, such as ``temperature=0.7``.

    Raises:
        NshotError: It cannot be opened, or does not write; the text says what to do.
    """
    resolved = resolved_options(ChatOptions, options, more)
    found = open_writer(model, resolved, resolved.access(None))
    usual = found.decoding
    decoding = replace(
        usual,
        max_new_tokens=resolved.max_tokens or usual.max_new_tokens,
        temperature=usual.temperature if resolved.temperature is None else resolved.temperature,
        seed=resolved.seed,
    )
    return Chat(found, decoding, resolved.system or "")


def _without_oldest_turns(asked: Conversation) -> Conversation | None:
    """Return the conversation without what the user said first and what came of it; None: nothing else was said."""
    said = [position for position, message in enumerate(asked.messages) if message.role == USER]
    if len(said) < 2:
        return None
    return replace(asked, messages=(*asked.messages[: said[0]], *asked.messages[said[1] :]))
