"""N124: files that are called images and are none."""

from __future__ import annotations

from nshot.core import Check, Severity, counted, listed
from nshot.evaluation.checks.facts import ANY, IMAGES, Audit

CODE = "N124"
TITLE = "Images that cannot be read"
KINDS = ANY
MODALITIES = IMAGES
MATTERS_FROM = 0.01
MOST_NAMED = 200


def check(audit: Audit) -> Check | None:
    """Return the files of the training folder and of the test that were left out."""
    broken = audit.train.broken_images
    in_test = audit.test.broken_images if audit.test else ()
    every = (*broken, *in_test)
    if not every:
        return None
    n = audit.train.rows + len(broken)
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if len(broken) >= MATTERS_FROM * n else Severity.NOTE,
        explanation=f"{counted(len(every), 'file is', 'files are')} called an image and cannot be read as one: "
        f"{listed(every, 5)}.",
        advice="They were left out. Save them again from where they come, or remove them.",
        count=len(every),
        details={"files": list(every[:MOST_NAMED])},
    )
