import numpy as np

from nshot.core import Dataset, Task, TaskKind
from unit.methods.features import LookedUp, accuracy, fit, heaps


def test_the_pool_decides_where_the_few_labels_reach():
    """Two long bands: the nearest labelled example is often in the other band, the nearest group is not."""
    rng = np.random.default_rng(0)
    angles = {"a": (0.0, 1.0), "b": (1.4, 2.4)}
    vectors, test = {}, []
    for label, (low, high) in angles.items():
        for i, angle in enumerate(np.linspace(low, high, 60)):
            vectors[f"{label} {i}"] = [np.cos(angle), np.sin(angle), 0.01 * rng.normal()]
            test.append((f"{label} {i}", label))
    train = Dataset(["a 0", "b 0"], targets=["a", "b"])
    pool = Dataset([text for text, _ in test])
    labelled = Dataset([text for text, _ in test], targets=[label for _, label in test])
    task = Task(TaskKind.CLASSIFY, ("a", "b"))
    grouped = fit("cluster_then_label", task, train, LookedUp(vectors), pool=pool, groups=2)
    assert accuracy(grouped, labelled) == 1.0
    assert accuracy(fit("nearest_neighbours", task, train, LookedUp(vectors)), labelled) < 0.9


def test_more_groups_than_examples_are_not_asked_for():
    task, train, test, backbone = heaps(per_class=2, noise=0.1)
    predictor = fit("cluster_then_label", task, train, backbone, groups=500)
    assert predictor.state().settings["chosen"]["groups"] == len(train)
    assert accuracy(predictor, test) > 0.8


def test_equal_examples_make_one_group_after_all():
    task, train, _, _ = heaps()
    same = LookedUp({example: [1.0, 2.0] for example in train.examples})
    assert len(fit("cluster_then_label", task, train, same).predict(train.examples)) == len(train)


def test_without_a_pool_the_labelled_examples_are_grouped():
    task, train, test, backbone = heaps()
    assert accuracy(fit("cluster_then_label", task, train, backbone, pool=Dataset([])), test) > 0.8


def test_another_seed_starts_from_other_examples():
    task, train, _, backbone = heaps(noise=2.0)
    first, second = (fit("cluster_then_label", task, train, backbone, seed=seed).centres for seed in (0, 1))
    assert first.tobytes() != second.tobytes()
