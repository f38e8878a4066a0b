import numpy as np
import pytest

from nshot.core import DataError, Dataset, Task, TaskKind
from unit.methods.features import LookedUp, accuracy, fit, heaps


def test_a_prototype_is_the_mean_direction_of_its_class():
    vectors = {"a1": [1, 0], "a2": [0, 2], "b1": [-3, 0], "x": [1, 1]}
    train = Dataset(["a1", "a2", "b1"], targets=["a", "a", "b"])
    predictor = fit("prototypes", Task(TaskKind.CLASSIFY, ("a", "b")), train, LookedUp(vectors), sharpness=2.0)
    np.testing.assert_allclose(predictor.sums, [[1, 1], [-1, 0]])
    # cos(x, a) = 1 and cos(x, b) = -1/sqrt(2)
    expected = 1 / (1 + np.exp(2 * (-1 / np.sqrt(2) - 1)))
    assert predictor.predict(["x"]).probabilities[0, 0] == pytest.approx(expected, rel=1e-6)


def test_classes_that_lie_apart_get_sharper_probabilities_than_mixed_ones():
    def chosen(noise):
        task, train, _, backbone = heaps(noise=noise)
        return fit("prototypes", task, train, backbone).state().settings["chosen"]["sharpness"]

    assert chosen(0.2) > chosen(3.0)


def test_a_label_grown_from_examples_is_the_label_that_was_fitted():
    task, train, test, backbone = heaps()
    green = train.where(lambda label: label == "green")
    others = train.where(lambda label: label != "green")
    small = fit("prototypes", Task(TaskKind.CLASSIFY, ("blue", "red")), others, backbone)
    grown = small.with_label("green", examples=green.examples[:10]).with_label("green", examples=green.examples[10:])
    assert grown.task.labels == task.labels
    whole = fit("prototypes", task, train, backbone)
    np.testing.assert_allclose(sorted(grown.sums.tolist()), sorted(whole.sums.tolist()), atol=1e-5)
    assert accuracy(grown, test) == accuracy(whole, test)
    with pytest.raises(DataError, match="at least one example"):
        small.with_label("green")
