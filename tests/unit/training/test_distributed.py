import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.core import UnsupportedError
from nshot.training.distributed import Processes, is_main_process, processes
from nshot.training.losses import chance_loss
from unit.training.launching import PROCESSES, launched
from unit.training.rings import SETTINGS, ring, run, weights


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Return what each of two processes found."""
    folder = tmp_path_factory.mktemp("together")
    launched(Path(__file__).with_name("together.py"), folder)
    return [torch.load(folder / f"found-{rank}") for rank in range(PROCESSES)]


@pytest.mark.parametrize(("name", "tokens"), [("one part a step", 4096), ("six parts a step", 3)])
def test_two_processes_have_the_loss_curve_and_the_weights_of_one(together, name, tokens) -> None:
    network, record = run(steps=45, micro_batch_tokens=tokens)

    for found, figures in (each[name] for each in together):
        assert torch.allclose(found, weights(network), atol=1e-5)
        assert figures["losses"] == pytest.approx(record.losses, abs=1e-5)
        assert figures["examples_seen"] == record.examples_seen == 45 * 16


def test_all_processes_end_with_the_same_bits(together) -> None:
    for name in ("one part a step", "six parts a step", "begun again", "whole", "resumed"):
        (first, figures), (second, others) = (each[name] for each in together)
        assert torch.equal(first, second)
        assert figures == others


def test_a_process_with_nothing_to_do_takes_part(together) -> None:
    points, codes = ring()
    network, _ = run(steps=4, data=(points[:1], codes[:1]), batch_size=1)

    for each in together:
        assert torch.allclose(each["one example a step"][0], weights(network), atol=1e-5)


def test_only_the_main_process_reports(together) -> None:
    assert Counter(kind for kind, _ in together[0]["told"]) == {"progress": 90, "track": 90}
    assert together[1]["told"] == []


def test_processes_begin_again_together(together) -> None:
    _, record = run(steps=40, settings=type(SETTINGS)(30.0), chance=chance_loss(ring()[1], 2))

    assert record.restarts == 1
    assert [each["begun again"][1]["restarts"] for each in together] == [1, 1]


def test_processes_that_were_left_go_on_together_to_the_same_weights(together) -> None:
    # Checkpoints are written where all wait for each other: after steps 1, 20, 25 (half-way) ....
    assert together[0]["done"] == list(range(26, 51))
    for each in together:
        assert torch.equal(each["resumed"][0], each["whole"][0])
        assert each["resumed"][1] == each["whole"][1]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("sizes", [[16], [1], [9, 7], [5, 3, 1], [4, 4, 4, 4, 4], [2, 1, 1]])
def test_shares_are_the_whole_step_evenly(count, sizes) -> None:
    positions = np.random.default_rng(0).permutation(sum(sizes)).tolist()
    ends = np.cumsum(sizes).tolist()
    step = [positions[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    shares = [Processes("cpu", count, index).share(step) for index in range(count)]

    assert sorted(at for share in shares for part in share for at in part) == list(range(sum(sizes)))
    assert all(part for share in shares for part in share)
    if len(sizes) < count or len(set(sizes)) == 1:
        examples = [sum(map(len, share)) for share in shares]
        assert max(examples) - min(examples) <= max(1, len(sizes) % count and 1)
    if count == 1:
        assert shares == [step]


@pytest.mark.parametrize(("rank", "main"), [(None, True), ("0", True), ("1", False)])
def test_the_main_process_is_the_first(monkeypatch, rank, main) -> None:
    if rank is not None:
        monkeypatch.setenv("RANK", rank)

    assert is_main_process() is main


def test_one_process_needs_neither_torch_nor_accelerate() -> None:
    program = (
        "import sys; from nshot.training import distributed as d; d.is_main_process(); d.processes('cpu');"
        "print({'torch', 'accelerate'} & set(sys.modules))"
    )

    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


def test_deepspeed_is_refused_in_words(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")

    with pytest.raises(UnsupportedError, match=r"DeepSpeed is not supported.*accelerate launch --use_fsdp"):
        processes("cpu")
