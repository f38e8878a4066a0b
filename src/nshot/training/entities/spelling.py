"""What a word and its neighbours look like, as features without any model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nshot.training.entities.words import Sentence

_LONGEST_AFFIX = 4
_MOST_FEATURES = 20_000
_RUN = re.compile(r"(.)\1+")
_LETTERS = (("[A-Z\u00c0-\u00de]", "X"), (r"\d", "0"), (r"[^\W\d_X]", "x"))


def features_of(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the features of each word: itself, its beginning and end, its form, and the same of its neighbours."""
    padded = ["<s>", "<s>", *words, "</s>", "</s>"]
    folded = [word.casefold() for word in padded]
    forms = [_form(word) for word in padded]
    for at in range(2, len(padded) - 2):
        word = folded[at]
        sizes = range(1, min(_LONGEST_AFFIX, len(word)) + 1)
        yield [
            f"w={word}",
            f"f={forms[at]}",
            *(f"p={word[:size]}" for size in sizes),
            *(f"s={word[-size:]}" for size in sizes),
            *(f"w{step}={folded[at + step]}" for step in (-2, -1, 1, 2)),
            *(f"f{step}={forms[at + step]}" for step in (-1, 1)),
            f"w-1w={folded[at - 1]} {word}",
            f"f-1ff1={forms[at - 1]} {forms[at]} {forms[at + 1]}",
        ]


def _form(word: str) -> str:
    """Return how a word is written: ``Xx`` for Berlin, ``X0`` for B12."""
    for pattern, sign in _LETTERS:
        word = re.sub(pattern, sign, word)
    return _RUN.sub(r"\1", word)[:12]


def vocabulary(sentences: Iterable[Sentence]) -> dict[str, int]:
    """Return the column of each feature, in the order of first appearance; of very many only those that repeat."""
    counts = Counter(name for sentence in sentences for names in features_of(sentence.words) for name in names)
    least = 2 if len(counts) > _MOST_FEATURES else 1
    return {name: column for column, name in enumerate(name for name, count in counts.items() if count >= least)}


def matrix(sentences: Iterable[Sentence], columns: Mapping[str, int]) -> Any:
    """Return which features each word has, a SciPy CSR matrix, float32, shape (words, columns)."""
    from scipy.sparse import csr_matrix

    found: list[int] = []
    ends = [0]
    for sentence in sentences:
        for names in features_of(sentence.words):
            found.extend(sorted({columns[name] for name in names if name in columns}))
            ends.append(len(found))
    shape = (len(ends) - 1, max(1, len(columns)))
    return csr_matrix((np.ones(len(found), np.float32), np.array(found, np.int64), np.array(ends, np.int64)), shape)
