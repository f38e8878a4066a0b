"""Labels that arrive later: which ones are held out, and how well each way takes them in.

In every draw some labels are held out: their rows leave the training data, but for a few that may serve as examples
once the labels have arrived. Test rows are those of the draw, and every one is answered among all labels. So there are
two scores, and a mean that neither can carry alone (Xian, Schiele & Akata 2017, "Zero-Shot Learning - The Good, the
Bad and the Ugly", section 4):

    S = share of right answers on rows of seen labels,   N = the same on rows of new labels,   H = 2 S N / (S + N)

Unlike there S and N count rows, not classes: a new label that many rows have weighs as much as those rows.

**Intervals** cover the draws of which labels are held out, and the test rows (groups). Both shares pool the rows of
all draws. A row's part in the error of a share is (right - share) / rows, and H's follows from
dH/dS = 2 N^2 / (S + N)^2 and dH/dN = 2 S^2 / (S + N)^2. Summed by draws (D), by groups (G) and by both, these parts
give the variance of two-way clusters (Cameron, Gelbach & Miller 2011, "Robust Inference With Multiway Clustering"),

    Var = D / (D - 1) sum_d u_d^2 + G / (G - 1) sum_g u_g^2 - sum_dg u_dg^2,

never less than that of the groups alone, with Satterthwaite's degrees of freedom: resampling five draws by bootstrap
would cover too rarely. In k-fold the fits overlap, and the part of the draws grows by D n_test / n_train (Nadeau &
Bengio 2003). The interval of a share is Wilson's, as everywhere (`nshot.evaluation.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nshot.core import Interval, OptionError
from nshot.evaluation.intervals import score_interval, t_quantile
from nshot.evaluation.protocol import Design, Draw, Positions
from nshot.metrics import Array, Metric

MOST_EXAMPLES = 5
"""The most rows of each new label that a way is handed as examples."""
_DRAWS_OF_A_HOLD_OUT = 5
_TRIES = 50


@dataclass(frozen=True)
class LabelDraw:
    """One random choice of the labels that arrive later.

    Attributes:
        number: Which choice, from 0.
        repeat: Of the `Draw` whose rows it divides.
        fold: Of the same.
        held_out: The labels that arrive later, sorted.
        seen: Positions of the training rows of all other labels, in the order of the draw.
        examples: For each held-out label the positions of at most `MOST_EXAMPLES` of its training rows; the first k
            are what a way with k examples is handed.
        n_removed: Number of training rows that the held-out labels have in all.
    """

    number: int
    repeat: int
    fold: int
    held_out: tuple[str, ...]
    seen: Positions
    examples: Mapping[str, Positions]
    n_removed: int

    def handed_over(self, per_label: int) -> Positions:
        """Return the positions of the first `per_label` examples of each held-out label, label by label."""
        parts = [self.examples[label][:per_label] for label in self.held_out]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def label_draws(
    design: Design, targets: Sequence[str], tested: Sequence[str], *, share: float, seed: int
) -> tuple[LabelDraw, ...]:
    """Choose the labels to hold out, for every draw anew.

    A label can be held out where it has rows to learn from in every draw, and test rows. The labels are ordered by how
    frequent they are and cut into as many strata as labels are held out; each stratum gives one, so rare labels are
    never held out together more than their share. A stratum gives each of its labels once before any of them twice.

    Args:
        design: How the rows are divided: the folds of its first repeat each get a choice, a hold-out gets up to five.
        targets: Label of each row that draws train on.
        tested: Label of each row that the test positions of the draws refer to.
        share: Share of the labels to hold out, between 0 and 1; at least one label, and at most all but two.
        seed: Decides every choice.

    Raises:
        OptionError: There are too few labels for some to be held out.
    """
    labels = np.asarray(targets, dtype=object).astype(str)
    divisions = [draw for draw in design.draws if draw.repeat == 0]
    # All rows of a draw are the first `n_train` of its order, as for every fit of the study.
    orders = [draw.order[: design.n_train] for draw in divisions]
    every = {str(label) for order in orders for label in labels[order]}
    if len(every) < 3:
        raise OptionError(
            f"--hold-out-labels needs at least three labels: two to begin with, and one that arrives later. "
            f"Found {len(every)}: {', '.join(sorted(every))}. Leave the option out."
        )
    learnt = [set(labels[order].tolist()) for order in orders]
    judged = {str(tested[row]) for draw in divisions for row in draw.test}
    possible = sorted(set.intersection(*learnt) & judged)
    if not possible:
        raise OptionError(
            "--hold-out-labels needs a label with rows to learn from and rows to be tested on; no label has both. "
            "Add rows, or leave the option out."
        )
    wanted = max(1, min(round(share * len(every)), len(every) - 2, len(possible)))
    frequency = {label: int((labels == label).sum()) for label in possible}
    n_draws = design.folds if design.folds > 1 else _DRAWS_OF_A_HOLD_OUT
    chosen = _chosen(frequency, wanted, n_draws, seed)
    if design.folds == 1:
        chosen = list(dict.fromkeys(chosen))  # the same labels and rows once more would tell nothing
        divisions, orders = divisions * len(chosen), orders * len(chosen)
    return tuple(
        _divided(number, draw, order, held_out, labels, seed)
        for number, (draw, order, held_out) in enumerate(zip(divisions, orders, chosen, strict=True))
    )


def _divided(
    number: int, draw: Draw, order: Positions, held_out: tuple[str, ...], labels: NDArray[np.str_], seed: int
) -> LabelDraw:
    own = labels[order]
    rng = np.random.default_rng([seed, number, 1])
    examples = {label: rng.permutation(order[own == label])[:MOST_EXAMPLES] for label in held_out}
    seen = order[~np.isin(own, held_out)]
    return LabelDraw(number, draw.repeat, draw.fold, held_out, seen, examples, len(order) - len(seen))


def _chosen(frequency: Mapping[str, int], wanted: int, n_draws: int, seed: int) -> list[tuple[str, ...]]:
    """Return `n_draws` sets of `wanted` labels, all different as long as there are so many."""
    rng = np.random.default_rng([seed, 0])
    tie = dict(zip(sorted(frequency), rng.permutation(len(frequency)).tolist(), strict=True))
    ordered = sorted(frequency, key=lambda label: (frequency[label], tie[label]))
    # Where more than half is held out, the labels that stay are spread over the frequencies instead.
    stay = len(ordered) - wanted
    fewer = wanted if wanted <= stay else stay
    if fewer == 0:
        return [tuple(sorted(ordered))] * n_draws
    strata = [list(part) for part in np.array_split(np.array(ordered, dtype=object), fewer)]
    found: list[tuple[str, ...]] = []
    for number in range(n_draws):
        for attempt in range(_TRIES):
            one_each = {_turn(stratum, number, (seed, which, attempt)) for which, stratum in enumerate(strata)}
            picked = one_each if fewer == wanted else set(ordered) - one_each
            held_out = tuple(sorted(picked))
            if held_out not in found:
                break
        found.append(held_out)
    return found


def _turn(stratum: Sequence[str], number: int, entropy: tuple[int, ...]) -> str:
    """Return whose turn it is: a new random order of the stratum begins when everybody was taken."""
    order = np.random.default_rng([*entropy, number // len(stratum)]).permutation(len(stratum))
    return stratum[int(order[number % len(stratum)])]


# --- scores ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Answered:
    """What one fit answered on the test rows of one draw.

    Attributes:
        draw: `LabelDraw.number`.
        rows: Shape (n,), ids of the test rows.
        right: Shape (n,), whether the answer was right.
        new: Shape (n,), whether the row's label arrived later.
        groups: Shape (n,), which rows belong together.
    """

    draw: int
    rows: Positions
    right: NDArray[np.bool_]
    new: NDArray[np.bool_]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """A score and how sure it is."""

    score: float
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """By how much one harmonic mean is above another on the same draws and rows."""

    mean: float
    interval: Interval | None

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and 0.0 not in self.interval


@dataclass(frozen=True)
class Taken:
    """How well labels that arrived later were taken in.

    Attributes:
        seen: Share of right answers on rows of the labels that were there before.
        new: The same on rows of the labels that arrived later.
        harmonic_mean: Of both.
        draws: Number of draws behind it; of one draw, the intervals cover test rows only.
    """

    seen: Share
    new: Share
    harmonic_mean: Share
    draws: int


@dataclass(frozen=True, eq=False)
class _Parts:
    """S, N and H, each with every row's part in its error; rows of all draws stand one after the other.

    Attributes:
        scores: The three.
        errors: Of each, shape (rows,).
        groups: Number of groups that each rests on; of H, those of the rarer kind of row.
        draw: Shape (rows,).
        group: Shape (rows,).
    """

    scores: tuple[float, float, float]
    errors: tuple[Array, Array, Array]
    groups: tuple[int, int, int]
    draw: Positions
    group: Positions


def harmonic_mean(seen: float, new: float) -> float:
    """Return 2 S N / (S + N), which is 0 where both are."""
    return 2 * seen * new / (seen + new) if seen + new > 0 else 0.0


def taken_in(answered: Sequence[Answered], metric: Metric, *, overlap: float = 0.0) -> Taken | None:
    """Return the scores of one way with their intervals, or None where no row of one of the two kinds was tested.

    Args:
        answered: One entry per draw.
        metric: The accuracy: tells the range of the scores.
        overlap: Of the fits of different draws: n_test / n_train in k-fold, 0 for a hold-out.
    """
    parts = _parts(answered)
    if parts is None:
        return None
    shares = []
    for score, errors, groups in zip(parts.scores, parts.errors, parts.groups, strict=True):
        variance, freedom = _variance(errors, parts, groups, overlap)
        shares.append(Share(score, score_interval(score, variance, freedom, metric=metric, mistake=1 / groups)))
    seen, new, both = shares
    return Taken(seen, new, both, len(answered))


def difference(
    one: Sequence[Answered], other: Sequence[Answered], *, overlap: float = 0.0, level: float = 0.95
) -> Difference | None:
    """Return by how much the harmonic mean of `one` is above that of `other` on the draws that both have.

    Args:
        one: Answers by draw.
        other: Answers by draw; in a common draw on the same rows.
        overlap: As in `taken_in`.
        level: Coverage of the interval.

    Returns:
        None where nothing is common to them, or no row of one of the two kinds was tested.
    """
    common = {own.draw for own in one} & {own.draw for own in other}
    first, second = (_parts([own for own in both if own.draw in common]) for both in (one, other))
    if first is None or second is None:
        return None
    mean = first.scores[2] - second.scores[2]
    variance, freedom = _variance(first.errors[2] - second.errors[2], first, first.groups[2], overlap)
    if not math.isfinite(variance) or freedom <= 0:
        return Difference(mean, None)
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    return Difference(mean, Interval(max(-1.0, mean - half), min(1.0, mean + half), level))


def _parts(answered: Sequence[Answered]) -> _Parts | None:
    ordered = sorted(answered, key=lambda own: own.draw)
    if not ordered:
        return None
    new = np.concatenate([own.new for own in ordered])
    right = np.concatenate([own.right for own in ordered]).astype(np.float64)
    if new.all() or not new.any():
        return None
    seen_share, new_share = float(right[~new].mean()), float(right[new].mean())
    of_seen = np.where(new, 0.0, right - seen_share) / np.count_nonzero(~new)
    of_new = np.where(new, right - new_share, 0.0) / np.count_nonzero(new)
    total = seen_share + new_share
    # Where nothing at all is right, the mean has no slope, and is 0 whatever rows are drawn.
    by_seen, by_new = (2 * (share / total) ** 2 if total else 0.0 for share in (new_share, seen_share))
    group = np.concatenate([own.groups for own in ordered])
    n_seen, n_new = len(np.unique(group[~new])), len(np.unique(group[new]))
    return _Parts(
        scores=(seen_share, new_share, harmonic_mean(seen_share, new_share)),
        errors=(of_seen, of_new, by_seen * of_seen + by_new * of_new),
        groups=(n_seen, n_new, min(n_seen, n_new)),
        draw=np.concatenate([np.full(len(own.rows), own.draw) for own in ordered]),
        group=group,
    )


def _variance(errors: Array, parts: _Parts, groups: int, overlap: float) -> tuple[float, float]:
    """Return the variance of a sum of errors that are clustered by draw and by group, and its degrees of freedom."""
    if groups < 2:
        return math.nan, 0.0
    draws, which_draw = np.unique(parts.draw, return_inverse=True)
    d, which_group = len(draws), np.unique(parts.group, return_inverse=True)[1]
    by_group = np.bincount(which_group, errors)
    of_groups = groups / (groups - 1) * float(by_group @ by_group)
    if d < 2:
        return of_groups, float(groups - 1)
    by_draw = np.bincount(which_draw, errors)
    by_both = np.bincount(which_draw * len(by_group) + which_group, errors)
    of_draws = d / (d - 1) * (1 + d * overlap) * float(by_draw @ by_draw)
    variance = max(of_groups, of_draws + of_groups - float(by_both @ by_both))
    if variance <= 0.0:
        return 0.0, float(d - 1)
    rest = max(0.0, variance - of_draws)
    return variance, variance**2 / (of_draws**2 / (d - 1) + rest**2 / (groups - 1))
