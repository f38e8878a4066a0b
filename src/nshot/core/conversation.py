"""Conversations: what a language model reads and continues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
ROLES = (SYSTEM, USER, ASSISTANT, TOOL)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: One of `ROLES`.
        content: What is said; may be empty where `tool_calls` are made.
        tool_calls: Functions that the assistant calls, as records of OpenAI's form
            (``{"type": "function", "function": {"name": ..., "arguments": ...}}``).
        name: Which tool a `TOOL` message is from, or None.
    """

    role: str
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    name: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record of OpenAI's chat format; what is empty is left out."""
        record: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            record["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.name is not None:
            record["name"] = self.name
        return record

    @property
    def said(self) -> str:
        """What the turn says as one text; the call of a function is written as JSON, one call a line."""
        functions = (call["function"] for call in self.tool_calls)
        calls = (
            json.dumps({"name": called.get("name"), "arguments": called.get("arguments")}, ensure_ascii=False)
            for called in functions
        )
        return "\n".join(part for part in (self.content.strip(), *calls) if part)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Message:
        """Return the message that `as_json` wrote."""
        return cls(record["role"], record["content"], tuple(record.get("tool_calls", ())), record.get("name"))


@dataclass(frozen=True)
class Conversation:
    """The turns up to an answer that is asked for: an `Example` of the modality ``conversation``.

    Attributes:
        messages: In order; the last one is no answer of the assistant's.
        tools: The functions that may be called, as records of OpenAI's form.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def asking(cls, text: str, instruction: str = "") -> Conversation:
        """Return the conversation that says `text`, with a system message before it where there is an instruction."""
        said = Message(USER, text)
        return cls((Message(SYSTEM, instruction), said) if instruction else (said,))

    @property
    def last(self) -> str:
        """Return what is to be answered: the content of the last message."""
        return self.messages[-1].content if self.messages else ""

    def answered(self, answer: str) -> Conversation:
        """Return the conversation with this answer of the assistant's."""
        return Conversation((*self.messages, Message(ASSISTANT, answer)), self.tools)

    def then(self, text: str) -> Conversation:
        """Return the conversation with this as what the user says next."""
        return Conversation((*self.messages, Message(USER, text)), self.tools)

    def without_system(self) -> Conversation:
        """Return what tells conversations apart: their turns without the system message and the list of tools."""
        return Conversation(tuple(turn for turn in self.messages if turn.role != SYSTEM))

    def as_text(self) -> str:
        """Return one text for people: what is said, with who says it where there is more than one turn."""
        turns = self.messages
        if len(turns) == 1 and turns[0].role == USER and not self.tools:
            return turns[0].content
        tools = [f"tools: {json.dumps(list(self.tools), ensure_ascii=False, default=str)}"] if self.tools else []
        return "\n".join([*tools, *(f"{turn.role}: {turn.said}" for turn in turns)])

    def as_json(self) -> dict[str, Any]:
        """Return the record ``{"messages": [...], "tools": [...]}``; no tools, no key."""
        record: dict[str, Any] = {"messages": [message.as_json() for message in self.messages]}
        return {**record, "tools": [dict(tool) for tool in self.tools]} if self.tools else record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Conversation:
        """Return the conversation that `as_json` wrote."""
        messages = tuple(Message.from_json(message) for message in record["messages"])
        return cls(messages, tuple(record.get("tools", ())))


def as_conversation(example: Any, before: Sequence[Message] = ()) -> Conversation:
    """Return an example of the modality ``text`` or ``conversation`` as the conversation that a model reads.

    Args:
        example: A text, which becomes what the user says, or a conversation.
        before: Turns to put before it. There is one system message, at the beginning: the example's own where it has
            one, otherwise that of `before`.
    """
    own = example if isinstance(example, Conversation) else Conversation.asking(example)
    if not before:
        return own
    if own.messages and own.messages[0].role == SYSTEM:
        earlier = tuple(message for message in before if message.role != SYSTEM)
        return Conversation((own.messages[0], *earlier, *own.messages[1:]), own.tools)
    return Conversation((*before, *own.messages), own.tools)


def tool_call(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call of a function in OpenAI's form, its arguments as an object, as chat templates want them.

    Args:
        record: A call of that form, or only the function's name and arguments; these may be JSON, as text or read.
    """
    is_whole = isinstance(record.get("function"), Mapping)
    function = dict(record["function"] if is_whole else record)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            read = json.loads(arguments)
        except (ValueError, RecursionError):
            read = None
        if isinstance(read, dict):
            function["arguments"] = read
    if function.get("arguments") is None:
        function["arguments"] = {}
    further = {"id": record["id"]} if is_whole and record.get("id") else {}
    return {**further, "type": "function", "function": function}
