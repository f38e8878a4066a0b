"""N104: the same text with two labels."""

from __future__ import annotations

from typing import Any

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import EXAMPLES, LABELS, MOST_PAIRS, SEVERAL, Audit, named

CODE = "N104"
TITLE = "The same text with two labels"
KINDS = LABELS | SEVERAL
MODALITIES = EXAMPLES


def check(audit: Audit) -> Check | None:
    """Return the training rows whose normalised text carries more than one label."""
    labels: dict[int, set[Any]] = {}
    for text, label in zip(audit.exact.tolist(), audit.targets, strict=True):
        labels.setdefault(text, set()).add(label)
    torn = {text: sorted(names) for text, names in labels.items() if len(names) > 1}
    if not torn:
        return None
    rows = [i for i, text in enumerate(audit.exact.tolist()) if text in torn]
    first = rows[0]
    example = " and ".join(named(label) for label in torn[int(audit.exact[first])])
    positions: dict[int, list[int]] = {}
    for i in rows:
        positions.setdefault(int(audit.exact[i]), []).append(int(audit.train.positions[i]))
    return Check(
        code=CODE,
        title=TITLE.replace("text", audit.noun),
        severity=Severity.ISSUE,
        explanation=f"{counted(len(torn), f'{audit.noun} carries', f'{audit.noun}s carry')} two labels or more "
        f"({counted(len(rows), 'row')}); {audit.texts[first][:60]!r} is {example}.",
        advice="Decide which label is right. No method can answer both, so these rows cap the score.",
        rows=audit.rows(rows),
        count=len(torn),
        details={
            "texts": [{"rows": positions[text], "labels": names} for text, names in list(torn.items())[:MOST_PAIRS]]
        },
    )
