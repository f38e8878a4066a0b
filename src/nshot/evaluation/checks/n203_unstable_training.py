"""N203: trainings that collapsed, scatter, or had to be begun again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.run_facts import Fitting, Measured, RunAudit, on_rows

CODE = "N203"
TITLE = "Unstable trainings"
COLLAPSED = 0.1
"""A collapsed run keeps at most this share of what its siblings gain over a constant answer."""
FEWEST_GAINED = 0.15
SURE = 5.0
"""Standard errors, from test rows, by which a collapsed run lies below its siblings."""
WIDE = 0.05
TIMES_AS_WIDE = 3.0
LARGEST_P = 1e-4
FEWEST_SIBLINGS = 2
SMALLEST_SHARE = 0.1

_Score = Callable[[Fitting], float]


def check(runs: RunAudit) -> Check | None:
    """Return the networks whose trainings collapsed, scattered or were begun again.

    Rules, of candidates that train a network, at sizes from a tenth of all labels up (with fewer, scatter is usual):

    - collapsed: a run gains at most 10 % of what its siblings' median gains over a constant answer, which is 15 % of
      the metric's range or more, and lies 5 standard errors below it: by test rows alone, 3 in 10 million runs.
      Siblings are the other draws with as many labels or, where there are none, those with fewer labels.
    - scatter: beside the median of all candidates in the same draws, its scores have a standard deviation of at least
      5 % of the range, 3 times that of the median candidate, and above what test rows explain (chi-square, 0.01 %).
    - begun again, because it had learnt nothing half-way: a recorded fact, told for all labels only.
    """
    if not runs.metric.bounded:
        return None
    score = cache(lambda fit: runs.metric.aggregate(fit.block.statistics))
    said: list[str] = []
    severe = False
    concerned: dict[str, list[str]] = {"collapsed": [], "scattered": [], "begun_again": []}
    for candidate in runs.candidates.values():
        fits = [fit for fit in candidate.fittings if fit.n_labels >= SMALLEST_SHARE * runs.n_labels]
        if not candidate.trains_network or not fits:
            continue
        largest = max(fit.n_labels for fit in fits)
        same = [fit for fit in fits if fit.n_labels == largest]
        collapsed = _collapsed(runs, score, same, fits)
        begun_again = [fit for fit in same if fit.restarts and largest == runs.n_labels]
        if collapsed:
            own = ", ".join(f"{score(fit):.2f}" for fit in collapsed)
            said.append(
                f"{candidate.name} learnt nothing in {counted(len(collapsed), 'run')} of {len(same)} with {largest:,} "
                f"labels ({own}; the others reach about {_usual(score, same, fits):.2f})"
            )
            concerned["collapsed"].append(candidate.name)
        elif (spread := _scatter(runs, score, candidate, same)) is not None:
            low, high = spread
            said.append(
                f"{candidate.name} scores between {low:.2f} and {high:.2f} in {len(same)} runs with {largest:,} labels"
            )
            concerned["scattered"].append(candidate.name)
        elif begun_again:
            said.append(
                f"{candidate.name} had learnt nothing half-way and was begun again at a lower rate in "
                f"{counted(len(begun_again), 'run')} of {len(same)}"
            )
            concerned["begun_again"].append(candidate.name)
        severe |= largest == runs.n_labels and bool(collapsed)
    if not said:
        return None
    names = [name for group in concerned.values() for name in group]
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if severe or runs.pick in names else Severity.NOTE,
        explanation="; ".join(said) + ".",
        advice="Judge it by no single run. Give it a lower learning_rate (--set METHOD.learning_rate=...) or more "
        "draws (--repeats, --budget) before it is called good or bad.",
        count=len(names),
        details=concerned,
    )


def _siblings(fit: Fitting, same: Sequence[Fitting], fits: Sequence[Fitting]) -> list[Fitting]:
    others = [other for other in same if other is not fit]
    return others if len(others) >= FEWEST_SIBLINGS else [other for other in fits if other.n_labels < fit.n_labels]


def _collapsed(runs: RunAudit, score: _Score, same: Sequence[Fitting], fits: Sequence[Fitting]) -> list[Fitting]:
    def gain(fit: Fitting) -> float | None:
        chance = runs.chance.get((fit.block.repeat, fit.block.fold))
        return None if chance is None else runs.sign * (score(fit) - chance)

    found = []
    for fit in same:
        own = gain(fit)
        gains = [known for other in _siblings(fit, same, fits) if (known := gain(other)) is not None]
        if own is None or not gains:
            continue
        usual = float(np.median(gains))
        if usual < FEWEST_GAINED * runs.width or own > COLLAPSED * usual:
            continue
        error = on_rows(fit.block.statistics, runs.metric, 0.95, fit.block.groups).standard_error
        if error is not None and usual - own >= SURE * error:
            found.append(fit)
    return found


def _usual(score: _Score, same: Sequence[Fitting], fits: Sequence[Fitting]) -> float:
    return float(np.median([score(fit) for fit in (same if len(same) > FEWEST_SIBLINGS else fits)]))


def _scatter(runs: RunAudit, score: _Score, candidate: Measured, same: Sequence[Fitting]) -> tuple[float, float] | None:
    """Return the lowest and the highest score, where they differ far more than rows and draws explain."""
    from scipy.special import chdtrc

    if len(same) <= FEWEST_SIBLINGS:
        return None
    draws = [(fit.n_labels, fit.block.repeat, fit.block.fold) for fit in same]
    scores: dict[tuple[int, int, int], dict[str, float]] = {draw: {} for draw in draws}
    for other in runs.candidates.values():
        for fit in other.fittings:
            draw = (fit.n_labels, fit.block.repeat, fit.block.fold)
            if draw in scores:
                scores[draw][other.name] = score(fit)
    everywhere = set.intersection(*(set(found) for found in scores.values()))
    if len(everywhere) <= FEWEST_SIBLINGS:
        return None
    names = sorted(everywhere)
    table = np.array([[scores[draw][name] for name in names] for draw in draws])
    spreads = (table - np.median(table, axis=1, keepdims=True)).std(axis=0, ddof=1)
    at = names.index(candidate.name)
    usual = float(np.median(np.delete(spreads, at)))
    own = float(spreads[at])
    if own < WIDE * runs.width or own < TIMES_AS_WIDE * usual:
        return None
    errors = [on_rows(fit.block.statistics, runs.metric, 0.95, fit.block.groups).standard_error for fit in same]
    # Twice: the median that it is set against was measured on the same few rows.
    expected = 2.0 * float(np.mean([error**2 for error in errors if error is not None] or [0.0]))
    if expected > 0 and chdtrc(len(draws) - 1, (len(draws) - 1) * own**2 / expected) > LARGEST_P:
        return None
    return float(table[:, at].min()), float(table[:, at].max())
