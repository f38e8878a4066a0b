"""How sure a score is: intervals over repeats and test rows, each for a named target.

A candidate at one n has one `Block` per (repeat, fold): statistics of the test rows of one fit. Two designs occur:

**Hold-out.** Every repeat is judged on the same rows. The score of repeat r on row i is taken as

    y_ri = mu + a_r + b_i + e_ri

(a: draws of labels and seeds, b: test rows, e: the rest), and with mean squares MS of the two-way table

    Var(mean) = c (MS_a - MS_e) / rows + MS_b / (repeats x rows),      c = 1 / repeats

with Satterthwaite's degrees of freedom (Satterthwaite 1946; Searle, Casella & McCulloch 1992, ch. 4). For a fresh
draw of labels c = 1/repeats + rho/(1 - rho), rho = n / N: repeats drawn from one pool of N overlap, so that their
spread shows only the share 1 - rho of the variance between fresh draws, and they share the rest.

**k-fold.** A row that is tested in several rounds is tested by other fits each time: y_ri = mu + b_i + a_f + e_ri, f
being the fit that tested row i in round r. With s_rows^2 the variance of the N rows' means over their rounds, and s_a^2
that between the J fits, the rows' effects taken out (Henderson 1953, method 3; each row tested once: the spread of the
fold scores beyond what their rows explain),

    Var(mean) = (1 + SHARED) s_rows^2 / N + s_a^2 / J

and Satterthwaite's degrees of freedom, hundreds rather than J - 1. `SHARED` (`SHARED_OF_SCORES` for a score that is not
a difference) stands for what every row adds a second
time, by being trained on in the other fits: the first-order projection of a cross-validated score on one row is its own
loss plus its influence on the others' (Bayle, Bayle, Janson & Mackey 2020, "Cross-validation confidence intervals for
test error"; Bates, Hastie & Tibshirani 2023, "Cross-validation: what does it estimate and how well does it do it?").
The data at hand cannot tell that part: the spread between fits that share most of their rows, scaled up by the
rho/(1 - rho) of the delete-d jackknife, predicts the errors of real studies worse than a constant does, and takes seeds
that differ for rows that matter. Where fits use only the first n of a fold's training rows and are to speak for fresh
draws, s_a^2 gets rho/(1 - rho) besides.

The corrected resampled t, s^2 (1/J + n_test/n_train) with J - 1 degrees of freedom (Nadeau & Bengio 2003, "Inference
for the generalization error"), gives every row's noise in a single round 1.6 times and reaches farther with its few
degrees of freedom. On 271 studies cut from public texts (16 to 1,024 rows, three rounds of 5-fold, accuracy) it covers
true differences 97 to 99.7 % at 1.2 to 1.5 times the width that fits the errors; this covers 94 to 99 % at 1.0 to 1.4.

Two or three draws tell little of how much draws differ: s^2 between them is often far too small, and t with one or two
degrees of freedom reaches far. Where other candidates were judged on the same draws, MS_a is therefore drawn towards
what their mean variance lets one expect, as if that came from two more draws (Smyth 2004, "Linear models and empirical
Bayes methods": moderated variances; the degrees of freedom grow by as many).

Scores that are no means (macro F1, AUROC ...) take part by jackknife pseudo-values, y_i = m S - (m - 1) S_without_i
(Tukey 1958). Near-duplicates and users' groups stay whole: a group's y is the sum over its rows (linearised ratio).

The interval itself is Wilson's score interval with the effective number of rows, n_eff = p (1 - p) / Var, and t in
place of z (Wilson 1927; Franco, Little, Louis & Slud 2019 for correlated rows): it stays inside the metric's range and
does not shrink to nothing at 100 %; with up to three mistakes its near end is that of Brown, Cai & DasGupta (2001).
Without any variance n_eff is the number of test rows (groups; for macro averages as many as k equally large classes
would need).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval
from nshot.metrics import Array, Metric

Target: TypeAlias = Literal["this model", "a fresh draw", "this pool"]
TEST_ROWS_ONLY = "test rows only"
FEWEST_COMPARABLE = 3
SHARED = 0.6
"""k-fold: variance that rows add by being trained on, as a share of what they add by being tested.

On public texts (12 sets, differences of 8 methods on 16 to 1,024 rows) the errors of k-fold vary -0.1 to 0.5 times the
rows' part more than the rows explain, single scores 0.2 to 0.7 times; in made-up worlds 0 to 0.7 times, and with
nearest neighbours up to 1.6 times."""
SHARED_OF_SCORES = 0.9
"""The same for single scores: what a sample does to all candidates alike does not cancel there."""


@dataclass(frozen=True, eq=False)
class Block:
    """What one fit answered on its test rows.

    Attributes:
        repeat: Which order of the training rows, or which seed.
        fold: Which fold; 0 for a hold-out.
        rows: Shape (n,), ids of the test rows, each once.
        statistics: Shape (n, m), from `Metric.statistics`, in the order of `rows`.
        groups: Shape (n,), which rows belong together (near-duplicates, one user); None: every row is its own.
    """

    repeat: int
    fold: int
    rows: NDArray[np.int64]
    statistics: Array
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.statistics) or (self.groups is not None and len(self.groups) != len(self.rows)):
            raise ValueError("rows, statistics and groups of a block differ in length")

    def take(self, positions: NDArray[np.int64]) -> Block:
        """Return the block of these positions, in that order."""
        groups = None if self.groups is None else self.groups[positions]
        return Block(self.repeat, self.fold, self.rows[positions], self.statistics[positions], groups)


@dataclass(frozen=True)
class Usual:
    """How much draws differ among comparable candidates (or pairs of them).

    Attributes:
        variance: Between draws, the mean over the candidates.
        weight: How many draws that counts for. Eight candidates whose spreads differ by factors of 1 to 3, judged on
            200 to 1,000 rows by 2 to 5 draws: 95 % intervals cover 94 to 97 % with 2, 93 to 96 % with 4, and 88 to 96 %
            without it, where they are up to twice as wide.
        least: In a hold-out, own variances are never taken to be smaller. Where the most extreme of many pairs decides,
            its variance is the one that came out too small.
    """

    variance: float
    weight: int = 2
    least: bool = False


@dataclass(frozen=True)
class Estimate:
    """A score and how sure it is.

    Attributes:
        score: In the metric's own unit.
        interval: Both ends, or None where the data cannot give one.
        standard_error: Square root of the estimated variance, or None.
        degrees_of_freedom: Of the t distribution behind the interval, or None.
        marked: ``test rows only`` where one repeat cannot show how much draws differ, else None.
        target: What the interval is about.
        repeats: How many repeats the score is the mean of.
        spread: Standard deviation of the repeats' scores; None for one repeat.
    """

    score: float
    interval: Interval | None
    standard_error: float | None
    degrees_of_freedom: float | None
    marked: str | None
    target: Target
    repeats: int
    spread: float | None


def target_of(n_labels: int, pool_size: int) -> Target:
    """Return what a score at `n_labels` of a pool speaks for: n = 0 and n = N this model, below N/2 a fresh draw."""
    if n_labels in (0, pool_size):
        return "this model"
    return "a fresh draw" if n_labels < 0.5 * pool_size else "this pool"


def pseudo_values(metric: Metric, statistics: Array) -> Array:
    """Return one jackknife pseudo-value per row, shape (n,), shifted so that their mean is the score.

    Rows with the same statistics share theirs, so for macro F1 only the different (truth, answer) pairs are left out
    in turn. nan where the score without a row is not defined (a ranking with one anomaly).
    """
    if metric.is_mean:
        return statistics[:, 0]
    n = len(statistics)
    score = metric.aggregate(statistics)
    if n < 2:
        return np.full(n, np.nan)
    if metric.leave_one_out is not None:
        without = metric.leave_one_out(statistics)
    else:
        different, which, counts = np.unique(statistics, axis=0, return_inverse=True, return_counts=True)
        parts = []
        for start in range(0, len(different), 256):
            stop = min(start + 256, len(different))
            weights = np.repeat(counts[None, :].astype(np.float64), stop - start, axis=0)
            weights[np.arange(stop - start), np.arange(start, stop)] -= 1.0
            parts.append(metric.aggregate_many(different, weights))
        without = np.concatenate(parts)[which.reshape(-1)]
    values = n * score - (n - 1) * without
    return np.asarray(values - values.mean() + score, dtype=np.float64)


# --- the two designs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Components:
    """Variances and covariances of m candidates' scores, as mean squares that any contrast can be read from.

    Attributes:
        scores: Shape (m,).
        by_repeat: Shape (repeats, m): the scores of the single repeats.
        mistake: Shape (m,): by how much one more mistake moves the score; 0 for metrics without bounds.
        one_fit: Only one fit stands behind each score, so that draws are not covered.
    """

    scores: Array
    by_repeat: Array
    mistake: Array
    one_fit: bool

    def variance(self, contrast: Array, usual: Usual | None = None) -> tuple[float, float]:
        """Return the variance of ``contrast @ scores`` and its degrees of freedom.

        Args:
            contrast: Shape (m,).
            usual: What is known of the variance between draws (`draws`) from comparable contrasts, towards which this
                one's own is drawn; None: nothing.
        """
        raise NotImplementedError

    def draws(self, contrast: Array) -> float:
        """Return the estimated variance between draws of ``contrast @ scores`` (may be negative); 0 if not known."""
        raise NotImplementedError

    def covariance(self) -> Array:
        """Return the covariance matrix of the scores, shape (m, m), positive semi-definite."""
        raise NotImplementedError


def _semi_definite(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


@dataclass(frozen=True, eq=False)
class HoldOut(Components):
    """Two-way table: repeats x rows (groups).

    Attributes:
        repeats_by_rows: The three mean squares, each of shape (m, m): repeats, rows, rest.
        repeats: Number of repeats.
        rows: Number of rows (groups).
        weight_of_draws: The factor c of the module's formula.
    """

    repeats_by_rows: tuple[Array, Array, Array]
    repeats: int
    rows: int
    weight_of_draws: float

    def variance(self, contrast: Array, usual: Usual | None = None) -> tuple[float, float]:
        """Return the variance of ``contrast @ scores`` and Satterthwaite's degrees of freedom."""
        of_repeats, of_rows, rest = (float(contrast @ square @ contrast) for square in self.repeats_by_rows)
        from_rows = of_rows / (self.repeats * self.rows)
        freedom = self.repeats - 1
        if usual is not None and freedom:
            drawn, known = _moderated(of_repeats, freedom, rest, usual, self.rows)
            of_repeats = max(of_repeats, known) if usual.least else drawn
            freedom += usual.weight
        if not freedom or of_repeats <= rest:  # a negative component is read as none
            return from_rows, float(self.rows - 1)
        up, down = self.weight_of_draws * of_repeats / self.rows, self.weight_of_draws * rest / self.rows
        total = up - down + from_rows
        spread = up**2 / freedom + from_rows**2 / (self.rows - 1) + down**2 / ((self.repeats - 1) * (self.rows - 1))
        return total, (total**2 / spread if spread > 0 else float(self.rows - 1))

    def draws(self, contrast: Array) -> float:
        """Return (MS_a - MS_e) / rows."""
        if self.repeats < 2:
            return 0.0
        of_repeats, _, rest = self.repeats_by_rows
        return float(contrast @ (of_repeats - rest) @ contrast) / self.rows

    def covariance(self) -> Array:
        """Return the covariance matrix of the scores, shape (m, m), positive semi-definite."""
        of_repeats, of_rows, rest = self.repeats_by_rows
        from_rows = of_rows / (self.repeats * self.rows)
        if self.repeats < 2:
            return _semi_definite(from_rows)
        return _semi_definite(_semi_definite(of_repeats - rest) * self.weight_of_draws / self.rows + from_rows)


@dataclass(frozen=True, eq=False)
class KFold(Components):
    """Rows that are tested by different fits, fits that share rows.

    Attributes:
        of_rows: Shape (m, m): covariance that the scores have from their test rows.
        fits_by_rows: The two mean squares, each of shape (m, m): fits (without the rows' part), rest.
        freedom: Degrees of freedom of the fits.
        folds: Number of fits.
        rows_per_fit: How many rows (groups) a fit counts for, of those that tell it from the others.
        rows: Number of different rows (groups) in all.
        shared: What a row adds to differences by being trained on, as a share of what it adds by being tested.
        shared_of_scores: The same for single scores.
        overlap: rho / (1 - rho) for fresh draws of n labels; else 0.
    """

    of_rows: Array
    fits_by_rows: tuple[Array, Array]
    freedom: int
    folds: int
    rows_per_fit: float
    rows: int
    shared: float
    shared_of_scores: float
    overlap: float

    def variance(self, contrast: Array, usual: Usual | None = None) -> tuple[float, float]:
        """Return the variance of ``contrast @ scores`` and Satterthwaite's degrees of freedom."""
        shared = self.shared if abs(float(contrast.sum())) < 1e-9 else self.shared_of_scores
        from_rows = (1.0 + shared) * float(contrast @ self.of_rows @ contrast)
        of_fits, rest = (float(contrast @ square @ contrast) for square in self.fits_by_rows)
        freedom = self.freedom
        if usual is not None:
            # No least: with so many fits none agree by chance, and one candidate that collapses would widen all.
            of_fits, _ = _moderated(of_fits, freedom, rest, usual, self.rows_per_fit)
            freedom += usual.weight
        if not of_fits > rest:  # a negative component is read as none
            return from_rows, float(self.rows - 1)
        from_fits = (1.0 / self.folds + self.overlap) * (of_fits - rest) / self.rows_per_fit
        total = from_rows + from_fits
        # Not the two mean squares apart: where few rows tell fits apart, both are large and t would reach for ever.
        return total, total**2 / (from_fits**2 / freedom + from_rows**2 / (self.rows - 1))

    def draws(self, contrast: Array) -> float:
        """Return (MS of fits - MS of the rest) / rows."""
        of_fits, rest = self.fits_by_rows
        return float(contrast @ (of_fits - rest) @ contrast) / self.rows_per_fit

    def covariance(self) -> Array:
        """Return the covariance matrix of the scores, shape (m, m), positive semi-definite."""
        of_fits, rest = self.fits_by_rows
        weight = (1.0 / self.folds + self.overlap) / self.rows_per_fit
        return _semi_definite((1.0 + self.shared) * self.of_rows + _semi_definite(of_fits - rest) * weight)


def _moderated(square: float, freedom: int, rest: float, usual: Usual, rows: float) -> tuple[float, float]:
    """Return a mean square of draws, drawn towards what it would usually be (Smyth 2004), and the latter."""
    known = rest + max(0.0, usual.variance) * rows
    return (freedom * square + usual.weight * known) / (freedom + usual.weight), known


def common_blocks(candidates: Sequence[Sequence[Block]]) -> list[list[Block]]:
    """Return each candidate's blocks of the (repeat, fold)s that all have, on the rows that all have, in one order."""
    tables = [{(block.repeat, block.fold): block for block in blocks} for blocks in candidates]
    if any(len(table) != len(blocks) for table, blocks in zip(tables, candidates, strict=True)):
        raise ValueError("a candidate has two blocks of the same repeat and fold")
    keys = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    aligned: list[list[Block]] = [[] for _ in tables]
    for key in keys:
        blocks = [table[key] for table in tables]
        rows = blocks[0].rows
        for block in blocks[1:]:
            if not np.array_equal(rows, block.rows):
                rows = np.intersect1d(rows, block.rows)
        if not len(rows):
            continue
        rows = np.sort(rows)
        for candidate, block in zip(aligned, blocks, strict=True):
            if np.array_equal(block.rows, rows):
                candidate.append(block)
            else:
                order = np.argsort(block.rows, kind="stable")
                candidate.append(block.take(order[np.searchsorted(block.rows, rows, sorter=order)]))
    return aligned


def is_hold_out(blocks: Sequence[Block]) -> bool:
    """Return whether all repeats are judged on the same rows (one block each); otherwise it is k-fold."""
    first = np.sort(blocks[0].rows)
    one_each = len({block.repeat for block in blocks}) == len(blocks)
    return one_each and all(np.array_equal(np.sort(block.rows), first) for block in blocks)


def components(
    candidates: Sequence[Sequence[Block]],
    metric: Metric,
    *,
    rho: float | None,
    target: Target,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Components:
    """Return the mean squares of m candidates on their common blocks.

    Args:
        candidates: The blocks of each candidate.
        metric: What the statistics belong to.
        rho: n / N, the share of its pool that each fit used; None: draws do not overlap.
        target: What the scores are to speak for. ``this model`` in a hold-out keeps the first repeat alone.
        n_train: k-fold only: how many rows each fold leaves for training (all, not the first n). None: all rows that
            are not in the fold.
        n_test: k-fold only: rows of a fold; None: as found.

    Raises:
        ValueError: Nothing is common to the candidates, or a fresh draw is asked for at rho >= 1.
    """
    aligned = common_blocks(candidates)
    if not aligned or not aligned[0]:
        raise ValueError("the candidates have no (repeat, fold) in common")
    overlap = 0.0
    if target == "a fresh draw" and rho is not None:
        if not 0.0 <= rho < 1.0:
            raise ValueError(f"a fresh draw needs 0 <= rho < 1, not {rho}")
        overlap = rho / (1.0 - rho)
    if is_hold_out(aligned[0]):
        if target == "this model":
            aligned = [blocks[:1] for blocks in aligned]
        return _hold_out(aligned, metric, overlap)
    return _k_fold(aligned, metric, overlap, n_train, n_test)


def usual_draws(
    candidates: Sequence[Sequence[Block]], metric: Metric, *, rho: float | None, target: Target
) -> Usual | None:
    """Return the mean variance between draws of these candidates' scores in a hold-out, for `estimate`.

    None where fewer than three of them have two draws or more: too few to say what is usual.

    Args:
        candidates: The blocks of each candidate at one n.
        metric: What the statistics belong to.
        rho: n / N, see `components`.
        target: What the scores speak for.
    """
    one = np.ones(1)
    found = [
        components([blocks], metric, rho=rho, target=target).draws(one)
        for blocks in candidates
        if len(blocks) > 1 and is_hold_out(blocks)
    ]
    return Usual(float(np.mean(found))) if len(found) >= FEWEST_COMPARABLE else None


def _mistakes(blocks: Sequence[Block], metric: Metric) -> float:
    """Return by how much one more wrong row (group) moves the score, on average over the blocks."""
    if not metric.bounded:
        return 0.0
    effective = []
    for block in blocks:
        rows = len(block.rows) if metric.effective_rows is None else metric.effective_rows(block.statistics)
        groups = len(block.rows) if block.groups is None else len(np.unique(block.groups))
        effective.append(rows * groups / len(block.rows))
    return (metric.highest - metric.lowest) / float(np.mean(effective))


def _by_group(values: Array, groups: NDArray[Any] | None) -> Array:
    """Return pseudo-values (m, n) summed to groups (m, g) in the order of their ids, scaled so that the mean stays."""
    if groups is None:
        return values
    _, which = np.unique(groups, return_inverse=True)
    g = int(which.max()) + 1
    if g == values.shape[1]:
        return values[:, np.argsort(which, kind="stable")]
    mean = values.mean(axis=1, keepdims=True)
    # Sums of deviations, so that unequal sizes of groups do not count as variance.
    sums = np.stack([np.bincount(which, weights=row, minlength=g) for row in values - mean])
    return np.asarray(mean + sums * g / values.shape[1])


def _hold_out(candidates: Sequence[Sequence[Block]], metric: Metric, overlap: float) -> HoldOut:
    table = np.stack(
        [
            _by_group(np.stack([pseudo_values(metric, block.statistics) for block in blocks]), blocks[0].groups)
            for blocks in candidates
        ]
    )  # (m, repeats, rows)
    m, repeats, rows = table.shape
    by_repeat, by_row = table.mean(axis=2), table.mean(axis=1)
    scores = by_repeat.mean(axis=1)
    row_part = by_row - scores[:, None]
    of_rows = repeats * (row_part @ row_part.T) / max(rows - 1, 1)
    none = np.zeros((m, m))
    of_repeats, rest = none, none
    if repeats > 1:
        repeat_part = by_repeat - scores[:, None]
        of_repeats = rows * (repeat_part @ repeat_part.T) / (repeats - 1)
        residual = (table - by_repeat[:, :, None] - row_part[:, None, :]).reshape(m, -1)
        rest = residual @ residual.T / ((repeats - 1) * max(rows - 1, 1))
    if rows < 2:
        of_rows = np.full((m, m), np.nan)
    return HoldOut(
        scores=scores,
        by_repeat=by_repeat.T,
        mistake=np.array([_mistakes(blocks, metric) for blocks in candidates]),
        one_fit=repeats < 2,
        repeats_by_rows=(of_repeats, of_rows, rest),
        repeats=repeats,
        rows=rows,
        weight_of_draws=1.0 / repeats + overlap,
    )


def _fold_values(blocks: Sequence[Block], metric: Metric) -> tuple[list[Array], dict[int, float]]:
    """Return the pseudo-values of each block and the score of each repeat."""
    values: dict[int, Array] = {}
    scores: dict[int, float] = {}
    for repeat in sorted({block.repeat for block in blocks}):
        members = [i for i, block in enumerate(blocks) if block.repeat == repeat]
        if metric.ranks:
            for i in members:
                values[i] = pseudo_values(metric, blocks[i].statistics)
            scores[repeat] = float(np.mean([metric.aggregate(blocks[i].statistics) for i in members]))
            continue
        pooled = pseudo_values(metric, np.concatenate([blocks[i].statistics for i in members]))
        scores[repeat] = float(pooled.mean())
        ends = np.cumsum([len(blocks[i].rows) for i in members])[:-1]
        values.update(zip(members, np.split(pooled, ends), strict=True))
    return [values[i] for i in range(len(blocks))], scores


def _k_fold(
    candidates: Sequence[Sequence[Block]], metric: Metric, overlap: float, n_train: int | None, n_test: int | None
) -> KFold:
    blocks = candidates[0]
    computed = [_fold_values(own, metric) for own in candidates]
    of_row = np.stack([_effects(own, values) for own, (values, _) in zip(candidates, computed, strict=True)])
    rows = of_row.shape[1]
    different = len(np.unique(np.concatenate([block.rows for block in blocks])))
    per_fold = float(np.mean([len(block.rows) for block in blocks]))
    # Not every row is tested where some folds were left out, but all are trained on.
    trained = different - per_fold if n_train is None else float(n_train)
    tested = per_fold if n_test is None else float(n_test)
    known = min(1.0, different / (trained + tested))
    of_fits, rest, freedom, rows_per_fit = _between_fits(blocks, [values for values, _ in computed])
    return KFold(
        scores=np.array([np.mean(list(scores.values())) for _, scores in computed]),
        by_repeat=np.array([list(scores.values()) for _, scores in computed]).T,
        mistake=np.array([_mistakes([_joined(r) for r in _by_repeat(own)], metric) for own in candidates]),
        one_fit=False,
        of_rows=of_row @ of_row.T * rows / (rows - 1) if rows > 1 else np.full((len(candidates),) * 2, np.nan),
        fits_by_rows=(of_fits, rest),
        freedom=freedom,
        folds=len(blocks),
        rows_per_fit=rows_per_fit,
        rows=rows,
        shared=SHARED * known,
        shared_of_scores=SHARED_OF_SCORES * known,
        overlap=overlap,
    )


def _ids(block: Block) -> NDArray[Any]:
    return block.rows if block.groups is None else block.groups


def _between_fits(blocks: Sequence[Block], values: Sequence[Sequence[Array]]) -> tuple[Array, Array, int, float]:
    """Return the mean squares of fits and of the rest, the fits' degrees of freedom, and the rows a fit counts for.

    Least squares with rows (groups) and fits as factors, the fits after the rows. Where every row is tested once, rows
    and fits cannot be told apart, and the spread within folds is the rest.

    Args:
        blocks: One candidate's.
        values: Of every candidate: the pseudo-values of each block.
    """
    cells = [_by_group(np.stack([own[j] for own in values]), _ids(block)) for j, block in enumerate(blocks)]
    fit = np.repeat(np.arange(len(blocks)), [cell.shape[1] for cell in cells])
    ids = [np.unique(_ids(block)) for block in blocks]
    row = np.unique(np.concatenate(ids), return_inverse=True)[1].reshape(-1)
    if len(np.unique(row)) == len(row):
        row = np.zeros_like(row)
    times = np.bincount(row).astype(np.float64)
    y = np.concatenate(cells, axis=1)  # (m, cells)
    y = y - np.stack([np.bincount(row, weights=one) for one in y])[:, row] / times[row]
    met = np.zeros((len(times), len(blocks)))
    np.add.at(met, (row, fit), 1.0)
    counts = np.diag(met.sum(axis=0)) - met.T @ (met / times[:, None])
    by_fit = np.stack([np.bincount(fit, weights=one, minlength=len(blocks)) for one in y])
    freedom = int(np.linalg.matrix_rank(counts))
    explained = by_fit @ np.linalg.pinv(counts) @ by_fit.T
    left = len(row) - len(times) - freedom
    rest = (y @ y.T - explained) / max(left, 1)
    return explained / freedom, rest, freedom, float(np.trace(counts)) / freedom


def _by_repeat(blocks: Sequence[Block]) -> list[list[Block]]:
    repeats = sorted({block.repeat for block in blocks})
    return [[block for block in blocks if block.repeat == repeat] for repeat in repeats]


def _joined(blocks: Sequence[Block]) -> Block:
    """Return the folds of one repeat as one block."""
    groups = None if blocks[0].groups is None else np.concatenate([np.asarray(block.groups) for block in blocks])
    rows, statistics = np.concatenate([b.rows for b in blocks]), np.concatenate([b.statistics for b in blocks])
    return Block(blocks[0].repeat, 0, rows, statistics, groups)


def row_effects(blocks: Sequence[Block], metric: Metric) -> tuple[NDArray[Any], Array]:
    """Return what each test row (group) adds to the error of a candidate's score.

    Returns:
        Ids of the rows (groups), shape (u,), and the effects, shape (u,): their squares add up to the variance that
        the score has from its test rows.
    """
    return np.unique(np.concatenate([_ids(block) for block in blocks])), _effects(
        blocks, _fold_values(blocks, metric)[0]
    )


def _effects(blocks: Sequence[Block], values: Sequence[Array]) -> Array:
    """Return the effects of the rows (groups), in the order of their ids, from the pseudo-values of each block."""
    repeats = {block.repeat for block in blocks}
    rows_of = {r: sum(len(block.rows) for block in blocks if block.repeat == r) for r in repeats}
    mean_of = {
        r: sum(float(own.sum()) for own, block in zip(values, blocks, strict=True) if block.repeat == r) / rows_of[r]
        for r in repeats
    }
    parts = np.concatenate(
        [
            (own - mean_of[block.repeat]) / (rows_of[block.repeat] * len(repeats))
            for own, block in zip(values, blocks, strict=True)
        ]
    )
    _, which = np.unique(np.concatenate([_ids(block) for block in blocks]), return_inverse=True)
    return np.asarray(np.bincount(which.reshape(-1), weights=parts), dtype=np.float64)


# --- one candidate ---------------------------------------------------------------------------------------------------


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return the quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


def _nearest(share: float, effective: float, level: float) -> float:
    """Return the lower end of a share of few cases, 1 where they are none or more than three.

    Wilson's interval covers badly next to 0 and 1 (with one mistake in 64, 88 % where 99.8 % are right). The remedy is
    that of Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion", section 4.1.1.
    """
    from scipy.special import gammaincinv

    cases = share * effective
    return float(gammaincinv(cases, 1.0 - level)) / effective if 0.5 <= cases <= 3.5 else 1.0


def score_interval(
    score: float, variance: float, degrees_of_freedom: float, *, metric: Metric, mistake: float, level: float = 0.95
) -> Interval | None:
    """Return Wilson's interval with an effective number of rows, or None where nothing can be said.

    Args:
        score: The estimate.
        variance: Its estimated variance.
        degrees_of_freedom: Of the t distribution.
        metric: Tells the range.
        mistake: What one more mistake costs; used where no variance was seen.
        level: Coverage.
    """
    if not (math.isfinite(score) and math.isfinite(variance)) or degrees_of_freedom <= 0:
        return None
    t = t_quantile((1.0 + level) / 2.0, degrees_of_freedom)
    if not metric.bounded:
        if variance <= 0.0:
            return None
        half = t * math.sqrt(variance)
        return Interval(max(metric.lowest, score - half), min(metric.highest, score + half), level)
    width = metric.highest - metric.lowest
    share = min(1.0, max(0.0, (score - metric.lowest) / width))
    share_variance = variance / width**2
    nothing_varies = share_variance <= 1e-18 or share in (0.0, 1.0)
    effective = width / mistake if nothing_varies else share * (1.0 - share) / share_variance
    pull = t**2 / effective
    centre = (share + pull / 2.0) / (1.0 + pull)
    half = t * math.sqrt(share * (1.0 - share) / effective + pull / (4.0 * effective)) / (1.0 + pull)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    # One to three mistakes: the end next to perfection comes from their Poisson distribution.
    low = min(low, _nearest(share, effective, level))
    high = max(high, 1.0 - _nearest(1.0 - share, effective, level))
    # Rounding must not push a perfect score out of its own interval.
    low, high = min(low, share), max(high, share)
    return Interval(metric.lowest + width * low, metric.lowest + width * high, level)


def estimate(
    blocks: Sequence[Block],
    metric: Metric,
    *,
    rho: float | None,
    target: Target,
    n_train: int | None = None,
    n_test: int | None = None,
    usual: Usual | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the score of one candidate at one n with its interval.

    What the targets mean in a hold-out:

    - ``a fresh draw`` (rho < 0.5): a model fitted on n other labels; covers draws of labels, seeds and test rows.
    - ``this pool``: a model fitted on some n of this pool's labels; draws from this pool and test rows.
    - ``this model``: the model that is handed over. It is the first repeat's, never the luckiest seed's, so the score
      is the first repeat's alone and the interval covers test rows alone: how much other seeds would differ says
      nothing about a model that is already there. (`spread` still shows it, over all the repeats given.)

    In k-fold no single model is tested on all rows, so every target gets the interval of the procedure, with the labels
    a fold's fit really had; the model fitted on all rows is not claimed to score better. Only at n = 0
    (rho = 0) nothing was fitted: the folds of the first repeat are one model's answers and are joined to a hold-out.

    One fit (one repeat of a hold-out, one fold) cannot show how draws differ: the interval covers test rows and is
    marked so.

    Args:
        blocks: The candidate's blocks.
        metric: What the statistics belong to.
        rho: n / N, the share of the pool that a fit used.
        target: What the number speaks for, see `target_of`.
        n_train: k-fold only: all the rows that a fold leaves for training; None: the rows not in the fold.
        n_test: k-fold only: rows of a fold; None: as found.
        usual: How much draws differ among candidates judged on the same draws (`usual_draws`).
        level: Coverage of the interval.
    """
    if rho == 0.0 and not is_hold_out(blocks):
        first = min(block.repeat for block in blocks)
        blocks = [_joined([block for block in blocks if block.repeat == first])]
    parts = components([blocks], metric, rho=rho, target=target, n_train=n_train, n_test=n_test)
    variance, freedom = parts.variance(np.ones(1), usual)
    known = math.isfinite(variance)
    score, mistake = float(parts.scores[0]), float(parts.mistake[0])
    repeats = len(parts.by_repeat)
    seen = parts.by_repeat[:, 0] if repeats > 1 else np.array([metric.aggregate(b.statistics) for b in blocks])
    return Estimate(
        score=score,
        interval=score_interval(score, variance, freedom, metric=metric, mistake=mistake, level=level),
        standard_error=math.sqrt(variance) if known else None,
        degrees_of_freedom=freedom if known else None,
        marked=TEST_ROWS_ONLY if parts.one_fit and target != "this model" else None,
        target=target,
        repeats=repeats,
        spread=float(np.std(seen, ddof=1)) if len(seen) > 1 and is_hold_out(blocks) else None,
    )
