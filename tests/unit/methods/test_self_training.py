import dataclasses

import numpy as np
import pytest

from nshot.core import Dataset, Family, OptionError, Prediction, State, Task, TaskKind
from nshot.methods import build
from nshot.training import pseudo_labels
from nshot.training.pool import distinct
from nshot.training.trials import Held
from unit.methods.features import accuracy, context, fit, heaps


def few_labels(per_class=4, **options):
    """Return a task, some labelled rows of a larger heap, all of its rows as the pool, test rows, and the backbone."""
    task, every, test, backbone = heaps(per_class=60, noise=options.pop("noise", 0.9), **options)
    train = every.take(range(per_class * len(task.labels)))
    return task, train, every.without_targets(), test, backbone


def record(predictor):
    return predictor.state().settings


def test_unlabelled_rows_make_it_better():
    gained = []
    for seed in range(4):
        task, train, pool, test, backbone = few_labels(seed=seed, noise=1.1)
        teacher, student = (
            accuracy(fit(name, task, train, backbone, pool=pool, **options), test)
            for name, options in (("linear_probe", {}), ("self_training", {"precision": 0.6}))
        )
        gained.append(student - teacher)

    assert np.mean(gained) > 0.01


def test_what_was_taken_is_told():
    task, train, pool, _, backbone = few_labels(noise=0.3)
    settings = record(fit("self_training", task, train, backbone, pool=pool))

    assert settings["unlabelled"] == len(pool) - len(train)
    assert settings["students"] == 2
    assert settings["taken"] == [4 * len(train), 8 * len(train)]
    assert 0 < settings["confidence"] < 1


def test_without_unlabelled_rows_the_teacher_answers():
    task, train, _, test, backbone = few_labels()
    predictor = fit("self_training", task, train, backbone)

    assert record(predictor)["unlabelled"] == 0
    assert record(predictor)["taken"] == []
    expected = fit("linear_probe", task, train, backbone).predict(test.examples).probabilities
    assert np.array_equal(predictor.predict(test.examples).probabilities, expected)


def test_where_no_confidence_can_be_trusted_nothing_is_taken():
    task, train, pool, _, backbone = few_labels(per_class=8, noise=20.0)
    settings = record(fit("self_training", task, train, backbone, pool=pool, precision=0.9))

    assert settings["confidence"] is None
    assert settings["students"] == 0


def test_a_given_confidence_is_not_measured():
    task, train, pool, _, backbone = few_labels(noise=0.3)
    settings = record(fit("self_training", task, train, backbone, pool=pool, confidence=0.999999))

    assert settings["confidence"] == 0.999999
    assert settings["taken"] == []


def test_a_labelled_row_and_a_repeated_one_are_unlabelled_once_at_most():
    train = Dataset(["a", "b"], targets=["x", "y"])
    pool = Dataset(["a", "c", "b", "c", "d"])

    assert list(distinct(pool, besides=train.examples).examples) == ["c", "d"]
    rows = Dataset([{"a": 1}, {"a": 2}, {"a": 2}], "row")
    labelled = Dataset([{"a": 1}], "row", targets=["x"])
    assert list(distinct(rows, besides=labelled.examples).examples) == [{"a": 2}]


def held(right, confidences):
    train = Dataset([str(row) for row in range(len(right))], targets=["x"] * len(right))
    matrix = np.array([[c, 1 - c] for c in confidences], dtype=np.float32)
    labels = ["x" if each else "y" for each in right]
    return train, Held(np.arange(len(right)), Prediction(labels, matrix), 0)


def test_the_confidence_is_the_lowest_above_which_enough_answers_were_right():
    right = [True] * 12 + [False] * 6
    confidences = [0.99 - 0.02 * row for row in range(18)]

    assert pseudo_labels.sure_enough(*held(right, confidences), 0.9, "m") == pytest.approx(0.99 - 0.02 * 11)
    assert pseudo_labels.sure_enough(*held([False] * 10, [0.9] * 10), 0.5, "m") is None
    # Three right answers can be luck.
    assert pseudo_labels.sure_enough(*held([True] * 3, [0.9, 0.8, 0.7]), 0.8, "m") is None


def test_rows_of_one_confidence_are_above_it_together():
    right = [True] * 9 + [False] * 9

    assert pseudo_labels.sure_enough(*held(right, [0.8] * 18), 0.8, "m") is None


def test_classes_keep_their_proportions():
    task, train, pool, _, backbone = few_labels(noise=0.3)
    uneven = train.take([row for row in range(len(train)) if train.targets[row] != "red" or row < 3])
    teacher = fit("linear_probe", task, uneven, backbone)
    unlabelled = distinct(pool, besides=train.examples)

    found = pseudo_labels.surest(teacher, unlabelled, uneven, 0.0, 3.0, "linear_probe")

    labels, counts = np.unique(list(found.targets), return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {"red": 3, "green": 12, "blue": 12}


def test_groups_of_the_labels_stay_apart_from_what_is_found():
    train = Dataset(["a", "b"], targets=["x", "y"], groups=[0, 0])

    both = pseudo_labels.together(train, Dataset(["c", "d"], targets=["x", "x"]))

    assert list(both.examples) == ["a", "b", "c", "d"]
    assert both.groups[0] == both.groups[1]
    assert len(set(both.groups)) == 3


def test_the_student_is_as_sure_as_the_teacher():
    task, train, pool, test, backbone = few_labels(per_class=20, noise=1.1)
    sure = {}
    for name in ("linear_probe", "self_training"):
        predictor = fit(name, task, train, backbone, pool=pool)
        sure[name] = predictor.predict(test.examples).probabilities.max(axis=1).mean()
    power = record(predictor)["power"]

    assert record(predictor)["students"] > 0
    assert power < 0.95
    assert sure["self_training"] == pytest.approx(sure["linear_probe"], abs=0.03)


def test_restoring_gives_the_same_probabilities():
    task, train, pool, test, backbone = few_labels(noise=0.5)
    predictor = fit("self_training", task, train, backbone, pool=pool)
    saved = State(*dataclasses.astuple(predictor.state()))

    again = build("self_training").restore(task, saved, lambda ref: backbone)

    answers = predictor.predict(test.examples).probabilities
    assert record(predictor)["students"] > 0
    assert np.array_equal(again.predict(test.examples).probabilities, answers)
    assert answers.sum(axis=1) == pytest.approx(np.ones(len(test)))


def test_it_is_of_the_kind_of_its_base():
    probe, network = build("self_training"), build("self_training", {"base": "lora", "base_options": {"epochs": 1}})

    assert (probe.family, network.family) == (Family.FEW_SHOT, Family.FINE_TUNING)
    assert (probe.trains_network, network.trains_network) == (False, True)
    assert (probe.uses_seed, network.uses_seed) == (False, True)
    assert probe.needs.pool
    once = network.inner.planned_examples
    assert network.planned_examples(64) == 6 * once(64) + once(5 * 64) + once(9 * 64)
    known = build("self_training", {"base": "lora", "base_options": {"epochs": 1}, "confidence": 0.9})
    assert known.planned_examples(64) == network.planned_examples(64) - 5 * once(64)


def test_a_base_that_learns_from_no_label_is_refused():
    task, _, _, _, backbone = few_labels()

    assert "learns from none" in build("self_training", {"base": "label_similarity"}).supports(task, backbone)
    assert "self_training cannot tag" in build("self_training").supports(Task(TaskKind.TAG, task.labels), backbone)


def test_options_of_the_base_are_checked_at_once():
    with pytest.raises(OptionError, match="linear_probe has no option 'strenth'"):
        build("self_training", {"base_options": {"strenth": 1}})


def test_progress_is_that_of_all_fits():
    task, train, pool, _, backbone = few_labels(noise=0.3)
    told = []
    reporting = dataclasses.replace(context(task), progress=lambda *args: told.append(args))

    build("self_training", {"base": "linear_probe"}).fit(task, train, pool, backbone, reporting)

    assert all(done <= total for done, total, _ in told)
