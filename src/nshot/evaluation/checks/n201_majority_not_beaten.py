"""N201: nothing beats giving the same label always."""

from __future__ import annotations

from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import RunAudit, as_list, change, scored

CODE = "N201"
TITLE = "Nothing is shown to beat the most frequent label"
CONSTANT = "majority"


def check(runs: RunAudit) -> Check | None:
    """Return that the best candidate is not shown to score above always giving the most frequent label.

    Rule: the 95 % interval of their paired difference reaches 0. A best candidate that is truly ahead by 4.3 standard
    errors of that difference is reported in 1 % of studies; one that is less far ahead, on so small a test, is not
    shown to be ahead, which is what the finding says.
    """
    today = runs.today
    constant = next((candidate for candidate in today if candidate.method == CONSTANT), None)
    others = [candidate for candidate in today if candidate is not constant]
    if constant is None or not others:
        return None
    best = others[0]
    lead = runs.difference(best, constant)
    if lead.interval is not None and 0.0 not in lead.interval and runs.sign * lead.mean > 0:
        return None
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"Always giving the most frequent label reaches {scored(runs.estimate(constant))}. The best "
        f"candidate, {best.name}, is not shown to do better: {scored(runs.estimate(best))}, a difference of "
        f"{change(lead.mean, lead.interval)}.",
        advice="Read twenty rows and their labels: can a person tell the label from the text? If not, another column "
        "may hold what decides (--text), or the label column is another one (--label).",
        details={"best": best.name, "difference": round(lead.mean, 4), "interval": as_list(lead.interval)},
    )
