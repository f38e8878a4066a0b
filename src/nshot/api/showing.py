"""The first example of data with answers to write, as a language model sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from nshot.core import ASSISTANT, Conversation, DataError, Example, TokenisedText, as_conversation, without_middle
from nshot.training.writing import instructed

if TYPE_CHECKING:
    from nshot.data.reading import Source

MOST_CHARACTERS = 1200
"""A longer part is shown with its middle left out."""


class KnowsTokens(Protocol):
    """A model that says how it reads an example, and what its tokens stand for."""

    @property
    def has_own_format(self) -> bool:
        """Whether conversations are put into a format that came with the model."""

    def conversations(self, examples: Sequence[Example], answers: Sequence[str]) -> list[TokenisedText]:
        """As in `TrainsToWrite`."""

    def plain_texts(self, texts: Sequence[str]) -> list[TokenisedText]:
        """As in `TrainsToWrite`."""

    def decoded(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""


@dataclass(frozen=True)
class Part:
    """A stretch of an example.

    Attributes:
        text: What it says; a long one has its middle left out.
        is_learnt: Whether a model that is trained on the example learns to write it.
    """

    text: str
    is_learnt: bool


@dataclass(frozen=True)
class ShownExample:
    """An example as a model sees it.

    Attributes:
        row: 0-based position in the file.
        parts: One after the other.
        model: Whose format it is in; None: its turns with who says them.
        tokens: How many it has for that model, or None.
        note: What else is to be said, or None.
    """

    row: int
    parts: tuple[Part, ...]
    model: str | None = None
    tokens: int | None = None
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return a json-able record."""
        return {
            "row": self.row,
            "parts": [{"text": part.text, "learnt": part.is_learnt} for part in self.parts],
            "model": self.model,
            "tokens": self.tokens,
            "note": self.note,
        }


def first_example(source: Source, model: KnowsTokens | None = None, name: str | None = None) -> ShownExample | None:
    """Return the first row with an answer (of a running text the first piece), what is trained on marked.

    Args:
        source: Data with answers to write.
        model: In whose format it is shown; None: its turns with who says them.
        name: What the model is called.
    """
    if not len(source.dataset):
        return _piece(source, model, name)
    row = int(source.positions[0])
    asked = as_conversation(source.dataset.examples[0], instructed(source.task))
    answer: str = source.dataset.labelled_targets()[0][0]
    if model is None:
        return ShownExample(row, tuple(_turns(asked, answer)))
    try:
        text = model.conversations([asked], [answer])[0]
    except DataError as refusal:
        return ShownExample(row, tuple(_turns(asked, answer)), note=f"{name} cannot read it: {refusal}")
    note = None if model.has_own_format else f"{name} has no chat format of its own, so it gets a plain one."
    return ShownExample(row, tuple(_parts(text, model)), name, len(text), note)


def _piece(source: Source, model: KnowsTokens | None, name: str | None) -> ShownExample | None:
    if not len(source.unlabelled):
        return None
    row, piece = int(source.unlabelled_positions[0]), source.unlabelled.examples[0]
    if model is None or not isinstance(piece, str):
        return ShownExample(row, (Part(_shown(str(piece)), is_learnt=True),))
    text = model.plain_texts([piece])[0]
    return ShownExample(row, tuple(_parts(text, model)), name, len(text))


def _turns(asked: Conversation, answer: str) -> Iterator[Part]:
    """Yield what is said with who says it; only the answer is learnt."""
    if asked.tools:
        yield Part(_shown(Conversation((), asked.tools).as_text() + "\n"), is_learnt=False)
    for turn in asked.messages:
        yield Part(_shown(f"{turn.role}: {turn.said}") + "\n", is_learnt=False)
    yield Part(f"{ASSISTANT}: ", is_learnt=False)
    yield Part(_shown(answer), is_learnt=True)


def _parts(text: TokenisedText, model: KnowsTokens) -> Iterator[Part]:
    """Yield the stretches of tokens that are learnt or not, as text."""
    done, before = 0, ""
    for is_learnt, tokens in groupby(text.learnt):
        done += len(list(tokens))
        whole = model.decoded(text.ids[:done])
        # A token can be written differently at the beginning of a text, so parts are what the text grows by.
        yield Part(_shown(whole.removeprefix(before)), is_learnt)
        before = whole


def _shown(text: str) -> str:
    return without_middle(text, MOST_CHARACTERS)
