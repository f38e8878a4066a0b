"""N111: labels that differ only in case, spaces or punctuation."""

from __future__ import annotations

import re
from collections import Counter

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import EXAMPLES, LABELS, SEVERAL, Audit

CODE = "N111"
TITLE = "Labels written in several ways"
KINDS = LABELS | SEVERAL
MODALITIES = EXAMPLES
_SEPARATORS = re.compile(r"[\s_\-./]+")


def check(audit: Audit) -> Check | None:
    """Return the labels that are probably one label."""
    written: dict[str, list[str]] = {}
    for label in audit.train.task.labels:
        written.setdefault(_SEPARATORS.sub(" ", label.casefold()).strip() or label, []).append(label)
    clashes = [labels for labels in written.values() if len(labels) > 1]
    if not clashes:
        return None
    counts = Counter(label for _, label in audit.labels())
    rarer = {label for labels in clashes for label in labels if label != max(labels, key=lambda name: counts[name])}
    shown = "; ".join(" and ".join(f"'{label}' ({counts[label]:,})" for label in labels) for labels in clashes[:5])
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{counted(len(clashes), 'label is', 'labels are')} written in several ways: {shown}.",
        advice="Write each label in one way; as it is, they count as different classes.",
        rows=audit.rows(i for i, label in audit.labels() if label in rarer),
        count=len(clashes),
        details={"labels": clashes},
    )
