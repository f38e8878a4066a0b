"""N102: texts that are the same but for case, spaces and punctuation."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ANY, EXAMPLES, Audit, share

CODE = "N102"
TITLE = "Exact duplicates"
KINDS = ANY
MODALITIES = EXAMPLES


def check(audit: Audit) -> Check | None:
    """Return the training rows whose normalised text came before."""
    kinds, first = np.unique(audit.copies, return_index=True)
    n = len(audit.texts)
    repeated = np.setdiff1d(np.arange(n), first)
    if not len(repeated):
        return None
    one, what = ("input and answer", "inputs and answers") if audit.writes else (audit.noun, f"{audit.noun}s")
    if len(kinds) == 1:
        return Check(
            code=CODE,
            title=f"All {what} are equal",
            severity=Severity.ERROR,
            explanation=f"All {n:,} {what} are the same: {audit.texts[0][:60]!r}.",
            advice="Nothing can be learnt from them. Name other columns: --text COLUMN, or --columns A,B of a table.",
            rows=audit.rows(range(n)),
            count=n,
        )
    advice = "Nothing: copies are kept together in every split. Where they are accidents, remove them."
    if audit.few_values:
        advice = (
            "Nothing: with so few different values, equal rows are taken for different things that are alike, and not "
            "kept together. If they are copies, remove them."
        )
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"{counted(len(repeated), 'row repeats', 'rows repeat')} an earlier {one} "
        f"({share(len(repeated), n)} of {n:,}{audit.aside}).",
        advice=advice,
        rows=audit.rows(repeated),
        count=len(repeated),
    )
