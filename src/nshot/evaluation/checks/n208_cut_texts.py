"""N208: test texts that the pick's backbone does not read to the end, and what that costs."""

from __future__ import annotations

import numpy as np

from nshot import metrics
from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import share
from nshot.evaluation.checks.run_facts import RunAudit, as_list, beside, change, scored

CODE = "N208"
TITLE = "The pick does not read texts to the end"
MATTERS_FROM = 0.05
FEWEST_ROWS = 20
"""Of either kind."""
LEVEL = 0.98


def check(runs: RunAudit) -> Check | None:
    """Return the share of test texts that are cut, and how the pick does on them.

    N107 estimates lengths before any model is chosen; this counts with the tokenizer of the pick's backbone, and says
    whether it shows. Rule: at least 5 % of the texts (and 20) are cut, a counted fact. It is an issue where the cut
    ones are answered worse: where the difference in accuracy has a 98 % interval below 0, which chance alone brings
    about in 1 % of studies.
    """
    answers = runs.answers
    if answers is None or answers.reading is None:
        return None
    reading = answers.reading
    n, n_cut = len(reading.cut), int(reading.cut.sum())
    if n_cut < max(FEWEST_ROWS, MATTERS_FROM * n) or n - n_cut < FEWEST_ROWS:
        return None
    cut, whole = reading.at[reading.cut], reading.at[~reading.cut]
    right = answers.right[:, None].astype(np.float64)
    found = beside(right, answers.groups, cut, whole, metrics.get("accuracy"), LEVEL)
    worse = found.surely is not None and found.surely.high < 0.0
    counted = f"{share(n_cut, n)} of {n:,} test texts looked at" if n < len(answers.truth) else share(n_cut, n)
    verdict = "worse than on the others" if worse else "as far as that can be told no worse than on the others"
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if worse else Severity.NOTE,
        explanation=f"The backbone of {runs.pick} reads {reading.most_tokens:,} tokens, and {n_cut:,} test texts are "
        f"longer ({counted}). On those it is right in {scored(found.first)}, {verdict}: {scored(found.second)} "
        f"(difference {change(found.difference, found.interval)}).",
        advice="Choose a backbone that reads more (--backbone ID), or shorten the texts to what decides. Longer texts "
        "can also be harder in themselves."
        if worse
        else "Nothing yet, as no loss shows. A backbone that reads more (--backbone ID) would tell surely.",
        count=n_cut,
        details={
            "most_tokens": reading.most_tokens,
            "share_cut": round(n_cut / n, 4),
            "accuracy_cut": round(found.first.score, 4),
            "accuracy_others": round(found.second.score, 4),
            "interval": as_list(found.interval),
        },
    )
