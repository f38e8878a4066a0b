"""N127: entities that begin or end inside a word."""

from __future__ import annotations

from nshot.core import Check, Severity, Span, counted
from nshot.evaluation.checks.facts import ENTITIES, TEXTS, Audit, share

CODE = "N127"
TITLE = "Entities that cut words in two"
KINDS = ENTITIES
MODALITIES = TEXTS
MATTERS_FROM = 0.01


def check(audit: Audit) -> Check | None:
    """Return the rows with an entity that has a letter or digit on both sides of one of its ends."""
    cut = [
        (row, span)
        for row, (text, spans) in enumerate(zip(audit.texts, audit.targets, strict=True))
        for span in spans
        if _cuts(text, span)
    ]
    if not cut:
        return None
    row, span = cut[0]
    text, total = audit.texts[row], sum(map(len, audit.targets))
    around = text[max(0, span.start - 15) : span.start], text[span.start : span.end], text[span.end : span.end + 15]
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if len(cut) >= MATTERS_FROM * total else Severity.NOTE,
        explanation=f"{counted(len(cut), 'entity begins or ends', 'entities begin or end')} inside a word "
        f"({share(len(cut), total)} of {total:,}), such as '{around[0]}[{around[1]}]{around[2]}'.",
        advice="Look whether their starts and ends are right. Methods answer whole words, so these are never found.",
        rows=audit.rows(dict.fromkeys(row for row, _ in cut)),
        count=len(cut),
    )


def _cuts(text: str, span: Span) -> bool:
    return any(text[max(0, at - 1) : at].isalnum() and text[at : at + 1].isalnum() for at in (span.start, span.end))
