"""N106: rows without any text."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ANY, MOST_ROWS, TEXTS, Audit

CODE = "N106"
TITLE = "Empty texts"
KINDS = ANY
MODALITIES = TEXTS


def check(audit: Audit) -> Check | None:
    """Return the rows of the training file, labelled or not, and of the test that hold no visible character."""
    empty = audit.train.empty_texts
    in_test = audit.test.empty_texts if audit.test else ()
    if not empty and not in_test:
        return None
    where = [f"{counted(len(empty), 'row')} of {audit.train.name}"] if empty else []
    if audit.test and in_test:
        where.append(f"{counted(len(in_test), 'row')} of {audit.test.name}")
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{' and '.join(where)} {'has' if len(empty) + len(in_test) == 1 else 'have'} no "
        f"{'prompt' if audit.writes else 'text'}.",
        advice="Remove these rows, or name the column that has their text: --text COLUMN. "
        "As they are, they are answered with whatever an empty text looks like.",
        rows=empty[:MOST_ROWS],
        count=len(empty) + len(in_test),
        details={"test_rows": list(in_test[:MOST_ROWS])},
    )
