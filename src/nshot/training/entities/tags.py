"""Entities as a tag for each word, and the best tags that are possible together.

Tag 0 is outside of every entity; label k has two: its first word, and each further word. A further word can only follow
a word of an entity with its label, and of all such sequences the one with the highest sum of scores is answered.

Source: Ramshaw and Marcus 1995, https://aclanthology.org/W95-0107 (the tags); Viterbi 1967,
https://doi.org/10.1109/TIT.1967.1054010 (the best sequence).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import Span
from nshot.training.entities.words import Place, Sentence

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

OUTSIDE = 0


@dataclass(frozen=True)
class Tags:
    """The tags of some labels.

    Attributes:
        labels: In order of their first appearance.
    """

    labels: tuple[str, ...]

    @classmethod
    def of(cls, targets: Iterable[Sequence[Span]]) -> Tags:
        """Return the tags that the entities of these rows need."""
        return cls(tuple(dict.fromkeys(span.label for spans in targets for span in spans)))

    def __len__(self) -> int:
        return 1 + 2 * len(self.labels)

    def codes(self, places: Sequence[Place], spans: Sequence[Span]) -> Array:
        """Return the tag of each word, int64, shape (words,); a word that an entity cuts in two belongs to it."""
        found = np.zeros(len(places), dtype=np.int64)
        for span in spans:
            inside = [i for i, (start, end) in enumerate(places) if start < span.end and end > span.start]
            first = 1 + 2 * self.labels.index(span.label)
            found[inside[:1]] = first
            found[inside[1:]] = first + 1
        return found

    def spans(self, places: Sequence[Place], scores: Array) -> tuple[Span, ...]:
        """Return the entities of the best sequence of tags.

        Args:
            places: The words.
            scores: Of each tag, shape (words, tags).
        """
        found: list[Span] = []
        for (start, end), tag in zip(places, self._best(scores), strict=True):
            if tag == OUTSIDE:
                continue
            label = self.labels[(tag - 1) // 2]
            if tag % 2:
                found.append(Span(start, end, label))
            else:
                found[-1] = found[-1]._replace(end=end)
        return tuple(found)

    def _best(self, scores: Array) -> list[int]:
        """Return the sequence of tags with the highest sum of scores."""
        n, k = len(scores), len(self.labels)
        if not n or not k or not scores.argmax(axis=1).any():
            return [OUTSIDE] * n  # outside of all entities can follow anything
        wide = np.asarray(scores, dtype=np.float64)
        before = np.zeros((n, len(self)), dtype=np.int64)
        total = wide[0].copy()
        total[2::2] = -np.inf  # nothing can go on at the beginning
        firsts, further = np.arange(1, len(self), 2), np.arange(2, len(self), 2)
        for row in range(1, n):
            best = int(total.argmax())
            before[row] = best
            goes_on = total[further] > total[firsts]
            before[row, further] = np.where(goes_on, further, firsts)
            reached = np.full(len(self), total[best])
            reached[further] = np.where(goes_on, total[further], total[firsts])
            total = reached + wide[row]
        tags = [int(total.argmax())]
        for row in range(n - 1, 0, -1):
            tags.append(int(before[row, tags[-1]]))
        return tags[::-1]


def answered(tags: Tags, sentences: Sequence[Sentence], scores: Array) -> list[tuple[Span, ...]]:
    """Return the entities of texts.

    Args:
        tags: The tags.
        sentences: n texts in words.
        scores: Of each tag for all of their words, one after the other, shape (words, tags).
    """
    found, start = [], 0
    for sentence in sentences:
        end = start + len(sentence.places)
        found.append(tags.spans(sentence.places, scores[start:end]))
        start = end
    return found
