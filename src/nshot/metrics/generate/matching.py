"""Whether an answer is the right one: as a whole, by the words it has, or by what a pattern finds in it."""

from __future__ import annotations

import re
import string
from collections import Counter
from decimal import Decimal
from functools import cache

from nshot.core import OptionError
from nshot.metrics.generate.texts import KINDS, one_number, weight_of_mean_rows
from nshot.metrics.metric import Metric

NUMBER_MATCH = "number_match"

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_AFTER_MARK = re.compile(r"####\s*\$?\s*(-?\d[\d,]*(?:\.\d+)?)")
# A minus between two numbers (2023-2024) is none of the second.
_ANY_NUMBER = re.compile(r"(?<!\w)-?\d[\d,]*(?:\.\d+)?")
_NOT_PART_OF_A_NUMBER = re.compile(r"[$€£,\s]")
_WHOLE_NUMBER = re.compile(r"[-+]?[$€£]?\s*(\d{1,3}(,\d{3})+|\d+)(\.\d*)?")


def squad_normalised(text: str) -> str:
    """Return the text in lower case without ASCII punctuation, English articles and extra white space (SQuAD 1.1)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _is_accepted(text: str, references: tuple[str, ...]) -> float:
    return float(squad_normalised(text) in {squad_normalised(reference) for reference in references})


def _overlap(truth: str, answer: str) -> float:
    wanted, given = squad_normalised(truth).split(), squad_normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    shared = sum((Counter(wanted) & Counter(given)).values())
    return 2.0 * shared / (len(wanted) + len(given))


def _best_overlap(text: str, references: tuple[str, ...]) -> float:
    return max((_overlap(reference, text) for reference in references), default=0.0)


exact_match = Metric(
    name="exact_match",
    task_kinds=KINDS,
    signature="exact_match|normalised:squad-1.1|references:any|v1",
    statistics=one_number(_is_accepted),
    needs="texts",
    is_mean=True,
)
"""Share of answers equal to an accepted text after SQuAD's normalisation (Rajpurkar et al. 2016)."""

token_f1 = Metric(
    name="token_f1",
    task_kinds=KINDS,
    signature="token_f1|normalised:squad-1.1|tokens:white space|references:best|v1",
    statistics=one_number(_best_overlap),
    effective_rows=weight_of_mean_rows,
    needs="texts",
    is_mean=True,
)
"""Mean F1 of the words shared with the nearest accepted text (Rajpurkar et al. 2016)."""


# --- by what a pattern finds ------------------------------------------------------------------------------------------


def has_marked_number(text: str) -> bool:
    """Return whether a text ends like an answer of GSM8K: ``#### 18``."""
    return _AFTER_MARK.search(text) is not None


def extracted(text: str, pattern: re.Pattern[str] | None) -> str | None:
    """Return what is compared of a text, or None where there is nothing.

    Args:
        text: An answer or a reference.
        pattern: Its last match counts: the first group, or all of it where it has none. None: the number after
            ``####``, and without that mark the last number.
    """
    if pattern is None:
        found = re.findall(_AFTER_MARK, text) or re.findall(_ANY_NUMBER, text)
        return _canonical(found[-1]) if found else None
    last = None
    for match in pattern.finditer(text):
        last = match
    if last is None:
        return None
    # A group that took no part in the match (an alternative) found nothing.
    found_text = last.group(1) if pattern.groups else last.group()
    return None if found_text is None else _canonical(found_text)


def _canonical(found: str) -> str:
    """Return one spelling for all spellings of a number: ``$1,200.00`` and ``1200`` are equal."""
    bare = found.strip().rstrip(",")
    if not _WHOLE_NUMBER.fullmatch(bare):
        return bare
    return format(Decimal(_NOT_PART_OF_A_NUMBER.sub("", bare)).normalize(), "f")


@cache
def number_match(pattern: str | None = None) -> Metric:
    """Return the metric that compares what a pattern finds in the answer with what it finds in the references.

    Args:
        pattern: A regular expression of Python's; None: the number after ``####``, otherwise the last number.

    Raises:
        OptionError: It is no regular expression.
    """
    compiled = None
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise OptionError(
                f"The pattern must be a regular expression. Got {pattern!r} instead: {error}. "
                "Such as: --pattern 'Answer: (.+)'"
            ) from None

    def is_equal(text: str, references: tuple[str, ...]) -> float:
        answer = extracted(text, compiled)
        return float(answer is not None and answer in {extracted(reference, compiled) for reference in references})

    shown = "number after ####, otherwise the last number" if pattern is None else repr(pattern)
    return Metric(
        name=NUMBER_MATCH if pattern is None else f"{NUMBER_MATCH}:{pattern}",
        task_kinds=KINDS,
        signature=f"number_match|pattern:{shown}|match:last|numbers:by value|references:any|v1",
        statistics=one_number(is_equal),
        needs="texts",
        is_mean=True,
    )
