"""N202: a model that saw no label is as good as what learnt from the labels."""

from __future__ import annotations

from collections.abc import Sequence

from nshot.core import Check, Family, Severity
from nshot.evaluation.checks.run_facts import Measured, RunAudit, as_list, change, scored

CODE = "N202"
TITLE = "No label is as good as the labels"
_LEARNT = frozenset({Family.FEW_SHOT, Family.FINE_TUNING, Family.FROM_SCRATCH})


def check(runs: RunAudit) -> Check | None:
    """Return that the best zero-shot candidate scores at least as high as all that learnt, or as all fine-tunes.

    Rule: its score is not below theirs, paired on the same rows; an issue where the 95 % interval of the difference
    shows it to be above. Labels that truly bring 2.4 standard errors of the difference or more are called useless in
    less than 1 % of studies. If they bring less, so small a test cannot tell, and the interval given says so.
    """
    today = runs.today
    without = [candidate for candidate in today if candidate.family == Family.ZERO_SHOT]
    learnt = [candidate for candidate in today if candidate.family in _LEARNT]
    tuned = [candidate for candidate in learnt if candidate.family == Family.FINE_TUNING]
    if not without:
        return None
    return _beside(runs, without[0], learnt, "everything that learnt from the labels") or _beside(
        runs, without[0], tuned, "fine-tuning"
    )


def _beside(runs: RunAudit, without: Measured, learnt: Sequence[Measured], what: str) -> Check | None:
    if not learnt:
        return None
    best = learnt[0]
    lead = runs.difference(without, best)
    if runs.sign * lead.mean < 0:
        return None
    shown = lead.interval is not None and 0.0 not in lead.interval
    if best.family == Family.FINE_TUNING:
        advice = (
            "Look at how its training went (the report shows it): too few steps or too high a rate unlearn what the "
            "model knew. Until that is clear, the untrained model is the better answer."
        )
    else:
        advice = (
            "Read some labels: they may contradict what their names say, or be too few. Until there are better ones, "
            "the untrained model is the better answer."
        )
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if shown else Severity.NOTE,
        explanation=f"{without.name} has seen no label and reaches {scored(runs.estimate(without))}, at least as good "
        f"as {what}: the best of it, {best.name}, reaches {scored(runs.estimate(best))} with {best.n_labels:,} labels "
        f"(difference {change(lead.mean, lead.interval)}).",
        advice=advice,
        details={
            "zero_shot": without.name,
            "best": best.name,
            "difference": round(lead.mean, 4),
            "interval": as_list(lead.interval),
        },
    )
