"""N105: classes too small to learn, or to measure."""

from __future__ import annotations

from collections import Counter

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ENTITIES, EXAMPLES, LABELS, SEVERAL, Audit, listed

CODE = "N105"
TITLE = "Classes with very few rows"
KINDS = LABELS | SEVERAL | ENTITIES
MODALITIES = EXAMPLES
FEWEST = 5


def check(audit: Audit) -> Check | None:
    """Return the labels with fewer than five rows; an error where no class could be split."""
    counts = Counter(label for _, label in audit.labels())
    small = sorted((label for label in counts if counts[label] < FEWEST), key=lambda label: (counts[label], label))
    if not small:
        return None
    rows = list(dict.fromkeys(i for i, label in audit.labels() if counts[label] < FEWEST))
    hopeless = audit.test is None and max(counts.values()) == 1
    if hopeless:
        explanation = f"Each of the {len(small):,} labels has a single row, so nothing is left to test on."
        advice = "Give a test file (--test), or more rows per label. Perhaps another column is meant: --label COLUMN."
    else:
        explanation = (
            f"{counted(len(small), 'label has', 'labels have')} fewer than {FEWEST} rows: {listed(small)} "
            f"(the smallest {counted(counts[small[0]], 'row')})."
        )
        advice = "Label more rows of them, or merge them with a related label; their own scores mean little."
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ERROR if hopeless else Severity.ISSUE,
        explanation=explanation,
        advice=advice,
        rows=audit.rows(rows),
        count=len(small),
        details={"counts": {label: counts[label] for label in small}},
    )
