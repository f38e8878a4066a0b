"""What each way usually reaches, measured on public data sets: where a small test alone can hardly tell.

With few labels the measured scores are mostly noise. What is known beforehand is how methods usually stand to each
other at such a number of labels and classes. Both are put together by Bayes' rule for normal variables: a candidate's
score is taken as

    score = level + usual advantage + own deviation,    own deviations ~ N(0, S)

where the level is common to all candidates and unknown, the usual advantage and the covariance S between data sets
come from ``prior.json`` (the mean scores of each method on each set, over many draws of n labels), and the measured
scores are the true ones plus noise of the study's own covariance V. The posterior mean

    prior + K (K + V)^-1 (measured - prior),    K = S + large * 1 1'

weighs the two by how sure they are (empirical Bayes: Efron & Morris 1973, "Stein's estimation rule and its
competitors"). Data sets count by how near their number of classes is; between the numbers of labels that were measured,
log n is interpolated. Judged with each data set left out in turn, this makes better picks below about a hundred labels
and none from there on (docs/experiments.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot.core import Family
from nshot.evaluation.comparison import paired_difference
from nshot.evaluation.intervals import Block, Target, components
from nshot.metrics import Metric

Array = NDArray[np.float64]

PRIOR_BELOW = 100
"""With this many labels or more the measured scores decide alone."""
REFERENCE = "linear_probe"
"""Advantages are over this method: every data set has it."""

_CLASSES_BANDWIDTH = 2.0
"""A data set with so many times 2 as many classes, or as few, counts 0.6 as much as one with equally many."""
_LABELS_BANDWIDTH = 1.0
"""The same for a data set that was measured only with so many times 2 as many labels, or as few."""
_INDEPENDENT = 0.3
"""Share of the covariance between methods that is taken as chance: so few data sets cannot tell all of it."""
_VARIANCE_SETS = 2.0
"""A method's variance counts as much as that of so many data sets of the average method."""
_LEAST_SD = 0.01
"""No method's advantage is known better than this."""
_UNKNOWN_SD = 0.10
"""Standard deviation of a method that was not measured around its family."""
_FEWEST_SOURCES = 4
"""A method that was measured on fewer independent data sets is as good as not known."""
_THIN_SD = 0.25
"""Standard deviation that such a method's advantage has besides."""
_BACKBONE_SD = 0.10
"""Standard deviation between backbones, of what all their candidates have in common."""
_LEVEL_SD = 10.0
"""Of the level: nothing is known of it."""
_SHARE_OF_K_FOLD_VARIANCE = 0.6
"""Share of the variance behind a k-fold's intervals that the scores' errors really have."""
_NOISE_OF_ONE_ROW = 0.09
"""Variance that is added to a score's own, divided by the number of test rows."""


@dataclass(frozen=True)
class Reached:
    """Mean scores on one data set at one n.

    Attributes:
        dataset: Its name.
        source: Data sets cut from the same rows share it.
        n_labels: Number of labels that were learnt from.
        classes: Number of labels to tell apart, on average over the draws.
        scores: By metric, then by method.
    """

    dataset: str
    source: str
    n_labels: int
    classes: float
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Prior:
    """What was measured on public data sets.

    Attributes:
        reached: One entry per data set and n.
        families: The family of each method.
    """

    reached: tuple[Reached, ...]
    families: Mapping[str, Family]

    def without(self, source: str) -> Prior:
        """Return what would be known without this source's data sets."""
        return replace(self, reached=tuple(item for item in self.reached if item.source != source))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Prior:
        """Return the prior that `as_json` wrote."""
        return cls(
            tuple(Reached(**item) for item in record["reached"]),
            {name: Family(family) for name, family in record["families"].items()},
        )

    def as_json(self) -> dict[str, Any]:
        """Return a json-able record."""
        return {
            "reached": [vars(item) for item in self.reached],
            "families": {name: family.value for name, family in sorted(self.families.items())},
        }


@cache
def shipped() -> Prior:
    """Return the prior that comes with the package."""
    text = resources.files("nshot.study").joinpath("prior.json").read_text(encoding="utf-8")
    return Prior.from_json(json.loads(text))


def expected_advantage(
    method: str, n_labels: int, classes: int, prior: Prior | None = None, metric: str = "macro_f1"
) -> tuple[float, float] | None:
    """Return what a method usually scores more than `linear_probe`: mean and standard deviation between data sets.

    Args:
        method: Public name of the method.
        n_labels: Number of labels.
        classes: Number of labels to tell apart.
        prior: The shipped one unless given.
        metric: ``macro_f1`` or ``accuracy``; from 0 to 1.

    Returns:
        Both in the metric's unit, or None for a method that was not measured.
    """
    usual = _usual(prior or shipped(), metric, n_labels, classes)
    if usual is None or method not in usual.methods:
        return None
    at = usual.methods.index(method)
    return float(usual.mean[at]), float(np.sqrt(usual.covariance[at, at]))


@dataclass(frozen=True, eq=False)
class _Usual:
    """Advantages over the reference at one number of labels and classes.

    Attributes:
        methods: M names.
        mean: Shape (M,).
        covariance: Shape (M, M), between data sets.
        sources: Shape (M,): how many independent data sets each was measured on.
    """

    methods: tuple[str, ...]
    mean: Array
    covariance: Array
    sources: NDArray[np.int64]


def _usual(prior: Prior, metric: str, n_labels: int, classes: float) -> _Usual | None:
    table = _advantages(prior, metric, n_labels, classes)
    if table is None:
        return None
    methods, values, weights = table
    known = np.isfinite(values)
    weighed = known * weights[:, None]
    filled = np.where(known, values, 0.0)
    total = weighed.sum(axis=0)
    mean = (weighed * filled).sum(axis=0) / total
    # How many equally counting data sets stand behind a method (Kish 1965).
    effective = total**2 / (known * weights[:, None] ** 2).sum(axis=0)
    deviations = np.where(known, values - mean, 0.0)
    both = weighed.T @ known.astype(np.float64)
    covariance = deviations.T @ (deviations * weights[:, None]) / np.maximum(both, 1e-12)
    least = np.minimum.outer(effective, effective)
    covariance *= least / np.maximum(least - 1.0, 0.5)
    own = np.diag(covariance)
    others = own[[name != REFERENCE for name in methods]]
    variance = (effective * own + _VARIANCE_SETS * np.median(others)) / (effective + _VARIANCE_SETS)
    variance[methods.index(REFERENCE)] = 0.0
    scale = np.sqrt(variance / np.maximum(own, 1e-12))
    covariance = (1.0 - _INDEPENDENT) * covariance * np.outer(scale, scale)
    np.fill_diagonal(covariance, variance)
    # The mean itself is known from so many data sets only.
    covariance *= np.sqrt(np.outer(1.0 + 1.0 / effective, 1.0 + 1.0 / effective))
    measured = [len({item.source for item in prior.reached if name in item.scores.get(metric, {})}) for name in methods]
    covariance = _semi_definite(covariance) + _LEAST_SD**2 * np.eye(len(methods))
    return _Usual(methods, mean, covariance, np.array(measured, dtype=np.int64))


def _advantages(
    prior: Prior, metric: str, n_labels: int, classes: float
) -> tuple[tuple[str, ...], Array, Array] | None:
    """Return M methods, the advantages of each on each of D data sets (D, M; nan: not measured), and D weights."""
    by_set: dict[str, list[Reached]] = {}
    for item in prior.reached:
        if REFERENCE in item.scores.get(metric, {}):
            by_set.setdefault(item.dataset, []).append(item)
    if not by_set:
        return None
    methods = tuple(sorted({name for items in by_set.values() for item in items for name in item.scores[metric]}))
    sources = {name: items[0].source for name, items in by_set.items()}
    wanted = float(np.log2(max(1, n_labels)))
    values, weights = np.full((len(by_set), len(methods)), np.nan), np.empty(len(by_set))
    for row, (name, items) in enumerate(by_set.items()):
        items.sort(key=lambda item: item.n_labels)
        at = np.log2([item.n_labels for item in items])
        for column, method in enumerate(methods):
            own = [item.scores[metric] for item in items]
            has = [position for position, scores in enumerate(own) if method in scores]
            if has:
                over = [own[position][method] - own[position][REFERENCE] for position in has]
                values[row, column] = np.interp(wanted, at[has], over)
        beyond = max(0.0, float(at[0]) - wanted, wanted - float(at[-1]))
        apart = float(np.log2(max(2.0, classes) / items[0].classes))
        nearness = (beyond / _LABELS_BANDWIDTH) ** 2 + (apart / _CLASSES_BANDWIDTH) ** 2
        shared = sum(source == sources[name] for source in sources.values())
        weights[row] = np.exp(-nearness / 2.0) / shared
    return methods, values, weights / weights.max()


def _semi_definite(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


@dataclass(frozen=True)
class Kind:
    """What the prior goes by.

    Attributes:
        method: Public name of the method.
        family: Its family, for a method that was not measured.
        backbone: Short name of the backbone, or None.
    """

    method: str
    family: Family
    backbone: str | None


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """Puts measured scores and what is usually reached together; a function of the scores, as the pick rule is.

    Attributes:
        names: m candidates.
        usual: Shape (m,): advantages at the number of labels that the measured fits had.
        growth: Shape (m,): what each one gains over the reference up to the number of labels of the final fit.
        between: Shape (m, m): covariance of advantages between data sets.
        noise: Shape (m, m): covariance of the measured scores.
    """

    names: tuple[str, ...]
    usual: Array
    growth: Array
    between: Array
    noise: Array

    def __call__(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Return the scores to decide by, for some or all of the candidates.

        In a study whose folds leave rows out, they are those expected of a fit on every row; the reference's own gain,
        which is common to all, is not added.
        """
        at = [self.names.index(name) for name in scores]
        apart = self.between[np.ix_(at, at)] + _LEVEL_SD**2
        surprise = np.array(list(scores.values())) - self.usual[at]
        posterior = self.usual[at] + apart @ np.linalg.solve(apart + self.noise[np.ix_(at, at)], surprise)
        return dict(zip(scores, (posterior + self.growth[at]).tolist(), strict=True))


def shrinkage(
    kinds: Mapping[str, Kind],
    noise: Array,
    *,
    n_measured: int,
    n_labels: int,
    classes: int,
    metric: str,
    prior: Prior,
) -> Shrinkage | None:
    """Return what combines measured scores with the prior, or None where nothing is known of the metric.

    Args:
        kinds: What each of m candidates is.
        noise: Covariance of their measured scores, in the same order, shape (m, m).
        n_measured: Number of labels that the measured fits had.
        n_labels: Number of labels that the final fit has.
        classes: Number of labels to tell apart.
        metric: Name of the metric.
        prior: What is known beforehand.
    """
    measured, final = (_usual(prior, metric, n, classes) for n in (n_measured, n_labels))
    if measured is None or final is None:
        return None
    listed = list(kinds.values())
    usual, between = _of_candidates(measured, prior.families, listed)
    growth = _of_candidates(final, prior.families, listed)[0] - usual
    return Shrinkage(tuple(kinds), usual, growth, between, noise)


def _of_candidates(usual: _Usual, families: Mapping[str, Family], kinds: Sequence[Kind]) -> tuple[Array, Array]:
    """Return the usual advantages of these candidates, shape (m,), and their covariance, shape (m, m)."""
    own = np.zeros((len(kinds), len(usual.methods)))
    extra = np.zeros(len(kinds))
    for i, kind in enumerate(kinds):
        if kind.method in usual.methods:
            stands_on = [usual.methods.index(kind.method)]
        else:
            relatives = [at for at, name in enumerate(usual.methods) if families[name] == kind.family]
            stands_on = relatives or list(range(len(usual.methods)))
            extra[i] = _UNKNOWN_SD**2
        own[i, stands_on] = 1.0 / len(stands_on)
        if usual.sources[stands_on].max() < _FEWEST_SOURCES:
            extra[i] += _THIN_SD**2
    covariance = own @ usual.covariance @ own.T + np.diag(extra)
    backbones = [kind.backbone for kind in kinds]
    if len(set(backbones) - {None}) > 1:
        # The prior was measured on one backbone: how good another is, all its candidates have in common.
        same = np.array([[a is not None and a == b for b in backbones] for a in backbones])
        covariance += same * _BACKBONE_SD**2
    return own @ usual.mean, np.asarray(covariance)


def noise(
    blocks: Mapping[str, Sequence[Block]], metric: Metric, *, target: Target, fold_sizes: tuple[int | None, int | None]
) -> Array:
    """Return the covariance of candidates' measured scores, in the order of `blocks`, shape (m, m).

    Those with fewer draws are scored by their difference from the best of the others (see `pick.standings`): they have
    its noise, and that of the difference. In k-fold the covariance is a part of what the intervals are made of, which
    are wide on purpose, and a part of 1 / n is added, because few rows often agree by chance. Both were fitted to how
    far the scores of small studies on public data were from the truth.
    """
    n_train, n_test = fold_sizes
    most = max(len(own) for own in blocks.values())
    names = list(blocks)
    full = [name for name in names if len(blocks[name]) == most]
    parts = components([blocks[name] for name in full], metric, rho=1.0, target=target, n_train=n_train, n_test=n_test)
    sign = 1.0 if metric.higher_is_better else -1.0
    best = int(np.argmax(sign * parts.scores))
    rows = {name: len(np.unique(np.concatenate([block.rows for block in own]))) for name, own in blocks.items()}
    like = np.array([full.index(name) if name in full else best for name in names])
    found = parts.covariance()[np.ix_(like, like)]
    for i, name in enumerate(names):
        if name in full:
            continue
        difference = paired_difference(
            blocks[name], blocks[full[best]], metric, rho=1.0, target=target, n_train=n_train, n_test=n_test
        )
        error = difference.standard_error
        found[i, i] += _NOISE_OF_ONE_ROW / rows[name] if error is None else error**2
    scale = 1.0 if n_train is None else _SHARE_OF_K_FOLD_VARIANCE
    return np.asarray(scale * found + np.diag([_NOISE_OF_ONE_ROW / rows[name] for name in names]))
