"""What the report shows of the runs themselves: how trainings went, what the pick answered."""

from __future__ import annotations

from typing import Any

import numpy as np

from nshot import metrics
from nshot.core import Task
from nshot.study.evidence import Evidence


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
    """Return confusion, per-class scores, mistakes and calibration of the pick, from its first repeat."""
    n = evidence.sizes[name][-1]
    runs = [run for run in evidence.completed(name, n) if run.repeat == 0]
    accuracy = metrics.get("macro_f1")
    if not task.labels or not runs or not evidence.has(name, n, accuracy):
        return {}
    rows = np.concatenate([evidence.design.draw(run.repeat, run.fold).test for run in runs])
    codes = np.concatenate([evidence.arrays(run)[f"metric.{accuracy.name}"] for run in runs]).astype(np.int64)
    truth, answer = codes[:, 0], codes[:, 1]
    k = len(task.labels)
    matrix = np.bincount(truth * k + answer, minlength=k * k).reshape(k, k)
    right = np.diag(matrix).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = right / matrix.sum(1), right / matrix.sum(0)
        f1 = 2 * right / (matrix.sum(1) + matrix.sum(0))
    per_class = [
        {
            "label": label,
            "precision": _finite(precision[i]),
            "recall": _finite(recall[i]),
            "f1": _finite(f1[i]),
            "support": int(matrix[i].sum()),
        }
        for i, label in enumerate(task.labels)
    ]
    found: dict[str, Any] = {
        "confusion": {"labels": list(task.labels), "matrix": matrix.tolist()},
        "per_class": per_class,
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
