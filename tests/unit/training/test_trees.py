import numpy as np
import pytest

from nshot.core import ModelError
from nshot.training.boosting import Ensemble, Growing, Learnt
from nshot.training.trees import Trees


def ensemble(loss="multiclass", outputs=3, n=300, rounds=12):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, 5)).astype(np.float32)
    rows[:, 4] = np.round(rows[:, 4])
    targets = np.digitize(rows[:, 0] * rows[:, 1], [-0.3, 0.3]) if outputs > 1 else rows[:, 0] ** 2
    found = Ensemble(Growing(loss, outputs, 8, 5, 0.1, seed=0, threads=1), Learnt(rows, targets))
    found.grow_to(rounds)
    return found, rows


@pytest.mark.parametrize(("loss", "outputs"), [("multiclass", 3), ("regression", 1), ("regression_l1", 1)])
def test_the_arrays_say_what_lightgbm_says(loss, outputs):
    grown, rows = ensemble(loss, outputs)
    new = np.concatenate([rows, np.zeros((1, 5), np.float32), np.full((1, 5), 1e30, np.float32), -rows])
    np.testing.assert_allclose(grown.trees().scores(new), grown.said_since(0, new), rtol=1e-12, atol=1e-12)


def test_rounds_are_said_one_after_the_other():
    grown, rows = ensemble(rounds=4)
    first = grown.said_since(0, rows)
    grown.grow_to(9)
    np.testing.assert_allclose(first + grown.said_since(4, rows), grown.said_since(0, rows), atol=1e-12)


def test_nothing_to_split_by_gives_trees_of_one_leaf():
    rows = np.ones((30, 2), np.float32)
    found = Ensemble(Growing("regression", 1, 4, 1, 0.1, seed=0, threads=1), Learnt(rows, np.arange(30.0)))
    found.grow_to(5)
    np.testing.assert_allclose(found.trees().scores(rows[:2]), 14.5)
    assert not found.said_since(5, rows).any()


def test_a_row_alone_is_told_the_same_to_the_last_bit():
    trees = ensemble(rounds=40)[0].trees()
    rows = np.random.default_rng(1).normal(size=(3_000, 5)).astype(np.float32)
    together = trees.scores(rows)
    for at in (0, 1, 1_499, 2_999):
        assert trees.scores(rows[at : at + 1]).tobytes() == together[at : at + 1].tobytes()


def test_saved_trees_come_back():
    trees = ensemble()[0].trees()
    again = Trees.restore(trees.tensors(), 3, 5)
    rows = np.random.default_rng(1).normal(size=(20, 5))
    np.testing.assert_array_equal(again.scores(rows), trees.scores(rows))


def _with(name, position, value):
    tensors = {key: array.copy() for key, array in ensemble()[0].trees().tensors().items()}
    tensors[name][position] = value
    return tensors


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("children", (0, 0), 10**6),
        ("children", (3, 1), 0),
        ("children", (2, 0), -1),
        ("features", 0, 5),
        ("features", 0, -1),
        ("roots", 1, 10**6),
        ("values", -1, np.nan),
    ],
)
def test_damaged_trees_are_recognised_before_anyone_walks_them(name, position, value):
    with pytest.raises(ModelError, match="trees are damaged"):
        Trees.restore(_with(name, position, value), 3, 5)


def test_missing_cut_or_mistyped_arrays_are_recognised():
    tensors = ensemble()[0].trees().tensors()
    for damaged in (
        {name: array for name, array in tensors.items() if name != "values"},
        {**tensors, "values": tensors["values"][:-1]},
        {**tensors, "roots": tensors["roots"][:-1]},
        {**tensors, "features": tensors["features"].astype(np.float32)},
        {**tensors, "children": tensors["children"][:, :1]},
    ):
        with pytest.raises(ModelError, match="trees are damaged"):
            Trees.restore(damaged, 3, 5)
