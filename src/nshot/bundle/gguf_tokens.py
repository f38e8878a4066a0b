"""A tokenizer of transformers as the metadata of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

llama.cpp has two tokenizers of its own for what is written here: that of SentencePiece, which joins the pair whose
token has the highest score, and byte-level BPE, which joins pairs in the order of a list after cutting the text by a
pattern that it knows by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any

from nshot.core import UnsupportedError

_BLANK = "\u2581"
_PATTERNS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": (
        "qwen2"
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    ): "llama-bpe",
}
"""What llama.cpp calls the pattern that cuts a text into words."""


class TokenType(IntEnum):
    """What llama.cpp takes a token for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    BYTE = 6


@dataclass(frozen=True)
class GgufTokens:
    """The vocabulary as a GGUF file holds it.

    Attributes:
        model: ``llama`` (SentencePiece) or ``gpt2`` (byte-level BPE).
        pattern: What llama.cpp calls the cutting into words.
        tokens: By id.
        types: By id.
        scores: By id, of SentencePiece; a pair is joined earlier the higher the score of its token is.
        merges: Of BPE, in order, both parts with a blank between.
        adds_blank: Whether a blank is put before a text.
    """

    model: str
    pattern: str
    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    adds_blank: bool


def gguf_tokens(tokenizer: str, size: int) -> GgufTokens:
    """Return the vocabulary of a tokenizer.

    Args:
        tokenizer: The content of its ``tokenizer.json``.
        size: How many rows the table of word vectors has; ids without a token are filled up.

    Raises:
        UnsupportedError: llama.cpp has no tokenizer like it.
    """
    record = json.loads(tokenizer)
    model = record["model"]
    if model.get("type") != "BPE":
        raise _unlike(f"its kind is {model.get('type')}")
    is_bytes = _is_byte_level(record)
    if not is_bytes and not model.get("byte_fallback"):
        raise _unlike("it is neither byte-level BPE nor that of SentencePiece with bytes to fall back on")
    merges = tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    highest = max(model["vocab"].values())
    if highest >= size:
        raise _unlike(f"it has tokens up to {highest}, and the network has vectors for {size}")
    tokens = [f"[PAD{at}]" for at in range(size)]
    types = [TokenType.CONTROL] * size
    for token, at in model["vocab"].items():
        tokens[at], types[at] = token, _type(token, is_bytes)
    # A token for which the network has no vector, as transformers adds some by itself, could never be read.
    for added in (each for each in record["added_tokens"] if each["id"] < size):
        at, token = added["id"], added["content"]
        is_unknown = token == model.get("unk_token")
        tokens[at] = token
        types[at] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        types[at] = TokenType.UNKNOWN if is_unknown else types[at]
    common = (tuple(tokens), tuple(types))
    if is_bytes:
        return GgufTokens("gpt2", _pattern(record), *common, (), merges, adds_blank=False)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", ""), rank)
    # A token that no pair makes is never joined to; its score only has to be lower than all others.
    scores = tuple(float(-ranks.get(token, len(ranks))) for token in tokens)
    return GgufTokens("llama", "default", *common, scores, (), adds_blank=_adds_blank(record))


def joined(vocabulary: GgufTokens, text: str) -> list[int]:
    """Return the ids that llama.cpp's tokenizer of SentencePiece makes of a text, by the rule that it is written after.

    Of all neighbours whose joining is a token those with the highest score are joined, the first of equal ones; what is
    no token at the end is written as its bytes.
    """
    known = {token: at for at, token in enumerate(vocabulary.tokens)}
    parts = list((_BLANK if vocabulary.adds_blank and text else "") + text.replace(" ", _BLANK))
    while True:
        pairs = [
            (-vocabulary.scores[known[first + second]], at)
            for at, (first, second) in enumerate(pairwise(parts))
            if first + second in known
        ]
        if not pairs:
            break
        at = min(pairs)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    ids: list[int] = []
    for part in parts:
        ids += [known[part]] if part in known else [known[f"<0x{byte:02X}>"] for byte in part.encode()]
    return ids


def _type(token: str, is_bytes: bool) -> TokenType:
    is_byte = not is_bytes and len(token) == len("<0x00>") and token.startswith("<0x") and token.endswith(">")
    return TokenType.BYTE if is_byte else TokenType.NORMAL


def _parts(step: Mapping[str, Any] | None, inside: str) -> list[Mapping[str, Any]]:
    """Return a step of a tokenizer, or the steps of a sequence."""
    if step is None:
        return []
    return list(step[inside]) if step["type"] == "Sequence" else [step]


def _is_byte_level(record: Mapping[str, Any]) -> bool:
    return any(step["type"] == "ByteLevel" for step in _parts(record.get("pre_tokenizer"), "pretokenizers"))


def _pattern(record: Mapping[str, Any]) -> str:
    steps = _parts(record.get("pre_tokenizer"), "pretokenizers")
    byte_level = next(step for step in steps if step["type"] == "ByteLevel")
    others = [step for step in steps if step is not byte_level]
    if not others and byte_level.get("use_regex", True) and not byte_level.get("add_prefix_space"):
        return "gpt-2"
    if len(others) == 1 and others[0]["type"] == "Split" and others[0].get("behavior") == "Isolated":
        name = _PATTERNS.get(others[0]["pattern"].get("Regex", ""))
        if name is not None and not byte_level.get("use_regex", True) and not byte_level.get("add_prefix_space"):
            return name
    raise _unlike("it cuts texts into words by a pattern that llama.cpp has no name for")


def _adds_blank(record: Mapping[str, Any]) -> bool:
    """Return whether a blank is put before a text.

    Raises:
        UnsupportedError: The text is changed in another way first.
    """
    adds = False
    for step in _parts(record.get("normalizer"), "normalizers"):
        match step:
            case {"type": "Prepend", "prepend": str(put)} if put == _BLANK:
                adds = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": str(put)} if put == _BLANK:
                pass
            case _:
                raise _unlike(f"it changes texts first ({step['type']})")
    for step in _parts(record.get("pre_tokenizer"), "pretokenizers"):
        if step["type"] != "Metaspace" or step.get("split"):
            raise _unlike(f"it cuts texts first ({step['type']})")
        adds = step.get("prepend_scheme", "always") in ("always", "first")
    return adds


def _unlike(why: str) -> UnsupportedError:
    return UnsupportedError(
        f"llama.cpp has no tokenizer like that of this model: {why}. Export it with --to huggingface: transformers, "
        "vLLM and others open that."
    )
