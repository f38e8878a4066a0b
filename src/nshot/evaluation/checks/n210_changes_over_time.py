"""N210: the pick answers later rows worse, or better, than earlier ones; the labels' shares move."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import Answers, RunAudit, as_list, beside, change, scored

CODE = "N210"
TITLE = "Changes over time"
FEWEST_ROWS = 50
"""In either half."""
LEVEL = 0.99
LEAST = 0.01
LARGEST_P = 1e-4
LABEL_SHIFT = 0.2


def check(runs: RunAudit) -> Check | None:
    """Return the pick's score on the earlier and the later half of the test rows, where they differ.

    Rule: the difference of the primary metric has a 99 % interval without 0, and is at least 1 % of the range (1 % by
    chance where time changes nothing); or the shares of the labels differ by a total variation distance of 0.2 with a
    chi-square p below 0.0001. Says nothing where the file names no times (--time).
    """
    answers = runs.answers
    if answers is None or answers.times is None:
        return None
    middle = float(np.median(answers.times))
    late = np.flatnonzero(answers.times > middle)
    early = np.flatnonzero(answers.times <= middle)
    if min(len(early), len(late)) < FEWEST_ROWS:
        return None
    found = beside(answers.statistics, answers.groups, late, early, runs.metric, LEVEL)
    told_apart = found.surely is not None and 0.0 not in found.surely
    moved = told_apart and abs(found.difference) >= LEAST * runs.width
    shift = _label_shift(runs, answers, early, late)
    if not moved and shift is None:
        return None
    worse = moved and runs.sign * found.difference < 0
    said = [
        f"{runs.pick} reaches {scored(found.first)} on the later half of the test rows and {scored(found.second)} on "
        f"the earlier half (difference {change(found.difference, found.interval)})"
    ]
    if shift is not None:
        label, before, after = shift
        said.append(f"'{label}' is {before:.0%} of the earlier and {after:.0%} of the later rows")
    if answers.in_test:
        advice = "Expect the later figure, or less, from now on, and test again on new rows."
    else:
        advice = (
            "Rows were held out at random, so that training has seen rows from after the test. The future looks more "
            "like this: keep the latest rows apart as a file and give it as the test (--test)."
        )
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if worse else Severity.NOTE,
        explanation="; ".join(said) + ".",
        advice=advice,
        count=len(late),
        details={
            "later": round(found.first.score, 4),
            "earlier": round(found.second.score, 4),
            "difference": round(found.difference, 4),
            "interval": as_list(found.interval),
        },
    )


def _label_shift(
    runs: RunAudit, answers: Answers, early: np.ndarray, late: np.ndarray
) -> tuple[str, float, float] | None:
    """Return the label whose share moved most, with both shares, where all of it is no chance."""
    k = len(runs.labels)
    table = np.stack([np.bincount(answers.truth[rows], minlength=k) for rows in (early, late)]).astype(np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if distance < LABEL_SHIFT:
        return None
    from scipy.stats import chi2_contingency

    if chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > LARGEST_P:
        return None
    most = int(np.argmax(np.abs(shares[0] - shares[1])))
    return runs.labels[most], float(shares[0, most]), float(shares[1, most])
