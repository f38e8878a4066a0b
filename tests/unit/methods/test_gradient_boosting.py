import numpy as np
import pytest

from nshot import methods
from nshot.backbones.rows import NumberRows
from nshot.core import Dataset, ModelError, OptionError, State, Task, TaskKind
from nshot.training import boosting
from unit.methods.features import accuracy, fit, heaps

CLASSES = Task(TaskKind.CLASSIFY, ("same", "other"))
VALUES = Task(TaskKind.REGRESS, metric="mae")


def fit_rows(task, rows, targets, metric="accuracy", **options):
    train = Dataset(rows, "row", targets=list(targets))
    return fit("gradient_boosting", task, train, NumberRows(rows.shape[1]), metric=metric, **options)


def crossed(n, seed=0):
    """Return rows whose class is whether two columns have the same sign: no line separates that."""
    rows = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    return rows, np.where(rows[:, 0] * rows[:, 1] > 0, "same", "other")


def test_columns_that_matter_together_are_found():
    predictor = fit_rows(CLASSES, *crossed(600), leaves=8)
    rows, truth = crossed(400, seed=1)
    assert (np.array(predictor.predict(rows).labels) == truth).mean() > 0.9


def test_several_classes_are_learnt():
    task, train, test, backbone = heaps(per_class=40)
    assert accuracy(fit("gradient_boosting", task, train, backbone), test) > 0.9


def test_classes_that_differ_in_nothing_are_answered_all_the_same():
    predictor = fit_rows(CLASSES, np.ones((20, 2), np.float32), ["same", "other"] * 10)
    np.testing.assert_allclose(predictor.predict(np.ones((3, 2))).probabilities, 0.5, atol=1e-6)


def test_given_rounds_and_leaves_are_kept():
    chosen = fit_rows(CLASSES, *crossed(200), rounds=7, leaves=3).chosen
    assert (chosen["rounds"], chosen["leaves"]) == (7, 3)


@pytest.mark.parametrize(("option", "value"), [("rounds", 0), ("leaves", 1), ("learning_rate", 0)])
def test_a_size_that_grows_no_tree_is_refused(option, value):
    with pytest.raises(OptionError, match=f"'{option}' of gradient_boosting"):
        methods.build("gradient_boosting", {option: value})


def test_the_metric_decides_how_often_a_rare_class_is_answered():
    rng = np.random.default_rng(0)
    rare = rng.random(1_500) < 0.1
    rows = rng.normal(size=(1_500, 4)).astype(np.float32)
    rows[:, 0] += 1.2 * rare
    targets = np.where(rare, "other", "same")
    by_row, by_class = (fit_rows(CLASSES, rows, targets, metric) for metric in ("accuracy", "balanced_accuracy"))

    def share(predictor):
        return np.mean([label == "other" for label in predictor.predict(rows).labels])

    assert share(by_row) < 0.1 < share(by_class)


def test_outliers_among_the_targets_are_shrugged_off_where_absolute_error_counts():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3)).astype(np.float32)
    clean = 10.0 * (rows[:, 0] > 0)
    targets = clean + np.where(rng.random(400) < 0.1, 1_000.0, 0.0)
    predictor = fit_rows(VALUES, rows, targets.tolist(), "mae")
    assert predictor.chosen["loss"] == "regression_l1"
    assert np.median(np.abs(predictor.predict(rows).values - clean)) < 1.0


def test_diabetes_is_explained_no_worse_than_by_scikit_learns_boosting():
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, targets = load_diabetes(return_X_y=True)
    ours, theirs = [], []
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(rows))
        train, test = order[:342], order[342:]
        spread = targets[test].var()
        predictor = fit_rows(VALUES, rows[train].astype(np.float32), targets[train].tolist(), "r2")
        ours.append(1 - np.square(predictor.predict(rows[test]).values - targets[test]).mean() / spread)
        peer = HistGradientBoostingRegressor(random_state=0).fit(rows[train], targets[train])
        theirs.append(1 - np.square(peer.predict(rows[test]) - targets[test]).mean() / spread)
    assert np.mean(ours) > np.mean(theirs)


def test_very_many_columns_and_few_rows_are_no_harm():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(72, 2_500)).astype(np.float32)
    targets = np.where(rows[:, :40].sum(axis=1) > 0, "same", "other")
    rows[:, :40] += np.where(targets == "same", 2.0, 0.0)[:, None]
    predictor = fit_rows(CLASSES, rows, targets, rounds=5, leaves=4)
    assert (np.array(predictor.predict(rows).labels) == targets).mean() > 0.9


def test_another_seed_looks_at_other_columns_where_there_are_very_many(monkeypatch):
    monkeypatch.setattr(boosting, "_WIDE", 8)
    rows = np.random.default_rng(0).normal(size=(40, 80)).astype(np.float32)
    targets = ["same", "other"] * 20
    one, same, other = (fit_rows(CLASSES, rows, targets, seed=seed, rounds=3, leaves=4).trees for seed in (0, 0, 1))
    assert one.features.tobytes() == same.features.tobytes() != other.features.tobytes()
    assert len(set(one.features.tolist())) < 80


def test_a_damaged_model_is_refused_in_words():
    predictor = fit_rows(CLASSES, *crossed(100), rounds=5)
    state = predictor.state()
    damaged = State(state.settings, {**state.tensors, "features": state.tensors["features"] + 9})
    with pytest.raises(ModelError, match="no trees over 4 features"):
        methods.build("gradient_boosting").restore(CLASSES, damaged, lambda ref: NumberRows(4))


def test_intrusions_of_kinds_never_seen_are_recognised_about_as_by_a_random_forest(shared_data):
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier

    folder = shared_data / "tabular" / "nsl_kdd"
    train, test = (pd.read_csv(folder / name, header=None) for name in ("KDDTrain+_20Percent.txt", "KDDTest+.txt"))
    train, test = train.iloc[::8], test.iloc[::8]
    numbers = [column for column in range(41) if column not in (1, 2, 3)]
    rows = [part[numbers].to_numpy(dtype=np.float32) for part in (train, test)]
    labels = [np.where(part[41] == "normal", "normal", "attack") for part in (train, test)]
    task = Task(TaskKind.CLASSIFY, ("attack", "normal"), metric="accuracy")
    ours = (np.array(fit_rows(task, rows[0], labels[0]).predict(rows[1]).labels) == labels[1]).mean()
    forest = RandomForestClassifier(50, random_state=0).fit(rows[0], labels[0]).score(rows[1], labels[1])
    assert ours > 0.72
    assert ours > forest - 0.03
