"""N212: rows whose label is probably a mistake."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import MOST_ROWS, share
from nshot.evaluation.checks.run_facts import Answers, RunAudit
from nshot.metrics import Array
from nshot.training.rowwise import softmax
from nshot.training.selection import log_loss

CODE = "N212"
TITLE = "Labels that look like mistakes"
IMPROBABLE = ((0.02, 0.5), (0.01, 0.5), (0.005, 0.5), (0.02, 0.9))
"""Pairs of the most that a given label gets and the least that another one gets, by which it is decided to speak."""
LARGEST_P = 0.001
FEWEST = 5
LISTED_AT_MOST, LISTED_FROM = 0.05, 0.5
"""Likewise, for what is then worth a look."""
FEWEST_LABELS = 4
"""For the unlikelier half of the labels to be more than the last one."""
SMALLEST_PROBABILITY = 1e-7
"""About the smallest that half precision holds."""


def check(runs: RunAudit) -> Check | None:
    """Return the rows whose given label the pick, which has not learnt from them, holds for next to impossible.

    Suspected is a row that confident learning names (Northcutt, Jiang & Chuang 2021; cleanlab), whose given label gets
    at most 5 % and whose suggested label at least 50 %, by the probabilities of the pick after temperature scaling on
    these rows (which takes its general over-confidence out; Guo et al. 2017). Every model is surely wrong at times, so
    the rule is: improbable labels are given more often than the probabilities themselves announce. Five Poisson tests
    at 0.1 % each, and five rows (groups of near-duplicates) or more: at most 2, 1 or 0.5 % for the given label beside
    50 % for another, 2 % beside 90 %, and a given label from the unlikelier half of all beside 50 %, which is where
    slips of the hand fall. With right labels and calibrated probabilities one of them strikes in less than 0.5 % of
    studies. A pick that is never sure can accuse no label: silence is no proof of clean labels.
    """
    answers = runs.answers
    if answers is None or answers.probabilities is None or len(runs.labels) < 2 or not len(answers.truth):
        return None
    probabilities = _calibrated(answers.probabilities, answers.truth)
    excess = _excess(probabilities, answers)
    if excess is None:
        return None
    rows = np.arange(len(answers.truth))
    suggested = probabilities.argmax(axis=1)
    given, highest = probabilities[rows, answers.truth], probabilities[rows, suggested]
    suspected = (given <= LISTED_AT_MOST) & (highest >= LISTED_FROM)
    ranked = [row for row in _named_by_cleanlab(answers.truth, probabilities) if suspected[row]]
    if len(ranked) < FEWEST:
        return None
    records: list[dict[str, Any]] = [
        {
            "row": int(answers.file_rows[row]),
            "label": runs.labels[answers.truth[row]],
            "suggested": runs.labels[suggested[row]],
            "probability": round(float(highest[row]), 4),
        }
        for row in ranked[:MOST_ROWS]
    ]
    listed = tuple(record["row"] for record in records)
    file = "the test" if answers.in_test else "the data"
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{counted(len(ranked), 'row')} of {file} ({share(len(ranked), len(rows))} of the {len(rows):,} "
        f"tested) carry a label to which {runs.pick}, which has not learnt from them, gives at most "
        f"{LISTED_AT_MOST:.0%} and another label at least {LISTED_FROM:.0%}. That is more than a model's own mistakes: "
        f"by its probabilities the most improbable labels would be given {excess.announced:.0f} times, and they are "
        f"{excess.given:,} times.",
        advice="Look at the first of them (in the report), correct what is wrong and compare again. Mistakes in a "
        "test hold back the score of every candidate; do not correct only those that suit one of them.",
        rows=() if answers.in_test else listed,
        count=len(ranked),
        details={
            "suspected": records,
            "announced": round(excess.announced, 1),
            "given": excess.given,
            "test_rows": list(listed) * answers.in_test,
        },
    )


def _calibrated(probabilities: Array, truth: NDArray[np.int64]) -> Array:
    """Return the probabilities after temperature scaling on the rows themselves, float64, shape (n, labels)."""
    from scipy.optimize import minimize_scalar

    scores = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    best = minimize_scalar(
        lambda factor: log_loss(scores * math.exp(factor), truth),
        bounds=(math.log(0.25), math.log(4.0)),
        method="bounded",
        options={"xatol": 0.02},
    )
    return np.asarray(softmax(scores * math.exp(best.x)), dtype=np.float64)


@dataclass(frozen=True)
class _Excess:
    """Improbable labels: how often they are given, and how often the probabilities announce it."""

    given: int
    announced: float
    p_value: float


def _excess(probabilities: Array, answers: Answers) -> _Excess | None:
    """Return the most striking excess of improbable labels, or None where chance explains all."""
    found = []
    highest = probabilities.max(axis=1)
    for at_most, beside in IMPROBABLE:
        found.append(_tested(probabilities, answers, probabilities <= at_most, highest >= beside))
    k = probabilities.shape[1]
    if k >= FEWEST_LABELS:
        middle = np.partition(probabilities, k // 2, axis=1)[:, [k // 2]]
        found.append(_tested(probabilities, answers, probabilities < middle, highest >= LISTED_FROM))
    most = min(found, key=lambda excess: excess.p_value)
    return most if most.p_value < LARGEST_P else None


def _tested(
    probabilities: Array, answers: Answers, improbable: NDArray[np.bool_], decided: NDArray[np.bool_]
) -> _Excess:
    from scipy.special import pdtrc

    is_given = improbable[np.arange(len(decided)), answers.truth] & decided
    given = len(np.unique(answers.groups[is_given]))
    announced = float(probabilities[improbable & decided[:, None]].sum())
    return _Excess(given, announced, float(pdtrc(given - 1, announced)) if given >= FEWEST else 1.0)


def _named_by_cleanlab(truth: NDArray[np.int64], probabilities: Array) -> list[int]:
    """Return the rows whose label confident learning takes for wrong, the most suspicious first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of labels without rows, which a small test may well have
        from cleanlab.filter import find_label_issues

        found = find_label_issues(
            truth, probabilities, filter_by="confident_learning", return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return [int(row) for row in found]
