"""What the curves over n say: where one candidate overtakes another, what more labels are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nshot.core import Family
from nshot.evaluation.comparison import as_constant, correlations, paired_difference
from nshot.evaluation.curves import Curve, Point, crossover, fit_curves, gain
from nshot.evaluation.intervals import target_of
from nshot.metrics import Metric
from nshot.study.evidence import Evidence, clipped

FARTHEST = 4
"""Nothing is said beyond so many times the labels there are."""
NO_LABELS = (Family.ZERO_SHOT, Family.UNSUPERVISED)
"""Families that may do without any label."""
A_FEW = 50
"""Fewer more labels than these are not asked about, unless there are hardly more today."""


def fitted_curves(evidence: Evidence, metric: Metric) -> dict[str, Curve]:
    """Return the learning curve of every candidate that has one, from twice the classes up, all fitted together."""
    from_n = 2 * evidence.design.classes
    points: dict[str, list[Point]] = {}
    blocks = []
    for name, sizes in evidence.sizes.items():
        for n in sizes:
            if (n and n < from_n) or not evidence.has(name, n, metric):
                continue
            found = evidence.estimate(name, n, metric)
            if found.standard_error is None:
                continue
            unseen = _unseen_draws(evidence, metric, n) if n and found.repeats == 1 else 0.0
            error = math.sqrt(found.standard_error**2 + unseen)
            points.setdefault(name, []).append(Point(n, found.score, error))
            blocks.append(evidence.blocks(name, n, metric))
    if not blocks:
        return {}
    errors = [point.standard_error for own in points.values() for point in own]
    return fit_curves(
        points,
        correlation=correlations(blocks, errors, metric),
        higher_is_better=metric.higher_is_better,
        bound=metric.highest if metric.higher_is_better else metric.lowest,
    )


def _unseen_draws(evidence: Evidence, metric: Metric, n_labels: int) -> float:
    """Return the variance between draws that one fit in a hold-out does not show.

    What is usual at this n, or at the nearest smaller one at which draws were repeated: with more labels they differ
    less.
    """
    sizes = sorted({n for own in evidence.sizes.values() for n in own if 0 < n <= n_labels}, reverse=True)
    known = (evidence.usual_draws(n, metric) for n in sizes)
    return max(0.0, next((usual.variance for usual in known if usual is not None), 0.0))


def ahead_of_no_labels(evidence: Evidence, metric: Metric) -> dict[str, Any] | None:
    """Return from how few labels on the best candidate with labels was measured ahead of the best without any.

    The fewest n at which the interval of their paired difference leaves out nothing, if no larger n that was measured
    has the one without labels ahead again; None where there is no such n, or nothing was measured without labels.

    Returns:
        ``candidate``, ``than``, ``n_labels``, and the ``difference`` there with ``mean`` and ``interval``.
    """
    sign = 1.0 if metric.higher_is_better else -1.0

    def best(n: int, names: list[str]) -> str | None:
        scores = {name: sign * evidence.estimate(name, n, metric).score for name in names}
        return max(scores, key=lambda name: (scores[name], name), default=None)

    there = {name: sizes for name, sizes in evidence.sizes.items() if sizes and evidence.has(name, sizes[-1], metric)}
    without = best(0, [name for name in there if evidence.entrants[name].family in NO_LABELS and there[name] == (0,)])
    if without is None:
        return None
    found = None
    for n in sorted({n for sizes in there.values() for n in sizes if n}, reverse=True):
        name = best(n, [name for name, sizes in there.items() if n in sizes])
        if name is None:
            continue
        own = evidence.blocks(name, n, metric)
        difference = paired_difference(
            own,
            as_constant(evidence.blocks(without, 0, metric), own),
            metric,
            rho=evidence.rho(n),
            target=target_of(n, evidence.design.n_train),
            n_train=evidence.fold_sizes[0],
            n_test=evidence.fold_sizes[1],
        )
        if sign * difference.mean <= 0:
            break
        interval = difference.interval
        if interval is not None and min(sign * interval.low, sign * interval.high) > 0:
            found = {
                "candidate": name,
                "than": without,
                "n_labels": n,
                "difference": {"mean": round(difference.mean, 6), "interval": clipped(interval)},
            }
    return found


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


def more_labels(
    curves: Mapping[str, Curve],
    metric: Metric,
    n_train: int,
    price_per_label: float | None,
    *,
    pick: str,
    worth: float,
) -> list[dict[str, Any]]:
    """Return what a few more, twice and four times the labels are expected to bring to the best score.

    A candidate whose curve stands above the pick's today by more than `worth` has no part in it: on the rows and draws
    that both have, it is not ahead, or it may not be picked. Nor has one that was measured so far from today's number
    that its curve does not reach it.

    Each record names the candidate that is expected to be the best then (``with``), how many labels more these are
    (``labels``) and, where a label has a price, what they cost (``money``). Nothing where no candidate's curve rises,
    or where the pick was measured at too few numbers of labels to have one: then the best score has no curve.

    Args:
        curves: Of all candidates.
        metric: The primary metric.
        n_train: Today's number of labels.
        price_per_label: Of labelling one example, or None.
        pick: The candidate that is picked.
        worth: A difference of the metric that is not worth another candidate.
    """
    if pick not in curves or curves[pick].farthest < n_train:
        return []
    sign = 1.0 if metric.higher_is_better else -1.0

    def ahead(name: str, n: float) -> float:
        """Return by how much a candidate is expected to be ahead of the pick."""
        return sign * (curves[name].predict(n)[0] - curves[pick].predict(n)[0])

    reaching = {name: curve for name, curve in curves.items() if curve.farthest >= n_train}
    curves = {name: curve for name, curve in reaching.items() if ahead(name, float(n_train)) <= worth}
    if not any(curve.rises for curve in curves.values()):
        return []
    found: list[dict[str, Any]] = []
    for n in sorted({n_train + next_few(n_train), 2 * n_train, FARTHEST * n_train}):
        more = gain(curves, n_train, n)
        if more is not None:
            found.append(
                {
                    "n_labels": n,
                    "labels": n - n_train,
                    "gain": round(more.change, 6),
                    "interval": clipped(more.interval),
                    "with": more.best if ahead(more.best, float(n)) > worth else pick,
                    "money": None if price_per_label is None else round((n - n_train) * price_per_label, 2),
                }
            )
    return found


def next_few(n_train: int) -> int:
    """Return how many more labels a person would ask about: a round number, a quarter to a half of today's.

    At least `A_FEW`, unless that would be more than today's.
    """
    most = n_train / 2
    if most < A_FEW <= n_train:
        most = float(A_FEW)
    power = int(10 ** (len(str(int(most))) - 1))
    return max(digit * power for digit in (1, 2, 3, 5) if digit * power <= most)


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
