"""A text in words: an entity begins and ends with one.

In a running text a word is a run of letters and digits, and every other visible character is a word by itself. Texts
whose tokens were joined by spaces are cut at the spaces only, as whoever marked the entities did: ``U.S.`` is then one
word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nshot.core import DataError, Example, Span

_ATTACHED = re.compile(r"\w[.,;:!?)](?:\s|$)")
_ALONE = re.compile(r"(?:^|\s)[.,;:!?)](?:\s|$)")
_SHAPES = 10

Place = tuple[int, int]
"""The characters from which and up to which a word goes."""


class Cut(StrEnum):
    """Where texts are cut into words."""

    BETWEEN_CHARACTERS = "characters"
    """Between letters and other characters."""
    AT_SPACES = "spaces"
    """At spaces only."""

    def words(self, text: Example) -> list[Place]:
        """Return the words of a text in order.

        Raises:
            DataError: The example is no text.
        """
        if not isinstance(text, str):
            raise DataError(
                f"Entities are looked for in texts. Found an example of type {type(text).__name__}: {text!r:.80}."
            )
        return [match.span() for match in _PATTERNS[self].finditer(text)]


_PATTERNS = {Cut.BETWEEN_CHARACTERS: re.compile(r"\w+|[^\w\s]"), Cut.AT_SPACES: re.compile(r"\S+")}


def cut_of(texts: Iterable[str], targets: Iterable[Sequence[Span]]) -> Cut:
    """Return where these texts are to be cut.

    At spaces only, where every entity begins and ends at one, and full stops and commas mostly stand alone.

    Args:
        texts: n texts.
        targets: The entities of each.
    """
    attached = alone = 0
    for text, spans in zip(texts, targets, strict=True):
        if any(not _at_spaces(text, span) for span in spans):
            return Cut.BETWEEN_CHARACTERS
        attached += len(_ATTACHED.findall(text))
        alone += len(_ALONE.findall(text))
    return Cut.AT_SPACES if alone > attached else Cut.BETWEEN_CHARACTERS


def _at_spaces(text: str, span: Span) -> bool:
    before, behind = text[: span.start][-1:], text[span.end : span.end + 1]
    return (not before or before.isspace()) and (not behind or behind.isspace())


@dataclass(frozen=True)
class Sentence:
    """A text in words.

    Attributes:
        text: The text.
        places: Its words.
    """

    text: str
    places: Sequence[Place]

    @property
    def words(self) -> list[str]:
        """Return the words themselves."""
        return [self.text[start:end] for start, end in self.places]


def sentences(examples: Iterable[Example], cut: Cut) -> list[Sentence]:
    """Return texts in words.

    Raises:
        DataError: An example is no text.
    """
    return [Sentence(text, cut.words(text)) for text in examples]


def shapes(words: Sequence[str]) -> Any:
    """Return how each word and its two neighbours are written, float32, shape (words, 30).

    Most encoders see texts in lower case, and what is written with a capital is a name more often than not.
    """
    import numpy as np

    own = np.zeros((len(words) + 2, _SHAPES), dtype=np.float32)
    for row, word in enumerate(words, start=1):
        own[row] = _shape(word, is_first=row == 1)
    return np.concatenate([own[1:-1], own[:-2], own[2:]], axis=1)


def _shape(word: str, *, is_first: bool) -> tuple[bool, ...]:
    has_capital = word[:1].isupper()
    return (
        has_capital and not is_first,
        has_capital and is_first,
        len(word) > 1 and word.isupper(),
        any(letter.isupper() for letter in word[1:]) and not word.isupper(),
        word.isdigit(),
        any(letter.isdigit() for letter in word) and not word.isdigit(),
        "-" in word and len(word) > 1,
        not any(letter.isalnum() for letter in word),
        word[:1] in "@#",
        len(word) == 1,
    )
