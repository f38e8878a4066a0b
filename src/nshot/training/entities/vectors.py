"""Words as an encoder sees them: the mean of the vectors of a word's tokens, and how the word is written.

The first token alone, as is usual, had 8 points of F1 less on BC5CDR and 3 on WNUT17 (256 texts, a frozen encoder):
what is no word of the encoder's language falls into many tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nshot.core import Backbone, DataError, EmbedsTokens, TokenWindow, UnsupportedError
from nshot.training.entities.words import Sentence, shapes
from nshot.training.rowwise import normalised

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

SHAPE_SIZE = 0.2
"""Length of a mark of how a word is written, beside a vector of length one."""


class TokenEncoder(Backbone, EmbedsTokens, Protocol):
    """A backbone that embeds tokens."""


def token_encoder(backbone: Backbone | None) -> TokenEncoder:
    """Return `backbone` as one that embeds tokens.

    Raises:
        UnsupportedError: It does not, or there is none.
    """
    if backbone is None or not isinstance(backbone, EmbedsTokens):
        raise UnsupportedError("A backbone that has vectors of words is needed. Use a text encoder.")
    return backbone


def tokens_of(windows: Sequence[TokenWindow], sentence: Sentence) -> Array:
    """Return for each word which window of its text has it, its first token there, and the one behind its last.

    Args:
        windows: Of the text.
        sentence: The text in words.

    Returns:
        int64, shape (words, 3); a word without a token ends where it begins.
    """
    found = np.zeros((len(sentence.places), 3), dtype=np.int64)
    at = 0
    starts, ends = _edges(windows[at])
    for row, (start, end) in enumerate(sentence.places):
        while start >= windows[at].end and at + 1 < len(windows):
            at += 1
            starts, ends = _edges(windows[at])
        first = stop = int(np.searchsorted(ends, start, side="right"))
        while stop < len(starts) and starts[stop] < end:
            stop += 1
        found[row] = at, first, stop
    return found


def _edges(window: TokenWindow) -> tuple[Array, Array]:
    """Return where tokens begin and end, rising: special ones are taken to lie where their neighbours do."""
    starts, ends = window.places[:, 0].copy(), window.places[:, 1].copy()
    special = starts == ends
    starts[special] = np.iinfo(np.int64).max
    ends[special] = 0
    return starts, np.maximum.accumulate(ends)


def word_vectors(encoder: TokenEncoder, sentences: Sequence[Sentence]) -> Array:
    """Return a vector for each word of all texts, float32, shape (words, width + 30).

    Raises:
        DataError: A vector holds NaN or infinity.
    """
    total = sum(len(sentence.places) for sentence in sentences)
    vectors = np.zeros((total, encoder.token_width), dtype=np.float32)
    row = 0
    for sentence, windows, made in _embedded(encoder, sentences):
        for at, first, stop in tokens_of(windows, sentence).tolist():
            if stop > first:
                vectors[row] = made[at][first:stop].mean(axis=0)
            row += 1
    if not np.isfinite(vectors).all():
        raise DataError(f"{encoder.ref.name} gave a vector with NaN or infinity. Use another backbone.")
    return with_shapes(vectors, sentences)


def with_shapes(vectors: Array, sentences: Sequence[Sentence]) -> Array:
    """Return vectors of length one, with marks of how each word is written beside them."""
    marks = [shapes(sentence.words) for sentence in sentences if sentence.places]
    written = np.concatenate(marks) if marks else np.zeros((0, shapes([]).shape[1]), np.float32)
    return np.concatenate([normalised(vectors), written * SHAPE_SIZE], axis=1, dtype=np.float32)


def _embedded(
    encoder: TokenEncoder, sentences: Sequence[Sentence]
) -> Iterator[tuple[Sentence, Sequence[TokenWindow], Sequence[Array]]]:
    step = 512
    for start in range(0, len(sentences), step):
        part = sentences[start : start + step]
        windows = encoder.token_windows([sentence.text for sentence in part])
        made = iter(encoder.embed_tokens([window for own in windows for window in own]))
        for sentence, own in zip(part, windows, strict=True):
            yield sentence, own, [next(made) for _ in own]
