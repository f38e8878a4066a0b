"""N114: label names that say nothing."""

from __future__ import annotations

from nshot.core import Check, Severity
from nshot.data.recognition import says_nothing
from nshot.evaluation.checks.facts import IMAGES, LABELS, SEVERAL, TEXTS, Audit, listed

CODE = "N114"
TITLE = "Label names say nothing"
KINDS = LABELS | SEVERAL
MODALITIES = TEXTS | IMAGES  # nothing reads both the columns of a table and the names of labels


def check(audit: Audit) -> Check | None:
    """Return a note where the names are numbers, letters, yes or no, and nothing describes them."""
    task = audit.train.task
    if task.names_say_something:
        return None
    empty = [label for label in task.labels if says_nothing(label) and not task.descriptions.get(label)]
    lines = ", ".join(f'"{label}" = "..."' for label in empty[:2])
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.NOTE,
        explanation=f"The label names tell a model nothing: {listed(empty)}. What reads them is left out.",
        advice=f"Describe each label in a TOML file ({lines}) and name it: --labels labels.toml.",
        count=len(empty),
        details={"labels": empty},
    )
