"""N121: cells that count as missing though something stands in them, and columns of numbers mixed with words."""

from __future__ import annotations

from nshot.core import Check, Severity, counted, listed
from nshot.data.columns import OddCells
from nshot.evaluation.checks.facts import ANY, EXAMPLES, MOST_ROWS, Audit, share

CODE = "N121"
TITLE = "Cells that cannot be read as what their column holds"
KINDS = ANY
MODALITIES = EXAMPLES
MATTERS_FROM = 0.01
_SHOWN = 6


def check(audit: Audit) -> Check | None:
    """Return the columns with infinite, unreadable or mixed cells, and labels that should be numbers and are not."""
    train = audit.train
    reasons = [f"'{name}': {_said(cells, train.rows)}" for name, cells in train.odd_cells.items()]
    unreadable = train.unreadable_targets
    if not reasons and not unreadable:
        return None
    said = []
    if unreadable:
        said.append(
            f"{counted(len(unreadable), 'label')} of {train.rows:,} in the column '{train.label_column}' "
            f"{'is' if len(unreadable) == 1 else 'are'} no number; "
            f"{'this row serves' if len(unreadable) == 1 else 'these rows serve'} without a label"
        )
    if reasons:
        said.append("; ".join(reasons[:_SHOWN]) + (f"; and {len(reasons) - _SHOWN:,} more" if reasons[_SHOWN:] else ""))
    lost = [len(unreadable), *(cells.infinite + cells.unreadable for cells in train.odd_cells.values())]
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if max(lost) >= MATTERS_FROM * train.rows else Severity.NOTE,
        explanation=". ".join(said) + ".",
        advice="Correct the cells, or leave them empty where nothing is known.",
        rows=unreadable[:MOST_ROWS],
        count=len(reasons) + len(unreadable),
        details={
            "columns": {
                name: {"infinite": cells.infinite, "unreadable": cells.unreadable}
                for name, cells in train.odd_cells.items()
            }
        },
    )


def _said(cells: OddCells, rows: int) -> str:
    parts = []
    if cells.infinite:
        infinite = counted(cells.infinite, "number is infinite and counts", "numbers are infinite and count")
        parts.append(f"{infinite} as missing")
    if cells.unreadable:
        examples = f", such as {listed([repr(value) for value in cells.examples], 3)}" if cells.examples else ""
        parts.append(
            f"{counted(cells.unreadable, 'cell')} ({share(cells.unreadable, rows)}) unlike the others{examples}, taken "
            "as missing"
        )
    if cells.share_of_numbers:
        parts.append(f"numbers ({cells.share_of_numbers:.0%} of the cells) mixed with words, taken as categories")
    return ", ".join(parts)
