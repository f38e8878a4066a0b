import math

import numpy as np
import pytest
import torch
from torch import nn

from nshot.training import contrastive
from nshot.training.batching import Batch, Schedule


def codes_of(*sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


def steps_for(codes, *, batch_size=64, steps=20, seed=0, lengths=None):
    lengths = [5] * len(codes) if lengths is None else lengths
    return contrastive.balanced_steps(codes, lengths, plan=Schedule(batch_size, steps), seed=seed)


@pytest.mark.parametrize("codes", [codes_of(*[10] * 77), codes_of(500, 40), codes_of(8, 8), codes_of(*[3] * 150)])
def test_every_class_of_a_step_has_the_same_number_of_examples(codes):
    for (positions,) in steps_for(codes):
        assert len(set(positions)) == len(positions) <= 64
        counts = np.bincount(codes[positions])
        present = counts[counts > 0]
        assert len(present) >= 2
        assert set(present) == {present[0]}
        assert present[0] >= 2


def test_two_classes_share_a_whole_step():
    (positions,) = steps_for(codes_of(500, 40))[0]

    assert np.bincount(codes_of(500, 40)[positions]).tolist() == [32, 32]


def test_all_examples_of_a_class_come_before_any_comes_again():
    codes = codes_of(8, 8)
    steps = steps_for(codes, batch_size=8, steps=20)
    of_the_first = [at for (positions,) in steps for at in positions if codes[at] == 0]

    assert np.bincount(of_the_first).tolist() == [10] * 8


def test_every_class_comes_as_often_as_any_other():
    codes = codes_of(*[10] * 100)
    seen = np.bincount([code for (positions,) in steps_for(codes, steps=100) for code in set(codes[positions])])

    assert seen.min() >= 0.7 * seen.mean()


def test_another_seed_compares_others():
    codes = codes_of(*[10] * 20)

    assert steps_for(codes, seed=1) == steps_for(codes, seed=1)
    assert steps_for(codes, seed=1) != steps_for(codes, seed=2)


def test_every_step_has_somebody_to_draw_together_where_most_classes_have_one_example():
    codes = codes_of(2, *[1] * 150)

    for (positions,) in steps_for(codes, steps=50):
        assert np.bincount(codes[positions]).max() == 2


def test_the_longest_example_comes_last():
    lengths = [9, 2, 7, 4, 5, 6]
    (positions,) = steps_for(codes_of(3, 3), lengths=lengths)[0]

    assert [lengths[at] for at in positions] == sorted(lengths)


def test_there_is_nothing_to_compare_without_a_pair_or_a_second_class():
    assert not contrastive.comparable(codes_of(5))
    assert not contrastive.comparable(codes_of(1, 1, 1))
    assert contrastive.comparable(codes_of(2, 1))


def test_more_labels_mean_more_work_but_fewer_passes():
    sizes = [2, 16, 64, 256, 1024, 10_003, 100_000]
    planned = [contrastive.schedule(n, epochs=None, batch_size=64) for n in sizes]

    assert [each.examples for each in planned] == sorted(each.examples for each in planned)
    assert planned[0].steps == planned[1].steps == 30
    assert planned[-1].examples / sizes[-1] < 1.5
    assert contrastive.schedule(100, epochs=2, batch_size=50).steps == 4
    assert contrastive.schedule(0, epochs=None, batch_size=64).examples == 0


def by_the_formula(vectors, targets, temperature):
    """Return the loss of Khosla et al. 2020, equation 2, term by term."""
    unit = [vector / np.linalg.norm(vector) for vector in vectors]
    total = 0.0
    for i, own in enumerate(unit):
        near = {a: math.exp(float(own @ unit[a]) / temperature) for a in range(len(unit)) if a != i}
        friends = [p for p in near if targets[p] == targets[i]]
        total -= sum(math.log(near[p] / sum(near.values())) for p in friends) / max(1, len(friends))
    return total


class Table(nn.Module):
    def __init__(self, vectors):
        super().__init__()
        self.vectors = nn.Parameter(torch.tensor(vectors))

    def forward(self, positions):
        return self.vectors[positions]


def test_the_loss_is_that_of_the_formula():
    vectors = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    targets = [0, 0, 1, 1, 1, 2, 0]
    batch = Batch({"positions": torch.arange(7)}, torch.tensor(targets), 6)

    loss = contrastive.attraction(0.3)(Table(vectors), batch)

    assert loss.item() == pytest.approx(by_the_formula(vectors, targets, 0.3), rel=1e-4)


class Words(nn.Module):
    """The mean of the vectors of a text's words, with dropout."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.words = nn.Parameter(torch.randn(50, 6, generator=generator))
        self.dropout = nn.Dropout(0.2)

    def forward(self, ids):
        return self.dropout(self.words[ids]).tanh().mean(dim=1)


def collate(prepared):
    return {"ids": torch.tensor(prepared)}


def gradient_of(prepared, codes, monkeypatch, most_tokens):
    monkeypatch.setattr(contrastive, "MICRO_BATCH_TOKENS", most_tokens)
    encoder = Words().eval()
    batch = contrastive.compared_batches(collate, prepared, codes)(range(len(prepared)))
    loss = contrastive.attraction(0.1)(contrastive.InParts(encoder), batch)
    loss.backward()
    return batch, loss.item(), encoder.words.grad


def test_a_batch_read_in_parts_has_the_same_gradient(monkeypatch):
    prepared = [[(7 * row + word) % 50 for word in range(4)] for row in range(12)]
    codes = codes_of(4, 4, 4)

    whole, loss, gradient = gradient_of(prepared, codes, monkeypatch, 1000)
    parts, same_loss, same_gradient = gradient_of(prepared, codes, monkeypatch, 12)

    assert len(whole.inputs) == 1
    assert len(parts.inputs) == 4
    assert parts.entries == 12
    assert same_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(same_gradient, gradient)


def test_what_is_computed_twice_drops_the_same(monkeypatch):
    monkeypatch.setattr(contrastive, "MICRO_BATCH_TOKENS", 8)
    prepared = [[row, row + 1, row + 2, row + 3] for row in range(8)]
    batch = contrastive.compared_batches(collate, prepared, codes_of(4, 4))(range(8))
    gradients = []
    for keep_everything in (False, True):
        encoder = Words().train()
        network = contrastive.InParts(encoder)
        if keep_everything:
            monkeypatch.setattr(contrastive, "checkpoint", lambda part, use_reentrant: part())
        torch.manual_seed(4)
        contrastive.attraction(0.1)(network, batch).backward()
        gradients.append(encoder.words.grad)

    torch.testing.assert_close(*gradients)


def test_a_batch_counts_those_that_have_somebody_to_go_with():
    prepared = [[0, 1], [1, 2], [2, 3]]

    batch = contrastive.compared_batches(collate, prepared, np.array([0, 1, 1]))([0, 1, 2])

    assert batch.units == 2
    assert sorted(batch.targets.tolist()) == [0, 1, 1]
