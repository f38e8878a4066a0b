import numpy as np

from nshot.core import Task, TaskKind
from unit.methods.features import accuracy, fit, heaps


def test_no_label_is_needed():
    task, train, test, backbone = heaps()
    assert accuracy(fit("label_similarity", task, train.take([]), backbone), test) > 0.9


def test_targets_are_not_looked_at():
    task, train, test, backbone = heaps()
    with_labels = fit("label_similarity", task, train, backbone).predict(test.examples)
    without = fit("label_similarity", task, train.take([]), backbone).predict(test.examples)
    assert with_labels.probabilities.tobytes() == without.probabilities.tobytes()


def test_a_description_stands_for_the_name():
    _, train, test, backbone = heaps()
    codes = {"red": "x1", "green": "x2", "blue": "x3"}
    described = Task(TaskKind.CLASSIFY, ("x1", "x2", "x3"), descriptions={code: name for name, code in codes.items()})
    answers = fit("label_similarity", described, train.take([]), backbone).predict(test.examples).labels
    assert np.mean([answer == codes[target] for answer, target in zip(answers, test.targets, strict=True)]) > 0.9


def test_sharpness_changes_probabilities_and_no_label():
    task, train, test, backbone = heaps(noise=1.5)
    flat, sharp = (
        fit("label_similarity", task, train, backbone, sharpness=value).predict(test.examples) for value in (1, 50)
    )
    assert flat.labels == sharp.labels
    assert flat.probabilities.max() < sharp.probabilities.max()


def test_a_new_label_is_answered_and_the_old_ones_keep_their_directions():
    task, train, test, backbone = heaps()
    small = Task(TaskKind.CLASSIFY, ("blue", "red"))
    grown = fit("label_similarity", small, train.take([]), backbone).with_label("green")
    assert grown.task.labels == task.labels
    whole = fit("label_similarity", task, train.take([]), backbone)
    assert grown.predict(test.examples).probabilities.tobytes() == whole.predict(test.examples).probabilities.tobytes()


def test_a_known_label_takes_a_new_description():
    task, train, _, backbone = heaps()
    grown = fit("label_similarity", task, train.take([]), backbone).with_label("red", description="green")
    assert grown.task.labels == task.labels
    column = task.labels.index
    assert (grown.directions[column("red")] == grown.directions[column("green")]).all()
