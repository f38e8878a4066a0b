import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nshot
from integration.calling import tickets, write_csv
from nshot.core import UnsupportedError
from nshot.training.contrastive import InParts
from nshot.training.losses import chance_loss
from nshot.training.sharding import Sharding, asked
from unit.backbones.tiny import write_bert
from unit.training.in_shards import METHODS, ROUNDS, STEPS, Layered, fitted, trained
from unit.training.launching import PROCESSES, launched
from unit.training.rings import SETTINGS, ring, run, weights

NEW = [text for text, _ in tickets(9, seed=7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with rows and a tiny encoder."""
    folder = tmp_path_factory.mktemp("shards")
    write_csv(folder / "tickets.csv", tickets(24))
    write_bert(folder / "tiny", pooling={"pooling_mode_mean_tokens": True})
    return folder


@pytest.fixture(scope="module")
def in_shards(folder):
    """Return what each of two processes found that shared one network."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    program = Path(__file__).with_name("in_shards.py")
    launched(program, folder, ACCELERATE_USE_FSDP="true", PYTHONPATH=paths, OMP_NUM_THREADS="1")
    return [torch.load(folder / f"found-{rank}") for rank in range(PROCESSES)]


@pytest.mark.parametrize("name", ROUNDS)
def test_shards_have_the_loss_curve_and_the_weights_of_one_network(in_shards, name) -> None:
    network, record = trained(**ROUNDS[name])

    for found, figures in (each[name] for each in in_shards):
        assert torch.allclose(found, weights(network), atol=1e-5)
        assert figures["losses"] == pytest.approx(record.losses, abs=1e-5)
        assert figures["steps"] == record.steps == STEPS
        assert figures["examples_seen"] == record.examples_seen


def test_all_processes_end_with_the_same_bits(in_shards) -> None:
    for name in (*ROUNDS, "begun again", "whole", "resumed"):
        (first, figures), (second, others) = (each[name] for each in in_shards)
        assert torch.equal(first, second)
        assert figures == others


def test_each_process_holds_about_half_of_the_weights_and_of_the_state_of_the_optimiser(in_shards) -> None:
    whole = weights(Layered()).nbytes
    held = [each["held"] for each in in_shards]

    assert sum(each["weights"] for each in held) == whole
    assert sum(each["moments"] for each in held) == 2 * whole
    assert all(each["weights"] == pytest.approx(whole / 2, rel=0.1) for each in held)
    assert all(each["moments"] == pytest.approx(whole, rel=0.1) for each in held)


def test_the_network_is_an_ordinary_one_afterwards(in_shards) -> None:
    network = Layered()

    for each in in_shards:
        assert each["afterwards"] == ({type(module).__name__ for module in network.modules()}, False)
        assert {name: value.shape for name, value in each["state"].items()} == {
            name: value.shape for name, value in network.state_dict().items()
        }
        assert each["state"]["seen"] >= STEPS, "what a forward pass counts is kept"


def test_shards_begin_again_together(in_shards) -> None:
    network, record = run(
        Layered(), steps=20, settings=replace(SETTINGS, learning_rate=1.0), chance=chance_loss(ring()[1], 2)
    )

    assert record.restarts == 1
    for found, figures in (each["begun again"] for each in in_shards):
        assert figures["restarts"] == 1
        assert torch.allclose(found, weights(network), atol=1e-3)


def test_shards_that_were_left_go_on_to_the_same_weights_and_are_looked_at_again(in_shards) -> None:
    # Checkpoints are written where all wait for each other: after steps 1 and 8 (half-way).
    assert in_shards[0]["done"] == list(range(9, 17))
    for each in in_shards:
        assert torch.equal(each["resumed"][0], each["whole"][0])
        assert each["resumed"][1] == each["whole"][1]
        for (step, seen), (again, then) in zip(each["seen whole"], each["seen resumed"], strict=True):
            assert step == again
            assert torch.equal(seen, then)


@pytest.mark.parametrize("name", METHODS)
def test_a_model_trained_in_shards_is_the_one_of_one_process(in_shards, folder, name) -> None:
    alone = fitted(folder, name, None)
    model = nshot.load(folder / name)

    assert np.abs(model.predict_proba(NEW) - alone.predict_proba(NEW)).max() < 1e-4
    assert model.predict(NEW) == alone.predict(NEW)


@pytest.fixture
def launched_with(monkeypatch):
    """Return what sets the environment that accelerate leaves."""

    def set_all(**environment):
        for name, value in {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true", **environment}.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, Sharding()),
        ({"ACCELERATE_USE_FSDP": "false"}, None),
        ({"FSDP_SHARDING_STRATEGY": "FULL_SHARD"}, Sharding()),
        ({"FSDP_SHARDING_STRATEGY": "SHARD_GRAD_OP"}, Sharding(regathered=False)),
        ({"FSDP_SHARDING_STRATEGY": "SHARD_GRAD_OP", "FSDP_VERSION": "2"}, Sharding()),
        ({"FSDP_RESHARD_AFTER_FORWARD": "false", "FSDP_VERSION": "2"}, Sharding(regathered=False)),
    ],
)
def test_what_accelerate_was_told_is_followed(launched_with, environment, wanted) -> None:
    launched_with(**environment)

    assert asked() == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FSDP_SHARDING_STRATEGY", "NO_SHARD"),
        ("FSDP_SHARDING_STRATEGY", "HYBRID_SHARD"),
        ("FSDP_OFFLOAD_PARAMS", "true"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true"),
        ("FSDP_AUTO_WRAP_POLICY", "SIZE_BASED_WRAP"),
    ],
)
def test_what_is_not_supported_is_refused_in_words(launched_with, name, value) -> None:
    launched_with(**{name: value})

    with pytest.raises(UnsupportedError, match=f"--{name.lower()} {value} is not supported. Known: "):
        asked()


def test_a_network_with_weights_of_fewer_bits_is_refused(launched_with) -> None:
    network = torch.nn.Linear(2, 2)
    network.weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)

    with pytest.raises(UnsupportedError, match="floating-point numbers"), Sharding().shards(network, "cpu", 2):
        pass


def test_comparing_all_texts_of_a_step_is_refused(launched_with) -> None:
    launched_with()

    with pytest.raises(UnsupportedError, match="compares all texts of a step does not work with FSDP"):
        InParts(Layered())


def test_without_shards_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; from nshot.training import sharding; sharding.asked();"
        "print({'torch', 'accelerate'} & set(sys.modules))"
    )

    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
