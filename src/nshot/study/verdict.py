"""What the ledger supports: the pick, the ties, the crossovers, the value of more labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nshot import metrics
from nshot.core import Cost, Family, Interval, Task
from nshot.evaluation.comparison import corrected_score, paired_difference
from nshot.evaluation.curves import Curve, constant_curve, crossover, fit_curve, gain
from nshot.evaluation.intervals import Block, Estimate, target_of
from nshot.metrics import Metric
from nshot.study import words
from nshot.study.evidence import Evidence, clipped
from nshot.study.options import StudyOptions
from nshot.study.pick import Standing, rule, standings

SCHEMA = 1
_FARTHEST = 4
"""Nothing is said beyond so many times the labels there are."""


@dataclass(frozen=True)
class Verdict:
    """What is said, as the two records that the reports are made of.

    Attributes:
        record: ``verdict.json``.
        details: Curves, confusion, calibration and so on, for the report.
        pick: The name of the picked candidate.
    """

    record: dict[str, Any]
    details: dict[str, Any]
    pick: str


@dataclass(frozen=True)
class _Today:
    """Today's comparison: at all rows (or none, for zero-shot)."""

    names: list[str]
    blocks: Mapping[str, Sequence[Block]]
    standing: Mapping[str, Standing]
    estimates: Mapping[str, Estimate]
    costs: Mapping[str, Cost | None]


def _today(evidence: Evidence, metric: Metric) -> _Today:
    names = [name for name in evidence.measured_today() if evidence.has(name, evidence.sizes[name][-1], metric)]
    blocks = {name: evidence.comparable(name, metric) for name in names}
    target = target_of(evidence.design.n_train, evidence.design.n_train)
    standing = standings(blocks, metric, target=target, rho=1.0, fold_sizes=evidence.fold_sizes)
    estimates = {name: evidence.estimate(name, evidence.sizes[name][-1], metric) for name in names}
    costs = {name: evidence.cost(name, evidence.sizes[name][-1]) for name in names}
    return _Today(names, blocks, standing, estimates, costs)


def conclude(evidence: Evidence, task: Task, options: StudyOptions, metric: Metric) -> Verdict:
    """Draw the conclusion from everything that was run.

    Args:
        evidence: The completed runs.
        task: What is asked.
        options: Worth, preference and limits.
        metric: The primary metric.
    """
    design = evidence.design
    today = _today(evidence, metric)
    families = {name: evidence.entrants[name].family for name in today.names}
    made, limits = rule(today.standing, families, today.costs, metric, options)
    name = made({name: standing.adjusted for name, standing in today.standing.items()})
    measured = today.estimates[name]
    corrected, raw = _corrected(today, metric, made, name, measured)
    entrant = evidence.entrants[name]
    shift = corrected - raw
    interval = measured.interval
    if interval is not None and shift:
        interval = Interval(
            max(metric.lowest, interval.low + shift), min(metric.highest, interval.high + shift), interval.level
        )
    n_labels = evidence.sizes[name][-1]
    pick = {
        "candidate": name,
        "method": entrant.method,
        "family": entrant.family.value,
        "backbone": entrant.backbone,
        "options": dict(entrant.options),
        "n_labels": n_labels,
        "target": _target_words(measured, design.kind, n_labels),
        "score": round(corrected, 6),
        "interval": clipped(interval),
        "score_as_measured": round(measured.score, 6),
    }
    rows = _leaderboard(evidence, today, task, options, metric, name)
    curves = _curves(evidence, metric)
    detectable = _detectable(evidence, today, metric, name)
    record = {
        "schema": SCHEMA,
        "task": task.kind.value,
        "metric": metric.name,
        "n_labels": design.n_train,
        "n_test": design.n_test,
        "model_n_labels": None,
        "pick": pick,
        "because": words.because(
            pick, rows, dict(today.costs), limits=limits, higher_is_better=metric.higher_is_better
        ),
        "leaderboard": rows,
        "crossovers": _crossovers(curves, name, evidence),
        "more_labels": _more_labels(curves.get(name), metric, design.n_train),
        "smallest_detectable_difference": None if detectable is None else round(detectable, 6),
    }
    details = {
        "curves": _curve_records(evidence, metric, curves, rows, name),
        "training": _training_records(evidence),
        **_on_the_pick(evidence, task, name),
    }
    return Verdict(record, details, name)


def _corrected(today: _Today, metric: Metric, made: Any, name: str, measured: Estimate) -> tuple[float, float]:
    """Return the pick's score corrected for the winner's curse, and as measured on the same blocks."""
    if len(today.names) < 2:
        return measured.score, measured.score
    shared = {who: own for who, own in today.blocks.items() if len(own) >= len(today.blocks[name])}
    correction = corrected_score(shared, metric, made, target=measured.target)
    if correction.picked != name:
        return measured.score, measured.score
    moved = correction.corrected - correction.score
    return min(metric.highest, max(metric.lowest, measured.score + moved)), measured.score


def _target_words(estimate: Estimate, kind: str, n_labels: int) -> str:
    """Return what a number speaks for; in k-fold no single model was tested on all rows."""
    if kind == "kfold" and n_labels > 0:
        return "a fresh draw" if estimate.target == "this model" else estimate.target
    return estimate.target


def _leaderboard(
    evidence: Evidence, today: _Today, task: Task, options: StudyOptions, metric: Metric, pick: str
) -> list[dict[str, Any]]:
    """Return one record per candidate at its largest measured n, the best first, those not comparable last."""
    rows = []
    for name, entrant in evidence.entrants.items():
        sizes = evidence.sizes[name]
        if not sizes or not evidence.has(name, sizes[-1], metric):
            continue
        n = sizes[-1]
        found = today.estimates.get(name) or evidence.estimate(name, n, metric)
        cost = evidence.cost(name, n)
        standing = today.standing.get(name)
        difference = _versus_pick(evidence, today, metric, name, pick) if standing else None
        rows.append(
            {
                "candidate": name,
                "method": entrant.method,
                "family": entrant.family.value,
                "backbone": entrant.backbone,
                "options": dict(entrant.options),
                "n_labels": n,
                "repeats": found.repeats,
                "target": _target_words(found, evidence.design.kind, n),
                "marked": found.marked,
                "score": round(found.score, 6),
                "interval": clipped(found.interval),
                "scores": _other_scores(evidence, task, name, n),
                "versus_best": {
                    "mean": round(standing.versus.mean, 6),
                    "interval": clipped(standing.versus.interval),
                }
                if standing
                else None,
                "versus_pick": difference,
                "n_compared": len(np.unique(np.concatenate([block.rows for block in today.blocks[name]])))
                if standing
                else 0,
                "distinguishable": standing.versus.distinguishable if standing else False,
                "status": "complete" if standing else "stopped",
                "adjusted": standing.adjusted if standing else None,
                **_cost_record(cost, n, options),
            }
        )
    sign = 1.0 if metric.higher_is_better else -1.0
    rows.sort(key=lambda row: (row["adjusted"] is None, -sign * (row["adjusted"] or row["score"]), row["candidate"]))
    for row in rows:
        del row["adjusted"]
    return rows


def _cost_record(cost: Cost | None, n_labels: int, options: StudyOptions) -> dict[str, Any]:
    if cost is None:
        return dict.fromkeys(
            (
                "fit_seconds",
                "milliseconds_per_example",
                "milliseconds_alone",
                "peak_memory_bytes",
                "artefact_bytes",
                "money",
            )
        )
    money = None
    if options.price_per_hour is not None or options.price_per_label is not None:
        money = cost.fit_seconds / 3600 * (options.price_per_hour or 0.0) + n_labels * (options.price_per_label or 0.0)
    return {
        "fit_seconds": round(cost.fit_seconds, 4),
        "milliseconds_per_example": round(cost.milliseconds_per_example, 4),
        "milliseconds_alone": None if cost.milliseconds_alone is None else round(cost.milliseconds_alone, 3),
        "peak_memory_bytes": cost.peak_memory_bytes,
        "artefact_bytes": cost.artefact_bytes,
        "money": None if money is None else round(money, 4),
    }


def _other_scores(evidence: Evidence, task: Task, name: str, n: int) -> dict[str, Any]:
    found = {}
    for other in metrics.names(task.kind):
        metric = metrics.get(other)
        if evidence.has(name, n, metric):
            estimated = evidence.estimate(name, n, metric)
            found[other] = {"score": round(estimated.score, 6), "interval": clipped(estimated.interval)}
    return found


def _versus_pick(evidence: Evidence, today: _Today, metric: Metric, name: str, pick: str) -> dict[str, Any] | None:
    if name == pick:
        return None
    n_train, n_test = evidence.fold_sizes
    difference = paired_difference(
        today.blocks[name],
        today.blocks[pick],
        metric,
        rho=1.0,
        target=target_of(evidence.design.n_train, evidence.design.n_train),
        n_train=n_train,
        n_test=n_test,
    )
    return {
        "mean": round(difference.mean, 6),
        "interval": clipped(difference.interval),
        "smallest_detectable": difference.smallest_detectable,
    }


def _detectable(evidence: Evidence, today: _Today, metric: Metric, pick: str) -> float | None:
    """Return the smallest difference that would have been seen: against the nearest rival with the most draws."""
    others = [name for name in today.names if name != pick and evidence.entrants[name].family != Family.BASELINE]
    others = others or [name for name in today.names if name != pick]
    if not others:
        return None
    most = max(len(today.blocks[name]) for name in others)
    rivals = [name for name in others if len(today.blocks[name]) == most]
    sign = 1.0 if metric.higher_is_better else -1.0
    rival = max(rivals, key=lambda name: (sign * today.standing[name].adjusted, name))
    found = _versus_pick(evidence, today, metric, rival, pick)
    return found["smallest_detectable"] if found else None


# ---------------------------------------------------------------------------------------------- curves


def _curves(evidence: Evidence, metric: Metric) -> dict[str, Curve]:
    """Return the learning curve of every candidate that has one, from twice the classes up."""
    curves = {}
    from_n = 2 * evidence.design.classes
    for name, sizes in evidence.sizes.items():
        points = [n for n in sizes if n >= from_n and evidence.has(name, n, metric)]
        estimates = [(n, evidence.estimate(name, n, metric)) for n in points]
        known = [(n, found) for n, found in estimates if found.standard_error is not None]
        curve = fit_curve(
            [n for n, _ in known],
            [found.score for _, found in known],
            [found.standard_error or 0.0 for _, found in known],
            seed=0,
            higher_is_better=metric.higher_is_better,
            bound=metric.highest if metric.higher_is_better else metric.lowest,
        )
        if curve is not None:
            curves[name] = curve
    ladder = [n for n in evidence.design.ladder if n >= from_n]
    for name, sizes in evidence.sizes.items():
        if sizes == (0,) and ladder and evidence.has(name, 0, metric):
            found = evidence.estimate(name, 0, metric)
            if found.standard_error is not None:
                curves[name] = constant_curve(
                    ladder, found.score, found.standard_error, seed=0, higher_is_better=metric.higher_is_better
                )
    return curves


def _crossovers(curves: Mapping[str, Curve], pick: str, evidence: Evidence) -> list[dict[str, Any]]:
    """Return where others overtake the pick, and where the pick overtook the others."""
    if pick not in curves:
        return []
    upper = _FARTHEST * evidence.design.n_train
    found = []
    for name in curves:
        if name == pick or evidence.entrants[name].family == Family.BASELINE:
            continue
        for ahead, behind in ((pick, name), (name, pick)):
            crossing = crossover(curves[ahead], curves[behind], upper)
            if crossing is not None:
                found.append(
                    {
                        "from": ahead,
                        "to": behind,
                        "n_labels": round(crossing.n_labels),
                        "interval": [round(crossing.interval.low), round(crossing.interval.high)],
                    }
                )
    return sorted(found, key=lambda crossing: crossing["n_labels"])


def _more_labels(curve: Curve | None, metric: Metric, n_train: int) -> list[dict[str, Any]]:
    """Return what twice and four times the labels are expected to bring."""
    found: list[dict[str, Any]] = []
    if curve is None or not curve.parameters[1]:
        return found
    for factor in (2, _FARTHEST):
        change = gain(curve, n_train, factor * n_train)
        if change is not None:
            found.append({"n_labels": factor * n_train, "gain": round(change[0], 6), "interval": clipped(change[1])})
    return found


def _curve_records(
    evidence: Evidence, metric: Metric, curves: Mapping[str, Curve], rows: Sequence[dict[str, Any]], pick: str
) -> list[dict[str, Any]]:
    records = []
    for row in rows:
        name = row["candidate"]
        points = []
        for n in evidence.sizes[name]:
            if not evidence.has(name, n, metric):
                continue
            found = evidence.estimate(name, n, metric)
            points.append(
                {
                    "n_labels": n,
                    "score": round(found.score, 6),
                    "interval": clipped(found.interval),
                    "repeats": found.repeats,
                    "target": _target_words(found, evidence.design.kind, n),
                    "marked": found.marked,
                }
            )
        curve = curves.get(name)
        band = []
        if curve is not None and evidence.sizes[name] != (0,):
            last = min(curve.farthest, _FARTHEST * evidence.design.n_train)
            for n in np.geomspace(curve.ns.min(), last, 40):
                score, interval = curve.predict(float(min(n, curve.farthest)))
                low, high = round(interval.low, 6), round(interval.high, 6)
                band.append({"n_labels": round(float(n), 1), "score": round(score, 6), "low": low, "high": high})
        records.append(
            {"candidate": name, "family": row["family"], "points": points, "band": band, "role": role(row, pick)}
        )
    return records


def _training_records(evidence: Evidence) -> list[dict[str, Any]]:
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


def role(row: Mapping[str, Any], pick: str) -> str:
    """Return how a candidate stands to the pick: pick, same, behind or stopped."""
    if row["candidate"] == pick:
        return "pick"
    if row["versus_best"] is None:
        return "stopped"
    return "behind" if row["distinguishable"] else "same"


# ---------------------------------------------------------------------------------------------- the pick's answers


def _on_the_pick(evidence: Evidence, task: Task, name: str) -> dict[str, Any]:
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
    error = metrics.get("expected_calibration_error").aggregate(np.stack([confidence, right.astype(float)], axis=1))
    return {"ece": round(error, 4), "bins": records}


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
