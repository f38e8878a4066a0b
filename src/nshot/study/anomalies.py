"""What the report shows of a detection besides its score: recall over false alarms, the threshold, rows to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.evaluation.costs import CostOptions
from nshot.evaluation.intervals import Block, estimate, target_of
from nshot.evaluation.thresholds import ROWS, Scored, Threshold, choose
from nshot.metrics.detect import recall_at
from nshot.study.evidence import Evidence, clipped

_RATES = ("0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "0.9")
_FEWEST_BELOW = 0.5
"""A false-alarm rate is shown if so many normal rows or more may raise one: below, it is drawn out of thin air."""
_MOST_ROWS = 15


def on_the_pick(evidence: Evidence, name: str, options: CostOptions) -> dict[str, Any]:
    """Return how the pick detects: what ``details.json`` keeps under ``detection``.

    Scores are those of the first repeat, at the pick's largest number of labelled anomalies.

    Args:
        evidence: The completed runs.
        name: The picked candidate.
        options: What mistakes cost, and the share of anomalies to reckon with.
    """
    blocks = _first_repeat(evidence, name)
    if not blocks:
        return {}
    marks = np.concatenate([block.statistics[:, 0] > 0 for block in blocks])
    share = float(marks.mean()) if options.anomaly_share is None else options.anomaly_share
    # Of folds the smallest decides how small a rate can be told.
    normals = min(int((block.statistics[:, 0] == 0).sum()) for block in blocks)
    rates = [rate for rate in _RATES if float(rate) * normals >= _FEWEST_BELOW]
    return {
        "detection": {
            "anomalies": int(marks.sum()),
            "normal": int((~marks).sum()),
            "anomaly_share": round(share, 6),
            "points": [_point(evidence, name, blocks, rate, share) for rate in rates],
            "strangest_normal": _rows(blocks, anomalous=False),
            "least_strange": _rows(blocks, anomalous=True),
        }
    }


def threshold(evidence: Evidence, name: str, options: CostOptions) -> Threshold | None:
    """Return the threshold that the pick is handed over with, or None where nobody named a cost.

    Raises:
        DataError: There are too few anomalies or normal rows to choose one by.
    """
    folds = [_scored(block) for block in _first_repeat(evidence, name)]
    return choose(folds, options) if folds else None


def _first_repeat(evidence: Evidence, name: str) -> list[Block]:
    """Return the candidate's scores in its first repeat: marks and scores of each fold's test rows."""
    metric, n = metrics.get("auroc"), evidence.sizes[name][-1]
    if not evidence.has(name, n, metric):
        return []
    blocks = evidence.blocks(name, n, metric)
    return [block for block in blocks if block.repeat == blocks[0].repeat]


def _scored(block: Block) -> Scored:
    groups = block.rows if block.groups is None else block.groups
    return Scored(block.statistics[:, 1], block.statistics[:, 0] > 0, np.asarray(groups, dtype=np.int64))


def _point(evidence: Evidence, name: str, blocks: Sequence[Block], rate: str, share: float) -> dict[str, Any]:
    """Return the recall at a false-alarm rate with its interval, and what that means for 1,000 rows."""
    n, (n_train, n_test) = evidence.sizes[name][-1], evidence.fold_sizes
    found = estimate(
        blocks,
        recall_at(rate),
        rho=evidence.rho(n),
        target=target_of(n, evidence.design.n_train),
        n_train=n_train,
        n_test=n_test,
    )
    right, wrong = share * found.score, (1 - share) * float(rate)
    return {
        "false_alarm_rate": float(rate),
        "recall": round(found.score, 6),
        "interval": clipped(found.interval),
        "precision": round(right / (right + wrong), 6),
        "alarms_per_1000_rows": round((right + wrong) * ROWS, 3),
    }


def _rows(blocks: Sequence[Block], *, anomalous: bool) -> list[dict[str, Any]]:
    """Return the normal rows that look strangest, or the anomalies that look least strange.

    Scores of two fits are not on one scale: rows are ordered by the share of their fold's rows that score lower.
    """
    found: list[tuple[float, float, int]] = []
    for block in blocks:
        marks, scores = block.statistics[:, 0] > 0, block.statistics[:, 1]
        ranks = _share_below(scores)
        kind = np.flatnonzero(marks == anomalous)
        found += zip(ranks[kind].tolist(), scores[kind].tolist(), block.rows[kind].tolist(), strict=True)
    found.sort(key=lambda row: (row[0] if anomalous else -row[0], row[2]))
    return [
        {"row": row, "score": round(score, 6), "share_below": round(rank, 6)} for rank, score, row in found[:_MOST_ROWS]
    ]


def _share_below(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.searchsorted(np.sort(scores), scores, "left") / len(scores)
