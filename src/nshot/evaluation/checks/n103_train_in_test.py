"""N103: test texts that stand in the training data."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import MOST_PAIRS, Audit, number, share

CODE = "N103"
TITLE = "Test texts stand in the training data"


def check(audit: Audit) -> Check | None:
    """Return the training rows whose normalised text stands in the test, and the test rows they are equal to."""
    n = len(audit.texts)
    seen = np.flatnonzero(np.isin(audit.test_exact, audit.exact))
    if not len(seen):
        return None
    across = (audit.pairs.first < n) & (audit.pairs.second >= n)
    near = np.setdiff1d(audit.pairs.second[across] - n, seen)
    where: dict[int, list[int]] = {}
    for position in audit.leaked.tolist():
        where.setdefault(int(audit.exact[position]), []).append(int(audit.train.positions[position]))
    test_rows = audit.test_rows(seen)
    also = (
        f" Another {number(len(near), 'test text is', 'test texts are')} nearly the same as one." if len(near) else ""
    )
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{number(len(seen), 'test text stands', 'test texts stand')} in the training data "
        f"({share(len(seen), len(audit.test_exact))} of the test; case, spaces and punctuation aside)." + also,
        advice="Training leaves these rows out, so that the test stays a test. "
        "Scores that others measured with them in are too high.",
        rows=audit.rows(audit.leaked),
        count=len(seen),
        details={
            "test_rows": list(test_rows),
            "pairs": [
                [train_row, test_row]
                for position, test_row in zip(seen[:MOST_PAIRS].tolist(), test_rows, strict=False)
                for train_row in where[int(audit.test_exact[position])]
            ],
            "near_test_rows": list(audit.test_rows(near)),
        },
    )
