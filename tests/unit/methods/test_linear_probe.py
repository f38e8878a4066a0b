import numpy as np
import pytest

from nshot.core import Dataset, OptionError, Task, TaskKind
from nshot.methods import build
from unit.methods.features import LookedUp, explained, fit, heaps, slope


def skewed(n=600, seed=0):
    """Return 10 % rare and 90 % frequent rows that overlap, as train and test."""
    rng = np.random.default_rng(seed)
    vectors, parts = {}, []
    for part in ("train", "test"):
        rare = rng.random(n) < 0.1
        for i, is_rare in enumerate(rare):
            vectors[f"{part} {i}"] = rng.normal(size=4) + np.array([1.2 * is_rare, 0, 0, 0])
        parts.append(
            Dataset([f"{part} {i}" for i in range(n)], targets=["rare" if is_rare else "usual" for is_rare in rare])
        )
    return Task(TaskKind.CLASSIFY, ("rare", "usual")), *parts, LookedUp(vectors)


def share_of_rare(predictor, test):
    return np.mean([label == "rare" for label in predictor.predict(test.examples).labels])


def test_the_metric_decides_how_often_a_rare_class_is_answered():
    task, train, test, backbone = skewed()
    by_class = fit("linear_probe", task, train, backbone, metric="balanced_accuracy")
    by_row = fit("linear_probe", task, train, backbone, metric="accuracy")
    assert by_class.head.chosen["prior_share"] == 0
    assert by_row.head.chosen["prior_share"] > 0
    assert share_of_rare(by_row, test) < 0.1 < share_of_rare(by_class, test)


def test_what_was_chosen_is_recorded():
    task, train, _, backbone = heaps()
    chosen = fit("linear_probe", task, train, backbone).state().settings["chosen"]
    assert chosen["held_out"] == len(train)
    assert chosen["strength"] in {float(strength) for strength in chosen["judged"]}


def test_with_one_example_per_class_nothing_is_chosen():
    task, train, _, backbone = heaps()
    chosen = fit("linear_probe", task, train.take([0, 1, 2]), backbone).state().settings["chosen"]
    assert chosen == {"strength": 4.0, "prior_share": 0.0, "calibration": 1.0, "held_out": 0, "judged": {}}


def test_a_given_strength_is_kept():
    task, train, _, backbone = heaps()
    assert fit("linear_probe", task, train, backbone, strength=0.3).head.chosen["strength"] == 0.3


def test_a_strength_that_is_no_strength_is_refused():
    with pytest.raises(OptionError, match="'strength' of linear_probe must be greater than 0"):
        build("linear_probe", {"strength": 0})


def test_probabilities_are_as_sure_as_they_are_right():
    task, train, test, backbone = heaps(per_class=150, noise=1.2)
    answers = fit("linear_probe", task, train, backbone).predict(test.examples)
    right = np.mean([answer == target for answer, target in zip(answers.labels, test.targets, strict=True)])
    assert answers.probabilities.max(axis=1).mean() == pytest.approx(right, abs=0.05)


def test_a_number_is_explained_and_comes_back_from_its_state():
    task, train, test, backbone = slope(centre=5_000.0)
    probe = fit("linear_probe", task, train, backbone)
    assert explained(probe, test) > 0.98
    again = build("linear_probe").restore(task, probe.state(), lambda ref: backbone)
    np.testing.assert_array_equal(again.predict(test.examples).values, probe.predict(test.examples).values)


def test_a_given_strength_is_kept_for_numbers_too():
    task, train, _, backbone = slope()
    assert fit("linear_probe", task, train, backbone, strength=0.3).head.chosen["strength"] == 0.3


def test_many_genes_of_few_patients_are_told_apart(shared_data):
    from nshot.backbones.rows import NumberRows

    with np.load(shared_data / "tabular" / "gene_expression" / "golub.npz") as file:
        rows, labels = file["X"].astype(np.float32), [f"type {label}" for label in file["y"]]
    rows = np.log2(np.maximum(rows, 20)) if rows.max() > 100 else rows
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(labels))))
    order = np.random.default_rng(0).permutation(len(rows))
    train, test = (Dataset(rows[part], "row", targets=[labels[i] for i in part]) for part in (order[:48], order[48:]))
    answers = fit("linear_probe", task, train, NumberRows(rows.shape[1])).predict(test.examples).labels
    assert np.mean([answer == target for answer, target in zip(answers, test.targets, strict=True)]) > 0.85
