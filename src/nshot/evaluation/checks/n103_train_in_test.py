"""N103: test texts that stand in the training data."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ANY, EXAMPLES, MOST_PAIRS, TEXTS, Audit, share

CODE = "N103"
TITLE = "Test texts stand in the training data"
KINDS = ANY
MODALITIES = EXAMPLES


def check(audit: Audit) -> Check | None:
    """Return the training rows whose normalised text stands in the test, and the test rows they are equal to."""
    n = len(audit.texts)
    seen = np.flatnonzero(np.isin(audit.test_exact, audit.exact))
    if not len(seen) or audit.few_values:
        return None
    across = (audit.pairs.first < n) & (audit.pairs.second >= n)
    near = np.setdiff1d(audit.pairs.second[across] - n, seen)
    where: dict[int, list[int]] = {}
    for position in audit.leaked.tolist():
        where.setdefault(int(audit.exact[position]), []).append(int(audit.train.positions[position]))
    test_rows = audit.test_rows(seen)
    is_one, are_several = f"test {audit.noun} is", f"test {audit.noun}s are"
    like = "nearly the same as one, with nearly the same answer" if audit.writes else "nearly the same as one"
    also = f" Another {counted(len(near), is_one, are_several)} {like}." if len(near) else ""
    stand = counted(len(seen), f"test {audit.noun} stands", f"test {audit.noun}s stand")
    return Check(
        code=CODE,
        title=TITLE.replace("texts", f"{audit.noun}s") if audit.modality not in TEXTS else TITLE,
        severity=Severity.ISSUE,
        explanation=f"{stand} in the training data "
        f"({share(len(seen), len(audit.test_exact))} of the test{audit.aside})." + also,
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
