"""N107: texts longer than what the default model reads."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import LABELS, SEVERAL, TEXTS, Audit, estimated_tokens, share

CODE = "N107"
TITLE = "Texts longer than the model reads"
KINDS = LABELS | SEVERAL
MODALITIES = TEXTS
READ_TOKENS = 256
MATTERS_FROM = 0.05


def check(audit: Audit) -> Check | None:
    """Return the rows whose text is estimated, by words and characters, to exceed 256 tokens."""
    long = [i for i, text in enumerate(audit.texts) if estimated_tokens(text) > READ_TOKENS]
    if not long:
        return None
    n = len(audit.texts)
    longest = max(long, key=lambda i: len(audit.texts[i]))
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if len(long) >= MATTERS_FROM * n else Severity.NOTE,
        explanation=f"{counted(len(long), 'text is', 'texts are')} longer than about {READ_TOKENS} tokens "
        f"({share(len(long), n)} of {n:,}; the longest has {len(audit.texts[longest].split()):,} words).",
        advice=f"A model that reads {READ_TOKENS} tokens sees their beginning only. If the end decides, shorten them "
        "or choose a backbone that reads more: --backbone ID.",
        rows=audit.rows(long),
        count=len(long),
    )
