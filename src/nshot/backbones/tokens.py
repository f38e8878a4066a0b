"""Texts to token ids: any string that Python can hold, cut before it costs anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from nshot.backbones.settings import EncoderSettings
from nshot.core import DataError, Example, ModelError, TokenWindow, Vocabulary

if TYPE_CHECKING:
    import tokenizers

# English has 4 to 5 characters a token. A text cut at this many per wanted token is looked at again with more of it if
# that was too little, so the cut never changes the tokens of natural text.
_CHARACTERS_PER_TOKEN = 12
_LONGER = 16
# Up to here back from the cut a blank is looked for, so that no word is cut in two.
_LONGEST_WORD = 200
# A window shares this part of it, as one over so many, with the next one.
_OVERLAP = 4
_SURROGATE = re.compile("[\ud800-\udfff]")
_MASKS = ("[MASK]", "<mask>", "<MASK>")


def as_texts(examples: Sequence[Example]) -> list[str]:
    """Return the examples as a list, or raise `DataError` if one is no text."""
    texts = list(examples)
    for text in texts:
        if not isinstance(text, str):
            raise DataError(
                f"A text encoder takes texts. Found an example of type {type(text).__name__}: {text!r:.80}."
            )
    return texts


class Tokens:
    """A tokenizer with the model's own limits."""

    def __init__(self, settings: EncoderSettings, *, trust_remote_code: bool = False) -> None:
        """Load the tokenizer.

        Raises:
            ModelError: There is none that can be read.
        """
        self._settings = settings
        self._tokenizer = _load(settings, trust_remote_code)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_tokens)
        self._cut_at = settings.max_tokens * _CHARACTERS_PER_TOKEN
        self._empty = [int(settings.config.get("pad_token_id") or 0)]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, special tokens included; never an empty list."""
        prepared = [self._prepared(text) for text in texts]
        first = [text if len(text) <= self._cut_at else _cut(text, self._cut_at) for text in prepared]
        found = [encoding.ids or self._empty for encoding in self._tokenizer.encode_batch_fast(first)]
        for row, text in enumerate(prepared):
            if len(text) > self._cut_at and len(found[row]) < self._settings.max_tokens:
                found[row] = self._of_more(text)
        return found

    def windows(self, texts: Sequence[str]) -> list[list[TokenWindow]]:
        """Return the windows of each text, as many as it takes, each of the model's longest input."""
        prompt = self._settings.prompt or ""
        prepared = [prompt + _as_long(text, lower=self._settings.lower) for text in texts]
        found = self._in_windows.encode_batch(prepared)
        return [
            _windows([encoding, *encoding.overflowing], len(prompt), len(text), self._empty)
            for encoding, text in zip(found, texts, strict=True)
        ]

    @cached_property
    def _in_windows(self) -> tokenizers.Tokenizer:
        from tokenizers import Tokenizer

        found: tokenizers.Tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        found.enable_truncation(self._settings.max_tokens, stride=self._settings.max_tokens // _OVERLAP)
        return found

    def as_json(self) -> str:
        """Return the tokenizer as the content of a ``tokenizer.json``; it cuts texts to the longest input."""
        return str(self._tokenizer.to_str())

    def vocabulary(self) -> Vocabulary | None:
        """Return the tokens, or None where none of them stands for a hidden one.

        The special ones are those that the tokenizer adds by itself and those that its file marks so.
        """
        mask = next((found for name in _MASKS if (found := self._tokenizer.token_to_id(name)) is not None), None)
        if mask is None:
            return None
        marked = {at for at, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        added = set(self._tokenizer.encode("").ids)
        return Vocabulary(self._tokenizer.get_vocab_size(), mask, frozenset({mask, *marked, *added, *self._empty}))

    def _of_more(self, text: str) -> list[int]:
        """Return the ids of a long text with few tokens at its beginning, such as one with many blanks."""
        limit = self._cut_at * _LONGER
        return self._tokenizer.encode_batch_fast([_cut(text, limit)])[0].ids or self._empty

    def _prepared(self, text: str) -> str:
        text = self._settings.prompt + text if self._settings.prompt else text
        if not text.isascii():
            text = encodable(text[: self._cut_at * _LONGER])
        return text.lower() if self._settings.lower else text


def _cut(text: str, limit: int) -> str:
    blank = text.rfind(" ", max(0, limit - _LONGEST_WORD), limit)
    return text[: blank if blank > 0 else limit]


def _as_long(text: str, *, lower: bool) -> str:
    """Return the text as a tokenizer takes it, with every character where it was."""
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    # Some characters have two in lower case.
    lowered = text.lower() if lower else text
    return lowered if len(lowered) == len(text) else "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _windows(
    encodings: Sequence[tokenizers.Encoding], before: int, length: int, empty: Sequence[int]
) -> list[TokenWindow]:
    """Return the windows of a text of `length` characters, which stands behind `before` characters of a prompt."""
    import numpy as np

    places = [np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) - before for encoding in encodings]
    for part in places:
        part[part[:, 0] < 0] = 0
        part[part[:, 1] < 0] = 0
    edges = [0]
    for left, right in pairwise(places):
        # Between two windows the middle of what both read: each has some context there on either side.
        shared = right[(right[:, 1] > right[:, 0]) & (right[:, 0] < left[:, 1].max(initial=0))]
        edges.append(int(shared[len(shared) // 2, 0]) if len(shared) else int(left[:, 1].max(initial=edges[-1])))
    ends = [*edges[1:], length + 1]
    nowhere = np.zeros((len(empty), 2), np.int64)
    return [
        TokenWindow(tuple(encoding.ids or empty), part if len(part) else nowhere, start, end)
        for encoding, part, start, end in zip(encodings, places, edges, ends, strict=True)
    ]


def encodable(text: str) -> str:
    """Return the text with lone surrogates, which no encoding can write, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _load(settings: EncoderSettings, trust_remote_code: bool) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    path = settings.folder / "tokenizer.json"
    if path.is_file():
        try:
            tokenizer: tokenizers.Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises nothing narrower
            raise ModelError(f"{path} is no tokenizer that can be read: {error}.") from None
        return tokenizer
    return _converted(settings, trust_remote_code)


def _converted(settings: EncoderSettings, trust_remote_code: bool) -> tokenizers.Tokenizer:
    """Return a tokenizer built from older files (vocab.txt and the like) by transformers, which takes seconds."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            settings.folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{settings.folder} has no tokenizer that can be read: {error}") from None
    files = set(tokenizer.vocab_files_names.values())
    if not any((settings.folder / name).is_file() for name in files):
        # transformers then returns one that knows no word, and everything would become the same unknown token.
        raise ModelError(
            f"{settings.folder} has no tokenizer. Expected tokenizer.json, or {' or '.join(sorted(files))}. "
            "Copy it from where the model comes from."
        )
    if not tokenizer.is_fast:
        raise ModelError(f"{settings.folder} has only a slow tokenizer. Save it again with a tokenizer.json.")
    backend: tokenizers.Tokenizer = tokenizer.backend_tokenizer
    return backend
