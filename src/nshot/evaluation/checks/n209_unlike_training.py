"""N209: a given test that is unlike the training rows, and a pick that does worse where it is."""

from __future__ import annotations

import math

import numpy as np

from nshot import metrics
from nshot.core import Check, Severity
from nshot.evaluation.checks.run_facts import Features, RunAudit, as_list, beside, change, scored
from nshot.metrics import Array

CODE = "N209"
TITLE = "Worse on the test rows that are unlike the training"
FEWEST_ROWS = 100
LEAST_AREA = 0.6
SURE = 3.0
LEVEL = 0.98
FOLDS = 5
RIDGE = 10.0


def check(runs: RunAudit) -> Check | None:
    """Return how the pick does on the half of the test that is least like the training rows.

    N109 looks at the two files alone and speaks up where words or labels differ strongly; this looks at meaning, and
    at what it costs. Rule: a linear classifier on the backbone's vectors tells test rows from training rows with a
    held-out AUROC (Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests") that lies 3 standard errors
    (Hanley & McNeil 1982) above 0.6, which files of the same kind never do, and the difference in accuracy between
    the test's two halves has a 98 % interval below 0 (1 % by chance alone).
    """
    answers, features = runs.answers, runs.features
    if answers is None or features is None or min(len(features.train), len(features.test)) < FEWEST_ROWS:
        return None
    unlikeness, area, error = _told_apart(features)
    if area - SURE * error < LEAST_AREA:
        return None
    order = features.at[np.argsort(unlikeness, kind="stable")]
    alike, unlike = order[: len(order) // 2], order[len(order) // 2 :]
    right = answers.right[:, None].astype(np.float64)
    found = beside(right, answers.groups, unlike, alike, metrics.get("accuracy"), LEVEL)
    if found.surely is None or found.surely.high >= 0.0:
        return None
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=f"By their meaning, test rows can be told from training rows (AUROC {area:.2f}; the same is 0.5). "
        f"On the half of the test that is least like the training, {runs.pick} is right in {scored(found.first)}, "
        f"on the other half in {scored(found.second)} (difference {change(found.difference, found.interval)}).",
        advice="Label training rows of the kind that the test holds: they are worth more than others.",
        count=len(unlike),
        details={
            "auroc": round(area, 4),
            "accuracy_unlike": round(found.first.score, 4),
            "accuracy_alike": round(found.second.score, 4),
            "interval": as_list(found.interval),
            "test_rows": answers.file_rows[unlike[::-1][:50]].tolist(),
        },
    )


def _told_apart(features: Features) -> tuple[Array, float, float]:
    """Return how test-like each test row is, the AUROC and its standard error, all out of sample by group."""
    rows = np.concatenate([features.train, features.test]).astype(np.float64)
    rows -= rows.mean(axis=0)
    rows /= math.sqrt(float((rows**2).sum(axis=1).mean())) or 1.0
    n = len(features.train)
    side = np.r_[np.full(n, -1.0), np.ones(len(features.test))]
    groups = np.unique(np.r_[features.train_groups, features.test_groups], return_inverse=True)[1].reshape(-1)
    fold = np.random.default_rng(0).permutation(int(groups.max()) + 1)[groups] % FOLDS
    scores = np.empty(len(side))
    for held in range(FOLDS):
        known = fold != held
        mean = side[known].mean()
        gram = rows[known].T @ rows[known] + RIDGE * np.eye(rows.shape[1])
        weights = np.linalg.solve(gram, rows[known].T @ (side[known] - mean))
        scores[~known] = rows[~known] @ weights
    m = len(features.test)
    area = float(np.searchsorted(np.sort(scores[:n]), scores[n:]).mean() / n)  # vectors hardly ever tie
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (n * m)
    return scores[n:], area, math.sqrt(max(0.0, variance))
