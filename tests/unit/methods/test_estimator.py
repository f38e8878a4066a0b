import re

import numpy as np
import pytest

from nshot.core import OptionError, TrainingError, UnsupportedError
from nshot.methods import build
from unit.methods.features import accuracy, explained, fit, heaps, slope

FOREST = "sklearn.ensemble:RandomForestClassifier"


def test_a_named_classifier_learns_and_answers_with_probabilities():
    task, train, test, backbone = heaps()
    predictor = fit("estimator", task, train, backbone, estimator=FOREST)
    assert accuracy(predictor, test) > 0.9
    np.testing.assert_allclose(predictor.predict(test.examples).probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_classifier_without_probabilities_is_sure():
    task, train, test, backbone = heaps()
    predictor = fit("estimator", task, train, backbone, estimator="sklearn.svm:LinearSVC")
    assert set(np.unique(predictor.predict(test.examples).probabilities)) == {0.0, 1.0}
    assert accuracy(predictor, test) > 0.9


def test_a_named_regressor_learns_in_the_unit_of_the_targets():
    task, train, test, backbone = slope(centre=5_000.0)
    predictor = fit("estimator", task, train, backbone, estimator="sklearn.linear_model:BayesianRidge")
    assert explained(predictor, test) > 0.98


@pytest.mark.parametrize(("data", "name"), [(heaps, FOREST), (slope, "sklearn.ensemble:RandomForestRegressor")])
def test_a_saved_one_is_fitted_again_and_answers_the_same(data, name):
    task, train, test, backbone = data()
    predictor = fit("estimator", task, train, backbone, estimator=name, seed=3)
    again = build("estimator", {"estimator": name}).restore(task, predictor.state(), lambda ref: backbone)
    before, after = predictor.predict(test.examples), again.predict(test.examples)
    if before.values is None:
        np.testing.assert_array_equal(after.probabilities, before.probabilities)
    else:
        np.testing.assert_array_equal(after.values, before.values)


def test_one_class_needs_no_estimator():
    task, train, test, backbone = heaps(labels=("red",))
    predictor = fit("estimator", task, train, backbone, estimator=FOREST)
    assert set(predictor.predict(test.examples).labels) == {"red"}
    assert len(predictor.predict([])) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "MODULE:CLASS"),
        ("forest", "MODULE:CLASS"),
        ("../own.py:Forest", "MODULE:CLASS"),
        ("subprocess:Popen", "must come from one of the packages .*sklearn"),
        ("tabicl:TabICLClassifier", "tabicl, which is not installed"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_before_anything_runs(name, message):
    task, train, _, backbone = heaps()
    assert re.search(message, build("estimator", {"estimator": name}).supports(task, backbone))
    with pytest.raises(UnsupportedError, match=message):
        fit("estimator", task, train, backbone, estimator=name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sklearn.ensemble:NoForest", "no class 'NoForest'"),
        ("sklearn.ensemble.no_such:Forest", "cannot be loaded"),
        ("sklearn.base:BaseEstimator", "fit and predict"),
        ("sklearn.base:clone", "no class 'clone'"),
    ],
)
def test_what_is_no_estimator_is_refused_in_words(name, message):
    task, train, _, backbone = heaps()
    with pytest.raises(OptionError, match=message):
        fit("estimator", task, train, backbone, estimator=name)


def test_an_estimator_that_fails_says_where():
    task, train, _, backbone = heaps()
    with pytest.raises(TrainingError, match="MultinomialNB failed in fit: ValueError: Negative values"):
        fit("estimator", task, train, backbone, estimator="sklearn.naive_bayes:MultinomialNB")


def test_a_regressor_is_no_classifier():
    task, train, test, backbone = heaps()
    with pytest.raises(TrainingError, match="Name a classifier"):
        fit("estimator", task, train, backbone, estimator="sklearn.linear_model:Ridge").predict(test.examples)


def test_a_saved_model_that_names_another_package_does_not_run_it():
    task, train, _, backbone = heaps()
    state = fit("estimator", task, train, backbone, estimator=FOREST).state()
    with pytest.raises(OptionError, match="must come from one of the packages"):
        build("estimator", {"estimator": "subprocess:Popen"}).restore(task, state, lambda ref: backbone)
