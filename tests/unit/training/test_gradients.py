from dataclasses import replace

import pytest
import torch
from torch import nn

from nshot.core import OutOfMemoryError
from nshot.training import checkpoints, memory
from nshot.training.batching import Batch
from nshot.training.loop import Group, TrainingSettings, train
from nshot.training.losses import cross_entropy
from unit.training.rings import CONTEXT, Net, run, weights


class Full(torch.autograd.Function):
    """Passes numbers on, and runs out of memory on their way back."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        raise torch.OutOfMemoryError("no room")


class Tight(Net):
    """Has room for some examples at a time; counts how often it had not, and how many it took at once since."""

    def __init__(self, room, where="forward", dropout=0.0) -> None:
        super().__init__(dropout)
        self.room = room
        self.where = where
        self.refused = 0
        self.sizes: list[int] = []

    def forward(self, x):
        hidden = self.norm(self.first(x))
        if len(x) > self.room:
            self.refused += 1
            self.sizes = []
            if self.where == "forward":
                raise torch.OutOfMemoryError("no room")
            hidden = Full.apply(hidden)
        else:
            self.sizes.append(len(x))
        return self.last(self.drop(torch.tanh(hidden)))


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize(("room", "halvings"), [(15, 1), (8, 1), (5, 2), (2, 3)])
def test_a_step_that_does_not_fit_is_halved_and_stays_the_same_step(where, room, halvings) -> None:
    network, record = run(Tight(room, where), steps=20)
    whole, _ = run(steps=20)

    assert torch.allclose(weights(network), weights(whole), atol=1e-5)
    assert record.micro_batch_halvings == network.refused == halvings
    assert set(network.sizes) == {16 >> halvings}
    assert record.examples_seen == 20 * 16


def test_whoever_waits_is_told_of_the_halving() -> None:
    told = []

    run(Tight(5), steps=3, context=replace(CONTEXT, progress=lambda done, total, doing="": told.append(doing)))

    assert all(doing.endswith(", micro-batches halved 2x for lack of memory") for doing in told)


def test_an_example_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(OutOfMemoryError, match="not enough memory for a training step"):
        run(Tight(0), steps=3)


def test_a_training_that_goes_on_remembers_the_halving(tmp_path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def stop(done, total, doing=""):
        if done == 7:
            raise Killed

    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(Killed):
        run(Tight(5, dropout=0.5), steps=20, context=replace(CONTEXT, checkpoints=tmp_path, progress=stop))
    network, record = run(Tight(5, dropout=0.5), steps=20, context=replace(CONTEXT, checkpoints=tmp_path))
    whole, whole_record = run(Tight(5, dropout=0.5), steps=20)

    assert network.refused == 0
    assert record.as_json() == whole_record.as_json()
    assert torch.equal(weights(network), weights(whole))


def test_too_little_memory_on_a_processor_cuts_a_step_and_keeps_it(monkeypatch) -> None:
    monkeypatch.setattr(memory, "_SCRATCH_BYTES", 0)
    sizes = []

    def watching(network, batch):
        sizes.append(batch.units)
        return cross_entropy()(network, batch)

    # Weights, gradients and moments take about 1.8 kB, an example about 0.2 kB.
    network, record = run(steps=20, loss=watching, context=replace(CONTEXT, memory_bytes=3_700))
    whole, _ = run(steps=20)

    assert sizes[:2] == [1, 2]  # what an example needs is measured
    assert 1 <= max(sizes[2:]) <= 8
    assert torch.allclose(weights(network), weights(whole), atol=1e-5)
    assert record.micro_batch_halvings == 0


def test_no_room_for_the_training_at_all_is_an_error_that_says_how_much_there_is() -> None:
    with pytest.raises(OutOfMemoryError, match=r"needs about .* GB .*smaller backbone"):
        run(steps=3, context=replace(CONTEXT, memory_bytes=1_000))


def test_measuring_the_memory_changes_no_figure_of_the_training() -> None:
    class Counted(Net):
        def __init__(self) -> None:
            super().__init__(0.5)
            self.count = nn.Buffer(torch.zeros(()))

        def forward(self, x):
            self.count += len(x)
            return super().forward(x)

    network, record = run(Counted(), steps=20)

    assert network.count == 20 * 16 == record.examples_seen
    assert torch.equal(weights(network), weights(run(Net(0.5), steps=20)[0]))


def test_a_step_without_a_single_unit_changes_nothing() -> None:
    def of_few(network, batch):
        return cross_entropy()(network, batch) * 0.0

    def nothing_counts(positions):
        return Batch({"x": torch.ones(len(positions), 2)}, torch.zeros(len(positions), dtype=torch.int64), 0)

    network = Net()
    record = train(
        network,
        [[[0, 1]]] * 3,
        groups=[Group(list(network.parameters()))],
        batch=nothing_counts,
        loss=of_few,
        settings=TrainingSettings(0.1, weight_decay=0.0),
        context=CONTEXT,
    )

    assert record.losses == (0.0, 0.0, 0.0)
    assert torch.equal(weights(network), weights(Net()))
