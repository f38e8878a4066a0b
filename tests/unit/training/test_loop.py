import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from nshot.core import OutOfMemoryError, TrainingError
from nshot.training.averaging import RunningAverage
from nshot.training.batching import labelled_batches, shuffled_steps
from nshot.training.loop import Group, TrainingSettings, Watch, matrices_and_vectors, train
from nshot.training.losses import chance_loss, cross_entropy, unsmoothed
from unit.training.rings import CONTEXT, SETTINGS, Net, is_whole, ring, run, weights


def test_it_learns_what_no_line_parts() -> None:
    network, record = run(steps=200)

    points, codes = ring()
    found = network(torch.from_numpy(points)).argmax(1).numpy()
    assert (found == codes).mean() > 0.97
    assert record.losses[0] > 0.5 > 0.1 > record.losses[-1]
    assert not network.training


def test_the_record_counts_steps_and_examples() -> None:
    _, record = run(steps=30)

    assert record.steps == 30
    assert record.examples_seen == 30 * 16
    assert record.restarts == 0
    assert record.precision == "fp32"
    assert record.examples_per_second == pytest.approx(record.examples_seen / record.seconds)


def test_the_loss_curve_is_thinned_to_a_hundred_means() -> None:
    _, record = run(steps=130)

    assert len(record.losses) == 100
    assert len(run(steps=7)[1].losses) == 7


def test_the_saved_record_is_json_and_free_of_the_clock() -> None:
    first, second = (run(steps=5)[1].as_json() for _ in range(2))

    assert first == second
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_weights_dropout_included(precision) -> None:
    context = dataclasses.replace(CONTEXT, precision=precision)

    first = weights(run(Net(dropout=0.5), context=context)[0])
    torch.manual_seed(99)
    again = weights(run(Net(dropout=0.5), context=context)[0])
    other = weights(run(Net(dropout=0.5), context=dataclasses.replace(context, seed=4))[0])

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_the_global_random_state_and_the_number_of_threads_are_left_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    seen = []

    def watching(network, batch):
        if is_whole(batch):
            seen.append(torch.get_num_threads())
        return cross_entropy()(network, batch)

    run(Net(dropout=0.5), steps=2, loss=watching, context=dataclasses.replace(CONTEXT, threads=threads + 1))

    assert torch.equal(torch.get_rng_state(), state)
    assert seen == [threads + 1] * 2
    assert torch.get_num_threads() == threads


def test_how_a_step_is_cut_does_not_change_it() -> None:
    whole = weights(run(steps=20)[0])
    cut = weights(run(steps=20, micro_batch_tokens=5)[0])

    assert torch.allclose(whole, cut, atol=1e-5)


def test_what_is_not_in_a_group_keeps_its_value() -> None:
    network, before = Net(), Net()
    points, codes = ring()
    network.first.requires_grad_(False)
    train(
        network,
        shuffled_steps([1] * 64, batch_size=16, steps=5, seed=0),
        groups=[Group(list(network.last.parameters()))],
        batch=labelled_batches(lambda items: {"x": torch.from_numpy(np.stack(items))}, list(points), codes),
        loss=cross_entropy(),
        settings=SETTINGS,
        context=CONTEXT,
    )

    assert torch.equal(network.first.weight, before.first.weight)
    assert torch.equal(network.norm.weight, before.norm.weight)
    assert not torch.equal(network.last.weight, before.last.weight)


def test_weight_decay_reaches_matrices_and_nothing_else() -> None:
    def no_gradient(network, batch):
        return sum(parameter.sum() for parameter in network.parameters()) * 0.0

    network = run(steps=3, loss=no_gradient, settings=TrainingSettings(0.1, weight_decay=0.5))[0]

    before = Net()
    matrices, vectors = matrices_and_vectors(list(network.parameters()))
    assert {tuple(parameter.shape) for parameter in vectors} == {(16,), (2,)}
    assert len(matrices) == 2
    assert network.first.weight.norm() < before.first.weight.norm()
    assert torch.equal(network.first.bias, before.first.bias)
    assert torch.equal(network.norm.weight, before.norm.weight)


def test_a_group_is_trained_at_its_multiple_of_the_rate() -> None:
    slow, fast = (run(steps=1, rates=(rate,))[0] for rate in (0.1, 1.0))

    moved = [(weights(network) - weights(Net())).norm() for network in (slow, fast)]
    assert float(moved[1] / moved[0]) == pytest.approx(10, rel=0.01)


def test_progress_is_told_of_every_step_with_loss_and_speed() -> None:
    told = []

    def listen(done, total, doing=""):
        told.append((done, total, doing))

    _, record = run(steps=45, context=dataclasses.replace(CONTEXT, progress=listen))

    assert [done for done, _, _ in told] == list(range(1, 46))
    assert {total for _, total, _ in told} == {45}
    assert all(re.fullmatch(r"training, loss \d\.\d{3}, \d+ examples/s", doing) for _, _, doing in told)
    assert f"loss {np.mean(record.losses[-20:]):.3f}," in told[-1][2]


def test_the_figures_of_every_step_are_handed_over_with_its_number() -> None:
    told = []

    _, record = run(
        steps=45,
        settings=TrainingSettings(0.05, warmup=0.2),
        context=dataclasses.replace(CONTEXT, track=lambda step, figures: told.append((step, figures))),
    )

    assert [step for step, _ in told] == list(range(1, 46))
    assert {tuple(figures) for _, figures in told} == {
        ("loss", "learning_rate", "gradient_norm", "examples_per_second")
    }
    assert [figures["loss"] for _, figures in told] == list(record.losses)
    rates = [figures["learning_rate"] for _, figures in told]
    assert max(rates) == rates[8] == 0.05
    assert rates[0] == pytest.approx(0.05 / 9)
    assert rates[-1] < 0.001
    assert all(figures["gradient_norm"] > 0 and figures["examples_per_second"] > 0 for _, figures in told)


def test_the_final_weights_are_the_mean_of_the_last_weights() -> None:
    network, looked = Net(), []
    watch = Watch(frozenset(range(1, 41)), lambda _, step: looked.append(weights(network)))

    run(network, steps=40, settings=TrainingSettings(0.05, average=0.25), watch=watch)
    last, _ = run(steps=40)

    mean = torch.stack([*looked[-11:-1], weights(last)])[1:].mean(0)
    assert torch.allclose(weights(network), mean, atol=1e-6)
    assert torch.equal(looked[-1], weights(network))
    assert not torch.allclose(weights(network), weights(last), atol=1e-4)


def test_without_averaging_nothing_is_kept_for_it() -> None:
    average = RunningAverage(list(Net().parameters()), 0)

    assert average.means == []


def test_a_training_that_stops_early_follows_the_rates_of_the_whole_plan() -> None:
    network, looked = Net(), []
    watch = Watch(frozenset({15}), lambda _, step: looked.append(weights(network)))

    run(network, steps=40, watch=watch)
    stopped, record = run(steps=40, settings=dataclasses.replace(SETTINGS, stop_after=15))

    assert torch.equal(weights(stopped), looked[0])
    assert record.steps == 15
    assert record.examples_seen == 15 * 16


def test_a_look_finds_the_network_in_evaluation_mode_and_changes_nothing() -> None:
    network, looked = Net(dropout=0.5), []

    def look(seen, step):
        looked.append((step, seen.training))
        seen(torch.rand(3, 2))

    run(network, steps=30, watch=Watch(frozenset({1, 20, 30}), look))
    alone, _ = run(Net(dropout=0.5), steps=30)

    assert looked == [(1, False), (20, False), (30, False)]
    assert torch.equal(weights(network), weights(alone))


def test_a_training_that_is_begun_again_is_looked_at_again() -> None:
    looked = []
    watch = Watch(frozenset({5, 40}), lambda _, step: looked.append(step))

    _, record = run(
        steps=40, settings=TrainingSettings(30.0, average=0.1), chance=chance_loss(ring()[1], 2), watch=watch
    )

    assert record.restarts == 1
    assert looked == [5, 5, 40]


@pytest.mark.parametrize("step", [1, 25])
def test_a_loss_that_is_no_number_is_an_error_that_says_what_to_do(step) -> None:
    calls = []

    def breaks(network, batch):
        value = cross_entropy()(network, batch)
        if is_whole(batch):
            calls.append(1)
        return value * math.nan if len(calls) == step else value

    with pytest.raises(TrainingError, match=rf"the loss was nan at step {step} of 60.*Lower learning_rate"):
        run(loss=breaks)
    assert len(calls) <= step + 20


def test_an_infinite_gradient_is_an_error() -> None:
    def steep(network, batch):
        return torch.sqrt((network(**batch.inputs) * 0).abs()).sum()

    with pytest.raises(TrainingError, match="the gradient was"):
        run(loss=steep)


def test_a_wild_learning_rate_ends_in_an_error_and_not_in_a_predictor() -> None:
    with pytest.raises(TrainingError, match="Lower learning_rate"):
        run(settings=TrainingSettings(1e30), chance=0.69)


def test_a_run_that_learnt_nothing_is_begun_again_once_from_the_same_weights() -> None:
    data = ring()
    chance = chance_loss(data[1], 2)
    starts = []

    def watching(network, batch):
        if is_whole(batch):
            starts.append(weights(network).clone())
        return cross_entropy()(network, batch)

    _, record = run(steps=40, settings=TrainingSettings(30.0), loss=watching, chance=chance, data=data)

    assert record.restarts == 1
    assert record.learning_rate == pytest.approx(6.0)
    assert torch.equal(starts[0], starts[record.examples_seen // 16 - 40])
    # Half-way it was clear that nothing was learnt.
    assert record.examples_seen == (20 + 40) * 16
    assert record.steps == 40


def test_a_run_that_learns_is_not_begun_again() -> None:
    _, record = run(steps=40, chance=chance_loss(ring()[1], 2))

    assert record.restarts == 0


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(TrainingError, match="at least one labelled example"):
        run(steps=0)


def test_too_little_memory_is_told_in_words() -> None:
    def greedy(network, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")

    with pytest.raises(OutOfMemoryError, match=r"Tried to allocate 9 GiB\.\)"):
        run(loss=greedy)


def test_bf16_comes_close_to_fp32() -> None:
    exact, rounded = (
        run(steps=60, context=dataclasses.replace(CONTEXT, precision=precision))[1] for precision in ("fp32", "bf16")
    )

    assert rounded.precision == "bf16"
    assert rounded.losses != exact.losses
    assert rounded.losses[-1] == pytest.approx(exact.losses[-1], abs=0.05)


def test_the_chance_loss_is_that_of_the_best_constant_answer() -> None:
    codes = np.array([0, 0, 0, 1])

    def of_constant(shares, smoothing):
        scores = torch.log(torch.tensor(shares)).repeat(4, 1)
        return float(nn.functional.cross_entropy(scores, torch.from_numpy(codes), label_smoothing=smoothing))

    assert chance_loss(codes, 2) == pytest.approx(of_constant([0.75, 0.25], 0.0))
    assert chance_loss(codes, 2, 0.2) == pytest.approx(of_constant([0.7, 0.3], 0.2))
    assert chance_loss(codes, 2, 0.2) < of_constant([0.69, 0.31], 0.2)
    assert chance_loss(np.zeros(4, dtype=np.int64), 3) == 0


def test_smoothed_answers_are_turned_back() -> None:
    meant = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])

    assert unsmoothed(0.9 * meant + 0.1 / 3, 0.1) == pytest.approx(meant)
    assert unsmoothed(meant, 0.0) is meant
    assert (unsmoothed(np.array([[0.99, 0.005, 0.005]]), 0.1) == [[1.0, 0.0, 0.0]]).all()
