"""What a group of texts is about, in its own words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_WORD = re.compile(r"[^\W\d_](?:[\w'’]*\w)?", re.UNICODE)
# Scripts that put no spaces between words: pairs of their characters stand for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_LONGEST = 2000  # characters of a text that are read
_MOST_TERMS = 50_000
_MOST_TEXTS = 20_000
_PRIOR = 0.1
_SIGNIFICANT = 3.0
_AS_SURE = 0.8
_READ_FOR_SPELLING = 300


@dataclass(frozen=True)
class Term:
    """A word or two that a group has more often than the other texts.

    Attributes:
        words: As they are most often written.
        share: Of the group's texts that have it.
        elsewhere: Share of the other texts that have it.
        z: Log-odds ratio in standard errors.
    """

    words: str
    share: float
    elsewhere: float
    z: float


def terms(texts: Sequence[str], labels: Array, n_groups: int, *, seed: int = 0, most: int = 10) -> list[list[Term]]:
    """Return for each group the terms that set it apart, the surest first.

    Words and pairs of neighbouring words that are no stop words, counted once per text. With prior counts a_w
    proportional to how often w occurs at all, the log-odds of w in the group minus those elsewhere are divided by their
    standard error ``sqrt(1 / (y_w + a_w) + 1 / (y'_w + a'_w))``.

    Source: Monroe, Colaresi and Quinn 2008, Fightin' Words, equations 15 to 22 (informative Dirichlet prior).

    Args:
        texts: n texts.
        labels: Shape (n,), int64: the group of each text, -1 of a text in none.
        n_groups: How many groups.
        seed: Decides which texts are read where there are very many.
        most: How many terms of a group at most.
    """
    if n_groups < 2:
        return [[] for _ in range(n_groups)]
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_MOST_TEXTS])
    read = [texts[row][:_LONGEST] for row in rows.tolist()]
    counts, names = _counted(read)
    if not names:
        return [[] for _ in range(n_groups)]
    of_group = labels[rows]
    in_all = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    found: list[list[Term]] = []
    for group in range(n_groups):
        own = np.flatnonzero(of_group == group)
        here = np.asarray(counts[own].sum(axis=0), dtype=np.float64).ravel()
        scores = _log_odds(here, in_all - here, len(own), len(read) - len(own))
        # A term of one text in fifty says something of that text, not of the group.
        scores[here < max(2.0, 0.02 * len(own))] = 0.0
        chosen = _apart(names, scores, most)
        spelt = _spelling([names[i] for i in chosen], (read[row] for row in own[:_READ_FOR_SPELLING].tolist()))
        found.append(
            [
                Term(
                    spelt[names[i]],
                    float(here[i] / max(1, len(own))),
                    float((in_all[i] - here[i]) / max(1, len(read) - len(own))),
                    float(scores[i]),
                )
                for i in chosen
            ]
        )
    return found


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of a text, case folded, with whether each follows the one before directly."""
    end = 0
    for match in _WORD.finditer(text):
        word, begins = match.group(), match.start()
        follows = text[end:begins].isspace() or text[end:begins] in ("-", "'")
        end = match.end()
        if _UNSPACED.search(word):
            yield from ((word[i : i + 2], False) for i in range(len(word) - 1))
        else:
            yield word.casefold(), follows


def _terms_of(text: str) -> list[str]:
    """Return the words of a text that are no stop words, and the pairs of such words that stand side by side."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found, before = [], ""
    for word, follows in _words(text):
        says_something = len(word) > 1 and word not in ENGLISH_STOP_WORDS
        if says_something:
            found.append(word)
            if before and follows:
                found.append(f"{before} {word}")
        before = word if says_something else ""
    return found


def _counted(texts: Sequence[str]) -> tuple[Any, list[str]]:
    """Return in which texts which terms occur, a sparse matrix of shape (texts, terms) of ones, and the terms."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=_terms_of, binary=True, min_df=min(2, len(texts)), max_features=_MOST_TERMS)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # no text has a word, or none has one that another has
        return None, []
    return counts.tocsr(), counter.get_feature_names_out().tolist()


def _log_odds(here: Array, elsewhere: Array, n_here: int, n_elsewhere: int) -> Array:
    """Return the log-odds ratio of each term in standard errors, shape (terms,)."""
    share = (here + elsewhere) / max(1, n_here + n_elsewhere)
    own, others = here + _PRIOR * n_here * share, elsewhere + _PRIOR * n_elsewhere * share
    own_not, others_not = (1 + _PRIOR) * n_here - own, (1 + _PRIOR) * n_elsewhere - others
    small = 1e-9
    odds = np.log((own + small) / (own_not + small)) - np.log((others + small) / (others_not + small))
    # A pseudo-count beside the prior: a term that only this group has is no surer than its own count makes it.
    errors = np.sqrt(1 / (own + 0.5) + 1 / (others + 0.5))
    return np.asarray(odds / errors)


def _apart(names: Sequence[str], scores: Array, most: int) -> list[int]:
    """Return the surest terms; of a pair of words and the words in it only one.

    A word that is mostly half of a pair ("Prime") is told as the pair, if that is nearly as sure.
    """
    pairs: dict[str, int] = {}
    for i, name in enumerate(names):
        for part in name.split(" ") if " " in name and scores[i] >= _SIGNIFICANT else ():
            if part not in pairs or scores[i] > scores[pairs[part]]:
                pairs[part] = i
    chosen: list[int] = []
    taken: set[str] = set()
    for i in np.lexsort((np.arange(len(scores)), -scores)).tolist():
        if len(chosen) == most or scores[i] < _SIGNIFICANT:
            break
        pair = pairs.get(names[i], i)
        told = pair if scores[pair] >= _AS_SURE * scores[i] else i
        parts = [_singular(part) for part in names[told].split(" ")]
        if not taken.intersection(parts):
            taken.update(parts)
            chosen.append(told)
    return chosen


def _singular(word: str) -> str:
    """Return a word without an English plural's ending, so that "price" and "prices" are told once."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _spelling(chosen: Sequence[str], texts: Iterator[str]) -> dict[str, str]:
    """Return how each term is most often written in these texts."""
    written: dict[str, Counter[str]] = {term: Counter() for term in chosen}
    patterns = {
        term: re.compile(r"(?<!\w)" + r"[\s'-]+".join(map(re.escape, term.split(" "))) + r"(?!\w)", re.IGNORECASE)
        for term in chosen
    }
    for text in texts:
        for term, pattern in patterns.items():
            match = pattern.search(text)
            if match:
                written[term][" ".join(match.group().split())] += 1
    return {term: counts.most_common(1)[0][0] if counts else term for term, counts in written.items()}
