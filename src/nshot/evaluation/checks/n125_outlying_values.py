"""N125: a few numbers to predict that are far from all others."""

from __future__ import annotations

import numpy as np

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import EXAMPLES, VALUES, Audit, share

CODE = "N125"
TITLE = "A few values decide the score"
KINDS = VALUES
MODALITIES = EXAMPLES
FEWEST_ROWS = 20
FAR_OUT = 3.0
"""Times the distance between the quartiles, beyond them (Tukey, Exploratory Data Analysis, 1977: far out)."""
DECIDE_FROM = 0.5
"""Share of the squared distances from the mean that the far ones must make up."""


def check(audit: Audit) -> Check | None:
    """Return the rows far out, where they make up half of what a squared error counts."""
    values = np.asarray(audit.targets, np.float64)
    if len(values) < FEWEST_ROWS:
        return None
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    far = (values < low - FAR_OUT * (high - low)) | (values > high + FAR_OUT * (high - low))
    squares = (values - values.mean()) ** 2
    if not far.any() or squares[far].sum() < DECIDE_FROM * squares.sum():
        return None
    n = int(far.sum())
    counted_for = squares[far].sum() / squares.sum()
    farthest = values[np.argmax(np.abs(values - median))]
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"{counted(n, 'value')} of {len(values):,} ({share(n, len(values))}) "
        f"{'is' if n == 1 else 'are'} far from all others, up to {farthest:.6g} where half of them lie between "
        f"{low:.6g} and {high:.6g}; they make up {counted_for:.0%} of what squared errors count.",
        advice="Look at them. If they are right, rank by absolute errors, --metric mae: R2 and squared errors would "
        "mostly say how well these few are met.",
        rows=audit.rows(np.flatnonzero(far)),
        count=n,
    )
