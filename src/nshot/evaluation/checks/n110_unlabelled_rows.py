"""N110: rows without a label."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import ENTITIES, EXAMPLES, LABELS, MOST_ROWS, SEVERAL, VALUES, Audit

CODE = "N110"
TITLE = "Rows without a label"
KINDS = LABELS | SEVERAL | ENTITIES | VALUES
MODALITIES = EXAMPLES


def check(audit: Audit) -> Check | None:
    """Return the rows whose label is empty: they join the pool, or are left out where they are test rows."""
    blank = audit.train.unlabelled_positions
    in_test = audit.test.unlabelled_positions if audit.test else ()
    if not blank and not in_test:
        return None
    said = []
    if blank:
        said.append(
            f"{counted(len(blank), 'row')} of {audit.train.rows:,} in {audit.train.name} "
            f"{'has' if len(blank) == 1 else 'have'} no label (column '{audit.train.label_column}') "
            f"and serve as unlabelled {audit.noun}s only."
        )
    if audit.test and in_test:
        said.append(f"{counted(len(in_test), 'row')} of {audit.test.name} without a label cannot be scored.")
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=" ".join(said),
        advice="Nothing, if this is meant. If an empty cell is a label of its own, write its name into the cells.",
        rows=tuple(blank[:MOST_ROWS]),
        count=len(blank) + len(in_test),
        details={"test_rows": list(in_test[:MOST_ROWS])},
    )
