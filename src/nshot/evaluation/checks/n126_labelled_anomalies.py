"""N126: how many labelled anomalies there are, and whether they are rare."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import EXAMPLES, RARE, Audit, share

CODE = "N126"
TITLE = "Labelled anomalies"
KINDS = RARE
MODALITIES = EXAMPLES
FEW = 20
COMMON = 0.2


def check(audit: Audit) -> Check | None:
    """Return a finding where no anomaly is labelled, few are, or so many that they are no rare thing."""
    n = len(audit.targets)
    anomalies = [i for i, target in enumerate(audit.targets) if target]
    held = len(anomalies)
    where = audit.train.name
    if not n:
        said = f"No row of {where} has a label: detectors can be fitted, and nothing says which is best."
        advice = "Label some anomalies and some normal rows in a column, and name it: --label COLUMN."
    elif not held:
        said = f"None of the {n:,} labelled rows of {where} is an anomaly, so no detector can be scored on them."
        advice = "Label some anomalies, or name the labels that mean one: --anomalies A,B."
    elif held < FEW and audit.test is None:
        said = f"{counted(held, 'anomaly', 'anomalies')} of {n:,} rows: what is measured on them has wide intervals."
        advice = f"Label more; from about {FEW} on, detectors that differ much can be told apart."
    elif held > COMMON * n:
        said = f"{share(held, n)} of the labelled rows are anomalies ({held:,} of {n:,}), so they are no rare thing."
        advice = (
            "Detectors that learn without labels take what is frequent for normal. With so many labels, compare "
            "classifiers as well: --task classify. If it is the other way round, name the anomalies: --anomalies A."
        )
    else:
        return None
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if n and held < FEW else Severity.NOTE,
        explanation=said,
        advice=advice,
        rows=audit.rows(anomalies) if held < FEW else (),
        count=held,
    )
