"""N204: the pick knows the rows it learnt from far better than others."""

from __future__ import annotations

from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import RunAudit, as_list, between_rows, change, on_rows, scored

CODE = "N204"
TITLE = "Far better on its own training rows"
FAR = 0.15
"""Share of the metric's range."""
VERY_FAR = 0.3
LEVEL = 0.99
LOOKS_UP = frozenset({"nearest_neighbours"})
"""Methods that keep their training rows: each of those is its own nearest neighbour, which says nothing."""


def check(runs: RunAudit) -> Check | None:
    """Return how much better the pick answers some of its own training rows than the test.

    Rule: the lower end of the gap's 99 % interval is at least 15 % of the metric's range (an issue from 30 %). A pick
    whose true gap is smaller than that is reported in at most 0.5 % of studies. Smaller gaps are what learning looks
    like, and are not told.
    """
    pick = runs.candidates.get(runs.pick)
    if pick is None or pick.own_rows is None or not pick.blocks or pick.method in LOOKS_UP:
        return None
    own, test = on_rows(pick.own_rows, runs.metric, LEVEL), runs.estimate(pick, LEVEL)
    interval = between_rows(own, test)
    if interval is None:
        return None
    least = min(runs.sign * interval.low, runs.sign * interval.high)
    if least < FAR * runs.width:
        return None
    shown = between_rows(on_rows(pick.own_rows, runs.metric, 0.95), runs.estimate(pick))
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if least >= VERY_FAR * runs.width else Severity.NOTE,
        explanation=f"{pick.name} reaches {scored(on_rows(pick.own_rows, runs.metric, 0.95))} on "
        f"{len(pick.own_rows):,} of the rows that it learnt from, and {scored(runs.estimate(pick))} on the test "
        f"(gap {change(own.score - test.score, shown)}): it knows rows rather than rules.",
        advice="More labelled rows are what helps most. Otherwise try stronger regularisation or fewer steps, and do "
        "not show anybody a score on training rows.",
        count=len(pick.own_rows),
        details={
            "on_training_rows": round(own.score, 4),
            "on_test": round(test.score, 4),
            "gap": round(own.score - test.score, 4),
            "interval": as_list(shown),
        },
    )
