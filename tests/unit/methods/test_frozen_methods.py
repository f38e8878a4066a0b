"""What the methods on frozen features have in common; the contract suite tests the rest."""

from dataclasses import replace

import numpy as np
import pytest

from nshot import methods
from nshot.core import DataError, Dataset, Task, TaskKind, UnsupportedError
from unit.methods.features import LookedUp, accuracy, context, fit, heaps, restored

LEARNING = ("nearest_neighbours", "prototypes", "linear_probe", "primed_probe", "cluster_then_label")
ON_FEATURES = ("label_similarity", *LEARNING)


@pytest.mark.parametrize("name", ON_FEATURES)
def test_heaps_that_lie_apart_are_told_apart(name):
    task, train, test, backbone = heaps()
    assert accuracy(fit(name, task, train, backbone), test) > 0.9


@pytest.mark.parametrize("name", ON_FEATURES)
def test_a_fit_embeds_every_set_once(name):
    task, train, _, backbone = heaps()
    fit(name, task, train, backbone)
    assert backbone.calls <= 2


@pytest.mark.parametrize("name", ON_FEATURES)
def test_a_restored_predictor_answers_the_same_bytes(name):
    task, train, test, backbone = heaps()
    predictor = fit(name, task, train, backbone)
    again = restored(name, predictor, backbone)
    expected, found = predictor.predict(test.examples), again.predict(test.examples)
    assert expected.labels == found.labels
    assert expected.probabilities.tobytes() == found.probabilities.tobytes()
    assert predictor.state().settings == again.state().settings
    assert predictor.state().settings["backbone"] == backbone.ref.as_json()


@pytest.mark.parametrize("name", ["majority", *LEARNING])
def test_labels_that_do_not_occur_get_no_probability_unless_their_names_are_read(name):
    task, train, test, backbone = heaps()
    seen = train.where(lambda label: label != "blue")
    predictor = fit(name, task, seen, backbone if name in ON_FEATURES else None)
    column = predictor.predict(test.examples).probabilities[:, task.labels.index("blue")]
    if name == "primed_probe":
        assert column.max() > 0.5
    else:
        assert column.max() == 0


@pytest.mark.parametrize("name", [name for name in LEARNING if name != "primed_probe"])
def test_new_names_for_the_labels_change_no_score(name):
    task, train, test, backbone = heaps()
    names = {"red": "a", "green": "zz", "blue": "m"}
    renamed = Task(TaskKind.CLASSIFY, tuple(sorted(names.values())))
    other = Dataset(train.examples, targets=[names[target] for target in train.targets])
    first = fit(name, task, train, backbone).predict(test.examples)
    second = fit(name, renamed, other, backbone).predict(test.examples)
    assert [names[label] for label in first.labels] == second.labels
    columns = [renamed.labels.index(names[label]) for label in task.labels]
    assert first.probabilities.tobytes() == np.ascontiguousarray(second.probabilities[:, columns]).tobytes()


@pytest.mark.parametrize("name", LEARNING)
def test_one_class_is_answered_always(name):
    task = Task(TaskKind.CLASSIFY, ("red",))
    _, train, test, backbone = heaps()
    only = train.where(lambda label: label == "red")
    answers = fit(name, task, only, backbone).predict(test.examples)
    assert set(answers.labels) == {"red"}
    assert answers.probabilities.tolist() == [[1.0]] * len(test)


@pytest.mark.parametrize("name", LEARNING)
def test_one_example_per_class_is_enough(name):
    task, train, test, backbone = heaps(noise=0.2)
    assert accuracy(fit(name, task, train.take([0, 1, 2]), backbone), test) > 0.8


@pytest.mark.parametrize("name", [*LEARNING, "majority", "tfidf_linear"])
def test_no_labelled_example_is_refused_in_words(name):
    task, train, _, backbone = heaps()
    with pytest.raises(DataError, match="at least 1 labelled example"):
        fit(name, task, train.take([]), backbone if name in ON_FEATURES else None)


@pytest.mark.parametrize("name", ["label_similarity", "primed_probe"])
def test_label_names_that_say_nothing_are_refused_with_the_reason(name):
    _, train, _, backbone = heaps()
    mute = Task(TaskKind.CLASSIFY, ("0", "1"), names_say_something=False)
    reason = methods.build(name).supports(mute, backbone)
    with pytest.raises(UnsupportedError, match="--labels") as refused:
        fit(name, mute, train, backbone)
    assert str(refused.value) == reason


@pytest.mark.parametrize("name", ON_FEATURES)
def test_a_broken_vector_is_named(name):
    task, train, test, backbone = heaps()
    predictor = fit(name, task, train, backbone)
    backbone.vectors[test.examples[1]][0] = np.nan
    with pytest.raises(DataError, match="example 1"):
        predictor.predict(test.examples)


@pytest.mark.parametrize("name", ["linear_probe", "primed_probe", "prototypes", "nearest_neighbours"])
def test_vectors_a_thousand_times_longer_change_no_label(name):
    task, train, test, backbone = heaps(noise=1.0)
    answers = fit(name, task, train, backbone).predict(test.examples)
    backbone.vectors = {example: vector * 1_000 for example, vector in backbone.vectors.items()}
    longer = fit(name, task, train, backbone).predict(test.examples)
    assert answers.labels == longer.labels
    np.testing.assert_allclose(answers.probabilities, longer.probabilities, atol=2e-3)


@pytest.mark.parametrize("name", ["linear_probe", "nearest_neighbours", "prototypes"])
def test_copies_in_one_group_do_not_decide_the_choice(name):
    """Every example twice, with chance labels per pair: unless pairs stay together, k = 1 and weak C look perfect."""
    rng = np.random.default_rng(0)
    task = Task(TaskKind.CLASSIFY, ("a", "b"))
    texts = [f"text {i}" for i in range(100)]
    backbone = LookedUp({text: rng.normal(size=150) for text in texts})
    labels = [("a", "b")[i] for i in rng.integers(2, size=100)]
    doubled = Dataset(texts * 2, targets=labels * 2, groups=list(range(100)) * 2)
    seen = {}

    def objective(targets, answers):
        score = float(np.mean([a == t for a, t in zip(answers.labels, targets, strict=True)]))
        seen["best"] = max(score, seen.get("best", 0.0))
        return score

    predictor = methods.build(name).fit(
        task, doubled, doubled.without_targets(), backbone, replace(context(task), objective=objective)
    )
    assert seen.get("best", 0.5) < 0.7
    if name == "prototypes":
        assert predictor.sharpness < 15  # chance labels: nothing to be sure of
