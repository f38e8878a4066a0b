from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nshot.core import FitContext, Prediction, Task, TaskKind
from nshot.training import supervised
from nshot.training.classifier import Classifier
from nshot.training.goals import Classes
from nshot.training.loop import Group
from nshot.training.options import TrainingOptions

WIDTH = 8
TASK = Task(TaskKind.CLASSIFY, labels=("left", "right"))


class Rows(nn.Module):
    """A network whose input is its vector."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows + self.mix(rows)


def labelled(n: int = 40) -> supervised.Labelled:
    generator = np.random.default_rng(0)
    codes = np.arange(n) % 2
    features = generator.normal(size=(n, WIDTH)).astype(np.float32)
    features[:, 0] += 3 * codes - 1.5
    return supervised.Labelled(
        Classes(TASK, TASK.labels, codes),
        features,
        prepared=[[value] for value in features],
        collate=lambda items: {"rows": torch.from_numpy(np.stack([item[0] for item in items]))},
    )


def build(start):
    torch.manual_seed(0)
    network = Classifier(Rows(), start)
    return network, [Group(list(network.parameters()))]


def weights(trained: supervised.Trained) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trained.network.parameters()])


def context(objective=lambda targets, prediction: 0.0) -> FitContext:
    return FitContext(objective=objective)


def right(targets, prediction: Prediction) -> float:
    return float(np.mean([a == b for a, b in zip(targets, prediction.labels, strict=True)]))


def test_the_training_learns_what_the_labels_say():
    rows = labelled()
    trained = supervised.fit(rows, build, TrainingOptions(epochs=20), 0.01, context())
    scores = trained.network(**rows.collate(rows.prepared)).argmax(dim=1).numpy()
    assert (scores == rows.goal.targets).mean() > 0.9
    assert trained.training["steps"] == 25
    assert trained.chosen == {}


def test_one_class_leaves_nothing_to_train():
    rows = labelled()
    one = supervised.Labelled(
        Classes(TASK, ("left",), np.zeros(40, dtype=np.int64)), rows.features, rows.prepared, rows.collate
    )
    assert supervised.fit(one, build, TrainingOptions(), 0.01, context()).training is None


@pytest.mark.parametrize("best", [0, 3])
def test_early_stopping_ends_where_held_out_rows_were_answered_best(best):
    looks = iter(range(1_000))

    def objective(targets, prediction):
        return 1.0 if next(looks) == best else 0.0

    options = TrainingOptions(epochs=16, batch_size=8, early_stopping=True)
    trained = supervised.fit(labelled(), build, options, 0.01, context(objective))
    assert trained.chosen["steps_share"] == (best + 1) / 8
    assert trained.training["steps"] == 80 * (best + 1) // 8


def test_early_stopping_goes_to_the_end_unless_ending_early_is_clearly_better():
    options = TrainingOptions(epochs=8, batch_size=8, early_stopping=True)
    plain = supervised.fit(labelled(), build, TrainingOptions(epochs=8, batch_size=8), 0.01, context())
    stopping = supervised.fit(labelled(), build, options, 0.01, context(right))
    assert len(stopping.chosen["scores"]) == 8
    assert stopping.chosen["steps_share"] == 1.0
    assert torch.equal(weights(plain), weights(stopping))


def test_early_stopping_is_in_the_planned_cost():
    once = TrainingOptions().planned_examples(100)
    assert TrainingOptions(early_stopping=True).planned_examples(100) == 6 * once
    assert TrainingOptions(early_stopping=True).planned_examples(5_000) == 2 * TrainingOptions().planned_examples(5_000)


def test_keep_draws_the_weights_back_to_where_they_started():
    started = supervised.fit(labelled(), build, TrainingOptions(epochs=4), 1e-12, context())
    ended = supervised.fit(labelled(), build, TrainingOptions(epochs=4), 0.01, context())
    kept = supervised.fit(labelled(), build, TrainingOptions(epochs=4, keep=0.25), 0.01, context())
    expected = 0.75 * weights(ended) + 0.25 * weights(started)
    assert torch.allclose(weights(kept), expected, atol=1e-5)
    assert not torch.allclose(weights(kept), weights(ended), atol=1e-5)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 2)
        self.layer = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.pooler = nn.Linear(2, 2)


def test_each_layer_learns_slower_than_the_one_above():
    stack = Stack()
    groups = supervised.layered(stack, list(stack.parameters()), 0.5)
    rate_of = {id(p): group.rate for group in groups for p in group.parameters}
    named = {name: rate_of[id(p)] for name, p in stack.named_parameters() if name.endswith("weight")}
    assert named == {
        "words.weight": 0.125,
        "layer.0.weight": 0.25,
        "layer.1.weight": 0.5,
        "layer.2.weight": 1.0,
        "pooler.weight": 1.0,
    }


def test_what_is_not_trained_is_in_no_group():
    stack = Stack()
    groups = supervised.layered(stack, [stack.pooler.weight], 0.5)
    assert [p for group in groups for p in group.parameters] == [stack.pooler.weight]


def test_a_network_without_layers_has_one_rate():
    plain = nn.Linear(2, 2)
    groups = supervised.layered(plain, list(plain.parameters()), 0.5)
    assert {group.rate for group in groups} == {1.0}
