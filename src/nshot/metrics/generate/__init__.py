"""Metrics of `generate`: a text per example, against one accepted text or several."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from nshot.metrics.generate.length import length_ratio, stopped
from nshot.metrics.generate.likelihood import bits_per_byte, perplexity
from nshot.metrics.generate.matching import NUMBER_MATCH, exact_match, has_marked_number, number_match, token_f1
from nshot.metrics.generate.overlap import bleu, chrf, rouge1, rouge2, rouge_l
from nshot.metrics.generate.texts import accepted
from nshot.metrics.metric import Metric

__all__ = ["METRICS", "NUMBER_MATCH", "default", "number_match"]

METRICS = (
    bleu,
    chrf,
    rouge1,
    rouge2,
    rouge_l,
    exact_match,
    token_f1,
    number_match(),
    bits_per_byte,
    perplexity,
    length_ratio,
    stopped,
)

_FEW_WORDS = 3


def default(targets: Sequence[Any]) -> Metric:
    """Return the metric to rank by, from what the references look like.

    - Most end in ``#### number``: `number_match`. The way to a number may be worded in any way.
    - Half of them or more have at most three words: `exact_match`. So short an answer is right or wrong, and BLEU,
      which needs four words in a row, is 0 for all of them.
    - Otherwise `bleu`.

    Args:
        targets: Of labelled rows; the first text of each is looked at. None at all: `bleu`.
    """
    texts = [accepted(target)[0] for target in targets]
    if 2 * sum(map(has_marked_number, texts)) > len(texts):
        return number_match()
    if texts and median(len(text.split()) for text in texts) <= _FEW_WORDS:
        return exact_match
    return bleu
