"""How many words or characters a text shares with the references: BLEU, chrF and ROUGE.

What a row is counted as is left to sacrebleu and rouge-score, so that a score here is the score there. BLEU and chrF
are no means: they are computed from sums over all rows (Papineni et al. 2002; Popović 2015), and a row's statistics are
what it adds to these sums. Several references: BLEU counts an n-gram as often as the reference with most of it has it,
and takes the reference length nearest to the text's; chrF takes the reference with the best score of the row; ROUGE the
one with the best F-measure, for each of ROUGE-1, ROUGE-2 and ROUGE-L on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import numpy as np

from nshot.core import Prediction, Task
from nshot.metrics.generate.texts import (
    KINDS,
    Statistics,
    accepted,
    one_number,
    weight_of_mean_rows,
    weight_of_rows,
    without_each,
    written,
)
from nshot.metrics.metric import Array, Metric

_ORDER = 4
_CHARACTERS = 6
_BETA = 2
# sacrebleu holds the n-grams of all references that it is given at once.
_ROWS_AT_ONCE = 512


# --- BLEU and chrF ----------------------------------------------------------------------------------------------------


@cache
def _bleu_scorer() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # The warning about texts that look tokenised belongs to programs that print; `force` keeps it away.
    return BLEU(tokenize="13a", smooth_method="exp", max_ngram_order=_ORDER, force=True)


@cache
def _chrf_scorer() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(char_order=_CHARACTERS, word_order=0, beta=_BETA)


def _counts(scorer: Callable[[], Any], columns: int) -> Statistics:
    """Return the statistics of a metric of sacrebleu's, shape (n, columns): what each row adds to its sums."""

    def statistics(targets: Sequence[Any], prediction: Prediction, task: Task) -> Array:
        texts = written(targets, prediction)
        counts = np.empty((len(targets), columns))
        for start in range(0, len(targets), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            references = list(zip_longest(*(accepted(target) for target in targets[part])))
            counts[part] = scorer()._extract_corpus_statistics(list(texts[part]), references)
        return counts

    return statistics


def _bleu_of(sums: Array) -> Array:
    """Return BLEU for sums of shape (b, 2 + 2 * order): both lengths, hits by order, n-grams by order.

    Orders without a hit count as 1/2, 1/4 ... of one ("exp", as in mteval-v13a).
    """
    length, wanted = sums[:, 0], sums[:, 1]
    hits, totals = sums[:, 2 : 2 + _ORDER], sums[:, 2 + _ORDER :]
    missed = hits <= 0
    with np.errstate(invalid="ignore", divide="ignore"):
        smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=1), hits)
        brevity = np.where(length < wanted, np.exp(1.0 - wanted / length), 1.0)
        score = 100.0 * brevity * np.exp(np.log(smoothed / totals).mean(axis=1))
    # No hit at all, or texts too short for an n-gram of the longest order: sacrebleu's BLEU is 0.
    zero = ~(hits > 0).any(axis=1) | (totals <= 0).any(axis=1)
    return np.asarray(np.where(zero, 0.0, score), dtype=np.float64)


def _chrf_of(sums: Array) -> Array:
    """Return chrF for sums of shape (b, 3 * order): n-grams of the texts, of the references, hits, by order."""
    given, wanted, hits = (sums[:, column::3] for column in range(3))
    counted = (given > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision = np.divide(hits, given, out=np.zeros_like(hits), where=counted).sum(axis=1) / orders
    recall = np.divide(hits, wanted, out=np.zeros_like(hits), where=counted).sum(axis=1) / orders
    below = _BETA**2 * precision + recall
    found = np.divide((1 + _BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)
    return np.asarray(100.0 * found, dtype=np.float64)


def _of_sums(score: Callable[[Array], Array]) -> tuple[Callable[[Array, Array], Array], Callable[[Array], Array]]:
    """Return the weighted aggregate of a score that is computed from sums, and that without each row in turn."""

    def weighted(statistics: Array, weights: Array) -> Array:
        return np.where(weights.sum(axis=1) > 0, score(weights @ statistics), np.nan)

    def leave_one_out(statistics: Array) -> Array:
        return score(without_each(statistics))

    return weighted, leave_one_out


def _bleu_weight_of_rows(statistics: Array) -> float:
    hits, totals = statistics[:, 2 : 2 + _ORDER], statistics[:, 2 + _ORDER :]
    is_perfect = (hits == totals).all(axis=1) & (statistics[:, 0] == statistics[:, 1])
    return weight_of_rows(_spread(_bleu_without_one(statistics)), is_perfect | (hits[:, 0] <= 0))


def _chrf_weight_of_rows(statistics: Array) -> float:
    given, wanted, hits = (statistics[:, column::3] for column in range(3))
    is_perfect = (hits == given).all(axis=1) & (hits == wanted).all(axis=1)
    return weight_of_rows(_spread(_chrf_without_one(statistics)), is_perfect | (hits[:, 0] <= 0))


def _spread(without: Array) -> float:
    """Return the standard deviation of jackknife pseudo-values, as a part of the range."""
    return float((len(without) - 1) * without.std() / 100.0)


def _signed(signature: str) -> Callable[[Sequence[Any]], str]:
    """Return how a signature of sacrebleu's is completed with the number of references."""

    def signed(targets: Sequence[Any]) -> str:
        numbers = {len(accepted(target)) for target in targets}
        return signature.replace("nrefs:any", f"nrefs:{numbers.pop()}" if len(numbers) == 1 else "nrefs:var")

    return signed


_VERSION = version("sacrebleu")
_BLEU = f"nrefs:any|case:mixed|eff:no|tok:13a|smooth:exp|version:{_VERSION}"
_CHRF = f"nrefs:any|case:mixed|eff:yes|nc:{_CHARACTERS}|nw:0|space:no|version:{_VERSION}"
_bleu_weighted, _bleu_without_one = _of_sums(_bleu_of)
_chrf_weighted, _chrf_without_one = _of_sums(_chrf_of)

bleu = Metric(
    name="bleu",
    task_kinds=KINDS,
    signature=_BLEU,
    signed=_signed(_BLEU),
    statistics=_counts(_bleu_scorer, 2 + 2 * _ORDER),
    weighted=_bleu_weighted,
    leave_one_out=_bleu_without_one,
    effective_rows=_bleu_weight_of_rows,
    needs="texts",
    highest=100.0,
    point=1.0,
)
"""Share of word n-grams up to four that a reference has too, with a penalty for short texts; by sacrebleu."""

chrf = Metric(
    name="chrf",
    task_kinds=KINDS,
    signature=_CHRF,
    signed=_signed(_CHRF),
    statistics=_counts(_chrf_scorer, 3 * _CHARACTERS),
    weighted=_chrf_weighted,
    leave_one_out=_chrf_without_one,
    effective_rows=_chrf_weight_of_rows,
    needs="texts",
    highest=100.0,
    point=1.0,
)
"""F2 of character n-grams up to six, for any script; by sacrebleu."""


# --- ROUGE ------------------------------------------------------------------------------------------------------------


@cache
def _rouge_scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=False)


def _rouge(kind: str) -> Metric:
    def f_measure(text: str, references: tuple[str, ...]) -> float:
        return float(_rouge_scorer(kind).score_multi(references, text)[kind].fmeasure)

    return Metric(
        name=kind,
        task_kinds=KINDS,
        signature=f"{kind}|fmeasure|stemmer:no|tokens:lowercase-a-z0-9|references:best"
        f"|rouge-score:{version('rouge-score')}",
        statistics=one_number(f_measure),
        effective_rows=weight_of_mean_rows,
        needs="texts",
        is_mean=True,
    )


rouge1, rouge2, rouge_l = _rouge("rouge1"), _rouge("rouge2"), _rouge("rougeL")
"""Mean F-measure of shared words, of shared pairs of words, and of the longest common subsequence (Lin 2004)."""
