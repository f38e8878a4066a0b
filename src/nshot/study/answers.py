"""What the report shows of the runs themselves: how trainings went, what the pick answered."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import Task, TaskKind
from nshot.metrics.tag import unpacked
from nshot.study.evidence import Evidence
from nshot.study.worker import of_bytes

_MOST_POINTS = 500
_MOST_MARKED = 20
_MOST_WORST = 30
_WITHIN = (0.5, 0.8, 0.9, 0.95)
_COVERED = 0.9
_Z = 1.959964
"""95 % of a normal distribution lie so many standard deviations around its mean."""


def training_records(evidence: Evidence) -> list[dict[str, Any]]:
    """Return how the trainings of each candidate went at its largest n: the mean of its runs, and their extremes."""
    records = []
    for name, sizes in evidence.sizes.items():
        runs = evidence.completed(name, sizes[-1]) if sizes else []
        trainings = [training for run in runs if (training := run.settings.get("training"))]
        if not trainings:
            continue
        # Runs of one size take the same number of steps, unless each chose its own: the longest then stand for all.
        points = max(len(training["losses"]) for training in trainings)
        losses = np.array([training["losses"] for training in trainings if len(training["losses"]) == points])
        records.append(
            {
                "candidate": name,
                "n_labels": sizes[-1],
                "runs": len(trainings),
                "steps": round(float(np.median([training["steps"] for training in trainings]))),
                "examples_seen": round(float(np.median([training["examples_seen"] for training in trainings]))),
                "learning_rate": max(training["learning_rate"] for training in trainings),
                "precision": trainings[0]["precision"],
                "restarts": sum(training["restarts"] > 0 for training in trainings),
                "micro_batch_halvings": sum(training.get("micro_batch_halvings", 0) for training in trainings),
                "losses": _rounded(losses.mean(axis=0)),
                "low": _rounded(losses.min(axis=0)),
                "high": _rounded(losses.max(axis=0)),
            }
        )
    return records


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]


def on_the_pick(evidence: Evidence, task: Task, name: str) -> dict[str, Any]:
    """Return what the pick answered in its first repeat: of labels the confusions, of numbers how far they are off."""
    n = evidence.sizes[name][-1]
    if task.kind is TaskKind.REGRESS:
        return _numbers(evidence, name, n)
    if task.kind is TaskKind.EXTRACT:
        return _entities(evidence, task, name, n)
    if task.kind is TaskKind.TAG:
        return _by_label(evidence, task, name, n)
    runs = [run for run in evidence.completed(name, n) if run.repeat == 0]
    accuracy = metrics.get("macro_f1")
    if not task.labels or not runs or not evidence.has(name, n, accuracy):
        return {}
    rows = np.concatenate([evidence.design.draw(run.repeat, run.fold).test for run in runs])
    codes = np.concatenate([evidence.arrays(run)[f"metric.{accuracy.name}"] for run in runs]).astype(np.int64)
    truth, answer = codes[:, 0], codes[:, 1]
    k = len(task.labels)
    matrix = np.bincount(truth * k + answer, minlength=k * k).reshape(k, k)
    right = np.diag(matrix)
    found: dict[str, Any] = {
        "confusion": {"labels": list(task.labels), "matrix": matrix.tolist()},
        "per_class": _scores_of_labels(task.labels, right, matrix.sum(1), matrix.sum(0)),
    }
    if all("confidence" in evidence.arrays(run) for run in runs):
        confidence = np.concatenate([evidence.arrays(run)["confidence"] for run in runs]).astype(float)
        found["calibration"] = _calibration(confidence, truth == answer)
        wrong = np.flatnonzero(truth != answer)
        worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:30]
        found["mistakes"] = [
            {
                "row": int(rows[i]),
                "label": task.labels[truth[i]],
                "predicted": task.labels[answer[i]],
                "probability": round(float(confidence[i]), 4),
            }
            for i in worst
        ]
    return found


def _by_label(evidence: Evidence, task: Task, name: str, n: int) -> dict[str, Any]:
    """Return how the pick does on each of several labels, in its first repeat."""
    several = metrics.get("macro_tag_f1")
    if not evidence.has(name, n, several):
        return {}
    blocks = [block for block in evidence.blocks(name, n, several) if block.repeat == 0]
    if not blocks:
        return {}
    true, answered = unpacked(np.concatenate([block.statistics for block in blocks]))
    return {
        "per_class": _scores_of_labels(
            task.labels, (true & answered).sum(axis=0), true.sum(axis=0), answered.sum(axis=0)
        )
    }


def _entities(evidence: Evidence, task: Task, name: str, n: int) -> dict[str, Any]:
    """Return how the pick does on entities of each label, and some answers that are wrong, in its first repeat."""
    by_label, exact = metrics.get("macro_entity_f1"), metrics.get("entity_f1")
    runs = [run for run in evidence.completed(name, n) if run.repeat == 0]
    if not runs or not evidence.has(name, n, by_label):
        return {}
    arrays = [evidence.arrays(run) for run in runs]
    counts = np.concatenate([found[f"metric.{by_label.name}"] for found in arrays]).reshape(-1, len(task.labels), 3)
    hits, answered, true = counts.sum(axis=0).astype(np.int64).T
    found: dict[str, Any] = {"per_class": _scores_of_labels(task.labels, hits, true, answered)}
    if all("spans" in one for one in arrays):
        rows = np.concatenate([evidence.design.draw(run.repeat, run.fold).test for run in runs])
        spans = [json.loads(text) for one in arrays for text in of_bytes(one["spans"])]
        totals = np.concatenate([one[f"metric.{exact.name}"] for one in arrays])
        wrong = np.flatnonzero((totals[:, 1:] > totals[:, :1]).any(axis=1))
        shown = np.random.default_rng(0).permutation(wrong)[:_MOST_MARKED]
        found["entities"] = {
            "n_wrong": len(wrong),
            "n_test": len(rows),
            "texts": [{"row": int(rows[at]), "answered": spans[at]} for at in shown],
        }
    return found


def _scores_of_labels(
    labels: Sequence[str], hits: NDArray[np.int64], true: NDArray[np.int64], answered: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Return the scores of each label.

    Args:
        labels: k names.
        hits: How many rows have a label and were given it, shape (k,) or longer.
        true: How many have it.
        answered: How many were given it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision, f1 = hits / true, hits / answered, 2 * hits / (true + answered)
    return [
        {
            "label": label,
            "precision": _finite(precision[i]),
            "recall": _finite(recall[i]),
            "f1": _finite(f1[i]),
            "support": int(true[i]),
        }
        for i, label in enumerate(labels)
    ]


def held_answers(evidence: Evidence, name: str) -> dict[str, NDArray[Any]]:
    """Return what a candidate answered to held-out rows in its first repeat, as far as its task has it.

    Returns:
        ``label`` (numbers of the task's labels), ``confidence``, ``score`` and ``value``, each of shape (n,).
    """
    runs = [run for run in evidence.completed(name, evidence.sizes[name][-1]) if run.repeat == 0]
    arrays = [dict(evidence.arrays(run)) for run in runs]
    for found in arrays:
        if "metric.r2" in found:
            found["value"] = found["metric.r2"][:, 1]
    shared = {"label", "confidence", "score", "value"}.intersection(*arrays) if arrays else set()
    return {kind: np.concatenate([found[kind] for found in arrays]) for kind in sorted(shared)}


def _numbers(evidence: Evidence, name: str, n: int) -> dict[str, Any]:
    """Return how far the pick's numbers are off, from its first repeat: `regression` of the report's record."""
    pairs = metrics.get("r2")
    if not evidence.has(name, n, pairs):
        return {}
    blocks = [block for block in evidence.blocks(name, n, pairs) if block.repeat == 0]
    if not blocks:
        return {}
    rows = np.concatenate([block.rows for block in blocks])
    statistics = np.concatenate([block.statistics for block in blocks])
    return {"regression": numbers_record(rows, statistics[:, 0], statistics[:, 1])}


def numbers_record(rows: NDArray[np.int64], truth: NDArray[np.float64], answers: NDArray[np.float64]) -> dict[str, Any]:
    """Return how far numbers are off: some of them beside the truth, quantiles, coverage, and the worst misses.

    Args:
        rows: Shape (n,): where each stands among the rows that may be tested.
        truth: Shape (n,).
        answers: Shape (n,).
    """
    off = answers - truth
    size = np.abs(off)
    spread_evenly = np.unique(np.linspace(0, len(rows) - 1, min(_MOST_POINTS, len(rows))).astype(int))
    by_row = np.argsort(rows, kind="stable")[spread_evenly]
    mean = float(off.mean())
    half = _Z * float(off.std(ddof=1)) / math.sqrt(len(off)) if len(off) > 1 else None
    ends = None if half is None else [_short(mean - half), _short(mean + half)]
    return {
        "n_test": len(rows),
        "points": [[_short(truth[i]), _short(answers[i])] for i in by_row],
        "bias": {"score": _short(mean), "interval": ends},
        "within": [_within(np.sort(size), share) for share in _WITHIN],
        "coverage": _coverage(answers, size),
        "worst": [
            {"row": int(rows[i]), "target": _short(truth[i]), "predicted": _short(answers[i])}
            for i in np.argsort(-size, kind="stable")[:_MOST_WORST]
        ],
    }


def _within(ascending: NDArray[np.float64], share: float) -> dict[str, Any]:
    """Return how far off so large a share of new answers is at most, with a 95 % interval of that quantile.

    The k-th smallest of n errors, k = ceil((n + 1) share), is not exceeded by at least that share of new rows like
    these (split conformal prediction: Lei et al., "Distribution-Free Predictive Inference for Regression", 2018). Its
    interval runs between two other order statistics, by the normal approximation of their binomial ranks.
    """
    n = len(ascending)
    k = math.ceil((n + 1) * share)
    if k > n:
        return {"share": share, "error": None, "interval": None}
    half = _Z * math.sqrt(n * share * (1 - share))
    low, high = math.floor(n * share - half), math.ceil(n * share + half)
    ends = [_short(ascending[low - 1]), _short(ascending[high - 1])] if low >= 1 and high <= n else None
    return {"share": share, "error": _short(ascending[k - 1]), "interval": ends}


def _coverage(answers: NDArray[np.float64], size: NDArray[np.float64], parts: int = 5) -> list[dict[str, Any]]:
    """Return, for answers of similar size, the share that is off by no more than nine in ten of the other answers are.

    A limit that was made with a row would hold for it too often.
    """
    records = []
    for inside in np.array_split(np.argsort(answers, kind="stable"), parts):
        others = np.delete(size, inside)
        if len(inside) < parts or len(others) < 2 * parts:
            continue
        limit = np.quantile(others, _COVERED)
        share, n = float((size[inside] <= limit).mean()), len(inside)
        records.append(
            {
                "low": _short(answers[inside].min()),
                "high": _short(answers[inside].max()),
                "count": n,
                "share": round(share, 4),
                "interval": _share_interval(share, n),
            }
        )
    return records


def _share_interval(share: float, n: int) -> list[float]:
    """Return the 95 % interval of a share of n (Wilson, "Probable Inference", 1927)."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def _short(value: float) -> float:
    """Return a number with six significant digits: enough to draw and to read."""
    return float(f"{value:.6g}")


def _calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> dict[str, Any]:
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
    records = []
    for number in range(bins):
        inside = which == number
        count = int(inside.sum())
        if count:
            mean, share = float(confidence[inside].mean()), float(right[inside].mean())
            records.append({"confidence": round(mean, 4), "accuracy": round(share, 4), "count": count})
    return {"bins": records}


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
