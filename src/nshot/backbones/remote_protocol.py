"""The messages of OpenAI's protocol: how a conversation is sent, and what comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from nshot.core import ASSISTANT, TOOL, Conversation, Message, ModelError, tool_call

_LETTERS_PER_TOKEN = 4
"""English text in the usual vocabularies; used where nobody can count."""
_TOKENS_PER_MESSAGE = 4
"""What a chat format adds to a message, about."""


def sent(conversation: Conversation) -> list[dict[str, Any]]:
    """Return the messages as the protocol wants them: calls of tools have ids, and their results name these."""
    messages = []
    open_calls: list[str] = []
    for number, message in enumerate(conversation.messages):
        record = message.as_json()
        if message.role == ASSISTANT and message.tool_calls:
            calls = [{"id": f"call_{number}_{i}", **_sent_call(call)} for i, call in enumerate(message.tool_calls)]
            open_calls = [str(call["id"]) for call in calls]
            record["tool_calls"] = calls
        elif message.role == TOOL:
            record["tool_call_id"] = open_calls.pop(0) if open_calls else f"call_{number}"
        messages.append(record)
    return messages


def _sent_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call with its arguments as text, as the protocol has them."""
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {**call, "function": function}


def tools(conversation: Conversation) -> dict[str, Any]:
    """Return the parameter with the functions that may be called; empty where there are none."""
    return {"tools": [dict(tool) for tool in conversation.tools]} if conversation.tools else {}


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return math.ceil(len(text) / _LETTERS_PER_TOKEN)


def foreseen_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return about how many tokens messages have."""
    texts = (json.dumps(message["tool_calls"]) if "tool_calls" in message else "" for message in messages)
    letters = sum(len(str(message["content"])) for message in messages) + sum(map(len, texts))
    return math.ceil(letters / _LETTERS_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages)


def until(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return `text` up to the first of the stop texts, and whether there was one."""
    places = [place for mark in stop if mark and (place := text.find(mark)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class _Usage(BaseModel):
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None

    def text(self) -> str:
        """Return what the model said; calls of tools are json, one a line."""
        said = self.content or self.refusal or ""
        return Message(ASSISTANT, said, tuple(map(tool_call, self.tool_calls))).said if self.tool_calls else said


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _TokenLikelihood(BaseModel):
    logprob: float


class Completion(BaseModel):
    """An answer."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    prompt_logprobs: list[dict[str, _TokenLikelihood] | None] | None = None

    @classmethod
    def withheld(cls) -> Completion:
        """Return the answer that a content filter leaves of a question that it refused: nothing, for nothing."""
        return cls(choices=[_Choice(message=_Said(), finish_reason="content_filter")], usage=_Usage())

    def tokens(self, foreseen_in: int) -> tuple[int, int]:
        """Return how many tokens were read and written, estimated where the endpoint does not say."""
        if self.usage is None:
            return foreseen_in, estimated_tokens(self.choices[0].message.text())
        return self.usage.prompt_tokens, self.usage.completion_tokens

    def prompt_likelihoods(self) -> list[float]:
        """Return the log-probability of every token of the prompt, 0 for the first, which nothing foretells."""
        tokens = self.prompt_logprobs or []
        return [next(iter(token.values())).logprob if token else 0.0 for token in tokens]


class Models(BaseModel):
    """The list of models of an endpoint."""

    data: list[dict[str, Any]]

    def longest(self, model: str) -> int | None:
        """Return how many tokens a model takes in, where the list says so under a name that servers use for it."""
        for entry in self.data:
            if entry.get("id") == model:
                meta = entry.get("meta")
                also = meta.get("n_ctx") if isinstance(meta, Mapping) else None
                for length in (entry.get("max_model_len"), entry.get("context_length"), also):
                    if isinstance(length, int) and length > 0:
                        return length
        return None


class Streamed:
    """An answer that comes in pieces.

    Attributes:
        text: What has come.
        finish_reason: Why it ended; None: it has not.
        tokens_in: Tokens read, estimated until the endpoint says.
        tokens_out: Tokens written, likewise.
    """

    def __init__(self, foreseen_in: int) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.tokens_in = foreseen_in
        self.tokens_out = 0
        self._told = False

    def pieces(self, chunks: Iterable[Any]) -> Iterator[str]:
        """Yield the texts of the chunks of the openai package.

        Raises:
            ModelError: The answer ended in the middle.
        """
        for chunk in chunks:
            if chunk.usage is not None:
                self._told = True
                self.tokens_in, self.tokens_out = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            for choice in chunk.choices or ():
                self.finish_reason = choice.finish_reason or self.finish_reason
                piece = choice.delta.content if choice.delta is not None else None
                if piece:
                    self.text += piece
                    if not self._told:
                        self.tokens_out = estimated_tokens(self.text)
                    yield piece
        if self.finish_reason is None:
            raise ModelError("The answer ended in the middle: the connection was closed. Ask again.")
