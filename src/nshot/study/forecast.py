"""What the curves over n say: where one candidate overtakes another, what more labels are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nshot.core import Family
from nshot.evaluation.curves import Curve, constant_curve, crossover, fit_curve, gain
from nshot.metrics import Metric
from nshot.study.evidence import Evidence, clipped

FARTHEST = 4
"""Nothing is said beyond so many times the labels there are."""


def fitted_curves(evidence: Evidence, metric: Metric) -> dict[str, Curve]:
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


def crossovers(curves: Mapping[str, Curve], pick: str, evidence: Evidence) -> list[dict[str, Any]]:
    """Return where others overtake the pick, and where the pick overtook the others."""
    if pick not in curves:
        return []
    upper = FARTHEST * evidence.design.n_train
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


def more_labels(curve: Curve | None, metric: Metric, n_train: int) -> list[dict[str, Any]]:
    """Return what twice and four times the labels are expected to bring."""
    found: list[dict[str, Any]] = []
    if curve is None or not curve.parameters[1]:
        return found
    for factor in (2, FARTHEST):
        change = gain(curve, n_train, factor * n_train)
        if change is not None:
            found.append({"n_labels": factor * n_train, "gain": round(change[0], 6), "interval": clipped(change[1])})
    return found


def curve_records(
    evidence: Evidence, metric: Metric, curves: Mapping[str, Curve], rows: Sequence[dict[str, Any]], pick: str
) -> list[dict[str, Any]]:
    """Return the points and the band of every candidate's curve, in the order of the leaderboard."""
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
                    "target": evidence.target_words(found, n),
                    "marked": found.marked,
                }
            )
        curve = curves.get(name)
        band = []
        if curve is not None and evidence.sizes[name] != (0,):
            last = min(curve.farthest, FARTHEST * evidence.design.n_train)
            for n in np.geomspace(curve.ns.min(), last, 40):
                score, interval = curve.predict(float(min(n, curve.farthest)))
                low, high = round(interval.low, 6), round(interval.high, 6)
                band.append({"n_labels": round(float(n), 1), "score": round(score, 6), "low": low, "high": high})
        records.append(
            {"candidate": name, "family": row["family"], "points": points, "band": band, "role": role(row, pick)}
        )
    return records


def role(row: Mapping[str, Any], pick: str) -> str:
    """Return how a candidate stands to the pick: pick, same, behind or stopped."""
    if row["candidate"] == pick:
        return "pick"
    if row["versus_best"] is None:
        return "stopped"
    return "behind" if row["distinguishable"] else "same"
