"""What the ledger supports: the pick, the ties, the crossovers, the value of more labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nshot import metrics
from nshot.core import Cost, Family, Interval, Task, TaskKind
from nshot.evaluation.comparison import corrected_score, mean_ranks
from nshot.evaluation.intervals import Block, Estimate, common_blocks, target_of
from nshot.metrics import Metric
from nshot.study import anomalies, words
from nshot.study.accounts import bills_of, break_evens, cost_record
from nshot.study.answers import on_the_pick, training_records
from nshot.study.counting import unit
from nshot.study.evidence import Evidence, clipped
from nshot.study.forecast import ahead_of_no_labels, crossovers, curve_records, fitted_curves, more_labels
from nshot.study.money import Bill, Prices
from nshot.study.options import StudyOptions
from nshot.study.pick import Standing, require_one_within_limits, rule, standings
from nshot.study.prior import PRIOR_BELOW, Kind, Prior, noise, shrinkage
from nshot.study.written import forgetting_records, texts_record

SCHEMA = 1

Scores = Mapping[str, float]


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


def conclude(evidence: Evidence, task: Task, options: StudyOptions, metric: Metric, prior: Prior | None) -> Verdict:
    """Draw the conclusion from everything that was run.

    Args:
        evidence: The completed runs.
        task: What is asked.
        options: Worth, preference and limits.
        metric: The primary metric.
        prior: What is usually reached on other data, or None; with few labels it counts in the pick.

    Raises:
        CheckFailedError: Nobody keeps to the limits.
    """
    design = evidence.design
    today = _today(evidence, metric)
    families = {name: evidence.entrants[name].family for name in today.names}
    scores = {name: standing.adjusted for name, standing in today.standing.items()}
    require_one_within_limits(scores, today.costs, metric, options)
    prices = Prices.of(options)
    bills = bills_of(evidence, prices)
    made, limits = rule(today.standing, families, today.costs, metric, options, bills=bills)
    weighed = _weighing(evidence, today, task, metric, prior)
    name = made(weighed(scores))
    by_test_alone = made(scores)
    measured = today.estimates[name]
    corrected, picks = _corrected(today, metric, lambda resampled: made(weighed(resampled)), name, measured)
    entrant = evidence.entrants[name]
    shift = corrected - measured.score
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
        "target": evidence.target_words(measured, n_labels),
        "score": round(corrected, 6),
        "interval": clipped(interval),
        "score_as_measured": round(measured.score, 6),
        "picks": {who: round(share, 4) for who, share in picks.items()},
    }
    rows = _leaderboard(evidence, today, task, bills, metric, name)
    others = [row["candidate"] for row in rows if row["candidate"] in today.names and row["candidate"] != name]
    paying = [found.as_json() for found in break_evens(evidence, bills, name, others)]
    curves = fitted_curves(evidence, metric)
    detectable = _detectable(evidence, today, metric, name)
    ahead = ahead_of_no_labels(evidence, metric)
    record = {
        "schema": SCHEMA,
        "task": task.kind.value,
        "metric": metric.name,
        "point": metric.point,
        "n_labels": design.n_train,
        "n_test": design.n_test,
        "model_n_labels": None,
        "pick": pick,
        "because": [
            *words.how_sure(name, picks),
            *words.about_other_data(design.n_rows, name, by_test_alone),
            *words.because(
                pick,
                rows,
                dict(today.costs),
                limits=limits,
                higher_is_better=metric.higher_is_better,
                point=metric.point,
                unit=unit(task),
                ahead=ahead,
            ),
            *words.about_money(pick, rows, prices, paying),
        ],
        "leaderboard": rows,
        "crossovers": crossovers(curves, name, evidence),
        "ahead_of_no_labels": ahead,
        "more_labels": more_labels(
            curves, metric, design.n_train, options.price_per_label, pick=name, worth=made.worth
        ),
        "pick_by_test_alone": by_test_alone,
        "smallest_detectable_difference": detectable and round(detectable.difference, 6),
        "smallest_detectable_test_rows": detectable and detectable.test_rows,
        "prices": prices.as_json() if prices else None,
        "break_even": paying,
    }
    details = {
        "curves": curve_records(evidence, metric, curves, rows, name),
        "training": training_records(evidence),
        **on_the_pick(evidence, task, name),
    }
    if task.kind == TaskKind.DETECT:
        details |= anomalies.on_the_pick(evidence, name, options)
        threshold = anomalies.threshold(evidence, name, options)
        pick["threshold"] = threshold.as_json() if threshold else None
    if task.kind == TaskKind.GENERATE:
        details |= {
            "texts": texts_record(evidence, metric, name, others),
            "forgetting": forgetting_records(evidence),
        }
    return Verdict(record, details, name)


def _weighing(
    evidence: Evidence, today: _Today, task: Task, metric: Metric, prior: Prior | None
) -> Callable[[Scores], Scores]:
    """Return what makes of measured scores those to decide by: with few labels of classes, the prior has a say."""
    design = evidence.design
    if prior is None or task.kind is not TaskKind.CLASSIFY or design.n_rows >= PRIOR_BELOW or len(today.names) < 2:
        return dict
    entrants = {name: evidence.entrants[name] for name in today.names}
    found = shrinkage(
        {name: Kind(entrant.method, entrant.family, entrant.backbone) for name, entrant in entrants.items()},
        noise(
            today.blocks,
            metric,
            target=target_of(design.n_train, design.n_train),
            fold_sizes=evidence.fold_sizes,
        ),
        n_measured=design.n_train,
        n_labels=design.n_rows,
        classes=design.classes,
        metric=metric.name,
        prior=prior,
    )
    return dict if found is None else found


def _corrected(
    today: _Today, metric: Metric, made: Any, name: str, measured: Estimate
) -> tuple[float, Mapping[str, float]]:
    """Return the pick's score corrected for the winner's curse, and how often each candidate is picked in resamples."""
    if len(today.names) < 2:
        return measured.score, {name: 1.0}
    adjusted = {who: standing.adjusted for who, standing in today.standing.items()}
    correction = corrected_score(today.blocks, metric, made, scores=adjusted, target=measured.target)
    moved = correction.corrected - correction.score
    return min(metric.highest, max(metric.lowest, measured.score + moved)), correction.picks


def _leaderboard(
    evidence: Evidence, today: _Today, task: Task, bills: Mapping[str, Bill], metric: Metric, pick: str
) -> list[dict[str, Any]]:
    """Return one record per candidate at its largest measured n, the best first, those not comparable last."""
    rows = []
    ranks = mean_ranks(today.blocks, metric, target=target_of(evidence.design.n_train, evidence.design.n_train))
    for name, entrant in evidence.entrants.items():
        sizes = evidence.sizes[name]
        if not sizes or not evidence.has(name, sizes[-1], metric):
            continue
        n = sizes[-1]
        found = today.estimates.get(name) or evidence.estimate(name, n, metric)
        standing = today.standing.get(name)
        difference = _versus_pick(evidence, metric, name, pick) if standing else None
        rows.append(
            {
                "candidate": name,
                "method": entrant.method,
                "family": entrant.family.value,
                "backbone": entrant.backbone,
                "options": dict(entrant.options),
                "n_labels": n,
                "repeats": found.repeats,
                "target": evidence.target_words(found, n),
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
                "mean_rank": round(ranks[name], 3) if standing else None,
                "n_compared": _rows_in_common(today, name, pick) if standing else 0,
                "distinguishable": standing.versus.distinguishable if standing else False,
                "status": "complete" if standing else "stopped",
                "adjusted": standing.adjusted if standing else None,
                **cost_record(evidence.cost(name, n), bills.get(name)),
            }
        )
    sign = 1.0 if metric.higher_is_better else -1.0
    rows.sort(key=lambda row: (row["adjusted"] is None, -sign * (row["adjusted"] or row["score"]), row["candidate"]))
    for row in rows:
        del row["adjusted"]
    return rows


def _rows_in_common(today: _Today, name: str, pick: str) -> int:
    """Return how many test rows a candidate is compared with the pick on: those of the draws that both have."""
    own, _ = common_blocks([today.blocks[name], today.blocks[pick]])
    return len(np.unique(np.concatenate([block.rows for block in own])))


def _other_scores(evidence: Evidence, task: Task, name: str, n: int) -> dict[str, Any]:
    found = {}
    for other in dict.fromkeys((task.metric, *metrics.names(task.kind))):
        metric = metrics.get(other)
        if evidence.has(name, n, metric):
            estimated = evidence.estimate(name, n, metric)
            found[other] = {"score": round(estimated.score, 6), "interval": clipped(estimated.interval)}
    return found


def _versus_pick(evidence: Evidence, metric: Metric, name: str, pick: str) -> dict[str, Any] | None:
    if name == pick:
        return None
    difference = evidence.difference(name, pick, metric)
    return {
        "mean": round(difference.mean, 6),
        "interval": clipped(difference.interval),
        "smallest_detectable": difference.smallest_detectable,
        "won": difference.won,
        "lost": difference.lost,
        "tied": difference.tied,
        "median": None if difference.median is None else round(difference.median, 6),
    }


@dataclass(frozen=True)
class _Detectable:
    """The smallest difference that would have been seen, and on how many different test rows."""

    difference: float
    test_rows: int


def _detectable(evidence: Evidence, today: _Today, metric: Metric, pick: str) -> _Detectable | None:
    """Return the smallest difference that would have been seen: against the nearest rival with the most draws."""
    others = [name for name in today.names if name != pick and evidence.entrants[name].family != Family.BASELINE]
    others = others or [name for name in today.names if name != pick]
    if not others:
        return None
    most = max(len(today.blocks[name]) for name in others)
    rivals = [name for name in others if len(today.blocks[name]) == most]
    sign = 1.0 if metric.higher_is_better else -1.0
    rival = max(rivals, key=lambda name: (sign * today.standing[name].adjusted, name))
    found = _versus_pick(evidence, metric, rival, pick)
    if found is None or found["smallest_detectable"] is None:
        return None
    return _Detectable(found["smallest_detectable"], _rows_in_common(today, rival, pick))
