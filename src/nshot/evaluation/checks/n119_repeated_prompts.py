"""N119: answers that only repeat what was asked."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.data.duplicates import normalised
from nshot.evaluation.checks.facts import TEXTS, WRITING, Audit, share

CODE = "N119"
TITLE = "Answers that equal the prompt"
KINDS = WRITING
MODALITIES = TEXTS
MATTERS_FROM = 0.01


def check(audit: Audit) -> Check | None:
    """Return the rows whose answer is their last turn again, case, spaces and punctuation aside."""
    asked = audit.train.dataset.examples
    n = len(audit.targets)
    # Equal texts are about equally long: what is not need not be normalised.
    found = [
        i
        for i, (conversation, answer) in enumerate(zip(asked, audit.targets, strict=True))
        if abs(len(conversation.last) - len(answer)) <= 20 + len(answer) // 2
        and normalised(conversation.last) == normalised(answer)
    ]
    if not found:
        return None
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if len(found) >= MATTERS_FROM * n else Severity.NOTE,
        explanation=f"{counted(len(found), 'answer repeats', 'answers repeat')} the prompt ({share(len(found), n)} of "
        f"{n:,}; case, spaces and punctuation aside), such as {audit.targets[found[0]][:60]!r}.",
        advice="Perhaps the same column was taken twice: name them, --text COLUMN --label COLUMN. Otherwise remove "
        "these rows, or a model learns to repeat.",
        rows=audit.rows(found),
        count=len(found),
    )
