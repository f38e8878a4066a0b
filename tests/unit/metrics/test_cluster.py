from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from nshot import metrics
from nshot.core import Prediction, Task, TaskKind
from nshot.metrics.cluster import adjusted_rand

TASK = Task(TaskKind.CLUSTER, metric="nmi")


@pytest.mark.parametrize("seed", range(8))
def test_both_metrics_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    true, found = rng.integers(0, 1 + seed % 4, 60), rng.integers(0, 1 + seed // 2, 60)
    prediction = Prediction(labels=[str(i + 1) for i in found])
    targets = [f"topic {i}" for i in true]
    assert metrics.get("nmi").score(targets, prediction, TASK) == pytest.approx(
        normalized_mutual_info_score(true, found), abs=1e-9
    )
    assert metrics.get("ari").score(targets, prediction, TASK) == pytest.approx(adjusted_rand_score(true, found))
    assert adjusted_rand(true, found) == pytest.approx(adjusted_rand_score(true, found))


def test_what_groups_are_called_is_nothing():
    targets = ["a", "a", "b", "b", "c"]
    for names in (["1", "1", "2", "2", "3"], ["3", "3", "1", "1", "2"]):
        for name in ("nmi", "ari"):
            assert metrics.get(name).score(targets, Prediction(labels=names), TASK) == pytest.approx(1.0)


def test_examples_in_no_group_are_together():
    targets = ["a", "a", "b", "b"]
    assert metrics.get("ari").score(targets, Prediction(labels=["1", "1", "", ""]), TASK) == 1.0


def test_nmi_is_what_groups_are_ranked_by():
    assert metrics.default_metric(TASK, ["a", "b"]).name == "nmi"
    assert metrics.names("cluster") == ("nmi", "ari")


def test_folds_are_not_pooled_because_their_groups_have_nothing_in_common():
    assert metrics.get("nmi").ranks
    assert metrics.get("ari").ranks
