import numpy as np
import pytest

from nshot.core import DataError, Dataset, Task, TaskKind
from nshot.methods.nearest_neighbours import _nearest
from unit.methods.features import LookedUp, accuracy, explained, fit, heaps, slope


@pytest.mark.parametrize("number", [1, 3, 7, 40])
def test_neighbours_are_those_of_scikit_learn(number):
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    vectors, asked = rng.normal(size=(40, 6)), rng.normal(size=(30, 6))
    expected = NearestNeighbors(n_neighbors=number, metric="cosine").fit(vectors).kneighbors(asked)[1]
    units = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (asked, vectors)]
    found = _nearest((units[0] @ units[1].T).astype(np.float32), np.arange(40), number)
    np.testing.assert_array_equal(found.items, expected)


def test_of_equally_near_ones_the_first_seen_counts():
    found = _nearest(np.array([[0.5, 0.9, 0.5, 0.5]], dtype=np.float32), np.arange(4), 2)
    assert found.items.tolist() == [[1, 0]]


def test_a_copy_of_a_training_example_gets_its_label_with_one_neighbour():
    task, train, _, backbone = heaps(noise=3.0)
    assert accuracy(fit("nearest_neighbours", task, train, backbone, number=1), train) == 1.0


def test_more_neighbours_are_chosen_where_labels_are_noisy():
    rng = np.random.default_rng(0)
    texts = [f"text {i}" for i in range(600)]
    sides = rng.integers(2, size=600)
    vectors = {text: [1.0, 6.0 * side - 3.0, *rng.normal(size=2)] for text, side in zip(texts, sides, strict=True)}
    wrong = rng.random(600) < 0.35
    train = Dataset(texts, targets=[("a", "b")[side ^ flip] for side, flip in zip(sides, wrong, strict=True)])
    predictor = fit("nearest_neighbours", Task(TaskKind.CLASSIFY, ("a", "b")), train, LookedUp(vectors))
    assert predictor.number > 5


def test_examples_of_a_new_label_join():
    task, train, test, backbone = heaps()
    small = fit(
        "nearest_neighbours",
        Task(TaskKind.CLASSIFY, ("blue", "red")),
        train.where(lambda label: label != "green"),
        backbone,
    )
    green = train.where(lambda label: label == "green")
    grown = small.with_label("green", examples=green.examples)
    assert grown.task.labels == task.labels
    assert accuracy(grown, test) > 0.9
    with pytest.raises(DataError, match="at least one example"):
        small.with_label("green")


def test_a_number_is_the_mean_of_the_nearest_by_euclidean_distance():
    from sklearn.neighbors import KNeighborsRegressor

    task, train, test, backbone = slope()
    predictor = fit("nearest_neighbours", task, train, backbone, number=4)
    rows, asked = backbone.embed(train.examples), backbone.embed(test.examples)
    weights = predictor.sharpness

    def votes(distances):
        return np.exp(-weights / 2 * (np.square(distances) - np.square(distances[:, :1])))

    peer = KNeighborsRegressor(4, weights=votes).fit(rows, list(train.targets))
    np.testing.assert_allclose(predictor.predict(test.examples).values, peer.predict(asked), rtol=1e-4, atol=1e-4)


def test_how_many_neighbours_are_averaged_is_chosen_inside_the_labels():
    task, train, test, backbone = slope(n=300, width=2, noise=3.0, seed=2)
    few, many = (fit("nearest_neighbours", task, train, backbone, number=number) for number in (1, 20))
    chosen = fit("nearest_neighbours", task, train, backbone)
    assert chosen.number >= 10
    assert explained(many, test) > explained(few, test)


def test_a_copy_of_a_training_example_gets_its_value_with_one_neighbour():
    task, train, _, backbone = slope()
    found = fit("nearest_neighbours", task, train, backbone, number=1).predict(train.examples).values
    np.testing.assert_allclose(found, list(train.targets), rtol=1e-6)
