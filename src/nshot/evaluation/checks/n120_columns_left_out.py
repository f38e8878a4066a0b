"""N120: columns that are no part of the rows."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ANY, ROWS, Audit

CODE = "N120"
TITLE = "Columns left out"
KINDS = ANY
MODALITIES = ROWS
_SHOWN = 8


def check(audit: Audit) -> Check | None:
    """Return the columns that tell nothing about a row, with the reason."""
    left_out = audit.train.columns_left_out
    if not left_out:
        return None
    shown = "; ".join(f"'{name}' {reason}" for name, reason in list(left_out.items())[:_SHOWN])
    more = f"; and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else ""
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"{counted(len(left_out), 'column is', 'columns are')} no part of the rows: {shown}{more}.",
        advice="Nothing, if they are useless. Otherwise name the columns that form a row: --columns A,B.",
        count=len(left_out),
        details={"columns": dict(left_out)},
    )
