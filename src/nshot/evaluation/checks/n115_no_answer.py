"""N115: rows without an answer to learn from."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.data.reading import Source
from nshot.evaluation.checks.facts import MOST_ROWS, TEXTS, WRITING, Audit

CODE = "N115"
TITLE = "No answer"
KINDS = WRITING
MODALITIES = TEXTS


def check(audit: Audit) -> Check | None:
    """Return the rows whose answer is missing or empty, and those whose answer is marked as bad."""
    train = audit.train
    blank = _without(train)
    in_test = _without(audit.test) if audit.test else []
    if train.label_column is None or not (blank or in_test or train.refused):
        return None
    said = []
    if blank:
        reason = (
            "no turn of the assistant's that says something ends the conversation"
            if train.form and train.form.answer is None
            else f"column '{train.label_column}'"
        )
        has, serves = ("has", "serves") if len(blank) == 1 else ("have", "serve")
        said.append(
            f"{counted(len(blank), 'row')} of {train.rows:,} in {train.name} {has} no answer ({reason}) and {serves} "
            "as inputs only."
        )
    if train.refused:
        said.append(
            f"{counted(len(train.refused), 'answer is', 'answers are')} marked as bad and not learnt from; their "
            "inputs are kept."
        )
    if audit.test and in_test:
        said.append(f"{counted(len(in_test), 'row')} of {audit.test.name} without an answer cannot be scored.")
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if blank or in_test else Severity.NOTE,
        explanation=" ".join(said),
        advice="Write the answers, or remove these rows; nothing, if they are meant as inputs only.",
        rows=tuple((blank or list(train.refused))[:MOST_ROWS]),
        count=len(blank) + len(in_test) + len(train.refused),
        details={"test_rows": in_test[:MOST_ROWS], "marked_as_bad": list(train.refused[:MOST_ROWS])},
    )


def _without(source: Source) -> list[int]:
    refused = set(source.refused)
    return [position for position in source.unlabelled_positions if position not in refused]
