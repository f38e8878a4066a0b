import numpy as np

from nshot import methods
from nshot.backbones.rows import NumberRows
from nshot.core import Dataset, FitContext, Task, TaskKind
from nshot.training import detection

TASK = Task(TaskKind.DETECT, metric="auroc", unit="labelled anomalies")


def rows(n_pool=200, n_found=6, seed=0):
    rng = np.random.default_rng(seed)
    found = Dataset(rng.normal(3.0, 1.0, (n_found, 4)), "row", targets=[True] * n_found)
    return found, Dataset(rng.normal(size=(n_pool, 4)), "row")


def fit(train, pool, objective=lambda targets, prediction: 0.0):
    probe = methods.build("linear_probe")
    return detection.fitted(probe, TASK, train, pool, NumberRows(4), FitContext(objective))


def test_anomalies_like_the_labelled_ones_score_high():
    predictor = fit(*rows())
    odd, usual = rows(seed=1)
    assert predictor.predict(odd.examples).scores.min() > np.median(predictor.predict(usual.examples).scores)


def test_what_is_chosen_is_chosen_by_scores_of_true_and_false():
    asked = []

    def objective(targets, prediction):
        asked.append(set(targets))
        assert prediction.scores.shape == (len(targets),)
        return 0.0

    fit(*rows(), objective)
    assert asked
    assert all(targets == {True, False} for targets in asked)


def test_of_a_large_pool_evenly_spaced_rows_are_learnt_from(monkeypatch):
    monkeypatch.setattr(detection, "MOST_OF_THE_POOL", 30)
    assert fit(*rows(n_pool=100)).state().settings["pool"] == {"rows": 100, "learnt_from": 25}
