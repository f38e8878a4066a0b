"""N112: classes of very different size."""

from __future__ import annotations

from collections import Counter

from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import EXAMPLES, LABELS, Audit, share

CODE = "N112"
TITLE = "Classes of very different size"
KINDS = LABELS
MODALITIES = EXAMPLES
DOMINANT = 0.75
TIMES = 10


def check(audit: Audit) -> Check | None:
    """Return a note where one label has three quarters of the rows, or ten times the rows of the rarest."""
    counts = Counter(audit.targets)
    (most, largest), (least, smallest) = counts.most_common(1)[0], counts.most_common()[-1]
    n = len(audit.targets)
    if largest < DOMINANT * n and largest < TIMES * smallest:
        return None
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"'{most}' has {largest:,} rows ({share(largest, n)}), '{least}' has {smallest:,}; "
        f"always answering '{most}' is right in {share(largest, n)} of the rows.",
        advice="Do not judge by accuracy: macro F1 counts every label the same.",
        count=len(counts),
        details={"counts": dict(counts.most_common())},
    )
