"""The golden values come from scikit-learn's LogisticRegression, solved to 1e-9."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from nshot.core import TrainingError
from nshot.training import logistic
from nshot.training.rowwise import softmax
from nshot.training.selection import inner_folds


def data(n, width, n_classes, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, width))
    codes = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)])
    features = 0.6 * centres[codes] + rng.normal(size=(n, width)) + 0.5
    return (spread * features / np.sqrt(width)).astype(np.float32), codes


def probabilities(model, features):
    return softmax(features @ model.coefficients.T + model.offsets)


def reference(features, codes, strength, weights=None):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-9)
    model.fit(features.astype(np.float64), codes, sample_weight=weights)
    return model.predict_proba(features.astype(np.float64))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("strength", [0.1, 4.0, 100.0])
@pytest.mark.parametrize(("n", "width", "n_classes"), [(40, 64, 7), (300, 20, 3), (200, 16, 2), (150, 200, 2)])
def test_the_optimum_is_that_of_scikit_learn(n, width, n_classes, strength, kind):
    features, codes = data(n, width, n_classes)
    model = logistic.fit(features.astype(kind), codes, n_classes, strength, tolerance=1e-9)
    np.testing.assert_allclose(probabilities(model, features), reference(features, codes, strength), atol=1e-3)


def test_row_weights_mean_the_same_as_in_scikit_learn():
    features, codes = data(120, 10, 4)
    weights = np.random.default_rng(1).uniform(0.2, 3, size=120)
    model = logistic.fit(features, codes, 4, 4.0, weights=weights, tolerance=1e-9)
    np.testing.assert_allclose(probabilities(model, features), reference(features, codes, 4.0, weights), atol=1e-3)


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    codes = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(logistic.balanced_weights(codes), compute_sample_weight("balanced", codes))


def test_sparse_features_give_the_same_model_as_dense_ones():
    features, codes = data(80, 12, 3)
    dense = logistic.fit(features, codes, 3, 4.0, tolerance=1e-9)
    sparse = logistic.fit(csr_matrix(features), codes, 3, 4.0, tolerance=1e-9)
    np.testing.assert_allclose(probabilities(sparse, features), probabilities(dense, features), atol=1e-3)


def test_folds_solved_together_equal_folds_solved_alone(monkeypatch):
    # In a fit the path is solved loosely, since it only ranks.
    monkeypatch.setattr(logistic, "_PATH_TOLERANCE", 1e-9)
    features, codes = data(150, 30, 3)
    folds = inner_folds(codes)
    judged = []
    together = logistic.select_and_fit(features, codes, 3, folds=folds, judge=lambda s: judged.append(s) or 0.5)
    held, strength = together.held, together.model.strength
    assert strength == logistic.USUAL_STRENGTH
    assert len(judged) == len(together.judged)
    for fold in range(5):
        rest = folds != fold
        alone = logistic.fit(features[rest], codes[rest], 3, strength, tolerance=1e-9)
        mine = folds[held] == fold
        difference = softmax(together.scores[mine]) - probabilities(alone, features[held[mine]])
        assert np.abs(difference).max() < 1e-3
    monkeypatch.setattr(logistic, "_MOST_PARAMETERS", 1)
    apart = logistic.select_and_fit(features, codes, 3, folds=folds, judge=lambda scores: 0.5)
    np.testing.assert_allclose(softmax(apart.scores), softmax(together.scores), atol=1e-3)
    np.testing.assert_allclose(probabilities(apart.model, features), probabilities(together.model, features), atol=5e-3)


def test_held_out_scores_have_not_seen_their_rows():
    """With labels of pure chance a model that had seen a row would be right far more often than chance."""
    rng = np.random.default_rng(0)
    features, codes = rng.normal(size=(200, 100)).astype(np.float32), np.arange(200) % 2
    selected = logistic.select_and_fit(
        features, codes, 2, folds=inner_folds(codes), judge=lambda scores: 0.0, strengths=(64.0,)
    )
    assert (selected.scores.argmax(axis=1) == codes[selected.held]).mean() < 0.65
    assert (probabilities(selected.model, features).argmax(axis=1) == codes).mean() > 0.75


def test_a_clearly_better_strength_is_taken_and_a_slightly_better_one_is_not():
    features, codes = data(200, 10, 2)
    folds = inner_folds(codes)

    def judge_preferring(place, by):
        tried = iter(range(len(logistic.STRENGTHS)))
        return lambda scores: 0.5 + by * (next(tried) >= place)

    weak = logistic.select_and_fit(features, codes, 2, folds=folds, judge=judge_preferring(3, 0.2))
    usual = logistic.select_and_fit(features, codes, 2, folds=folds, judge=judge_preferring(3, 0.01))
    assert weak.model.strength == 16.0
    assert usual.model.strength == logistic.USUAL_STRENGTH


def test_without_held_out_rows_the_usual_strength_is_used():
    features, codes = data(5, 10, 5)
    selected = logistic.select_and_fit(features, codes, 5, folds=inner_folds(codes), judge=lambda scores: 1 / 0)
    assert selected.model.strength == logistic.USUAL_STRENGTH
    assert selected.judged == {}
    assert len(selected.held) == 0


def test_a_class_without_rows_gets_no_probability():
    features, codes = data(30, 8, 3)
    model = logistic.fit(features[codes != 1], codes[codes != 1], 3, 4.0)
    assert probabilities(model, features)[:, 1].max() < 1e-12


def test_equal_rows_and_one_row_are_fitted():
    same = np.ones((6, 4), dtype=np.float32)
    model = logistic.fit(same, np.array([0, 0, 0, 0, 1, 1]), 2, 4.0, tolerance=1e-9)
    np.testing.assert_allclose(probabilities(model, same)[0], [2 / 3, 1 / 3], atol=1e-3)
    one = logistic.fit(same[:1], np.array([0]), 1, 4.0)
    assert probabilities(one, same[:1]).tolist() == [[1.0]]


def test_features_beyond_the_arithmetic_are_refused_in_words():
    features, codes = data(20, 4, 2, spread=1e30)
    with pytest.raises(TrainingError, match="Scale"):
        logistic.fit(features, codes, 2, 4.0)


def test_the_same_input_gives_the_same_bytes():
    features, codes = data(200, 50, 5)
    first, second = (
        logistic.select_and_fit(features, codes, 5, folds=inner_folds(codes), judge=lambda scores: 0.0)
        for _ in range(2)
    )
    assert first.model.coefficients.tobytes() == second.model.coefficients.tobytes()
