"""Texts that are the same, or nearly: the same set of letter triples up to a fifth.

Near-duplicates are found by MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3) and then verified, so a pair that is reported really has the similarity; one that has it is found
with probability 1 - (1 - s^5)^14, which is 0.996 at s = 0.8 and rises from there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.8
_BANDS = 14
_ROWS = 5
# Verifying only what the signatures find within three standard deviations (0.05 each at 70 hashes) saves most of it.
_MARGIN = 0.15
_LONGEST = 4000  # characters of a text that are compared
_FULL_BUCKET = 30  # larger buckets are linked in a chain, so that work stays linear for texts from one template
_CHAIN = 3
_BLOCK_SHINGLES = 4_000_000
_PUNCTUATION = re.compile(
    r"[!-/:-@\[-`{-~\u00a1-\u00bf\u00d7\u00f7\u0589\u05be\u060c\u061b\u061f\u06d4\u0964\u0965"
    r"\u2010-\u2027\u2030-\u205e\u3001-\u303f\ufe0f]+"
)


def normalised(text: str) -> str:
    """Return `text` without what people write differently by accident: case, spaces, punctuation, Unicode forms.

    A text of nothing but punctuation stays as it is.
    """
    folded = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or " ".join(folded.split())


def exact_groups(texts: Sequence[str]) -> np.ndarray:
    """Return a group id per text, shape (n,), int64: equal exactly where the normalised texts are equal.

    Ids are numbered in the order in which their first text comes.
    """
    ids: dict[str, int] = {}
    return np.fromiter((ids.setdefault(normalised(text), len(ids)) for text in texts), np.int64, len(texts))


@dataclass(frozen=True)
class NearPairs:
    """Pairs of texts that are nearly, but not exactly, the same; of exact duplicates the first stands for all.

    Attributes:
        first: Shape (k,), int64: 0-based positions, ascending.
        second: Shape (k,), int64: position of the other text, larger than `first`.
        similarity: Shape (k,), float64: Jaccard similarity of their letter triples, from the threshold up to 1.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def near_pairs(texts: Sequence[str], threshold: float = THRESHOLD) -> NearPairs:
    """Return the pairs of texts whose sets of letter triples have a Jaccard similarity of at least `threshold`.

    Among many texts from one template not every pair is listed, but enough to connect them all.

    Args:
        texts: n texts; of very long ones the first 4,000 characters count.
        threshold: From 0.5 to 1.
    """
    _, pairs = exact_and_near(texts, threshold)
    return pairs


def near_duplicate_groups(texts: Sequence[str], threshold: float = THRESHOLD) -> np.ndarray:
    """Return a group id per text, shape (n,), int64: exact and near-duplicates, linked through others if need be."""
    exact, pairs = exact_and_near(texts, threshold)
    return linked(exact, pairs)


def linked(groups: np.ndarray, pairs: NearPairs) -> np.ndarray:
    """Return group ids, shape (n,), int64, after joining the groups of each pair."""
    return _components(groups, groups[pairs.first], groups[pairs.second])


def merged(groups: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the finest grouping in which what is together in `groups` or in `others` is together.

    Args:
        groups: Shape (n,), int.
        others: Shape (n,), int: another grouping of the same rows.
    """
    if not len(groups):
        return groups
    offset = int(groups.max()) + 1
    return _components(groups, groups, others + offset)


def _components(nodes: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(nodes):
        return nodes
    size = int(max(nodes.max(), first.max(initial=0), second.max(initial=0))) + 1
    edges = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][nodes]
    # Numbered in the order of their first row, so that ids do not depend on how they were found.
    _, start, inverse = np.unique(component, return_index=True, return_inverse=True)
    order = np.empty(len(start), np.int64)
    order[np.argsort(start)] = np.arange(len(start))
    return order[inverse]


def exact_and_near(texts: Sequence[str], threshold: float = THRESHOLD) -> tuple[np.ndarray, NearPairs]:
    """Return `exact_groups` and `near_pairs` for the price of one."""
    ids: dict[str, int] = {}
    exact = np.empty(len(texts), np.int64)
    starts: list[int] = []
    for position, text in enumerate(texts):
        group = ids.setdefault(normalised(text), len(ids))
        if group == len(starts):
            starts.append(position)
        exact[position] = group
    hashes, ends = _shingles(list(ids))
    signatures = _signatures(hashes, ends)
    first, second = _candidates(signatures)
    alike = np.concatenate(
        [
            (signatures[first[part]] == signatures[second[part]]).mean(axis=1) >= threshold - _MARGIN
            for part in _parts(len(first), 200_000)
        ]
        or [np.zeros(0, bool)]
    )
    first, second = first[alike], second[alike]
    similarity = _jaccard(hashes, ends, first, second)
    near = similarity >= threshold
    at = np.asarray(starts, np.int64)
    low, high = at[first[near]], at[second[near]]
    order = np.lexsort((high, low))
    return exact, NearPairs(low[order], high[order], similarity[near][order])


def _parts(n: int, size: int) -> list[slice]:
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


def _shingles(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct letter triples of each text as sorted 32-bit hashes, one after the other, and their ends."""
    found: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    start = 0
    while start < len(texts):
        # A block of texts at a time: the codes of all of them together would take many times their size.
        stop, characters = start, 0
        while stop < len(texts) and (stop == start or characters < _BLOCK_SHINGLES):
            characters += min(len(texts[stop]), _LONGEST) + 3
            stop += 1
        # Every text has a triple, the empty one three spaces.
        block = [f" {text[:_LONGEST] or ' '} " for text in texts[start:stop]]
        lengths = np.fromiter(map(len, block), np.int64, len(block))
        codes = np.frombuffer("".join(block).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        mixed = codes[:-2] * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ codes[1:-1]) * np.uint64(0xC2B2AE3D27D4EB4F)
        mixed = (mixed ^ codes[2:]) * np.uint64(0x165667B19E3779F9)
        ends = np.cumsum(lengths)
        text_of = np.repeat(np.arange(len(block), dtype=np.uint64), lengths)[:-2]
        inside = np.ones(len(mixed), bool)
        for back in (1, 2):  # the last two places of a text begin no triple
            places = ends - back
            inside[places[places < len(inside)]] = False
        keys = np.unique((text_of[inside] << np.uint64(32)) | (mixed[inside] >> np.uint64(32)))
        found.append((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        counts.append(np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(block)))
        start = stop
    if not found:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    return np.concatenate(found), np.cumsum(np.concatenate(counts))


def _signatures(hashes: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return MinHash signatures, shape (n texts, bands x rows), uint32."""
    size = _BANDS * _ROWS
    signatures = np.empty((len(ends), size), np.uint32)
    random = np.random.default_rng(20240229)  # fixed: signatures of a text never depend on anything but the text
    factors = random.integers(1, 2**63, size, dtype=np.uint64) | np.uint64(1)
    offsets = random.integers(0, 2**63, size, dtype=np.uint64)
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    first = 0
    while first < len(ends):
        stop = max(first + 1, int(np.searchsorted(ends, starts[first] + _BLOCK_SHINGLES // 4, side="right")))
        part = hashes[starts[first] : ends[stop - 1]].astype(np.uint64)
        cuts = starts[first:stop] - starts[first]
        for i in range(size):
            permuted = ((part * factors[i] + offsets[i]) >> np.uint64(32)).astype(np.uint32)
            signatures[first:stop, i] = np.minimum.reduceat(permuted, cuts)
        first = stop
    return signatures


def _candidates(signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs (smaller, larger position) of texts that agree in a whole band."""
    n = len(signatures)
    found: list[np.ndarray] = []
    for band in range(_BANDS):
        rows = np.ascontiguousarray(signatures[:, band * _ROWS : (band + 1) * _ROWS])
        key = np.zeros(n, np.uint64)
        for i in range(_ROWS):
            key = (key ^ rows[:, i]) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if n else np.zeros(0, np.int64)
        sizes = np.diff(np.append(edges, n))
        size_at = np.repeat(sizes, sizes)
        rest_at = np.repeat(edges + sizes, sizes) - np.arange(n)  # how many of the bucket come from here on
        for step in range(1, _FULL_BUCKET):
            linked_here = (rest_at > step) & ((size_at <= _FULL_BUCKET) | (step <= _CHAIN))
            if not linked_here.any():
                break
            at = np.flatnonzero(linked_here)
            one, other = order[at], order[at + step]
            low, high = np.minimum(one, other), np.maximum(one, other)
            found.append(low * np.int64(n) + high)
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pairs = np.unique(np.concatenate(found))
    return pairs // n, pairs % n


def _jaccard(hashes: np.ndarray, ends: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity of the triples of each pair, shape (k,), float64."""
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else ends
    sizes = ends - starts
    similarity = np.zeros(len(first))
    total = np.cumsum(sizes[first] + sizes[second]) if len(first) else np.zeros(0, np.int64)
    start = 0
    while start < len(first):
        base = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, base + _BLOCK_SHINGLES, side="right")))
        keys = np.concatenate([_gathered(hashes, starts, sizes, side[start:stop]) for side in (first, second)])
        keys.sort()
        # Triples are distinct within a text, so an equal neighbour is one that both texts have.
        both = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared = np.bincount(both.astype(np.int64), minlength=stop - start)
        union = sizes[first[start:stop]] + sizes[second[start:stop]] - shared
        similarity[start:stop] = shared / np.maximum(union, 1)
        start = stop
    return similarity


def _gathered(hashes: np.ndarray, starts: np.ndarray, sizes: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Return (number of the pair, triple) as one 64-bit key for all triples of `texts`."""
    lengths = sizes[texts]
    pair = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    keys: np.ndarray = (pair << np.uint64(32)) | hashes[np.repeat(starts[texts], lengths) + within]
    return keys
