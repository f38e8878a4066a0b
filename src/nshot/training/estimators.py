"""Somebody else's estimator with scikit-learn's interface, named as ``module:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from nshot.core import OptionError, TrainingError

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

PACKAGES = ("catboost", "lightgbm", "ngboost", "sklearn", "tabicl", "tabpfn", "xgboost")
"""Whose classes may be named. A saved model names its class, and opening one from a stranger must not run just anything
that happens to be installed."""


@runtime_checkable
class Estimates(Protocol):
    """Is fitted to rows and targets, and predicts targets."""

    def fit(self, rows: Array, targets: Array) -> Any:
        """Learn from rows of shape (n, d) and targets of shape (n,)."""

    def predict(self, rows: Array) -> Any:
        """Return a target for each row."""


@runtime_checkable
class GivesProbabilities(Protocol):
    """Also says how sure it is of each class."""

    def predict_proba(self, rows: Array) -> Any:
        """Return probabilities, shape (n, classes), the classes sorted."""


def unavailable(name: str) -> str | None:
    """Return None, or why no estimator of that name can be had; its module is not run for it."""
    module, _, kind = name.rpartition(":")
    if not kind.isidentifier() or not module or not all(part.isidentifier() for part in module.split(".")):
        return f"An estimator is named MODULE:CLASS, such as tabpfn:TabPFNClassifier. Got '{name}' instead."
    # Only the outermost package: to look further would already run it.
    package = module.partition(".")[0]
    if package not in PACKAGES:
        return f"The estimator '{name}' must come from one of the packages {', '.join(PACKAGES)}. Found: {package}."
    if importlib.util.find_spec(package) is None:
        return f"The estimator '{name}' needs the package {package}, which is not installed. Install it with pip."
    return None


@dataclass(frozen=True)
class Fitted:
    """An estimator that was fitted here.

    Attributes:
        name: ``module:Class``.
        estimator: The object.
    """

    name: str
    estimator: Estimates

    def values(self, rows: Array) -> Array:
        """Return what it predicts, shape (n,).

        Raises:
            TrainingError: It fails, or returns something else.
        """
        with _in_words(self.name, "predict"):
            found = np.asarray(self.estimator.predict(rows)).reshape(-1)
        return self._checked(found, (len(rows),))

    def probabilities(self, rows: Array, n_classes: int) -> Array:
        """Return the probabilities of the classes 0 to k - 1, shape (n, k); of a class that it just names, one.

        Raises:
            TrainingError: It fails, or returns something else.
        """
        if not isinstance(self.estimator, GivesProbabilities):
            codes = self.values(rows)
            if not np.isin(codes, np.arange(n_classes)).all():
                raise TrainingError(f"{self.name} should have answered with one of the classes. Name a classifier.")
            return np.eye(n_classes)[codes.astype(np.int64)]
        with _in_words(self.name, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(rows))
        return self._checked(found, (len(rows), n_classes))

    def _checked(self, found: Array, shape: tuple[int, ...]) -> Array:
        if found.shape != shape or found.dtype.kind not in "iufb" or not np.isfinite(found).all():
            raise TrainingError(
                f"{self.name} should have answered with finite numbers of shape {shape}. It answered with "
                f"{found.dtype} of shape {found.shape}."
            )
        return found


def fitted(name: str, rows: Array, targets: Array, *, seed: int, threads: int) -> Fitted:
    """Return the estimator called `name`, with its own defaults, fitted to n rows.

    Args:
        name: ``module:Class`` of an installed package. It is run.
        rows: Shape (n, d), float32.
        targets: Numbers of classes, or values, shape (n,).
        seed: Given to it where it takes a ``random_state``.
        threads: Given to it where it takes ``n_jobs``.

    Raises:
        OptionError: There is no such class, or it has no ``fit`` and ``predict``; the package is none of `PACKAGES`.
        TrainingError: It fails.
    """
    reason = unavailable(name)
    if reason is not None:
        raise OptionError(reason)
    kind = _class(name)
    with _in_words(name, "the construction"):
        takes = inspect.signature(kind).parameters
        given = {option: value for option, value in (("random_state", seed), ("n_jobs", threads)) if option in takes}
        estimator = kind(**given)
    if not isinstance(estimator, Estimates):
        raise OptionError(f"An estimator needs the functions fit and predict; {name} lacks one of them.")
    with _in_words(name, "fit"):
        estimator.fit(rows, targets)
    return Fitted(name, estimator)


def _class(name: str) -> Any:
    module, _, kind = name.rpartition(":")
    try:
        found = vars(importlib.import_module(module)).get(kind)
    except Exception as error:  # whatever the user's module does when it is loaded
        raise OptionError(f"The module of the estimator '{name}' cannot be loaded: {_said(error)}.") from error
    if found is None:
        # Some packages load their classes on first use.
        found = _loaded_on_first_use(module, kind)
    if not inspect.isclass(found):
        raise OptionError(f"There is no class '{kind}' in {module}. Look its name up in the package's documentation.")
    return found


def _loaded_on_first_use(module: str, kind: str) -> Any:
    by_name = vars(importlib.import_module(module)).get("__getattr__")
    if by_name is None:
        return None
    try:
        return by_name(kind)
    except AttributeError:
        return None


@contextmanager
def _in_words(name: str, doing: str) -> Iterator[None]:
    """Turn whatever the estimator raises into a message."""
    try:
        yield
    except Exception as error:
        raise TrainingError(f"{name} failed in {doing}: {_said(error)}.") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(" :.")
