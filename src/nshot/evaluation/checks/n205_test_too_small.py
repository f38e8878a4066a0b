"""N205: a test too small to tell the candidates apart."""

from __future__ import annotations

import math

from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import RunAudit

CODE = "N205"
TITLE = "The test is small"
POINTS = 0.05
"""A difference of so much of the metric's range should be visible."""
FEWEST = 3
CONSTANT = "majority"


def check(runs: RunAudit) -> Check | None:
    """Return that the smallest difference which the test shows is above 5 points, or above what separates anybody.

    Rule: the detectable difference (found with 80 % probability) between the pick and its nearest rival is more than
    5 % of the metric's range (an issue), or more than the distance from the best to the last of at least three
    candidates, the constant answer aside (a note). Both compare figures that depend on the size of the test and hardly
    on chance: the estimate of that difference itself varies by about 1 / sqrt(2 x test rows) of its value.
    """
    if runs.detectable is None or not runs.metric.bounded:
        return None
    scores = [runs.estimate(candidate).score for candidate in runs.today if candidate.method != CONSTANT]
    if len(scores) < 2:
        return None
    apart = max(scores) - min(scores)
    small = runs.detectable > POINTS * runs.width
    if not small and (len(scores) < FEWEST or runs.detectable <= apart):
        return None
    wanted = POINTS * runs.width if small else apart
    compared = runs.detectable_rows or runs.n_test
    needed = _rounded(compared * (runs.detectable / max(wanted, 0.001 * runs.width)) ** 2)
    explanation = (
        f"With {compared:,} test rows, a difference between the pick and its nearest rival is seen from about "
        f"{runs.detectable:.3f} up"
    )
    explanation += "." if small else f"; all {len(scores)} candidates lie within {apart:.3f} of each other."
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if small else Severity.NOTE,
        explanation=explanation,
        advice=f"About {needed:,} test rows would show differences of {wanted:.2g}. Until then take what is cheapest "
        "among those that score the same.",
        count=compared,
        details={"smallest_detectable_difference": round(runs.detectable, 4), "apart": round(apart, 4)},
    )


def _rounded(rows: float) -> int:
    """Return the number with two digits, rounded up."""
    step: int = 10 ** max(0, math.floor(math.log10(max(1.0, rows))) - 1)
    return math.ceil(rows / step) * step
