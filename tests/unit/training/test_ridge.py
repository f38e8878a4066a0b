import numpy as np
import pytest
from scipy.sparse import random as random_sparse
from sklearn.linear_model import Ridge

from nshot.core import Task, TaskKind, TrainingError
from nshot.training import ridge
from nshot.training.head import unit_spread

TASK = Task(TaskKind.REGRESS, metric="mae")


def data(n, d, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)).astype(np.float32)
    return features, (500 + 20 * (features[:, 0] + 0.3 * rng.normal(size=n))).tolist()


def no_preference(targets, prediction):
    return 0.0


def fit(features, targets, objective=no_preference, **options):
    return ridge.fit_head(features, targets, feature_scale=unit_spread(features), objective=objective, **options)


def expected(features, targets, strength):
    scaled = features * unit_spread(features)
    standard = (np.array(targets) - np.mean(targets)) / np.std(targets)
    found = Ridge(1 / strength, solver="lsqr" if hasattr(scaled, "tocsr") else "cholesky", tol=1e-8)
    return found.fit(scaled.astype(np.float64), standard).predict(scaled) * np.std(targets) + np.mean(targets)


@pytest.mark.parametrize("strength", [0.1, 4.0, 1000.0])
@pytest.mark.parametrize("shape", [(200, 8), (20, 300)], ids=["tall", "wide"])
def test_answers_are_those_of_scikit_learn(shape, strength):
    features, targets = data(*shape)
    answers = fit(features, targets, strength=strength).answers(TASK, features).values
    np.testing.assert_allclose(answers, expected(features, targets, strength), rtol=2e-5)


def test_sparse_answers_are_those_of_scikit_learn():
    features = random_sparse(80, 500, 0.05, format="csr", random_state=np.random.default_rng(0), dtype=np.float32)
    targets = np.asarray(features.sum(axis=1)).ravel().tolist()
    answers = fit(features, targets, strength=4.0).answers(TASK, features).values
    np.testing.assert_allclose(answers, expected(features, targets, 4.0), rtol=1e-3)


def test_more_regularisation_is_chosen_the_more_noise_there_is():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 40)).astype(np.float32)
    signal = features @ rng.normal(size=40)

    def chosen(noise):
        targets = (signal + noise * rng.normal(size=60)).tolist()

        def objective(targets, prediction):
            return -float(np.square(np.asarray(targets) - prediction.values).mean())

        return fit(features, targets, objective).chosen["strength"]

    assert chosen(0.01) > chosen(30.0)


def test_a_metric_that_cannot_judge_chooses_the_usual_strength():
    features, targets = data(40, 5)
    chosen = fit(features, targets, lambda targets, prediction: float("nan")).chosen
    assert chosen["strength"] == ridge.USUAL_STRENGTH
    assert chosen["judged"] == {}


def test_a_group_is_held_out_as_a_whole():
    features, targets = data(40, 60)
    twice = np.concatenate([features, features])

    def squared(targets, prediction):
        return -float(np.square(np.asarray(targets) - prediction.values).mean())

    alone = fit(twice, targets * 2, squared).chosen["judged"]
    together = fit(twice, targets * 2, squared, groups=[*range(40), *range(40)]).chosen["judged"]
    assert max(alone.values()) > 10 * max(together.values())


def test_features_that_say_nothing_give_the_mean():
    answers = fit(np.ones((6, 3), np.float32), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).answers(
        TASK, np.ones((2, 3), np.float32)
    )
    np.testing.assert_allclose(answers.values, 3.5)


def test_features_beyond_all_arithmetic_are_refused():
    features, targets = data(10, 3)
    with pytest.raises(TrainingError, match="too large"):
        ridge.fit(features.astype(np.float64) * 1e200, np.array(targets), 1.0)


def test_many_columns_and_few_rows_take_no_time():
    features, targets = data(72, 22_000)
    head = fit(features, targets)
    assert head.coefficients.shape == (22_000,)
    assert np.isfinite(head.coefficients).all()
