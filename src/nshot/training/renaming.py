"""Names that stand in an example and in its answer, replaced in both by invented ones.

From few examples a network learns the names that occur in them by heart, where it should learn to copy the name that it
is asked about. If a name is another one every time, only copying helps. (The opposite way to one end is delexicalising:
Wen et al. 2015, https://arxiv.org/abs/1508.01745, take names out before and put them back after.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nshot.core import Conversation, Example

_WORD = re.compile(r"\w[\w'’]*")
_LONGEST_NAME = 6
_MOST_WORDS = 3
_LONGEST_PART = 10
_CAPITAL = 0.8


@dataclass(frozen=True)
class Pair:
    """An example with its answer."""

    example: Example
    answer: str


class Renaming:
    """Replaces names in examples and their answers."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Find the names of each pair, and the words that new ones are made of."""
        self.pairs = pairs
        self.words = sorted({word for pair in pairs for word in _WORD.findall(pair.answer)})
        self.names = [_names(said(pair.example), pair.answer) for pair in pairs]

    def pair(self, position: int, share: float, generator: np.random.Generator) -> Pair:
        """Return one pair with other names.

        Args:
            position: Which.
            share: The probability of each of its names to be replaced.
            generator: Draws which, and the new ones.
        """
        new = {name: self._invented(generator) for name in self.names[position] if generator.random() < share}
        return _renamed(self.pairs[position], new) if new else self.pairs[position]

    def _invented(self, generator: np.random.Generator) -> str:
        """Return a name of one to three words, each the beginning of one word and the end of another."""
        made = []
        for _ in range(generator.integers(1, _MOST_WORDS + 1)):
            first, last = (self.words[at] for at in generator.integers(len(self.words), size=2))
            word = first[: generator.integers(1, len(first) + 1)] + last[generator.integers(len(last)) :]
            made.append(word[:_LONGEST_PART])
        if generator.random() < _CAPITAL:
            made = [word[0].upper() + word[1:] for word in made]
        return " ".join(made)


def said(example: Example) -> list[str]:
    """Return the texts of an example: its own, or what its messages say."""
    if isinstance(example, Conversation):
        return [message.content for message in example.messages]
    return [example]


def _names(said: Sequence[str], answer: str) -> tuple[str, ...]:
    """Return the longest runs of words, capitalised at both ends, that stand in what was said and in the answer."""
    found: dict[str, None] = {}
    for text in said:
        words = list(_WORD.finditer(text))
        at = 0
        while at < len(words):
            end = _end_of_name(text, words, at, answer)
            if end > at:
                found[text[words[at].start() : words[end - 1].end()]] = None
            at = max(end, at + 1)
    return tuple(found)


def _end_of_name(text: str, words: Sequence[re.Match[str]], first: int, answer: str) -> int:
    """Return behind which word the name ends that begins with word `first`; `first` itself where none does."""
    if not text[words[first].start()].isupper():
        return first
    for end in range(min(len(words), first + _LONGEST_NAME), first, -1):
        run = text[words[first].start() : words[end - 1].end()]
        ends_well = text[words[end - 1].start()].isupper()
        if ends_well and " ".join(_WORD.findall(run)) == run and re.search(_alone(run), answer):
            return end
    return first


def _alone(name: str) -> str:
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def _renamed(pair: Pair, new: dict[str, str]) -> Pair:
    longest_first = sorted(new, key=len, reverse=True)
    pattern = re.compile("|".join(_alone(name) for name in longest_first))

    def of(text: str) -> str:
        return pattern.sub(lambda found: new[found.group()], text)

    example = pair.example
    if isinstance(example, Conversation):
        messages = tuple(replace(message, content=of(message.content)) for message in example.messages)
        return Pair(replace(example, messages=messages), of(pair.answer))
    return Pair(of(example), of(pair.answer))
