"""N101: texts that are nearly the same."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.data.duplicates import THRESHOLD
from nshot.evaluation.checks.facts import ANY, MOST_PAIRS, TEXTS, Audit

CODE = "N101"
TITLE = "Near-duplicates"
KINDS = ANY
MODALITIES = TEXTS


def check(audit: Audit) -> Check | None:
    """Return the pairs of training texts that are nearly the same; across the test they belong to N103."""
    inside = audit.pairs.second < len(audit.texts)
    first, second = audit.pairs.first[inside], audit.pairs.second[inside]
    if not len(first):
        return None
    what = "input and answer" if audit.writes else "text"
    concerned = sorted({*first.tolist(), *second.tolist()})
    row = audit.train.positions
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"{counted(len(first), 'pair')} of nearly the same {what}, {counted(len(concerned), 'row')} in all "
        f"(at least {THRESHOLD:.0%} of their letter triples in common).",
        advice=f"Nothing: they are kept together in every split. Nearly the same {what} teaches a model little new, "
        "so these rows count as fewer than they are.",
        rows=audit.rows(concerned),
        count=len(first),
        details={
            "pairs": [[row[i], row[j]] for i, j in zip(first[:MOST_PAIRS], second[:MOST_PAIRS], strict=True)],
        },
    )
