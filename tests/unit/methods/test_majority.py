import numpy as np

from nshot.core import Dataset, Task, TaskKind
from unit.methods.features import fit, heaps


def test_frequencies_are_the_shares_of_the_labels():
    task = Task(TaskKind.CLASSIFY, ("a", "b", "c"))
    answers = fit("majority", task, Dataset(["x"] * 4, targets=["b", "a", "b", "b"]), None).predict(["y", "z"])
    assert answers.labels == ["b", "b"]
    np.testing.assert_allclose(answers.probabilities, [[0.25, 0.75, 0.0]] * 2)


def test_of_equally_frequent_labels_the_first_seen_is_answered():
    task = Task(TaskKind.CLASSIFY, ("a", "b"))
    for first in (["a", "b"], ["b", "a"]):
        assert fit("majority", task, Dataset(["x", "y"], targets=first), None).predict(["z"]).labels == first[:1]


def test_rows_of_numbers_are_taken_too():
    task, train, _, _ = heaps()
    rows = Dataset([(1.0, 2.0)] * len(train), modality="row", targets=train.targets)
    assert len(fit("majority", task, rows, None).predict(rows.examples)) == len(rows)
