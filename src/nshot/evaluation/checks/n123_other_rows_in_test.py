"""N123: test rows that are not like those of the training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from nshot.core import Check, ColumnKind, Interval, Severity, listed
from nshot.data.reading import Source
from nshot.data.rows import ArrowRows, gathered
from nshot.evaluation.checks.facts import ANY, RARE, ROWS, Audit, share

CODE = "N123"
TITLE = "Test rows are not like the training rows"
KINDS = ANY
MODALITIES = ROWS
FEWEST_ROWS = 50
LARGEST_P = 1e-4
"""Divided by the number of columns: the chance of calling any of them shifted where none is."""
SMALLEST_DISTANCE = 0.1
APART = 0.8
"""AUROC from which training and test rows can be told apart well."""
NOT_CHANCE = 0.55
"""What the lower end of the AUROC's interval must exceed; random halves of one file stay below."""
MOST_ROWS_COMPARED = 20_000
MOST_ROWS_OF_A_SIDE = 2000
MOST_COLUMNS = 200
_SHOWN = 5


@dataclass(frozen=True)
class _Shift:
    """How far the cells of a column are from those of the training, from 0 (alike) to 1, and that in words."""

    distance: float
    said: str


def check(audit: Audit) -> Check | None:
    """Return the columns whose cells moved, and how well training and test rows can be told apart."""
    if audit.test is None:
        return None
    train, test = _rows(audit.train), _rows(audit.test)
    if min(len(train), len(test)) < FEWEST_ROWS:
        return None
    kinds = train.kinds
    shifts = {name: shift for name in kinds if (shift := _shift(_spread(train), _spread(test), name, len(kinds)))}
    told = _told_apart(train, test)
    new_labels = _new_labels(audit)
    apart = told is not None and told[1].low > NOT_CHANCE
    if not shifts and not apart and not new_labels:
        return None
    reasons = []
    if told is not None:
        area, interval = told
        reasons.append(
            f"training and test rows can {'' if apart else 'hardly '}be told apart (AUROC {area:.2f} "
            f"[{interval.low:.2f}, {interval.high:.2f}]; the same is 0.5)"
        )
    most = sorted(shifts, key=lambda name: -shifts[name].distance)
    if most:
        rest = f" and {len(most) - _SHOWN:,} more" if len(most) > _SHOWN else ""
        moved = "; ".join(f"'{name}' {shifts[name].said}" for name in most[:_SHOWN])
        reasons.append(f"{len(most)} of {len(kinds):,} columns moved: {moved}{rest}")
    if new_labels:
        n = sum(new_labels.values())
        named = listed([f"'{label}' ({count:,})" for label, count in new_labels.most_common()], _SHOWN)
        reasons.append(
            f"{len(new_labels)} labels of the test do not occur in the training data, {n:,} rows "
            f"({share(n, len(test))}): {named}"
        )
    far = (told is not None and told[0] >= APART) or bool(new_labels)
    explanation = ". ".join(reason[0].upper() + reason[1:] for reason in reasons) + "."
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if far else Severity.NOTE,
        explanation=explanation,
        advice="Expect worse results than on held-out training rows. Test on what the model will meet; if that is this "
        "test, label training rows of the same kind.",
        count=len(shifts),
        details={
            "auroc": round(told[0], 4) if told else None,
            "auroc_interval": [round(end, 4) for end in told[1].as_json()] if told else None,
            "columns": {name: round(shifts[name].distance, 4) for name in most},
            "new_labels": dict(new_labels.most_common()),
        },
    )


def _rows(source: Source) -> ArrowRows:
    """Return the labelled rows; all of them where none is labelled."""
    return gathered((source.dataset if len(source.dataset) else source.unlabelled).examples)


def _new_labels(audit: Audit) -> Counter[str]:
    """Return how many test rows have each label that the training data do not have, where all are normal or not."""
    label = audit.train.label_column
    if audit.test is None or label is None or audit.train.task.kind not in RARE:
        return Counter()
    known = {cell.strip() for cell in audit.train.column(label)}
    return Counter(cell for cell in map(str.strip, audit.test.column(label)) if cell not in known)


def _spread(rows: ArrowRows, most: int = MOST_ROWS_COMPARED) -> ArrowRows:
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).astype(np.int64))


def _shift(train: ArrowRows, test: ArrowRows, name: str, columns: int) -> _Shift | None:
    """Return how a column moved, where that is more than chance."""
    kind = train.kinds[name]
    if kind is ColumnKind.TEXT:
        return None
    one, other = train.column(name).drop_null(), test.column(name).drop_null()
    gone = (train.column(name).null_count / len(train), test.column(name).null_count / len(test))
    if abs(gone[1] - gone[0]) >= SMALLEST_DISTANCE:
        return _Shift(
            abs(gone[1] - gone[0]), f"is missing in {gone[0]:.0%} of the training and {gone[1]:.0%} of the test"
        )
    if not len(one) or not len(other):
        return None
    if kind is ColumnKind.NUMBER:
        return _number_shift(one.to_numpy(), other.to_numpy(), LARGEST_P / columns)
    if kind is ColumnKind.DATE:
        return _date_shift(one.to_pylist(), other.to_pylist())
    return _category_shift(Counter(one.to_pylist()), Counter(other.to_pylist()), LARGEST_P / columns)


def _number_shift(one: np.ndarray, other: np.ndarray, largest_p: float) -> _Shift | None:
    from scipy.stats import ks_2samp

    found = ks_2samp(one, other, method="asymp")
    if found.statistic < SMALLEST_DISTANCE or found.pvalue > largest_p:
        return None
    middle, name = (np.median, "median") if np.median(one) != np.median(other) else (np.mean, "mean")
    moved = f"{name} {middle(one):.4g} in training, {middle(other):.4g} in the test"
    return _Shift(float(found.statistic), f"({moved}; distance {found.statistic:.2f})")


def _date_shift(one: list[str], other: list[str]) -> _Shift | None:
    """Return that a test is later than the training, which is as it should be where the model is for what comes."""
    later = sum(value > max(one) for value in other) / len(other)
    if later < SMALLEST_DISTANCE:
        return None
    return _Shift(later, f"({later:.0%} of the test is after the last training row, {max(one)})")


def _category_shift(one: Counter[str], other: Counter[str], largest_p: float) -> _Shift | None:
    """Return the total variation distance, and what share of the test has a category that the training has not."""
    from scipy.stats import chi2_contingency

    names = sorted({*one, *other})
    table = np.array([[side[name] for name in names] for side in (one, other)], np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    unseen = sum(count for name, count in other.items() if name not in one) / sum(other.values())
    if distance < SMALLEST_DISTANCE or chi2_contingency(table).pvalue > largest_p:
        return None
    most = int(np.argmax(np.abs(shares[0] - shares[1])))
    said = f"('{names[most]}' in {shares[0, most]:.0%} of the training, {shares[1, most]:.0%} of the test"
    said += f"; {unseen:.1%} in categories that are new)" if unseen else ")"
    return _Shift(distance, said)


def _told_apart(train: ArrowRows, test: ArrowRows) -> tuple[float, Interval] | None:
    """Return the held-out AUROC of telling the two files apart, with DeLong's 95 % interval.

    Equal rows of both files count as both, a tie. The classifier sees at most 2,000 rows of a file, and 200 columns.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    sides = [_spread(rows, MOST_ROWS_OF_A_SIDE) for rows in (train, test)]
    kinds = {name: kind for name, kind in train.kinds.items() if kind not in {ColumnKind.TEXT, ColumnKind.DATE}}
    names = list(kinds)[:: max(1, -(-len(kinds) // MOST_COLUMNS))]
    if not names:
        return None
    columns = [_as_numbers(sides, name, kinds[name]) for name in names]
    truth = np.repeat([0, 1], [len(side) for side in sides])
    trees = ExtraTreesClassifier(100, min_samples_leaf=5, random_state=0, n_jobs=1)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(trees, np.stack(columns, axis=1), truth, cv=folds, method="predict_proba")[:, 1]
    return _area(scores[truth == 1], scores[truth == 0])


def _as_numbers(sides: list[ArrowRows], name: str, kind: ColumnKind) -> np.ndarray:
    """Return a column of both files: numbers, with missing ones below all others; categories from the rarest on."""
    if kind is ColumnKind.NUMBER:
        values = np.concatenate([side.column(name).to_numpy() for side in sides])
        present = values[~np.isnan(values)]
        below = float(present.min()) - 1.0 if len(present) else 0.0
        # Trees compute in float32.
        return np.clip(np.where(np.isnan(values), below, values), -1e38, 1e38)
    cells = [cell or "" for side in sides for cell in side.column(name).to_pylist()]
    counts = Counter(cells)
    order = {cell: i for i, cell in enumerate(sorted(counts, key=lambda cell: (counts[cell], cell)))}
    return np.array([order[cell] for cell in cells], np.float64)


def _area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, Interval]:
    """Return the area under the ROC curve with DeLong's interval (DeLong, DeLong and Clarke-Pearson 1988)."""

    def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
        ordered = np.sort(others)
        both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        return np.asarray(both / (2.0 * len(ordered)))

    wins, losses = share_below(positive, negative), 1.0 - share_below(negative, positive)
    area = float(wins.mean())
    error = float(np.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses)))
    return area, Interval(max(0.0, area - 1.96 * error), min(1.0, area + 1.96 * error))
