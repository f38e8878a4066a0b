"""How a conversation becomes the tokens that a decoder reads: its own chat template, or a plain one.

A *prompt* is everything up to where the answer begins. What stands around an answer (a space before it, the token that
ends it) is found once, by rendering a conversation with an answer whose words are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nshot.backbones.decoder_settings import DecoderSettings
from nshot.backbones.tokens import encodable
from nshot.core import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    DataError,
    Example,
    ExampleError,
    Message,
    ModelError,
    TokenisedText,
    as_conversation,
)

if TYPE_CHECKING:
    import tokenizers
    import transformers

PLAIN_TEMPLATE = (
    "{% if tools %}{{ tools | tojson + '\\n\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}"
    "{% elif message.role == 'assistant' %}"
    "{{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
    "{{ eos_token }}"
    "{% else %}{{ message.content + '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
)
"""The format of a model that has none: what is said, a new line, the answer, the token that ends a text.

What a system message says stands first, with an empty line after it. Where the model's tokenizer begins every text with
a token of its own, that token comes before everything.
"""

_QUESTION, _ANSWER = "Question", "Thisistheanswer"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# A shared beginning shorter than this is read again for every example: keeping it would not pay.
_WORTH_KEEPING = 16
# A template is a program of whoever made the model: it may divide by zero, or count to a billion.
_FAILED_TEMPLATE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
# With so many tokens of the prompt before it, an answer is decoded as it would be in the whole text.
_CONTEXT = 8


@dataclass(frozen=True)
class Frame:
    """What stands around an answer.

    Attributes:
        lead: Text between the prompt and the answer.
        tail: Text between the answer and the token that ends it.
        end: The token that ends an answer, or None where nothing does.
        trims: Whether the template takes blanks off both ends of an answer.
    """

    lead: str
    tail: str
    end: int | None
    trims: bool

    def around(self, answer: str) -> str:
        """Return the text of an answer up to the token that ends it."""
        return f"{self.lead}{answer.strip() if self.trims else answer}{self.tail}"


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts: what all of them begin with, and the rest of each.

    Attributes:
        shared: Tokens at the beginning of every prompt whose `whole` is False.
        rests: The tokens after them, never empty; of a prompt that does not begin so, all tokens.
        whole: For each prompt, whether it does without the shared beginning.
        texts: The prompts as text, from where `rests` begin.
    """

    shared: tuple[int, ...]
    rests: list[list[int]]
    whole: list[bool]
    texts: list[str]

    def before(self, row: int) -> tuple[int, ...]:
        """Return the tokens before the rest of one prompt."""
        return () if self.whole[row] else self.shared

    def size(self, row: int) -> int:
        """Return how many tokens one prompt has."""
        return len(self.before(row)) + len(self.rests[row])


class ChatFormat:
    """A tokenizer with the template that conversations are written by."""

    def __init__(self, settings: DecoderSettings, *, trust_remote_code: bool = False) -> None:
        """Load the tokenizer.

        Raises:
            ModelError: There is none that can be read.
        """
        self._settings = settings
        self._tokenizer = _load(settings, trust_remote_code)
        self._backend: tokenizers.Tokenizer = self._tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        self._template: str | None = None if self._tokenizer.chat_template else self._plain()

    @property
    def own_template(self) -> str | None:
        """Return the template that stands in where the model has none; None where it has its own."""
        return self._template

    @property
    def end_of_text(self) -> int | None:
        """Return the token that ends a text, or None where the tokenizer has none."""
        token = self._tokenizer.eos_token_id
        return None if token is None else int(token)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Return every token at which an answer ends."""
        own = {token for token in (self.end_of_text, self.frame.end) if token is not None}
        return self._settings.end_ids | own

    @cached_property
    def frame(self) -> Frame:
        """Return what stands around an answer."""
        asked = Conversation.asking(_QUESTION)
        prompt = self._rendered(asked)
        full = self._rendered(asked.answered(_ANSWER), answered=True)
        trims = self._rendered(asked.answered(f"{_ANSWER} "), answered=True) == full
        before, found, tail = full.rpartition(_ANSWER)
        lead = before[len(prompt) :] if found and before.startswith(prompt) else ""
        ends = self._splitting.search(tail) if found else None
        if ends is None:
            return Frame(lead, "", self.end_of_text, trims)
        return Frame(lead, tail[: ends.start()], self._backend.token_to_id(ends.group()), trims)

    def prompt(self, conversation: Conversation) -> str:
        """Return the text up to where the answer begins.

        Raises:
            DataError: The template refuses the conversation.
        """
        if self._refuses_system:
            conversation = _system_said_by_user(conversation)
        return self._rendered(conversation)

    def prompts(self, examples: Sequence[Example], before: Sequence[Message] = ()) -> Prompts:
        """Return the tokens of each example with what stands before it.

        Raises:
            DataError: An example is neither a text nor a conversation, or the template refuses it.
        """
        texts = self._texts(examples, before)
        shared = self._shared_text(before) if texts else ""
        first = self.ids([shared])[0] if shared else []
        if len(first) < _WORTH_KEEPING:
            shared, first = "", []
        whole = [not text.startswith(shared) or len(text) == len(shared) for text in texts]
        texts = [text if alone else text[len(shared) :] for text, alone in zip(texts, whole, strict=True)]
        return Prompts(tuple(first), [ids or self._something() for ids in self.ids(texts)], whole, texts)

    def continued(self, prompts: Prompts, row: int, continuations: Sequence[str]) -> list[tuple[list[int], int]]:
        """Return one prompt's rest with each continuation as tokens, and how many of them are the prompt's."""
        lead = self.frame.lead
        made = self.ids([f"{prompts.texts[row]}{lead}{continuation}" for continuation in continuations])
        rest = prompts.rests[row]
        return [(ids, _common(rest, ids)) if ids else (rest, len(rest)) for ids in made]

    def answered(self, prompts: Prompts, answers: Sequence[str]) -> list[tuple[list[int], int]]:
        """Return each prompt's rest with its answer and the token that ends it, and how many are the prompt's."""
        frame = self.frame
        texts = [f"{text}{frame.around(answer)}" for text, answer in zip(prompts.texts, answers, strict=True)]
        end = [] if frame.end is None else [frame.end]
        made = [(ids or rest) + end for ids, rest in zip(self.ids(texts), prompts.rests, strict=True)]
        return [(ids, _common(rest, ids)) for ids, rest in zip(made, prompts.rests, strict=True)]

    def conversations(
        self, examples: Sequence[Example], answers: Sequence[str], *, every_answer: bool
    ) -> list[TokenisedText]:
        """Return each example with its answer, and which of its tokens are learnt.

        Raises:
            DataError: An example cannot be written by the template.
            ModelError: Nothing ends an answer.
        """
        if self.frame.end is None:
            raise self._endless()
        texts = self._texts(examples, ())
        rests = [ids or self._something() for ids in self.ids(texts)]
        prompts = Prompts((), rests, [True] * len(texts), texts)
        made = []
        for row, (ids, first) in enumerate(self.answered(prompts, answers)):
            learnt = [position >= first for position in range(len(ids))]
            if every_answer:
                for start, end in self._earlier_answers(examples[row], texts[row], row):
                    for position in range(_common(start, ids), _common(end, ids)):
                        learnt[position] = True
            made.append(TokenisedText(tuple(ids), tuple(learnt)))
        return made

    def plain_texts(self, texts: Sequence[str]) -> list[TokenisedText]:
        """Return texts as they are, each with the token that ends it; everything is learnt.

        Raises:
            ModelError: The tokenizer has no such token.
        """
        end = self.end_of_text
        if end is None:
            raise self._endless()
        made = [encoding.ids for encoding in self._backend.encode_batch_fast([encodable(text) for text in texts])]
        ended = [ids if ids[-1:] == [end] else [*ids, end] for ids in made]
        return [TokenisedText(tuple(ids), (True,) * len(ids)) for ids in ended]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text as it is: nothing is put before or after it."""
        prepared = [encodable(text) for text in texts]
        return [encoding.ids for encoding in self._backend.encode_batch_fast(prepared, add_special_tokens=False)]

    def text(self, answer: Sequence[int], prompt: Sequence[int], *, ended: bool) -> str:
        """Return an answer's text.

        Args:
            answer: Its tokens, without the one that ends it.
            prompt: The tokens before it.
            ended: Whether such a token came.
        """
        context = list(prompt[-_CONTEXT:])
        start = self._backend.decode(context)
        whole = self._backend.decode([*context, *answer])
        # A tokenizer may drop the blank at the beginning of what it decodes: an answer is decoded behind its prompt.
        text = whole[len(start) :] if whole.startswith(start) else self._backend.decode(list(answer))
        text = text.removeprefix(self.frame.lead)
        return text.removesuffix(self.frame.tail) if ended else text

    def decoded(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""
        return self._backend.decode(list(ids), skip_special_tokens=False)

    def files(self) -> dict[str, bytes]:
        """Return the tokenizer's files by name, among them the template that conversations are written by."""
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            self._tokenizer.save_pretrained(folder)
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
        return files if self._template is None else {**files, "chat_template.jinja": self._template.encode()}

    @cached_property
    def _splitting(self) -> re.Pattern[str]:
        """Find the tokens at which a text falls into parts that are tokenised on their own."""
        added = self._backend.get_added_tokens_decoder().values()
        tokens = [str(token.content) for token in added if not (token.lstrip or token.single_word or token.normalized)]
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @cached_property
    def _refuses_system(self) -> bool:
        told = Conversation.asking(_QUESTION, _ANSWER)
        try:
            return _ANSWER not in self._rendered(told)
        except DataError:
            return True

    def _plain(self) -> str:
        first = self._tokenizer.bos_token_id
        begins = first is not None and self._backend.encode("a").ids[:1] == [first]
        return ("{{ bos_token }}" if begins else "") + PLAIN_TEMPLATE

    def _texts(self, examples: Sequence[Example], before: Sequence[Message]) -> list[str]:
        return [self._text(example, before, row) for row, example in enumerate(examples)]

    def _text(self, example: Example, before: Sequence[Message], row: int) -> str:
        if not isinstance(example, str | Conversation):
            raise ExampleError(
                row, f" is of type {type(example).__name__}. A language model takes texts and conversations."
            )
        try:
            return self.prompt(as_conversation(example, before))
        except DataError as error:
            raise ExampleError(row, f": {error}") from None

    def _shared_text(self, before: Sequence[Message]) -> str:
        """Return what every prompt with these turns begins with, up to where the tokens of the rest stand alone."""
        one, other = (self.prompt(as_conversation(text, before)) for text in ("0", "1"))
        common = one[: _common(one, other)]
        cuts = [found.start() for found in self._splitting.finditer(common)]
        return common[: cuts[-1]] if cuts else ""

    def _rendered(self, conversation: Conversation, *, answered: bool = False) -> str:
        from jinja2 import TemplateError

        if not conversation.messages:
            raise DataError("The conversation has no message. Expected at least one.")
        try:
            rendered = self._tokenizer.apply_chat_template(
                [_record(message) for message in conversation.messages],
                tools=[dict(tool) for tool in conversation.tools] or None,
                chat_template=self._template,
                add_generation_prompt=not answered,
                tokenize=False,
                # Answers are what is measured: models that can think aloud before it are asked not to.
                enable_thinking=False,
            )
        except (TemplateError, *_FAILED_TEMPLATE) as error:
            roles = ", ".join(message.role for message in conversation.messages)
            raise DataError(
                f"The chat template of {self._settings.folder.name} does not take this conversation ({roles}): {error}."
            ) from None
        return str(rendered)

    def _earlier_answers(self, example: Example, text: str, row: int) -> list[tuple[list[int], list[int]]]:
        """Return for each earlier answer in a prompt the tokens up to its beginning and up to its end."""
        if not isinstance(example, Conversation):
            return []
        end_of_turn = "" if self.frame.end is None else str(self._backend.id_to_token(self.frame.end))
        found = []
        for position, message in enumerate(example.messages):
            if message.role != ASSISTANT or not position:
                continue
            said = message.content.strip()
            asked = self.prompt(Conversation(example.messages[:position], example.tools))
            begins = text[: _common(asked, text)]
            start = text.find(said, len(begins))
            if start < 0 or text[len(begins) : start].strip():
                raise ExampleError(
                    row,
                    f": the chat template of {self._settings.folder.name} does not show answer {position + 1} of the "
                    "conversation as it was given, so it cannot be learnt. Learn from the last answers only.",
                )
            end = start + len(said)
            ends = text.find(end_of_turn, end) if end_of_turn else -1
            found.append((begins, text[: ends + len(end_of_turn)] if ends >= 0 else text[:end]))
        return [(start, end) for start, end in zip(*(self.ids(part) for part in zip(*found, strict=True)), strict=True)]

    def _something(self) -> list[int]:
        """Return a token to begin with where a prompt has none."""
        begins = self._tokenizer.bos_token_id
        return [int(begins) if begins is not None else min(self._settings.end_ids, default=0)]

    def _endless(self) -> ModelError:
        return ModelError(
            f"The tokenizer of {self._settings.folder.name} has no token that ends a text, so a model that learns from "
            "it would never stop. Name one of its tokens as 'eos_token' in tokenizer_config.json."
        )


def _record(message: Message) -> dict[str, Any]:
    """Return a message as templates expect it: arguments of calls as an object, not as a text that holds one."""
    record = message.as_json()
    if message.tool_calls:
        record["tool_calls"] = [_call(call) for call in message.tool_calls]
    return record


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return dict(call)
    return {**call, "function": {**function, "arguments": arguments}}


def _system_said_by_user(conversation: Conversation) -> Conversation:
    """Return the conversation with what the system message says put before what the user says first."""
    told = [message.content for message in conversation.messages if message.role == SYSTEM]
    others = [message for message in conversation.messages if message.role != SYSTEM]
    if not told:
        return conversation
    if others and others[0].role == USER:
        told.append(others.pop(0).content)
    return Conversation((Message(USER, "\n\n".join(told)), *others), conversation.tools)


def _common(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many tokens, or letters, two sequences begin with in common."""
    size = len(first)
    if second[:size] == first:
        return size
    return next(
        (position for position, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(size, len(second)),
    )


def _load(settings: DecoderSettings, trust_remote_code: bool) -> transformers.PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            settings.folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # the Rust library that transformers calls raises nothing narrower
        if not any((settings.folder / name).is_file() for name in _TOKENIZER_FILES):
            raise _no_tokenizer(settings, _TOKENIZER_FILES[1:]) from None
        raise ModelError(f"{settings.folder} has no tokenizer that can be read: {error}") from None
    files = {*tokenizer.vocab_files_names.values(), "tokenizer.json"}
    if not any((settings.folder / name).is_file() for name in files):
        # transformers then returns one that knows no word.
        raise _no_tokenizer(settings, sorted(files - {"tokenizer.json"}))
    if not tokenizer.is_fast:
        raise ModelError(f"{settings.folder} has only a slow tokenizer. Save it again with a tokenizer.json.")
    fast: transformers.PreTrainedTokenizerFast = tokenizer
    return fast


def _no_tokenizer(settings: DecoderSettings, others: Sequence[str]) -> ModelError:
    return ModelError(
        f"{settings.folder} has no tokenizer. Expected {' or '.join(['tokenizer.json', *others])}. Copy it from where "
        "the model comes from."
    )
