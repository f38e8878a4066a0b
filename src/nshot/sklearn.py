"""nshot's methods as scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_is_fitted, validate_data

from nshot import metrics
from nshot.backbones import DEFAULT, open_backbone
from nshot.backbones.precision import available_threads
from nshot.backbones.rows import NumberRows
from nshot.core import Backbone, BackboneRef, Computes, Dataset, FitContext, Prediction, Predictor, Task, TaskKind
from nshot.methods import build
from nshot.spec import Method


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What the estimators share: how examples are read, a method is fitted, and its predictor travels in a pickle."""

    method: str
    options: Mapping[str, Any] | None
    backbone: str
    metric: str
    random_state: Any
    n_jobs: int | None

    def _read(self, X: Any, y: Any, *, numbers: bool) -> tuple[Sequence[Any], Any, bool]:
        """Return n examples, n targets, and whether the examples are texts.

        Args:
            X: n texts, or numbers of shape (n, features).
            y: n targets.
            numbers: Whether targets have to be numbers.
        """
        texts = _as_texts(X)
        if texts is None:
            X, y = validate_data(self, X, y, y_numeric=numbers)
            return X, y, False
        y = _check_y(y, multi_output=False, y_numeric=numbers, estimator=self)
        if len(texts) != len(y):
            raise ValueError(f"Found {len(texts)} texts and {len(y)} targets; expected as many of each.")
        return texts, y, True

    def _learn(self, task: Task, examples: Sequence[Any], targets: Sequence[Any], *, are_texts: bool) -> None:
        """Fit the method."""
        method = build(self.method, self.options)
        self._task = task
        self._fitted_on_texts = are_texts
        self._width = None if are_texts else np.shape(examples)[1]
        train = Dataset(examples, "text" if are_texts else "row", targets=targets)
        backbone = self._backbone(method)
        computes = backbone if isinstance(backbone, Computes) else None
        metric = metrics.get(self.metric)
        sign = 1.0 if metric.higher_is_better else -1.0

        def objective(targets: Sequence[Any], prediction: Prediction) -> float:
            return sign * metric.aggregate(metric.statistics(targets, prediction, task))

        context = FitContext(
            objective=objective,
            seed=_seed(self.random_state),
            device=computes.device if computes else "cpu",
            precision=computes.precision if computes else "fp32",
            threads=self.n_jobs or available_threads(),
            open=open_backbone,
        )
        predictor = method.fit(task, train, train.without_targets(), backbone, context)
        self._state = predictor.state()
        self._restored: Predictor | None = predictor

    def _answer(self, X: Any) -> Prediction:
        check_is_fitted(self)
        texts = _as_texts(X) if self._fitted_on_texts else None
        if self._fitted_on_texts and texts is None:
            raise ValueError("This estimator was fitted on texts. Expected a list of str, found something else.")
        examples = validate_data(self, X, reset=False) if texts is None else texts
        if self._restored is None:
            method = build(self.method, self.options)
            self._restored = method.restore(self._task, self._state, self._reopen)
        return self._restored.predict(examples)

    def _backbone(self, method: Method) -> Backbone | None:
        if method.needs.abilities is None:
            return None
        if self._width is not None:
            return NumberRows(self._width)
        return open_backbone(self.backbone, threads=self.n_jobs)

    def _reopen(self, ref: BackboneRef) -> Backbone:
        return NumberRows(self._width) if self._width is not None else open_backbone(ref, threads=self.n_jobs)

    def __getstate__(self) -> dict[str, Any]:
        # Networks stay out of a pickle; they are opened again by their reference.
        state = dict(super().__getstate__())
        if "_restored" in state:
            state["_restored"] = None
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


class NshotClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """One of nshot's methods behind ``fit``, ``predict`` and ``predict_proba``.

    Texts (a list, an array or a pandas Series of `str`) go through a pre-trained text encoder; a two-dimensional array
    of numbers is used as it is.

    Args:
        method: Public name of the method, see ``nshot methods``.
        options: Its options.
        backbone: Pre-trained model for texts: a name, a local folder or a hub id.
        metric: What the method selects by, on its own labels only.
        random_state: Seed; an int, a `numpy.random.RandomState`, or None for 0.
        n_jobs: Processor threads; all cores for None.

    Attributes:
        classes_: The labels, sorted; columns of `predict_proba`.
        n_features_in_: Number of columns; set for arrays of numbers only.

    Example:
        >>> from nshot.sklearn import NshotClassifier
        >>> NshotClassifier("linear_probe").fit(texts, labels).predict(["where is my parcel?"])  # doctest: +SKIP
    """

    def __init__(
        self,
        method: str = "linear_probe",
        *,
        options: Mapping[str, Any] | None = None,
        backbone: str = DEFAULT,
        metric: str = "macro_f1",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.method = method
        self.options = options
        self.backbone = backbone
        self.metric = metric
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt the method to labelled examples.

        Args:
            X: n texts, or numbers of shape (n, features).
            y: n labels.

        Returns:
            The estimator itself.
        """
        examples, y, are_texts = self._read(X, y, numbers=False)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        # Labels are told apart by their place: two classes may look the same as text (1 and "1").
        named = _readable(self.classes_)
        task = Task(TaskKind.CLASSIFY, named, metric=self.metric)
        self._learn(task, examples, [named[code] for code in codes], are_texts=are_texts)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return one label per example, shape (n,)."""
        labels = self._answer(X).labels or ()
        place = self._task.index()
        found: NDArray[Any] = self.classes_[np.array([place[label] for label in labels], dtype=np.intp)]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return probabilities, shape (n, classes)."""
        probabilities = self._answer(X).probabilities
        if probabilities is None:
            raise AttributeError(f"{self.method} has no probabilities.")
        found = np.asarray(probabilities, dtype=np.float64)
        return np.asarray(found / found.sum(axis=1, keepdims=True))


class NshotRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """One of nshot's methods that predict numbers, behind ``fit`` and ``predict``.

    Examples are read as `NshotClassifier` does.

    Args:
        method: Public name of the method, see ``nshot methods``.
        options: Its options.
        backbone: Pre-trained model for texts: a name, a local folder or a hub id.
        metric: What the method selects by, on its own rows only.
        random_state: Seed; an int, a `numpy.random.RandomState`, or None for 0.
        n_jobs: Processor threads; all cores for None.

    Attributes:
        n_features_in_: Number of columns; set for arrays of numbers only.

    Example:
        >>> from nshot.sklearn import NshotRegressor
        >>> NshotRegressor("gradient_boosting").fit(X, prices).predict(X[:3])  # doctest: +SKIP
    """

    def __init__(
        self,
        method: str = "linear_probe",
        *,
        options: Mapping[str, Any] | None = None,
        backbone: str = DEFAULT,
        metric: str = "r2",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.method = method
        self.options = options
        self.backbone = backbone
        self.metric = metric
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt the method to examples whose numbers are known.

        Args:
            X: n texts, or numbers of shape (n, features).
            y: n numbers.

        Returns:
            The estimator itself.
        """
        examples, y, are_texts = self._read(X, y, numbers=True)
        task = Task(TaskKind.REGRESS, metric=self.metric)
        self._learn(task, examples, [float(value) for value in y], are_texts=are_texts)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return one number per example, shape (n,)."""
        return np.asarray(self._answer(X).values, dtype=np.float64)


def _as_texts(X: Any) -> list[str] | None:
    """Return X as a list of texts, or None if it is something else."""
    if isinstance(X, str):
        raise ValueError("Expected a list of texts, found one text. Put it into a list.")
    dimensions = getattr(X, "ndim", 1)
    if dimensions != 1 or not hasattr(X, "__len__") or not hasattr(X, "__iter__") or isinstance(X, dict):
        return None
    values = list(X)
    return values if values and all(isinstance(value, str) for value in values) else None


def _readable(classes: NDArray[Any]) -> tuple[str, ...]:
    names = [str(label) for label in classes.tolist()]
    return tuple(names) if len(set(names)) == len(names) else tuple(f"{i}: {name}" for i, name in enumerate(names))


def _seed(random_state: Any) -> int:
    if random_state is None:
        return 0
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(random_state.randint(2**31 - 1))
