"""N207: one candidate's options were tuned, its rivals' were not."""

from __future__ import annotations

from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import listed
from nshot.evaluation.checks.run_facts import RunAudit, as_list, change

CODE = "N207"
TITLE = "Only one side was tuned"


def check(runs: RunAudit) -> Check | None:
    """Return the candidate that tried settings inside its labels and leads networks that had none to try.

    Rule: a recorded fact: it tried two settings or more, and scores above every network that was trained with its
    method's usual settings. The score itself is honest, as the choosing used training labels only; what it does not
    show is that the method is the better one. Chance comes in only through who leads, and the interval is given.
    """
    today = runs.today
    tuned = [candidate for candidate in today if candidate.trials is not None and candidate.trials > 1]
    usual = [candidate for candidate in today if candidate.trains_network and candidate.trials is None]
    if not tuned or not usual:
        return None
    best, rival = tuned[0], usual[0]
    if today.index(best) > today.index(rival):
        return None
    lead = runs.difference(best, rival)
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if best.name == runs.pick else Severity.NOTE,
        explanation=f"{best.name} tried {best.trials} settings inside its labels; "
        f"{listed([candidate.name for candidate in usual], 3)} had one each. Its lead over {rival.name}, "
        f"{change(lead.mean, lead.interval)}, may be the tuning's and not the method's.",
        advice="As a way to work the comparison holds. To compare methods, tune the rivals as well: "
        "--set tuned.method=NAME, in a folder of its own (--out).",
        count=len(usual),
        details={
            "tuned": best.name,
            "trials": best.trials,
            "untuned": [candidate.name for candidate in usual],
            "difference": round(lead.mean, 4),
            "interval": as_list(lead.interval),
        },
    )
