"""The scikit-learn estimators: scikit-learn's own checks, and texts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from nshot.sklearn import NshotClassifier, NshotRegressor

TEXTS = ["a fine film", "what a fine story", "dull and slow", "a slow mess", "fine acting", "dull throughout"]
LABELS = ["good", "good", "bad", "bad", "good", "bad"]


@parametrize_with_checks(
    [
        NshotClassifier(),
        NshotClassifier("nearest_neighbours"),
        NshotClassifier("prototypes"),
        NshotRegressor(),
        NshotRegressor("nearest_neighbours"),
    ]
)
def test_it_passes_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


def test_it_learns_from_texts_without_a_network():
    fitted = NshotClassifier("tfidf_linear").fit(TEXTS, LABELS)
    assert list(fitted.predict(["fine", "dull"])) == ["good", "bad"]
    assert fitted.predict_proba(["fine"]).shape == (1, 2)
    assert list(fitted.classes_) == ["bad", "good"]


def test_numbers_are_predicted_from_rows():
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = 2 * X[:, 0] - X[:, 1] + 5
    fitted = NshotRegressor().fit(X[:150], y[:150])
    assert fitted.score(X[150:], y[150:]) > 0.98
    copy = pickle.loads(pickle.dumps(fitted))
    assert (copy.predict(X) == fitted.predict(X)).all()


def test_a_pickled_copy_answers_the_same():
    fitted = NshotClassifier("tfidf_linear").fit(TEXTS, LABELS)
    copy = pickle.loads(pickle.dumps(fitted))
    assert (copy.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()


def test_a_clone_is_not_fitted():
    with pytest.raises(NotFittedError):
        clone(NshotClassifier("tfidf_linear").fit(TEXTS, LABELS)).predict(TEXTS)


def test_one_text_instead_of_a_list_is_refused():
    with pytest.raises(ValueError, match="list of texts"):
        NshotClassifier("tfidf_linear").fit("a fine film", LABELS)
