"""N211: probabilities of the pick that cannot be taken at their word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import RunAudit, as_list, on_rows, scored
from nshot.metrics import Array
from nshot.metrics.classify import BINS

CODE = "N211"
TITLE = "Probabilities are not to be taken at their word"
FEWEST_ROWS = 100
CHANCE = 0.995
MATTERS_FROM = 0.05
MUCH = 0.1
RESAMPLES = 400


def check(runs: RunAudit) -> Check | None:
    """Return the pick's calibration error where chance does not explain it.

    Rule: the expected calibration error is above the 99.5 % quantile of what perfectly calibrated probabilities of
    the same sizes show on as many rows (consistency resampling, Bröcker & Smith 2007, "Increasing the Reliability of
    Reliability Diagrams"; rows of one group answered alike), so that 0.5 % of calibrated picks are reported, and
    exceeds the mean of that by 5 points (an issue from 10), below which nobody is misled.
    """
    answers = runs.answers
    if answers is None or answers.confidence is None or len(answers.truth) < FEWEST_ROWS:
        return None
    confidence, right = answers.confidence.astype(np.float64), answers.right
    groups = np.unique(answers.groups, return_inverse=True)[1].reshape(-1)
    found = on_rows(np.stack([confidence, right], axis=1), metrics.get("expected_calibration_error"), 0.95, groups)
    error = found.score
    by_chance = _by_chance(confidence, groups)
    limit, usual = float(np.quantile(by_chance, CHANCE)), float(by_chance.mean())
    if error <= limit or error - usual < MATTERS_FROM:
        return None
    mean, accuracy = float(confidence.mean()), float(right.mean())
    if mean - accuracy > MATTERS_FROM / 2:
        how = "It is surer than it should be"
    elif accuracy - mean > MATTERS_FROM / 2:
        how = "It is more often right than it says"
    else:
        how = "Here it is too sure, there not sure enough"
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if error - usual >= MUCH else Severity.NOTE,
        explanation=f"{how}: {runs.pick} gives its answers {mean:.0%} probability on average and is right in "
        f"{accuracy:.0%}. The gap between the two, averaged over {BINS} levels of probability (expected calibration "
        f"error), is {scored(found)}; with honest probabilities chance would give about {usual:.2f} on "
        f"these {len(right):,} rows.",
        advice="The answers themselves are not touched by this. Before a probability decides anything (a threshold, a "
        "hand-over to a person), read off the report's calibration table how often such answers were right.",
        count=len(right),
        details={
            "expected_calibration_error": round(error, 4),
            "interval": as_list(found.interval),
            "by_chance": round(usual, 4),
            "by_chance_at_most": round(limit, 4),
            "mean_probability": round(mean, 4),
            "accuracy": round(accuracy, 4),
        },
    )


def _by_chance(confidence: Array, groups: NDArray[np.int64]) -> Array:
    """Return the calibration errors of probabilities that are right, shape (resamples,)."""
    metric = metrics.get("expected_calibration_error")
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        right = rng.random(int(groups.max()) + 1)[groups] < confidence
        found.append(metric.aggregate(np.stack([confidence, right], axis=1)))
    return np.array(found)
