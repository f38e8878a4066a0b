"""N122: a column of a table that nearly is the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nshot.core import Check, ColumnKind, Severity
from nshot.data.rows import ArrowRows, gathered
from nshot.evaluation.checks.facts import LABELS, ROWS, VALUES, Audit
from nshot.evaluation.checks.n108_revealing_column import held_out_accuracy

CODE = "N122"
TITLE = "A column gives the answer away"
KINDS = LABELS | VALUES
MODALITIES = ROWS
FEWEST_ROWS = 100
MOST_ROWS_LOOKED_AT = 2000
MOST_COLUMNS = 500
ALMOST_ALWAYS = 0.97
ALMOST_EQUAL = 0.995
"""Rank correlation from which a column is nearly a copy of the numbers to predict."""
ALMOST_ALL = 0.99
"""Share of the variance that the means of a category explain on rows that were left out of them."""


def check(audit: Audit) -> Check | None:
    """Return the columns from each of which alone the label, or the number, follows almost perfectly.

    With fewer than 100 rows, or among thousands of columns, one that fits by chance is to be expected.
    """
    n = len(audit.targets)
    if n < FEWEST_ROWS:
        return None
    # Evenly spread, because files are often sorted by label.
    places = np.unique(np.linspace(0, n - 1, min(n, MOST_ROWS_LOOKED_AT)).astype(np.int64))
    rows = gathered(audit.train.dataset.examples).take(places)
    targets = [audit.targets[i] for i in places]
    names = list(rows.kinds)
    step = max(1, -(-len(names) // MOST_COLUMNS))
    is_value = audit.train.task.kind in VALUES
    found = {name: said for name in names[::step] if (said := _revealed(rows, name, targets, is_value=is_value))}
    if not found:
        return None
    explanation = "; ".join(f"the column '{name}' alone {said}" for name, said in list(found.items())[:5])
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE,
        explanation=explanation[0].upper() + explanation[1:] + ".",
        advice="If it is only known once the answer is, leave it out: name the other columns, --columns A,B. A score "
        "with it in says nothing about new rows.",
        count=len(found),
        details={"columns": list(found)},
    )


def _revealed(rows: ArrowRows, name: str, targets: Sequence[object], *, is_value: bool) -> str | None:
    """Return what a column alone does, where it gives the answer away."""
    if rows.kinds[name] is ColumnKind.TEXT:
        return None
    column = rows.column(name)
    if rows.kinds[name] is ColumnKind.NUMBER:
        values = np.nan_to_num(column.to_numpy())
        if is_value:
            return _rank_correlation(values, np.asarray(targets, np.float64))
        return _split_accuracy(values, np.asarray(targets))
    words = ["" if value is None else value for value in column.to_pylist()]
    if is_value:
        return _explained_by_means(words, np.asarray(targets, np.float64))
    accuracy = held_out_accuracy(words, [str(target) for target in targets])
    return None if accuracy is None else f"tells the label in {accuracy:.0%} of the rows"


def _rank_correlation(values: np.ndarray, targets: np.ndarray) -> str | None:
    from scipy.stats import rankdata

    if values.min() == values.max() or targets.min() == targets.max():
        return None
    correlation = float(np.corrcoef(rankdata(values), rankdata(targets))[0, 1])
    if abs(correlation) < ALMOST_EQUAL:
        return None
    return f"orders the rows as the numbers to predict do (rank correlation {correlation:.3f})"


def _split_accuracy(values: np.ndarray, targets: np.ndarray) -> str | None:
    """Return how often a small tree on this column is right about rows that it was not fitted on."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    counts = np.unique(targets, return_counts=True)[1]
    needed = max(ALMOST_ALWAYS, 1.0 - 0.1 * (1.0 - counts.max() / len(targets)))
    tree = DecisionTreeClassifier(max_leaf_nodes=2 * len(counts) + 2, min_samples_leaf=3, random_state=0)
    # What a tree cannot do on the rows that it was fitted on, it cannot do on others.
    if tree.fit(values[:, None], targets).score(values[:, None], targets) < needed or counts.min() < 3:
        return None
    answers = cross_val_predict(tree, values[:, None], targets, cv=StratifiedKFold(3, shuffle=True, random_state=0))
    accuracy = float((answers == targets).mean())
    return f"tells the label in {accuracy:.0%} of the rows" if accuracy >= needed else None


def _explained_by_means(words: Sequence[str], targets: np.ndarray) -> str | None:
    """Return how much of the variance the mean of the other rows with the same cell explains."""
    codes = np.unique(np.asarray(words), return_inverse=True)[1]
    sizes = np.bincount(codes)
    several = sizes[codes] > 1
    if several.mean() < 0.8 or targets.min() == targets.max():
        return None
    sums = np.bincount(codes, weights=targets)
    others = (sums[codes] - targets)[several] / (sizes[codes][several] - 1)
    held = targets[several]
    spread = float(((held - held.mean()) ** 2).sum())
    explained = 1.0 - float(((held - others) ** 2).sum()) / spread if spread else 0.0
    return f"explains {explained:.1%} of the variance of the numbers to predict" if explained >= ALMOST_ALL else None
