"""What n counts, and what the worker then hands to a fit: labelled rows, pool and learning backbone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nshot.core import BackboneRef, DataError, Dataset, Prediction, State, Task, TaskKind, silent
from nshot.evaluation.protocol import counted_ladder, design
from nshot.study.counting import Pool, counts, unit
from nshot.study.worker import FinalFit, Fit, Setting, Worker

DETECT, CLUSTER = Task(TaskKind.DETECT), Task(TaskKind.CLUSTER)


def marks(normal, anomalous):
    return [False] * normal + [True] * anomalous


# ---------------------------------------------------------------------------------------------- counts


def test_of_classes_every_row_counts_and_every_part_has_them_in_proportion():
    found = counts(Task(TaskKind.CLASSIFY, ("a", "b")), ["a", "b"], "data")
    assert list(found.strata) == ["a", "b"]
    assert found.counted is None
    assert found.pool is Pool.ALL


def test_of_numbers_every_row_counts_and_there_is_nothing_to_keep_in_proportion():
    found = counts(Task(TaskKind.REGRESS), [1.0, 2.5], "data")
    assert found.strata is None
    assert found.counted is None


def test_to_detect_only_anomalies_count_and_the_pool_is_without_them():
    found = counts(DETECT, marks(6, 4), "data")
    assert found.counted.tolist() == marks(6, 4)
    assert found.pool is Pool.OTHERS
    assert counts(DETECT, marks(6, 4), "data", only_normal=True).pool is Pool.UNCOUNTED


@pytest.mark.parametrize(("normal", "anomalous", "said"), [(20, 3, "has 3"), (2, 20, "has 2, and 20 anomalies")])
def test_a_detection_with_hardly_any_of_one_kind_is_refused_with_what_to_do(normal, anomalous, said):
    with pytest.raises(DataError, match=said) as caught:
        counts(DETECT, marks(normal, anomalous), "cardio.npz")
    assert "cardio.npz" in str(caught.value)
    assert "--anomalies" in str(caught.value)


def test_groups_count_nothing_and_need_true_ones_to_be_held_against():
    assert not counts(CLUSTER, ["x", "y", "x"], "data").counted.any()
    with pytest.raises(DataError, match="nshot explore"):
        counts(CLUSTER, [], "data")


def test_a_fit_on_everything_learns_from_all_labels_and_from_every_other_row():
    found = counts(DETECT, marks(5, 4), "data")
    assert [list(part) for part in found.everything(9, with_labels=True)] == [[5, 6, 7, 8], [0, 1, 2, 3, 4]]
    # Without labels nobody knows which rows are anomalies.
    assert [list(part) for part in found.everything(9, with_labels=False)] == [[], list(range(9))]
    normal = counts(DETECT, marks(5, 4), "data", only_normal=True)
    assert [list(part) for part in normal.everything(9, with_labels=False)] == [[], [0, 1, 2, 3, 4]]
    every = counts(Task(TaskKind.REGRESS), [1.0] * 9, "data")
    assert [list(part) for part in every.everything(9, with_labels=True)] == [list(range(9))] * 2


def test_sentences_have_a_word_for_what_is_counted():
    assert unit(DETECT).many == "labelled anomalies"
    assert unit(Task(TaskKind.GENERATE)).one == "answer"
    assert unit(Task(TaskKind.REGRESS)).many == "labels"


# ---------------------------------------------------------------------------------------------- the protocol


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, (1,)),
        (2, (2,)),
        (3, (2, 3)),
        (8, (2, 5, 8)),
        (40, (2, 5, 10, 20, 40)),
        (300, (2, 5, 10, 20, 50, 100, 200, 300)),
    ],
)
def test_labelled_anomalies_are_measured_from_a_few_on(n, expected):
    assert counted_ladder(n) == expected


@pytest.mark.parametrize("n_given_test", [None, 500])
def test_the_order_holds_what_is_counted_and_the_rest_is_learnt_from_at_every_n(n_given_test):
    counted = np.array(marks(1_000, 60))
    made = design(
        ["x" if mark else "o" for mark in counted],
        np.arange(1_060),
        seed=0,
        counted=counted,
        n_given_test=n_given_test,
    )
    for draw in made.draws:
        assert counted[draw.order].all()
        assert not counted[draw.rest].any()
        if n_given_test is None:
            assert sorted([*draw.order, *draw.rest, *draw.test]) == list(range(1_060))
            assert counted[draw.test].sum() == 12, "each fold has its share of anomalies"
    assert made.n_train == (60 if n_given_test else 48)
    assert made.n_learnt == (1_060 if n_given_test else 848)
    assert made.n_rows == 60


def test_a_few_anomalies_among_thousands_are_tested_in_folds():
    assert design(None, np.arange(5_000), seed=0, counted=np.arange(5_000) < 30).kind == "kfold"
    assert design(None, np.arange(5_000), seed=0, counted=np.arange(5_000) < 200).kind == "holdout"
    assert design(None, np.arange(30_000), seed=0, counted=np.arange(30_000) < 30).kind == "holdout"


def test_there_are_no_more_folds_than_anomalies():
    assert design(None, np.arange(200), seed=0, counted=np.arange(200) < 4).folds == 4


def test_where_nothing_is_counted_one_run_without_labels_answers():
    made = design(["a", "b"] * 50, np.arange(100), seed=0, counted=np.zeros(100, dtype=bool))
    assert made.ladder == (0,)
    assert made.n_learnt == 80


# ---------------------------------------------------------------------------------------------- the worker


class Seen:
    """A backbone that learns: notes what it was shown."""

    def __init__(self, shown=None):
        self.shown = shown
        self.ref = BackboneRef("seen", learnt=None if shown is None else {"rows": len(shown)})
        self.modalities = frozenset({"row"})
        self.abilities = frozenset()

    def learnt_from(self, examples):
        return Seen(list(examples))


class Noted:
    """A predictor that says what its fit was given."""

    def __init__(self, train, pool, backbone):
        self.train, self.pool, self.backbone = train, pool, backbone

    def predict(self, examples):
        return Prediction(scores=np.array([float(row[0]) for row in examples]))

    def state(self):
        return State({})


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Return a function that makes a worker on 40 rows, the last ten of which are anomalies, and what its fits saw."""
    rows = [(float(i),) for i in range(40)]
    data = Dataset(rows, "row", targets=marks(30, 10), name="rows")
    unlabelled = Dataset([(100.0,), (101.0,)], "row", name="unlabelled")
    for name in ("predictions", "models"):
        (tmp_path / name).mkdir()
    fits = []

    class Method:
        trains_network = False
        needs = replace(_needs(), pool=True)

        @staticmethod
        def method_name():
            return "noting"

        def fit(self, task, train, pool, backbone, context):
            fits.append(Noted(list(train.examples), list(pool.examples), backbone))
            return fits[-1]

    monkeypatch.setattr("nshot.methods.build", lambda name, options: Method())

    def made(pool):
        draws = design(
            None, np.arange(40), seed=0, counted=np.array(marks(30, 10)), trainable=np.arange(40), n_given_test=None
        ).draws
        setting = Setting(
            task=DETECT,
            train=data,
            test=None,
            unlabelled=unlabelled,
            draws={(draw.repeat, draw.fold): draw for draw in draws},
            backbones=(),
            metric="auroc",
            metrics=("auroc",),
            cache=None,
            precision="fp32",
            device="cpu",
            threads=1,
            predictions=tmp_path / "predictions",
            models=tmp_path / "models",
            pool=pool,
        )
        at_work = Worker(setting, silent)
        at_work._backbones["seen"] = Seen()
        return at_work, setting, fits

    return made


def _needs():
    from nshot.core import Needs

    return Needs(tasks=frozenset({TaskKind.DETECT}), abilities=None, modalities=frozenset({"row"}))


def first(rows):
    return {int(row[0]) for row in rows}


@pytest.mark.parametrize("pool", [Pool.OTHERS, Pool.UNCOUNTED])
def test_a_fit_gets_n_anomalies_and_a_pool_without_them(worker, pool):
    at_work, setting, fits = worker(pool)
    at_work.fit(Fit("a", "noting", {}, BackboneRef("seen"), 3, 0, 0, 0))
    draw, seen = setting.draws[0, 0], fits[-1]
    assert first(seen.train) == set(draw.order[:3].tolist())
    expected = set(draw.rest.tolist())
    if pool is Pool.OTHERS:
        expected |= {*draw.order[3:].tolist(), 100, 101}
    assert first(seen.pool) == expected
    assert not first(seen.pool) & set(draw.test.tolist())


def test_a_backbone_learns_from_every_training_row_of_a_draw_once_and_from_no_test_row(worker):
    at_work, setting, fits = worker(Pool.OTHERS)
    for n in (3, 5):
        at_work.fit(Fit(f"n{n}", "noting", {}, BackboneRef("seen"), n, 0, 0, 0))
    draw = setting.draws[0, 0]
    assert first(fits[0].backbone.shown) == {*draw.order.tolist(), *draw.rest.tolist(), 100, 101}
    assert fits[0].backbone is fits[1].backbone
    at_work.fit(Fit("other", "noting", {}, BackboneRef("seen"), 3, 0, 1, 0))
    assert not first(fits[2].backbone.shown) & set(setting.draws[0, 1].test.tolist())


def test_the_model_that_is_handed_over_sees_every_row(worker):
    at_work, _, fits = worker(Pool.OTHERS)
    found = counts(DETECT, marks(30, 10), "rows")
    at_work.final(FinalFit("all", "noting", {}, BackboneRef("seen"), 0, *found.everything(40, with_labels=True)))
    assert first(fits[-1].train) == set(range(30, 40))
    assert first(fits[-1].pool) == {*range(30), 100, 101}
    assert first(fits[-1].backbone.shown) == {*range(40), 100, 101}
