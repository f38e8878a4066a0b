"""How many groups there are, if any: the number whose groups are found again on other rows, and lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nshot.core import DataError, Progress, silent
from nshot.metrics.cluster import adjusted_rand
from nshot.training.clustering import stability, valleys
from nshot.training.clustering.algorithms import ALGORITHMS, Algorithm
from nshot.training.clustering.rules import Rule
from nshot.training.clustering.space import Space

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

MOST_SEARCHED = 4_000
FEWEST_ROWS = 20
SPLITS = 8

_HOPELESS = {2: 0.6, 4: 0.7}
"""After how many splits which agreement is so low that no further one is worth its time."""
_JUDGED = 1_000
_STABLE = 0.75
_COMES_BACK = 0.6
_IN_GROUPS = 0.5
_AS_STABLE = 0.05
_AS_DISTINCT = 0.9
_BY_CHANCE = 0.05
_SHARES = (20, 50, 100)


@dataclass(frozen=True)
class Considered:
    """One way to group the rows that was considered.

    Attributes:
        algorithm: The name of its method.
        n_groups: How many groups it makes of the rows searched.
        agreement: Adjusted Rand index of the groups found on the two halves of the rows, mean over splits.
        interval: 95 % interval of `agreement`.
        weakest: How well the group that is found again worst is found again: mean Jaccard similarity.
        silhouette: Mean silhouette of rows searched, -1 to 1; 0 of a row in no group.
        in_groups: The share of the rows searched that are in a group.
        valleys: The p-value of the rows having one peak only; None where it was refused without asking.
        refused: Why it is not taken; empty where it could be.
    """

    algorithm: str
    n_groups: int
    agreement: float
    interval: tuple[float, float]
    weakest: float
    silhouette: float
    in_groups: float
    valleys: float | None
    refused: str


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        space: Where the groups are.
        rule: Puts a row of `space` into a group, the largest being group 0; None: there are no groups.
        chosen: Which of `considered` that is; None where there are no groups.
        considered: What was looked at to the end, in the order of algorithms and numbers.
        rows: Positions of the rows that were searched.
        reason: In words, why this number, or why there are none.
    """

    space: Space
    rule: Rule | None
    chosen: Considered | None
    considered: tuple[Considered, ...]
    rows: Array
    reason: str


@dataclass
class _Candidate:
    """A solution on its way through the search: what two halves of the rows gave, split by split."""

    algorithm: Algorithm
    size: int
    agreements: list[float] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    again: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class _Rows:
    """The rows that are searched, how they are split, and of which rows the groups are compared."""

    places: Array
    halves: tuple[tuple[Array, Array], ...]
    judged: Array


def search(
    vectors: Array,
    *,
    algorithms: Sequence[str] = tuple(ALGORITHMS),
    size: int | None = None,
    most: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> Found:
    """Return the groups of these rows, or why there are none.

    Of every algorithm and number of groups: the rows are split into halves, groups are found on each half, and both
    solutions are asked about the same rows. It may be taken where the two agree (adjusted Rand index of at least
    0.75), every group comes back (Jaccard similarity of at least 0.6), at least half of the rows are in a group, and a
    valley parts the groups at a level of 0.05; where none is left, there are no groups. Of the solutions within 0.05
    of the best agreement and within a tenth of the best silhouette, the one with most groups is taken.

    Args:
        vectors: Shape (n, d), finite numbers.
        algorithms: Names among `ALGORITHMS`.
        size: How many groups, or what else the size of an algorithm means, see `Algorithm`; the groups are then
            those that are found, stable or not. None: found.
        most: The most groups that are considered.
        seed: The only source of chance.
        progress: Told how many algorithms are done.

    Raises:
        DataError: There are fewer than two rows for each group asked for.
    """
    from sklearn import config_context

    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(vectors))[:MOST_SEARCHED])
    sample = np.asarray(vectors[drawn], dtype=np.float64)
    if size is not None and any(ALGORITHMS[name].sizes_are_groups for name in algorithms) and len(sample) < 2 * size:
        raise DataError(f"{size} groups need at least {2 * size} rows; there are {len(sample)}. Ask for fewer groups.")
    space = Space.learnt(sample, seed)
    if not len(space):
        return Found(space, None, None, (), drawn, "There are no groups: all rows are equal.")
    if size is None and len(sample) < FEWEST_ROWS:
        reason = f"{len(sample)} rows are too few to tell groups from chance: at least {FEWEST_ROWS} are needed."
        return Found(space, None, None, (), drawn, reason)
    orders = [rng.permutation(len(sample)) for _ in range(SPLITS)]
    middle = len(sample) // 2
    halves = tuple((np.sort(order[:middle]), np.sort(order[middle:])) for order in orders)
    rows = _Rows(space.of(sample), halves, np.sort(rng.permutation(len(sample))[:_JUDGED]))

    considered: list[tuple[Considered, Rule]] = []
    # Thousands of small fits, each of which would check again what was checked here.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for done, name in enumerate(algorithms):
            progress(done, len(algorithms), f"looking for groups: {name}")
            algorithm = ALGORITHMS[name]
            usual = list(range(2, min(most, middle // 2) + 1)) if algorithm.sizes_are_groups else list(_SHARES)
            sizes = usual if size is None else [size]
            considered += _judged(algorithm, sizes, rows, seed, told=size is not None)
    progress(len(algorithms), len(algorithms), "looking for groups")
    tried = tuple(candidate for candidate, _ in considered)
    chosen = _chosen(tried) if size is None else _most_stable(tried)
    if chosen is None:
        return Found(space, None, None, tried, drawn, _why_none(tried))
    rule = considered[chosen][1]
    return Found(space, _largest_first(rule, rows), tried[chosen], tried, drawn, _why(tried[chosen]))


def _judged(
    algorithm: Algorithm, sizes: Sequence[int], rows: _Rows, seed: int, *, told: bool
) -> list[tuple[Considered, Rule]]:
    """Return what is worth looking at to the end, with the rule that the whole sample gives."""
    candidates = [_Candidate(algorithm, size) for size in sizes]
    for split, pair in enumerate(rows.halves):
        if split in _HOPELESS and not told:
            candidates = [found for found in candidates if np.mean(found.agreements) >= _HOPELESS[split]]
        if not candidates:
            return []
        _look(candidates, rows, pair, seed + split)
    wholes = algorithm.fit(rows.places, [candidate.size for candidate in candidates], seed)
    seen = [
        (_seen(candidate, whole, rows, told=told), whole)
        for candidate, whole in zip(candidates, wholes, strict=True)
        if whole is not None and len(candidate.rules) == 2 * len(rows.halves)
    ]
    # Several smallest shares may give one number of groups.
    best: dict[int, tuple[Considered, Rule]] = {}
    for found in seen:
        number = found[0].n_groups
        if number not in best or found[0].agreement > best[number][0].agreement:
            best[number] = found
    return list(best.values())


def _look(candidates: Sequence[_Candidate], rows: _Rows, pair: tuple[Array, Array], seed: int) -> None:
    sizes = [candidate.size for candidate in candidates]
    both = [candidates[0].algorithm.fit(rows.places[half], sizes, seed) for half in pair]
    asked = rows.places[rows.judged]
    for candidate, first, second in zip(candidates, *both, strict=True):
        if first is None or second is None:
            candidate.agreements.append(0.0)
            continue
        labels = [rule.assign(asked)[0] for rule in (first, second)]
        # -1, in no group, counts as a group of its own.
        candidate.agreements.append(adjusted_rand(labels[0] + 1, labels[1] + 1))
        candidate.rules += [first, second]
        candidate.again += labels


def _seen(candidate: _Candidate, whole: Rule, rows: _Rows, *, told: bool) -> Considered:
    from sklearn.metrics import silhouette_score

    asked = rows.places[rows.judged]
    labels, _ = whole.assign(asked)
    weakest = float(stability.come_back(labels, candidate.again).min(initial=1.0))
    inside = labels >= 0
    several = len(np.unique(labels[inside])) > 1
    silhouette = float(silhouette_score(asked[inside], labels[inside]) * inside.mean()) if several else 0.0
    agreement, share = float(np.mean(candidate.agreements)), float(inside.mean())
    refused = _refused(agreement, weakest, share)
    by_chance = _one_peak(candidate, rows) if told or not refused else None
    return Considered(
        candidate.algorithm.name,
        whole.n_groups,
        agreement,
        stability.interval(candidate.agreements),
        weakest,
        silhouette,
        share,
        by_chance,
        "" if told else refused,
    )


def _one_peak(candidate: _Candidate, rows: _Rows) -> float:
    """Return the p-value of the rows having one peak only, so that no valley parts the groups.

    Every half gives one. Twice their median is a p-value again (Meinshausen, Meier and Buehlmann 2009, p-Values for
    high-dimensional regression).
    """
    found = []
    for split, pair in enumerate(rows.halves):
        for own, other, rule in zip(pair, pair[::-1], candidate.rules[2 * split : 2 * split + 2], strict=True):
            labels, _ = rule.assign(rows.places[own])
            found.append(valleys.one_peak(rows.places[own], labels, rows.places[other]))
    return min(1.0, 2 * float(np.median(found)))


def _refused(agreement: float, weakest: float, in_groups: float) -> str:
    if agreement < _STABLE:
        return "other rows give other groups"
    if weakest < _COMES_BACK:
        return "one of its groups is not found again in other rows"
    if in_groups < _IN_GROUPS:
        return "most rows are in no group"
    return ""


def _chosen(tried: Sequence[Considered]) -> int | None:
    able = [i for i, candidate in enumerate(tried) if not candidate.refused and _in_valleys(candidate)]
    if not able:
        return None
    stable = max(tried[i].agreement for i in able) - _AS_STABLE
    able = [i for i in able if tried[i].agreement >= stable]
    distinct = max(tried[i].silhouette for i in able) * _AS_DISTINCT
    able = [i for i in able if tried[i].silhouette >= distinct]
    return max(able, key=lambda i: (tried[i].n_groups, tried[i].agreement, tried[i].silhouette))


def _most_stable(tried: Sequence[Considered]) -> int | None:
    return max(range(len(tried)), key=lambda i: tried[i].agreement, default=None)


def _in_valleys(candidate: Considered) -> bool:
    return candidate.valleys is not None and candidate.valleys <= _BY_CHANCE


def _why(chosen: Considered) -> str:
    low, high = chosen.interval
    stable = (
        f"{chosen.n_groups} groups: those found on one half of the rows agree with those of the other half by "
        f"{chosen.agreement:.2f} [{low:.2f}, {high:.2f}] (1: the same groups; 0: chance)"
    )
    if _in_valleys(chosen):
        return f"{stable}, and rows are rarer between groups than in them."
    return f"{stable}; but rows are not clearly rarer between groups than in them."


def _why_none(tried: Sequence[Considered]) -> str:
    if any(not candidate.refused for candidate in tried):
        return (
            "There are no groups: the rows can be cut in a way that other rows repeat, but nowhere are they rarer "
            "between the pieces than in them."
        )
    return "There are no groups: one half of the rows gives other groups than the other half."


def _largest_first(rule: Rule, rows: _Rows) -> Rule:
    labels, _ = rule.assign(rows.places)
    sizes = np.bincount(labels[labels >= 0], minlength=rule.n_groups)
    return rule.reordered(np.argsort(-sizes, kind="stable"))
