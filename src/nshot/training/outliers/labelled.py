"""Scores that learn from a few labelled anomalies as well as from the unlabelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nshot.training import logistic
from nshot.training.outliers.columns import TailProbabilities
from nshot.training.outliers.detector import Detector
from nshot.training.outliers.directions import MahalanobisDistance
from nshot.training.outliers.forest import Forest
from nshot.training.outliers.neighbours import Search
from nshot.training.outliers.scaling import Scaling
from nshot.training.rowwise import products

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_MARGIN = 0.1
"""Added to both distances, as a share of the usual one: twice the same row must not decide everything."""
_FURTHEST = 8.0
"""Spreads from the centre at which a value is cut for the regression."""


@dataclass(frozen=True)
class LabelledDistance(Detector):
    """How much nearer a row lies to a labelled anomaly than to the pool.

    ``log (|x - u_(k)| + m) - log (|x - a_(1)| + m)`` with u_(k) the k-th nearest row of the pool, a_(1) the nearest
    labelled anomaly, and m a tenth of the usual distance of a row of the pool to its own k-th nearest other.

    Attributes:
        kept: The rows of the pool, shape (kept, width), float32.
        anomalies: The labelled anomalies, shape (n, width), float32.
        margin: m, float64, shape ().
        k: int64, shape ().
    """

    kept: Array
    anomalies: Array
    margin: Array
    k: Array

    @classmethod
    def of(cls, vectors: Array, anomalies: Array, k: int) -> LabelledDistance:
        """Return what is learnt from the pool, shape (rows, width), and labelled anomalies, shape (n, width)."""
        usual = np.median(Search(vectors).nearest_others(k).distances[:, -1]) if len(vectors) > 1 else 1.0
        margin = max(_MARGIN * float(usual), np.finfo(np.float32).tiny)
        return cls(vectors, anomalies, np.array(margin), np.array(k))

    def scores(self, vectors: Array) -> Array:
        """Return the differences of the logarithms; see `Detector.scores`."""
        return self.compared(Search(self.kept).nearest(vectors, int(self.k)).distances[:, -1], vectors)

    def compared(self, usual: Array, vectors: Array) -> Array:
        """Return the scores of vectors whose distance to the pool is known, shape (n,)."""
        near = Search(self.anomalies).nearest(vectors, 1).distances[:, 0]
        return np.asarray(np.log(usual + self.margin) - np.log(near + self.margin))


@dataclass(frozen=True)
class OutlierProbe(Detector):
    """A regression on the columns and on what detectors make of them, and the nearness to labelled anomalies.

    Attributes:
        forest: An isolation forest.
        tails: How far out in the tails of its columns a row lies.
        gaussian: The Mahalanobis distance.
        near: Distances to the pool and to the labelled anomalies.
        references: For each of the four scores those of the pool's rows, ascending, float32, shape (4, rows).
        centre: Of the columns, shape (width,), float64.
        spread: Shape (width,), float64.
        coefficients: Of columns and surprises, shape (1, width + 4), float32.
        means: Of the regression and of the nearness over the pool, shape (2,), float64.
        spreads: Likewise.
    """

    forest: Forest
    tails: TailProbabilities
    gaussian: MahalanobisDistance
    near: LabelledDistance
    references: Array
    centre: Array
    spread: Array
    coefficients: Array
    means: Array
    spreads: Array

    @classmethod
    def of(cls, vectors: Array, anomalies: Array, *, k: int, strength: float, forest: Forest) -> OutlierProbe:
        """Return what is learnt from the pool, shape (rows, width), and labelled anomalies, shape (n, width).

        Args:
            vectors: The pool.
            anomalies: The labelled anomalies.
            k: Which nearest row of the pool counts.
            strength: C of the regression, for a weight of one of all rows together.
            forest: Grown on the pool.
        """
        tails, gaussian = TailProbabilities.of(vectors), MahalanobisDistance.of(vectors)
        near = LabelledDistance.of(vectors, anomalies, k)
        # What the regression is shown of the pool must be what it will be shown of new rows: not how near a row is to
        # itself.
        others = Search(vectors).nearest_others(k).distances[:, -1] if len(vectors) > 1 else np.ones(1)
        own = np.stack([forest.scores(vectors), others, tails.scores(vectors), gaussian.scores(vectors)])
        scaling = Scaling.of(vectors)
        width = vectors.shape[1]
        learnt = cls(
            forest,
            tails,
            gaussian,
            near,
            np.sort(own, axis=1).astype(np.float32),
            scaling.centre,
            scaling.spread,
            np.zeros((1, width + len(own)), dtype=np.float32),
            np.zeros(2),
            np.ones(2),
        )
        inputs = np.concatenate(
            [learnt._inputs(anomalies, learnt._strangeness(anomalies)), learnt._inputs(vectors, own)]
        )
        codes = np.repeat([1, 0], [len(anomalies), len(vectors)])
        model = logistic.fit(inputs, codes, 2, strength / len(codes), weights=logistic.balanced_weights(codes))
        coefficients = (model.coefficients[1:] - model.coefficients[:1]).astype(np.float32)
        both = np.stack(
            [products(inputs[len(anomalies) :], coefficients)[:, 0], near.compared(others, vectors)]
        ).astype(np.float64)
        spreads = both.std(axis=1)
        means, spreads = both.mean(axis=1), np.where(spreads > 0, spreads, 1.0)
        values = {**vars(learnt), "coefficients": coefficients, "means": means, "spreads": spreads}
        return cls(**values)

    def scores(self, vectors: Array) -> Array:
        """Return the sum of both parts, each brought to spread 1 over the pool; see `Detector.scores`."""
        own = self._strangeness(vectors)
        regression = products(self._inputs(vectors, own), self.coefficients)[:, 0].astype(np.float64)
        both = np.stack([regression, self.near.compared(own[1], vectors)])
        return np.asarray(((both - self.means[:, None]) / self.spreads[:, None]).sum(axis=0))

    def _strangeness(self, vectors: Array) -> Array:
        """Return the scores of the four detectors, shape (4, n)."""
        usual = Search(self.near.kept).nearest(vectors, int(self.near.k)).distances[:, -1]
        return np.stack([self.forest.scores(vectors), usual, self.tails.scores(vectors), self.gaussian.scores(vectors)])

    def _inputs(self, vectors: Array, own: Array) -> Array:
        """Return what the regression reads: columns and surprises, each block of length about one."""
        columns = np.clip(Scaling(self.centre, self.spread).applied(vectors), -_FURTHEST, _FURTHEST)
        surprises = np.stack([_surprise(*pair) for pair in zip(self.references, own, strict=True)], axis=1)
        return np.hstack([columns / np.sqrt(columns.shape[1]), surprises / np.sqrt(surprises.shape[1])])

    def tensors(self) -> dict[str, Array]:
        """Return everything that was learnt; of a detector in it under ``its name.name``."""
        found: dict[str, Array] = {}
        for name, value in vars(self).items():
            if isinstance(value, Detector):
                found |= {f"{name}.{inner}": array for inner, array in value.tensors().items()}
            else:
                found[name] = np.asarray(value, order="C")
        return found

    @classmethod
    def restored(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the detector whose `tensors` these are."""
        whole = {name: array for name, array in tensors.items() if "." not in name}

        def part(name: str) -> dict[str, Array]:
            return {
                inner.removeprefix(f"{name}."): array
                for inner, array in tensors.items()
                if inner.startswith(f"{name}.")
            }

        return cls(
            forest=Forest.restored(part("forest")),
            tails=TailProbabilities.restored(part("tails")),
            gaussian=MahalanobisDistance.restored(part("gaussian")),
            near=LabelledDistance.restored(part("near")),
            **whole,
        )


def _surprise(reference: Array, scores: Array) -> Array:
    """Return ``-log`` of the share of the pool that is stranger, half of the equally strange among it, float64."""
    rounded, n = scores.astype(np.float32), len(reference)
    below, up_to = np.searchsorted(reference, rounded, "left"), np.searchsorted(reference, rounded, "right")
    return np.asarray(-np.log(np.maximum(1 - (below + up_to) / (2.0 * n), 0.5 / n)))
