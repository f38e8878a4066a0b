from collections import Counter

import numpy as np
import pytest
import torch

from nshot.training.batching import Batch, labelled_batches, micro_batches, shuffled_steps


def flat(step):
    return [position for part in step for position in part]


def test_every_example_comes_once_before_any_comes_again() -> None:
    steps = shuffled_steps([3] * 40, batch_size=8, steps=10, seed=0)

    seen = [position for step in steps for position in flat(step)]
    assert sorted(seen[:40]) == list(range(40))
    assert sorted(seen[40:]) == list(range(40))
    assert seen[:40] != seen[40:]


def test_every_step_has_the_batch_size_even_across_the_end_of_an_epoch() -> None:
    steps = shuffled_steps([3] * 10, batch_size=4, steps=7, seed=0)

    assert [len(flat(step)) for step in steps] == [4] * 7
    assert set(Counter(position for step in steps for position in flat(step)).values()) == {2, 3}


def test_a_batch_larger_than_the_data_repeats_it() -> None:
    (step,) = shuffled_steps([3, 3, 3], batch_size=7, steps=1, seed=0)

    assert set(Counter(flat(step)).values()) == {2, 3}


def test_the_seed_decides_the_order() -> None:
    def order(seed):
        return shuffled_steps(range(1, 51), batch_size=10, steps=5, seed=seed)

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_no_steps_give_an_empty_plan() -> None:
    assert shuffled_steps([1, 2], batch_size=2, steps=0, seed=0) == []


def test_sorting_by_length_saves_padding_and_leaves_the_meetings_to_chance() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=4000)

    def padded(steps):
        return sum(max(lengths[p] for p in flat(step)) * len(flat(step)) for step in steps)

    steps = shuffled_steps(lengths.tolist(), batch_size=32, steps=250, seed=0)
    unsorted = np.random.default_rng(0).permutation(4000).reshape(125, 1, 32).tolist() * 2
    assert padded(steps) < 0.7 * padded(unsorted)
    first = {frozenset(flat(step)) for step in steps[:125]}
    second = {frozenset(flat(step)) for step in steps[125:]}
    assert not first & second
    # Long and short steps alternate: a step's length says nothing about the next one's.
    means = [np.mean([lengths[p] for p in flat(step)]) for step in steps]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_micro_batches_keep_to_the_budget_with_their_padding() -> None:
    lengths = [5, 90, 7, 30, 6, 31]

    parts = micro_batches(range(6), lengths, 64)

    assert sorted(flat(parts)) == list(range(6))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[p] for p in part) <= 64
    assert len(parts) == 3


def test_an_example_longer_than_the_budget_stands_alone() -> None:
    assert micro_batches([0, 1], [500, 2], 64) == [[1], [0]]


def test_a_labelled_batch_pairs_every_example_with_its_class() -> None:
    build = labelled_batches(lambda items: {"x": torch.tensor(items)}, [10, 11, 12, 13], np.array([0, 1, 0, 2]))

    batch = build([3, 1])

    assert batch.inputs["x"].tolist() == [13, 11]
    assert batch.targets is not None
    assert batch.targets.tolist() == [2, 1]
    assert batch.units == 2


@pytest.mark.parametrize("targets", [None, torch.tensor([1])])
def test_a_batch_moves_to_a_device(targets) -> None:
    moved = Batch({"x": torch.ones(1)}, targets, 1).to("meta")

    assert moved.inputs["x"].device.type == "meta"
    assert moved.targets is None or moved.targets.device.type == "meta"
