"""Multinomial logistic regression: the optimum of scikit-learn's `LogisticRegression`, several problems at once.

Minimises ``C * sum_i v_i * -log softmax(W x_i + b)[y_i] + |W|^2 / 2`` (the offsets b are free; with two classes the
penalty is that of the one-score form, as in scikit-learn). Where a row belongs to several classes with shares p_i that
sum to one, what is minimised is the cross-entropy ``sum_i v_i * -sum_c p_ic log softmax(W x_i + b)_c`` in its place.

Two things make it quick. Features are centred and turned into their principal axes, where the Hessian is nearly
diagonal, so that L-BFGS started from that diagonal needs few steps; with fewer rows than dimensions this also
shortens the vectors to the number of rows. And problems that differ only in the weights of the rows (the folds of a
cross-validation) are solved together, because one wide matrix product is quicker than several narrow ones.
Source of L-BFGS: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import TrainingError
from nshot.training.selection import NEVER, clearly_better

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

STRENGTHS = (0.25, 1.0, 4.0, 16.0, 64.0)
"""The values of C that are tried, from strong to weak regularisation."""
USUAL_STRENGTH = 4.0
"""C unless another is clearly better, or where nothing can be held out; for features of length about one."""

_TOO_LARGE = "The features are too large for a regression. Scale them to about one."
_ABSENT = -1e30
_PATH_TOLERANCE = 1e-3
_FINAL_TOLERANCE = 1e-6
_MOST_STEPS = 300
_MEMORY = 6
_MOST_PARAMETERS = 4_000_000
"""Parameters solved for together; more of them leave the processor's caches and fill memory."""


@dataclass(frozen=True)
class Logistic:
    """A fitted model: scores are ``features @ coefficients.T + offsets``.

    Attributes:
        coefficients: Shape (classes, d).
        offsets: Shape (classes,).
        strength: C.
    """

    coefficients: Array
    offsets: Array
    strength: float


@dataclass(frozen=True)
class Selected:
    """A model whose C was chosen on held-out rows.

    Attributes:
        model: Fitted on all rows with the chosen C.
        judged: What `judge` said of the held-out rows for every C that was tried; empty if none could be.
        held: Positions of the rows that were held out once, shape (m,).
        scores: Their scores by models that had not seen them, at the chosen C, shape (m, classes).
    """

    model: Logistic
    judged: dict[float, float]
    held: Array
    scores: Array


def balanced_weights(codes: Array, weights: Array | None = None) -> Array:
    """Return row weights under which every class counts the same; their sum is the number of rows.

    Args:
        codes: The class of each row, shape (n,).
        weights: What a row counts within its class, shape (n,); None: all the same.
    """
    counted = np.ones(len(codes)) if weights is None else np.asarray(weights, dtype=np.float64)
    per_class = np.bincount(codes, weights=counted)
    shared = counted / per_class[codes]
    return np.asarray(shared * (len(codes) / shared.sum()))


def fit(
    features: Any,
    codes: Array,
    n_classes: int,
    strength: float,
    *,
    weights: Array | None = None,
    tolerance: float = _FINAL_TOLERANCE,
    exclusive: bool = True,
) -> Logistic:
    """Return the model for one C.

    Args:
        features: Shape (n, d): dense, or a SciPy CSR matrix. float64 is solved in float64, all else in float32.
        codes: The class of each row, shape (n,); or the share that each class has in it, shape (n, n_classes), rows
            summing to one.
        n_classes: Number of classes; one that has no row gets no probability.
        strength: C: the larger, the weaker the regularisation.
        weights: Row weights v, shape (n,), or None for ones.
        tolerance: Stop when a step can lower the mean loss by no more than this, in nats.
        exclusive: A row is of one class; False: of any number of them, each a regression of its own with the same C,
            and codes say with 1 or 0 which, shape (n, n_classes).

    Raises:
        TrainingError: The features are too large for the arithmetic.
    """
    design = _Design(features)
    kind = _Solver if exclusive else _Independent
    solver = kind(design, codes, n_classes, _rows_weights(codes, weights)[None])
    solver.solve(strength, tolerance)
    return design.in_features(solver, strength)


def select_and_fit(
    features: Any,
    codes: Array,
    n_classes: int,
    *,
    folds: Array,
    judge: Callable[[Array], float],
    weights: Array | None = None,
    strengths: Sequence[float] = STRENGTHS,
    exclusive: bool = True,
) -> Selected:
    """Return the model with the C of `strengths` that does best on held-out rows.

    The path runs from strong to weak regularisation, each C starting from the solution before it, and ends when the
    held-out score falls. `USUAL_STRENGTH` is kept unless another C is `clearly_better`. The final fit starts from the
    mean of the folds' solutions.

    Args:
        features: As in `fit`.
        codes: As in `fit`.
        n_classes: As in `fit`.
        folds: From `selection.inner_folds`.
        judge: ``judge(scores)`` of the held-out rows in their order, higher is better.
        weights: As in `fit`.
        strengths: Increasing; with one value nothing is selected, but held-out scores are still returned.
        exclusive: As in `fit`.

    Raises:
        TrainingError: As in `fit`.
    """
    rows_weights = _rows_weights(codes, weights)
    held = np.flatnonzero(folds != NEVER)
    design = _Design(features)
    kind = _Solver if exclusive else _Independent
    if not len(held):
        strength = strengths[0] if len(strengths) == 1 else USUAL_STRENGTH
        final = kind(design, codes, n_classes, rows_weights[None])
        final.solve(strength, _FINAL_TOLERANCE)
        return Selected(design.in_features(final, strength), {}, held, np.zeros((0, n_classes)))
    n_folds = int(folds.max()) + 1
    per_fold = np.stack([np.where(folds == fold, 0.0, rows_weights) for fold in range(n_folds)])
    at_once = max(1, _MOST_PARAMETERS // (design.axes.shape[1] * n_classes))
    solvers = [kind(design, codes, n_classes, per_fold[i : i + at_once]) for i in range(0, n_folds, at_once)]
    path: dict[float, tuple[float, Array, Array]] = {}
    for strength in strengths:
        for solver in solvers:
            solver.solve(strength, _PATH_TOLERANCE)
        scores = np.concatenate([solver.scores for solver in solvers], axis=1)[held, folds[held]].astype(np.float64)
        mean = np.concatenate([solver.parameters for solver in solvers], axis=1).mean(axis=1, keepdims=True)
        judged = judge(scores)
        best_before = max((score for score, _, _ in path.values()), default=judged)
        path[strength] = (judged, mean, scores)
        if judged < best_before:
            break
    strength = max(path, key=lambda c: (path[c][0], -abs(np.log(c / USUAL_STRENGTH))))
    if USUAL_STRENGTH in path and not clearly_better(path[strength][0], path[USUAL_STRENGTH][0], len(held)):
        strength = USUAL_STRENGTH
    _, mean, scores = path[strength]
    final = kind(design, codes, n_classes, rows_weights[None], start=mean)
    final.solve(strength, _FINAL_TOLERANCE)
    model = design.in_features(final, strength)
    return Selected(model, {c: judged for c, (judged, _, _) in path.items()}, held, scores)


def _rows_weights(codes: Array, weights: Array | None) -> Array:
    return np.ones(len(codes)) if weights is None else np.asarray(weights, dtype=np.float64)


class _Design:
    """The features in the coordinates that are solved in, with a last column of ones for the offsets.

    Dense features are centred (the offsets take that up, so the optimum is the same) and turned into their principal
    axes; sparse ones stay as they are.
    """

    def __init__(self, features: Any) -> None:
        kind = np.float64 if features.dtype == np.float64 else np.float32
        n = features.shape[0]
        self.axes: Any
        self.squares: Any
        self._axes: Array | None = None
        self._centre: Array | None = None
        if isinstance(features, np.ndarray):
            centre = features.mean(axis=0, dtype=np.float64)
            centred = (features - centre).astype(kind)
            with np.errstate(over="ignore"):
                if not np.isfinite(np.square(centred).sum()):
                    raise TrainingError(_TOO_LARGE)
            turn = principal_axes(centred)
            self.axes = np.ones((n, turn.shape[1] + 1), dtype=kind)
            self.axes[:, :-1] = centred @ turn
            self.squares = np.square(self.axes)
            self._axes, self._centre = turn, centre
        else:
            from scipy.sparse import hstack

            self.axes = hstack([features.astype(kind), np.ones((n, 1), dtype=kind)], format="csr", dtype=kind)
            self.squares = self.axes.multiply(self.axes).tocsr()

    def in_features(self, solver: _Solver, strength: float) -> Logistic:
        """Return the first problem's solution as a model of the features."""
        parameters = solver.parameters[:, 0]
        if not np.isfinite(parameters).all():
            raise TrainingError(_TOO_LARGE)
        coefficients, offsets = (
            parameters[:-1].T.astype(np.float64),
            (parameters[-1] + solver.absent[0]).astype(np.float64),
        )
        if self._axes is not None and self._centre is not None:
            coefficients = coefficients @ self._axes.T.astype(np.float64)
            offsets = offsets - coefficients @ self._centre
        return Logistic(coefficients, offsets, strength)


def principal_axes(centred: Array) -> Array:
    """Return orthonormal columns that span the rows, shape (d, r), with r at most the smaller side."""
    n, d = centred.shape
    wide = centred.astype(np.float64) if centred.dtype == np.float64 else centred
    if n <= d:
        sizes, left = np.linalg.eigh((wide @ wide.T).astype(np.float64))
    else:
        sizes, right = np.linalg.eigh((wide.T @ wide).astype(np.float64))
    floor = sizes[-1] * (1e-12 if centred.dtype == np.float64 else 1e-6) if len(sizes) else 0.0
    keep = sizes > max(floor, 0.0)
    axes = (wide.T @ (left[:, keep] / np.sqrt(sizes[keep]))) if n <= d else right[:, keep]
    return np.ascontiguousarray(axes, dtype=centred.dtype)


class _Solver:
    """P problems on the same rows that differ in the rows' weights; keeps its solution for the next C.

    Arrays of parameters have the shape (columns, P, classes), those of scores (n, P, classes).
    """

    def __init__(
        self, design: _Design, codes: Array, n_classes: int, weights: Array, start: Array | None = None
    ) -> None:
        kind = design.axes.dtype
        self._design = design
        self._codes = codes if codes.ndim == 1 else codes.astype(kind)
        self._rows = np.arange(len(codes))
        self._weights = np.ascontiguousarray(weights.T, dtype=kind)
        shape = (design.axes.shape[1], len(weights), n_classes)
        self._penalty = np.ones((shape[0], 1, 1), dtype=kind)
        self._penalty[-1] = 0
        present = np.zeros(shape[1:], dtype=bool)
        for problem, of_rows in enumerate(weights):
            learnt = codes[of_rows > 0]
            present[problem, learnt if codes.ndim == 1 else (learnt > 0).any(axis=0)] = True
        # Without a row a class's offset would run to minus infinity; its score is put there and its parameters rest.
        self.absent = np.where(present, 0, _ABSENT).astype(kind)
        self._two_classes = n_classes == 2
        self.parameters: Array = np.zeros(shape, dtype=kind) if start is None else start.astype(kind)
        self.scores: Array = self._product(self.parameters) + self.absent

    def _product(self, parameters: Array) -> Array:
        flat = self._design.axes @ parameters.reshape(len(parameters), -1)
        return np.asarray(flat).reshape(len(self._codes), *parameters.shape[1:])

    def _backwards(self, matrix: Any, residuals: Array) -> Array:
        flat = matrix.T @ residuals.reshape(len(residuals), -1)
        return np.asarray(flat).reshape(-1, *residuals.shape[1:])

    def _outcome(self, scores: Array, parameters: Array, strength: float) -> tuple[Array, Array]:
        """Return the probabilities, and the objective of each problem in float64."""
        top = scores.max(axis=-1, keepdims=True)
        probabilities = np.exp(scores - top)
        total = probabilities.sum(axis=-1, keepdims=True)
        probabilities /= total
        true = self._of_the_true(scores) - top[..., 0] - np.log(total[..., 0])
        # A held-out row of a class that its problem has not seen is infinitely surprising; it weighs nothing.
        losses = np.where(self._weights > 0, self._weights * true, 0).sum(axis=0, dtype=np.float64)
        sizes = np.square(parameters[:-1]).sum(axis=(0, 2), dtype=np.float64)
        return probabilities, 0.5 * sizes - strength * losses

    def _of_the_true(self, scores: Array) -> Array:
        """Return the score of each row's class, or of its classes by their shares, shape (n, P)."""
        if self._codes.ndim == 1:
            return np.asarray(scores[self._rows, :, self._codes])
        return np.asarray(np.einsum("npk,nk->np", scores, self._codes))

    def _gradient(self, probabilities: Array, parameters: Array, strength: float) -> Array:
        """Return the gradient; `probabilities` is used up."""
        if self._codes.ndim == 1:
            probabilities[self._rows, :, self._codes] -= 1
        else:
            probabilities -= self._codes[:, None, :]
        probabilities *= self._weights[:, :, None] * strength
        return np.asarray(self._backwards(self._design.axes, probabilities) + self._penalty * parameters)

    def solve(self, c: float, tolerance: float) -> None:
        """Move to the optimum for C = `c`."""
        kind = self.parameters.dtype
        # |w|^2 / 2 of one score w = w1 - w0 is, with w0 = -w1, half of (|w0|^2 + |w1|^2): the same as C / 2.
        strength = kind.type(c / 2 if self._two_classes else c)
        total = float(strength) * self._weights.sum(axis=0, dtype=np.float64)
        probabilities, objective = self._outcome(self.scores, self.parameters, strength)
        spread = probabilities * (1 - probabilities) * self._weights[:, :, None]
        curvature = self._backwards(self._design.squares, spread) * strength + self._penalty
        curvature += kind.type(1e-6) * total.astype(kind)[None, :, None]
        gradient = self._gradient(probabilities, self.parameters, strength)
        history: list[tuple[Array, Array, Array]] = []
        for _ in range(_MOST_STEPS):
            direction = _two_loops(gradient, curvature, history)
            slope = _dot(gradient, direction)
            going = -slope / 2 > tolerance * total
            if not going.any():
                break
            moved = self._product(direction)
            length = np.where(going, 1.0, 0.0)
            for _ in range(20):
                step = length.astype(kind)[None, :, None]
                scores, parameters = self.scores + step * moved, self.parameters + step * direction
                probabilities, reached = self._outcome(scores, parameters, strength)
                # The last term is the rounding of the objective itself.
                slack = np.finfo(kind).eps * np.abs(objective)
                short = ~(reached <= objective + 1e-4 * length * slope + slack)
                if not short.any():
                    break
                length = np.where(short, length / 2, length)
            if short[going].all():
                break
            new_gradient = self._gradient(probabilities, parameters, strength)
            change, bend = parameters - self.parameters, new_gradient - gradient
            product = _dot(change, bend)
            usable = product > np.finfo(kind).tiny
            history.append((change, bend, np.where(usable, 1 / np.where(usable, product, 1), 0).astype(kind)))
            del history[:-_MEMORY]
            self.parameters, self.scores, gradient, objective = parameters, scores, new_gradient, reached


class _Independent(_Solver):
    """Problems in which every class is a regression of its own: a row may be of several, or of none."""

    def __init__(
        self, design: _Design, codes: Array, n_classes: int, weights: Array, start: Array | None = None
    ) -> None:
        super().__init__(design, codes, n_classes, weights, start)
        self._two_classes = False

    def _outcome(self, scores: Array, parameters: Array, strength: float) -> tuple[Array, Array]:
        """Return the probabilities, and the objective of each problem in float64."""
        with np.errstate(over="ignore"):
            probabilities = 1 / (1 + np.exp(-scores))
        # -log p = log(1 + exp(-s)), written so that no exponent is positive.
        surprises = np.maximum(scores, 0) - scores * self._codes[:, None, :] + np.log1p(np.exp(-np.abs(scores)))
        of_rows = np.where(self._weights > 0, self._weights * surprises.sum(axis=-1), 0)
        sizes = np.square(parameters[:-1]).sum(axis=(0, 2), dtype=np.float64)
        return probabilities, 0.5 * sizes + strength * of_rows.sum(axis=0, dtype=np.float64)


def _dot(left: Array, right: Array) -> Array:
    """Return the inner product of each problem's parameters, float64, shape (P,)."""
    return np.asarray(np.einsum("jpk,jpk->p", left, right).astype(np.float64))


def _two_loops(gradient: Array, curvature: Array, history: list[tuple[Array, Array, Array]]) -> Array:
    """Return the descent direction: minus the approximate inverse Hessian times the gradient."""
    direction = gradient.copy()
    shares = []
    for change, bend, inverse in reversed(history):
        share = (inverse * _dot(change, direction)).astype(gradient.dtype)[None, :, None]
        direction -= share * bend
        shares.append(share)
    direction /= curvature
    for (change, bend, inverse), share in zip(history, reversed(shares), strict=True):
        direction += (share - (inverse * _dot(bend, direction)).astype(gradient.dtype)[None, :, None]) * change
    return np.asarray(-direction)
