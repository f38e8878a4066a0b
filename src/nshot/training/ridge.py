"""Ridge regression on given features: what the probe and the word-count baseline share where targets are numbers.

Minimises ``C * sum_i (z_i - w x_i - b)^2 + |w|^2`` over w and b for targets z of unit spread; C is chosen inside the
labels that the fit was given, by the objective that the protocol hands in. In the eigenvectors of the covariance the
solution for every C is a division (Hoerl and Kennard 1970, section 4), so that trying them all costs one
decomposition; with fewer rows than dimensions the vectors are first shortened to the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import Prediction, State, Task, TrainingError
from nshot.training import selection
from nshot.training.logistic import principal_axes
from nshot.training.rowwise import products
from nshot.training.values import Scale

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

STRENGTHS = tuple(4.0**k for k in range(-4, 9))
"""The values of C that are tried, from strong to weak regularisation, for features of unit spread."""
USUAL_STRENGTH = 1.0
"""C where nothing can be held out."""

_TOO_LARGE = "The features are too large for a regression. Scale them to about one."
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ValueHead:
    """A number on the common scale of the targets: ``features @ coefficients + offset``.

    Attributes:
        scale: Of the targets.
        coefficients: Shape (d,), float32.
        offset: On the common scale.
        chosen: Json-able: what was chosen, and what it was chosen by.
    """

    scale: Scale
    coefficients: Array
    offset: float
    chosen: dict[str, Any]

    def answers(self, task: Task, features: Any) -> Prediction:
        """Return the answers for features of shape (n, d), dense or SciPy CSR."""
        found = products(features, self.coefficients[None], np.array([self.offset]))
        return self.scale.answers(found[:, 0])

    def state(self) -> State:
        """Return the head as settings and tensors."""
        settings = {"scale": self.scale.as_json(), "offset": self.offset, "chosen": self.chosen}
        return State(settings, {"coefficients": self.coefficients})

    @classmethod
    def restore(cls, state: State) -> ValueHead:
        """Return the head whose `state` was saved."""
        settings = state.settings
        return cls(
            Scale.from_json(settings["scale"]),
            state.tensors["coefficients"],
            settings["offset"],
            dict(settings["chosen"]),
        )


def fit_head(
    features: Any,
    targets: Sequence[Any],
    *,
    feature_scale: float,
    objective: Callable[[Sequence[Any], Prediction], float],
    groups: Sequence[Hashable] | None = None,
    strength: float | None = None,
) -> ValueHead:
    """Return a head fitted to n rows.

    Args:
        features: Shape (n, d): dense float32, or a SciPy CSR matrix.
        targets: n numbers.
        feature_scale: Factor that brings the features to unit spread.
        objective: As in `FitContext`.
        groups: n group keys, or None; a group is never on both sides of an inner split.
        strength: C, or None to choose it.

    Raises:
        DataError: A target is no finite number.
        TrainingError: The features are too large for the arithmetic.
    """
    scale = Scale.of(targets)
    standard = scale.standard(targets)
    design = _Dense(features * feature_scale) if isinstance(features, np.ndarray) else _Sparse(features * feature_scale)
    strengths = STRENGTHS if strength is None else (strength,)
    folds = selection.value_folds(len(targets), groups)
    held = np.flatnonzero(folds != selection.NEVER)
    judged: dict[float, float] = {}
    if len(held):
        found = np.zeros((len(strengths), len(targets)))
        for fold in range(int(folds.max()) + 1):
            out = np.flatnonzero(folds == fold)
            found[:, out] = design.held_out(np.flatnonzero(folds != fold), out, standard, strengths)
        true = [targets[row] for row in held.tolist()]
        scores = [objective(true, scale.answers(answers[held])) for answers in found]
        judged = dict(zip(strengths, scores, strict=True))
    best = selection.best_of(judged, USUAL_STRENGTH if strength is None else strength)
    coefficients, offset = design.solution(standard, best)
    if not np.isfinite(coefficients).all():
        raise TrainingError(_TOO_LARGE)
    chosen = {
        "strength": best,
        "held_out": len(held),
        "judged": {f"{c:g}": round(score, 6) for c, score in judged.items() if np.isfinite(score)},
    }
    return ValueHead(scale, (coefficients * feature_scale).astype(np.float32), offset, chosen)


def fit(features: Array, standard: Array, strength: float) -> tuple[Array, float]:
    """Return coefficients, float64, shape (d,), and offset for one C.

    Args:
        features: Shape (n, d), dense.
        standard: Targets, shape (n,).
        strength: C: the larger, the weaker the regularisation.

    Raises:
        TrainingError: The features are too large for the arithmetic.
    """
    return _Dense(features).solution(np.asarray(standard, dtype=np.float64), strength)


class _Dense:
    """Dense features in their principal axes."""

    def __init__(self, features: Array) -> None:
        wide = features.astype(np.float64)
        self._centre = wide.mean(axis=0)
        wide -= self._centre
        with np.errstate(over="ignore"):
            if not np.isfinite(np.square(wide).sum()):
                raise TrainingError(_TOO_LARGE)
        self._turn = principal_axes(wide)
        self._axes = wide @ self._turn

    def held_out(self, rows: Array, out: Array, standard: Array, strengths: Sequence[float]) -> Array:
        """Return what models fitted to `rows` answer for the rows `out`, shape (strengths, out)."""
        part = self._axes[rows]
        centre, mean = part.mean(axis=0), standard[rows].mean()
        part -= centre
        sizes, vectors, along = _decomposed(part, standard[rows] - mean)
        weights = along / (sizes + 1 / np.asarray(strengths)[:, None])
        return np.asarray(weights @ ((self._axes[out] - centre) @ vectors).T + mean)

    def solution(self, standard: Array, strength: float) -> tuple[Array, float]:
        """Return coefficients, shape (d,), and offset of the model fitted to all rows."""
        mean = standard.mean()
        sizes, vectors, along = _decomposed(self._axes, standard - mean)
        coefficients = self._turn @ (vectors @ (along / (sizes + 1 / strength)))
        return coefficients, float(mean - coefficients @ self._centre)


def _decomposed(centred: Array, standard: Array) -> tuple[Array, Array, Array]:
    """Return eigenvalues and eigenvectors of ``X^T X``, and ``X^T z`` along the eigenvectors."""
    sizes, vectors = np.linalg.eigh(centred.T @ centred)
    return np.maximum(sizes, 0.0), vectors, vectors.T @ (centred.T @ standard)


class _Sparse:
    """Sparse features as they are."""

    def __init__(self, features: Any) -> None:
        self._features = features.astype(np.float64)

    def held_out(self, rows: Array, out: Array, standard: Array, strengths: Sequence[float]) -> Array:
        """Return what models fitted to `rows` answer for the rows `out`, shape (strengths, out)."""
        solved = [self._solved(self._features[rows], standard[rows], strength) for strength in strengths]
        return np.array([self._features[out] @ coefficients + offset for coefficients, offset in solved])

    def solution(self, standard: Array, strength: float) -> tuple[Array, float]:
        """Return coefficients, shape (d,), and offset of the model fitted to all rows."""
        return self._solved(self._features, standard, strength)

    def _solved(self, features: Any, standard: Array, strength: float) -> tuple[Array, float]:
        from sklearn.linear_model import Ridge

        found = Ridge(1 / strength, solver="sparse_cg", tol=_TOLERANCE).fit(features, standard)
        return np.asarray(found.coef_), float(found.intercept_)
