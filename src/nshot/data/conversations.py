"""Conversations in the forms that people keep them in, as `Conversation`s that are built when they are asked for.

A table stays in Arrow memory as it was read; a `Form` says which columns make a conversation and its answer, and how.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from nshot.core import ASSISTANT, SYSTEM, TOOL, USER, Conversation, DataError, Message, shortened, tool_call
from nshot.data.texts import ArrowTexts

if TYPE_CHECKING:
    import pyarrow as pa

_CALL = "function_call"
_ROLES = {
    **dict.fromkeys(("system", "developer"), SYSTEM),
    **dict.fromkeys(("user", "human", "prompter"), USER),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), ASSISTANT),
    **dict.fromkeys(("function_call", "tool_call"), _CALL),
    **dict.fromkeys(("tool", "observation", "function", "ipython", "function_response", "tool_response"), TOOL),
}
_KNOWN_ROLES = "system, user (human), assistant (gpt), function_call, tool (observation)"
_ROLE_KEYS = ("role", "from")
_CONTENT_KEYS = ("content", "value", "text")
_PART_KEYS = ("text", "value", "content")
_EXPECTED_MESSAGE = "Expected 'role' and 'content', or 'from' and 'value'."
_GOOD = frozenset({"true", "1", "1.0"})
_MOST_REFERENCES = 100
"""An input that a file answers more often has so many accepted answers: enough for any metric, and bounded work."""


_LOOK_ROWS = 1 << 16


class FormProblem(ValueError):
    """A row is not what its form says; the text says what was expected and what was found."""


class Exchange(NamedTuple):
    """One row: what is to be answered, and the answers it has.

    Attributes:
        asked: Everything up to the last answer.
        answers: Its own answer, then further ones that are accepted; empty where there is none.
        is_good: Whether the answers may be learnt from: false where a person marked them as bad.
    """

    asked: Conversation
    answers: tuple[str, ...]
    is_good: bool = True


@dataclass(frozen=True)
class Form:
    """Which columns make a conversation and its answer, and how.

    Attributes:
        inputs: Columns of the prompt: one with lists of messages, or texts that are joined.
        answer: Column with the answers; None: the last turn of the messages, or nothing where these are plain texts.
        is_messages: `inputs` is one column with lists of messages.
        system: Column with what the system message says, or None.
        history: Column with earlier turns, as pairs or as messages, or None.
        tools: Column with the functions that may be called, or None.
        mark: Column that says true of good answers and false of bad ones, or None.
        rejected: Column with answers that are not learnt from, or None.
        has_lists: The cells of `answer` may be lists: references, or messages.
    """

    inputs: tuple[str, ...]
    answer: str | None
    is_messages: bool = False
    system: str | None = None
    history: str | None = None
    tools: str | None = None
    mark: str | None = None
    rejected: str | None = None
    has_lists: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read, each once."""
        further = (self.answer, self.system, self.history, self.tools, self.mark)
        return tuple(dict.fromkeys([*self.inputs, *(name for name in further if name is not None)]))

    def without_missing(self, columns: Iterable[str]) -> Form:
        """Return the form for a table that need not have what is optional."""
        known = set(columns)

        def of(name: str | None) -> str | None:
            return name if name in known else None

        return replace(
            self,
            system=of(self.system),
            history=of(self.history),
            tools=of(self.tools),
            mark=of(self.mark),
            rejected=of(self.rejected),
        )

    def exchange(self, cells: Mapping[str, str]) -> Exchange:
        """Return what a row asks and how it is answered.

        Args:
            cells: The row's cells by column; an empty one is an empty string. Lists are JSON.

        Raises:
            FormProblem: It is not in this form.
        """
        messages = self._messages(cells) if self.is_messages else self._prompt(cells)
        answers: tuple[str, ...] = ()
        if self.answer is not None and self.answer in cells:
            answers = self._answers(cells[self.answer])
        elif self.is_messages and messages and messages[-1].role == ASSISTANT:
            said = messages.pop().said
            answers = (said,) if said else ()
        system = cells.get(self.system, "") if self.system else ""
        if system.strip() and not any(message.role == SYSTEM for message in messages):
            messages.insert(0, Message(SYSTEM, system))
        tools = _tools(cells.get(self.tools, "")) if self.tools else ()
        is_good = not self.mark or cells.get(self.mark, "").strip().casefold() in _GOOD
        return Exchange(Conversation(tuple(messages), tools), answers, is_good)

    def _messages(self, cells: Mapping[str, str]) -> list[Message]:
        name = self.inputs[0]
        if not cells[name].strip():
            raise FormProblem(
                f"has no '{name}'. Expected a list of messages there, as in the other rows. Keep rows of another form "
                "in a file of their own."
            )
        return messages_in(_loaded(cells[name], name), name)

    def _prompt(self, cells: Mapping[str, str]) -> list[Message]:
        earlier = _history(cells.get(self.history, "")) if self.history else []
        if len(self.inputs) == 1:
            return [*earlier, Message(USER, cells[self.inputs[0]])]
        parts = (cells[name].strip() for name in self.inputs)
        return [*earlier, Message(USER, "\n".join(part for part in parts if part))]

    def _answers(self, cell: str) -> tuple[str, ...]:
        stripped = cell.strip()
        if self.has_lists and stripped[:1] in {"[", "{"} and self.answer:
            return _answers_in(_loaded(stripped, self.answer), self.answer)
        return (stripped,) if stripped else ()


# --- one cell ---------------------------------------------------------------------------------------------------------


def last_role(cell: str) -> str | None:
    """Return the role that ends the list of messages in a cell, or None where it is no such list."""
    if not cell.lstrip().startswith("[") or not cell.rstrip().endswith("]"):
        return None
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        return None
    written = _first(value[-1], _ROLE_KEYS)
    return None if written is None else _ROLES.get(str(written).strip().casefold(), str(written))


def messages_in(value: Any, where: str) -> list[Message]:
    """Return the messages of a list of records.

    Args:
        value: What the cell holds.
        where: The column, for messages.

    Raises:
        FormProblem: It is no list of messages.
    """
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise FormProblem(f"has {_short(value)} in '{where}'. Expected a list of messages. {_EXPECTED_MESSAGE}")
    return _named_tools([_message(record, number, where) for number, record in enumerate(value, start=1)])


def asked_in(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Conversation:
    """Return the conversation that a program hands over to be answered.

    Args:
        messages: As records, such as ``{"role": "user", "content": "Hello"}``; at least one.
        tools: The functions that may be called.

    Raises:
        DataError: A message has no role or content, or the last one is an answer already.
    """
    try:
        found = messages_in(list(messages), "messages")
    except FormProblem as problem:
        raise DataError(f"A conversation {problem}") from None
    if found[-1].role == ASSISTANT:
        raise DataError("The last message is already an answer. End the conversation with what is to be answered.")
    return Conversation(tuple(found), tuple(tools))


def _message(record: Any, number: int, where: str) -> Message:
    if not isinstance(record, dict):
        raise FormProblem(f"has {_short(record)} as message {number} of '{where}'. {_EXPECTED_MESSAGE}")
    written = _first(record, _ROLE_KEYS)
    if written is None:
        raise FormProblem(
            f"has no role in message {number} of '{where}'. Found the keys: {', '.join(record) or 'none'}. "
            f"{_EXPECTED_MESSAGE}"
        )
    role = _ROLES.get(str(written).strip().casefold())
    if role is None:
        raise FormProblem(
            f"has the role {_short(written)} in message {number} of '{where}'. Known roles: {_KNOWN_ROLES}."
        )
    content = _content(_first(record, _CONTENT_KEYS), number, where)
    if role == _CALL:
        calls = _calls(content or "")
        return Message(ASSISTANT, "" if calls else content or "", calls)
    calls = _calls_of(record) if role == ASSISTANT else ()
    if content is None and not calls:
        _refuse_silence(record, role, number, where)
    name = record.get("name") if role == TOOL else None
    return Message(role, content or "", calls, str(name) if name else None)


def _refuse_silence(record: Mapping[str, Any], role: str, number: int, where: str) -> None:
    """Refuse a message without content, unless it is an answer that is only missing."""
    if not any(key in record for key in _CONTENT_KEYS):
        raise FormProblem(
            f"has no content in message {number} of '{where}' ({role}). Found the keys: {', '.join(record)}. "
            f"{_EXPECTED_MESSAGE}"
        )
    if role != ASSISTANT:
        raise FormProblem(
            f"has null as the content of message {number} of '{where}' ({role}). Expected a text; leave the message or "
            "the row out if there is none."
        )


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    for key in keys:
        value = record.get(key)
        if value is not None:
            return value
    return None


def _content(value: Any, number: int, where: str) -> str | None:
    """Return a message's content as one text: a text, or parts of which each is a text."""
    if value is None or isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else [value]
    return "".join(_part(part, number, where) for part in parts)


def _part(part: Any, number: int, where: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else type(part).__name__
    said = _first(part, _PART_KEYS) if isinstance(part, dict) and "text" in str(kind) else None
    if not isinstance(said, str):
        raise FormProblem(
            f"has a part of the type '{kind}' in message {number} of '{where}'. Only texts are read: "
            '{"type": "text", "text": "..."}. Leave the part or the row out.'
        )
    return said


def _calls_of(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the calls that a message of OpenAI's format makes, also in its older form."""
    written = record.get("tool_calls")
    if isinstance(written, str):
        return _calls(written)
    if written:
        return tuple(tool_call(call) for call in written if isinstance(call, dict))
    older = record.get("function_call")
    return (tool_call(older),) if isinstance(older, dict) else ()


def _calls(content: str) -> tuple[Mapping[str, Any], ...]:
    """Return the calls written in a text; none where it is not JSON, so that the text stays what was said."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, dict) for entry in entries):
        return ()
    return tuple(tool_call(entry) for entry in entries)


def _named_tools(messages: list[Message]) -> list[Message]:
    """Give a tool's answer the name of the function that was called last, where it has none of its own."""
    called: str | None = None
    named: list[Message] = []
    for message in messages:
        if message.tool_calls:
            called = message.tool_calls[-1]["function"].get("name")
        named.append(replace(message, name=called) if message.role == TOOL and message.name is None else message)
    return named


def _tools(cell: str) -> tuple[Mapping[str, Any], ...]:
    """Return functions that may be called in OpenAI's form."""
    if not cell.strip():
        return ()
    value = _loaded(cell, "tools")
    if isinstance(value, str) and value.strip():  # a list that was written as a text, which was written as JSON
        value = _loaded(value, "tools")
    entries = value if isinstance(value, list) else [value]
    tools: list[Mapping[str, Any]] = []
    for entry in entries:
        found = _loaded(entry, "tools") if isinstance(entry, str) else entry
        if not isinstance(found, dict):
            raise FormProblem(f"has {_short(found)} among its tools. Expected objects that describe a function.")
        tools.append(found if isinstance(found.get("function"), dict) else {"type": "function", "function": found})
    return tuple(tools)


def _history(cell: str) -> list[Message]:
    """Return earlier turns: pairs of what was said and answered, or messages."""
    if not cell.strip():
        return []
    value = _loaded(cell, "history")
    if isinstance(value, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in value):
        return [
            message
            for said, answer in value
            for message in (Message(USER, str(said or "")), Message(ASSISTANT, str(answer or "")))
        ]
    return messages_in(value, "history")


def _answers_in(value: Any, where: str) -> tuple[str, ...]:
    """Return the answers in a list of texts, in one message, or in a list of messages, whose last one counts."""
    if isinstance(value, list) and all(entry is None or isinstance(entry, str | int | float) for entry in value):
        texts = (str(entry).strip() for entry in value if entry is not None)
        return tuple(dict.fromkeys(text for text in texts if text))
    messages = messages_in(value, where)
    said = messages[-1].said if messages and messages[-1].role == ASSISTANT else ""
    return (said,) if said else ()


def _loaded(cell: str, where: str) -> Any:
    try:
        value = json.loads(cell)
        if "\\u" in cell:  # half of a pair, as broken programs write, is no text
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        hint = " It was written by Python, not as JSON: write it with json.dumps." if "': " in cell[:2000] else ""
        raise FormProblem(f"has no valid JSON in '{where}': {_short(cell)}.{hint}") from None
    return value


def _short(value: Any) -> str:
    return shortened(repr(value), 60)


# --- columns of them --------------------------------------------------------------------------------------------------


class ArrowConversations(Sequence[Conversation]):
    """n conversations whose cells stay in Arrow memory; each is built when it is asked for."""

    __slots__ = ("_cells", "_form")

    def __init__(self, form: Form, table: Mapping[str, pa.ChunkedArray]) -> None:
        self._form = form
        self._cells = {name: ArrowTexts(table[name]) for name in form.columns}

    def __len__(self) -> int:
        return len(self._cells[self._form.inputs[0]])

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | Sequence[Conversation]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._form.exchange({name: texts[index] for name, texts in self._cells.items()}).asked

    def __iter__(self) -> Iterator[Conversation]:
        for exchange in self.exchanges():
            yield exchange.asked

    def exchanges(self) -> Iterator[Exchange]:
        """Yield each row with its answers.

        Raises:
            FormProblem: While iterating: a row is not in the form.
        """
        for cells in zip(*self._cells.values(), strict=True):
            yield self._form.exchange(dict(zip(self._cells, cells, strict=True)))


class Answers(Sequence[tuple[str, ...]]):
    """The accepted answers of n rows, in Arrow memory: a row's own first, then those of rows with the same input."""

    __slots__ = ("_own", "_same")

    def __init__(self, own: pa.ListArray | pa.ChunkedArray, same: Mapping[int, Sequence[int]]) -> None:
        """Hold the answers.

        Args:
            own: A list of texts per row, the first of which is the row's own answer.
            same: For each row whose input other rows have too, the positions of all of these.
        """
        self._own = own
        self._same = same

    def __len__(self) -> int:
        return len(self._own)

    @overload
    def __getitem__(self, index: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, ...] | Sequence[tuple[str, ...]]:
        n = len(self)
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(n))]
        position = index + n if index < 0 else index
        if not 0 <= position < n:
            raise IndexError(f"position {index} of {n} answers")
        accepted: dict[str, None] = dict.fromkeys(self._own[position].as_py())
        for other in self._same.get(position, ()):
            if len(accepted) >= _MOST_REFERENCES:
                break
            accepted.update(dict.fromkeys(self._own[other].as_py()))
        return tuple(accepted)


@dataclass(frozen=True, eq=False)
class Exchanges:
    """What one look at every row says.

    Attributes:
        answers: A list of accepted answers per row, in Arrow memory; empty where there is none to learn from.
        inputs: 64 bits per row that are equal where the inputs are.
        empty: Positions of rows without a prompt.
        refused: Positions of rows whose answer is marked as bad.
    """

    answers: pa.ChunkedArray
    inputs: array[int]
    empty: tuple[int, ...]
    refused: tuple[int, ...]

    def answered(self) -> array[int]:
        """Return the positions of the rows that have an answer."""
        import pyarrow.compute as pc

        positions = array("q")
        start = 0
        for chunk in self.answers.chunks:
            found = pc.indices_nonzero(pc.greater(pc.list_value_length(chunk), 0))
            positions.extend(start + i for i in found.to_pylist())
            start += len(chunk)
        return positions

    def targets(self, positions: array[int]) -> Answers:
        """Return the accepted answers of the rows at `positions`, those of equal inputs among them together."""
        import pyarrow as pa

        places: dict[int, list[int]] = {}
        for place, position in enumerate(positions):
            places.setdefault(self.inputs[position], []).append(place)
        same = {place: shared for shared in places.values() if len(shared) > 1 for place in shared}
        own = (
            self.answers if len(positions) == len(self.answers) else self.answers.take(pa.array(positions, pa.int64()))
        )
        return Answers(own, same)


def look_at(conversations: ArrowConversations, name: str) -> Exchanges:
    """Read every row once.

    Args:
        conversations: The rows.
        name: What messages call the file.

    Raises:
        DataError: A row is not in the form; the message says which.
    """
    import pyarrow as pa

    kind = pa.list_(pa.string())
    chunks: list[pa.Array] = []
    held: list[tuple[str, ...]] = []
    inputs = array("q")
    empty: list[int] = []
    refused: list[int] = []
    rows = conversations.exchanges()
    while True:
        row = len(inputs)
        try:
            exchange = next(rows, None)
        except FormProblem as problem:
            raise DataError(f"Row {row + 1:,} of {name} {problem}") from None
        if exchange is None:
            break
        inputs.append(_bits(exchange.asked))
        if not exchange.asked.last.strip() and not any(message.tool_calls for message in exchange.asked.messages[-1:]):
            empty.append(row)
        if not exchange.is_good:
            refused.append(row)
        held.append(exchange.answers if exchange.is_good else ())
        if len(held) == _LOOK_ROWS:
            chunks.append(pa.array(held, kind))
            held = []
    chunks.append(pa.array(held, kind))
    return Exchanges(pa.chunked_array(chunks, kind), inputs, tuple(empty), tuple(refused))


def _bits(asked: Conversation) -> int:
    """Return 64 bits that are equal where conversations are; among a million others hardly ever are."""
    turns = [(message.role, message.content, message.tool_calls, message.name) for message in asked.messages]
    digest = hashlib.blake2b(repr((turns, asked.tools)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
