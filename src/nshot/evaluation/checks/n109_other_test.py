"""N109: a test that is no sample of the same thing as the training data."""

from __future__ import annotations

from collections import Counter

import numpy as np

from nshot.core import Check, Severity
from nshot.evaluation.checks.facts import ANY, EXAMPLES, TEXTS, Audit, labels_of

CODE = "N109"
TITLE = "The test is no sample of the same thing"
KINDS = ANY
MODALITIES = EXAMPLES
LARGEST_P = 1e-4
LABEL_SHIFT = 0.2
"""Share of rows that would need another label to make the label shares equal (total variation distance)."""
TEXT_SHIFT = 0.8
FEWEST_ROWS = 50
MOST_TEXTS = 3000


def check(audit: Audit) -> Check | None:
    """Return strong differences in label shares (chi-square) or in words (can a classifier tell the files apart?)."""
    if audit.test is None or min(len(audit.texts), len(audit.test_texts)) < FEWEST_ROWS:
        return None
    moved = _label_shift(audit) if audit.train.task.labels else None
    area = _text_shift(audit) if audit.modality in TEXTS else None
    reasons = []
    details: dict[str, float] = {}
    if moved is not None:
        label, in_train, in_test, distance = moved
        reasons.append(
            f"the labels have other shares: '{label}' is {in_train:.0%} of the training rows "
            f"and {in_test:.0%} of the test"
        )
        details["label_distance"] = round(distance, 4)
    if area is not None and area >= TEXT_SHIFT:
        reasons.append(
            f"the words differ: training and test texts can be told apart (AUROC {area:.2f}; the same is 0.5)"
        )
        details["auroc"] = round(area, 4)
    if not reasons:
        return None
    explanation = "; ".join(reasons)
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=explanation[0].upper() + explanation[1:] + ".",
        advice="Test on what the model will meet. If that is this test, label training rows of the same kind.",
        count=len(reasons),
        details=details,
    )


def _label_shift(audit: Audit) -> tuple[str, float, float, float] | None:
    """Return the label whose share moved most, its two shares, and the distance, where all of it is no chance."""
    from scipy.stats import chi2_contingency

    if audit.test is None:
        return None
    labels = audit.train.task.labels
    kind = audit.train.task.kind
    sides = [
        Counter(label for target in targets for label in labels_of(kind, target))
        for targets in (audit.targets, audit.test.dataset.labelled_targets())
    ]
    table = np.array([[side[label] for label in labels] for side in sides], float)
    table = table[:, table.sum(axis=0) > 0]
    shares = np.array([[side[label] for label in labels] for side in sides], float)
    if not shares.any(axis=1).all():
        return None  # no entity in one of the files
    shares /= shares.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if distance < LABEL_SHIFT or chi2_contingency(table).pvalue > LARGEST_P:
        return None
    most = int(np.argmax(np.abs(shares[0] - shares[1])))
    return labels[most], float(shares[0, most]), float(shares[1, most]), distance


def _text_shift(audit: Audit) -> float | None:
    """Return the held-out AUROC of telling the two files apart by their words, with near-duplicates kept together."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.naive_bayes import MultinomialNB

    if audit.test_groups is None:
        return None
    texts: list[str] = []
    groups: list[int] = []
    sides: list[int] = []
    for side, (some, ids) in enumerate(((audit.texts, audit.groups), (audit.test_texts, audit.test_groups))):
        # Evenly spread, because files are often sorted by label.
        picked = np.unique(np.linspace(0, len(some) - 1, MOST_TEXTS).astype(int))
        texts.extend(some[i][:2000] for i in picked)
        groups.extend(ids[picked].tolist())
        sides.extend([side] * len(picked))
    if len(set(groups)) < FEWEST_ROWS:
        return None
    words = HashingVectorizer(n_features=2**16, alternate_sign=False, norm=None, binary=True).transform(texts)
    answers = cross_val_predict(
        MultinomialNB(), words, sides, groups=groups, cv=GroupKFold(5), method="predict_log_proba"
    )
    return float(roc_auc_score(sides, answers[:, 1] - answers[:, 0]))
