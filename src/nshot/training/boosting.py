"""Gradient boosting with LightGBM: growing trees round by round, and the trees as arrays.

Of every feature a split tries one threshold drawn at random (Geurts et al. 2006, Extremely randomized trees). On five
tables at 24, 100 and 400 rows that gave 1.5 to 4 points more accuracy and 3 points more macro F1 than the best
threshold, 0.005 to 0.05 more R2 on two regressions, and was no slower; drawing rows or columns at random gave less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.training.selection import NEVER
from nshot.training.trees import Trees

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_WIDE = 500
"""With more features than this, a tree looks at this many of them, drawn at random."""


@dataclass(frozen=True)
class Growing:
    """How trees are grown.

    Attributes:
        loss: LightGBM's name of what is minimised: ``binary``, ``multiclass``, ``regression``, ``regression_l1``.
        outputs: Numbers that the trees answer with: of classes their number, but 1 of two; 1 of a value.
        leaves: Most leaves of a tree.
        fewest_rows: Fewest rows in a leaf.
        learning_rate: Factor on what a tree adds.
        seed: Decides which thresholds are tried, and of very many features which ones.
        threads: Processor threads.
    """

    loss: str
    outputs: int
    leaves: int
    fewest_rows: int
    learning_rate: float
    seed: int
    threads: int

    def parameters(self, width: int) -> dict[str, Any]:
        """Return LightGBM's parameters for rows of `width` features."""
        several = {"num_class": self.outputs} if self.outputs > 1 else {}
        return {
            "objective": self.loss,
            **several,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.fewest_rows,
            "learning_rate": self.learning_rate,
            "feature_fraction": min(1.0, _WIDE / width),
            "enable_bundle": width <= _WIDE,  # to look for columns that never meet takes longer than it saves there
            "extra_trees": True,
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class Learnt:
    """What trees are grown on.

    Attributes:
        rows: Shape (n, d), float32.
        targets: Numbers of classes, or values on the common scale, shape (n,).
        weights: What each row counts, shape (n,); None: all the same.
    """

    rows: Array
    targets: Array
    weights: Array | None = None

    def part(self, kept: Array) -> Learnt:
        """Return some of the rows."""
        weights = None if self.weights is None else self.weights[kept]
        return Learnt(self.rows[kept], self.targets[kept], weights)


class Ensemble:
    """Trees that are being grown.

    Args:
        growing: How.
        data: On what.
    """

    def __init__(self, growing: Growing, data: Learnt) -> None:
        import lightgbm

        parameters = growing.parameters(data.rows.shape[1])
        rows = lightgbm.Dataset(data.rows, data.targets, weight=data.weights, params=parameters)
        self._booster = lightgbm.Booster(parameters, rows)
        self._outputs = growing.outputs
        self._threads = growing.threads
        self.rounds = 0

    def grow_to(self, rounds: int) -> None:
        """Grow until there were so many rounds; where no split helps any more the trees stay as they are."""
        while self.rounds < rounds:
            self._booster.update()
            self.rounds += 1

    def said_since(self, rounds: int, rows: Array) -> Array:
        """Return what the rounds after the first `rounds` add for these rows, float64, shape (n, outputs)."""
        if self._booster.current_iteration() <= rounds:
            return np.zeros((len(rows), self._outputs))
        found = self._booster.predict(
            rows, raw_score=True, start_iteration=rounds, num_iteration=-1, num_threads=self._threads
        )
        return np.asarray(found).reshape(len(rows), self._outputs)

    def trees(self) -> Trees:
        """Return the trees as arrays."""
        return _as_arrays(self._booster.model_to_string(num_iteration=-1), self._outputs)


@dataclass(frozen=True)
class Look:
    """What held-out rows are told by the trees of one way of growing after some rounds.

    Attributes:
        growing: How the trees were grown.
        rounds: How many rounds.
        score: What `judge` says.
        scores: Of the held-out rows, float64, shape (m, outputs).
    """

    growing: Growing
    rounds: int
    score: float
    scores: Array


def looks(
    ways: Sequence[Growing], data: Learnt, folds: Array, rounds: Sequence[int], judge: Callable[[Array], float]
) -> list[Look]:
    """Return what held-out rows are told along the way, for every way of growing.

    A way is left when the last two looks were no better than one before them.

    Args:
        ways: How trees may be grown.
        data: n rows.
        folds: From `selection`.
        rounds: After how many rounds to look, increasing.
        judge: ``judge(scores)`` of the held-out rows in their order, higher is better.

    Returns:
        Nothing where no row is held out.
    """
    held = np.flatnonzero(folds != NEVER)
    parts = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)] if len(held) else []
    found: list[Look] = []
    for growing in ways if parts else ():
        ensembles = [Ensemble(growing, data.part(np.flatnonzero(folds != fold))) for fold in range(len(parts))]
        scores = np.zeros((len(folds), growing.outputs))
        seen: list[float] = []
        for after in rounds:
            for out, ensemble in zip(parts, ensembles, strict=True):
                before = ensemble.rounds
                ensemble.grow_to(after)
                scores[out] += ensemble.said_since(before, data.rows[out])
            seen.append(judge(scores[held]))
            found.append(Look(growing, after, seen[-1], scores[held]))
            if len(seen) > 2 and max(seen[-2:]) <= max(seen[:-2]):
                break
    return found


def grown(growing: Growing, data: Learnt, rounds: int) -> Trees:
    """Return the trees of so many rounds."""
    ensemble = Ensemble(growing, data)
    ensemble.grow_to(rounds)
    return ensemble.trees()


def _as_arrays(text: str, outputs: int) -> Trees:
    """Return the trees of a model in LightGBM's text format, which this process has just written."""
    roots, parts, n = [], [], 0
    for tree in _sections(text):
        leaves = int(tree["num_leaves"])
        inner = leaves - 1
        # A negative child is leaf -1 - child; leaves follow the inner nodes here.
        children = np.array([_numbers(tree, name, inner) for name in ("left_child", "right_child")]).T.astype(np.int64)
        children = np.where(children < 0, inner - 1 - children, children).reshape(inner, 2)
        own = np.repeat(np.arange(inner, inner + leaves)[:, None], 2, axis=1)
        parts.append(
            (
                np.concatenate([_numbers(tree, "split_feature", inner), np.zeros(leaves)]),
                np.concatenate([_numbers(tree, "threshold", inner), np.zeros(leaves)]),
                np.concatenate([children, own]) + n,
                np.concatenate([np.zeros(inner), _numbers(tree, "leaf_value", leaves)]),
            )
        )
        roots.append(n)
        n += inner + leaves
    features, thresholds, children, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Trees(
        np.array(roots, dtype=np.int32),
        features.astype(np.int32),
        thresholds,
        children.astype(np.int32),
        values,
        outputs,
    )


def _sections(text: str) -> Iterator[dict[str, str]]:
    """Yield the entries of each tree."""
    trees = text.partition("end of trees")[0].split("\nTree=")[1:]
    for tree in trees:
        yield dict(line.split("=", 1) for line in tree.split("\n")[1:] if "=" in line)


def _numbers(tree: dict[str, str], name: str, count: int) -> Array:
    return np.array(tree[name].split(), dtype=np.float64) if count else np.zeros(0)
