import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from nshot.core import OutputError, TrainingError
from nshot.training import checkpoints
from nshot.training.checkpoints import Checkpoint, CheckpointFolder
from nshot.training.loop import Watch
from nshot.training.losses import chance_loss
from unit.training.rings import CONTEXT, SETTINGS, Net, ring, run, weights


class Killed(BaseException):
    """Ends a training at any place, as a kill does."""


@pytest.fixture(autouse=True)
def after_every_step(monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


def killed_at(step, folder, *, attempt=1, **options):
    """Train until `step` of the n-th attempt, and leave."""
    reached = []

    def progress(done, total, doing=""):
        reached.append(done)
        if reached.count(step) == attempt:
            raise Killed

    with pytest.raises(Killed):
        run(context=replace(CONTEXT, checkpoints=folder, progress=progress), **options)


def resumed(folder, **options):
    """Return the network, the record and the steps that were still done."""
    done = []
    context = replace(CONTEXT, checkpoints=folder, progress=lambda at, total, doing="": done.append(at))
    network, record = run(context=context, **options)
    return network, record, done


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_checkpoints_do_not_change_a_training(tmp_path, monkeypatch, seconds) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", seconds)
    options = {"settings": replace(SETTINGS, average=0.3), "steps": 30}

    kept, record, _ = resumed(tmp_path, network=Net(0.5), **options)
    network, alone = run(Net(0.5), **options)

    assert torch.equal(weights(kept), weights(network))
    assert record.as_json() == alone.as_json()
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("step", [1, 2, 26, 45])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_that_was_left_goes_on_to_the_same_weights(tmp_path, step, precision, monkeypatch) -> None:
    options = {"settings": replace(SETTINGS, average=0.5), "steps": 50, "micro_batch_tokens": 5}
    monkeypatch.setattr("unit.training.rings.CONTEXT", replace(CONTEXT, precision=precision))

    killed_at(step + 1, tmp_path, network=Net(0.5), **options)
    network, record, done = resumed(tmp_path, network=Net(0.5), **options)
    whole, alone = run(Net(0.5), **options)

    assert done == list(range(step + 1, 51))
    assert torch.equal(weights(network), weights(whole))
    assert record.as_json() == alone.as_json()


def test_a_training_that_is_killed_by_the_system_goes_on_to_the_same_weights(tmp_path) -> None:
    program, out = Path(__file__).with_name("rings.py"), tmp_path / "out"
    command = [sys.executable, str(program), str(out), str(tmp_path / "checkpoints"), "200", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        for line in first.stdout:
            if int(line) >= 120:
                break
        os.kill(first.pid, signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert not out.exists()
    done = [int(line) for line in subprocess.check_output(command, text=True).split()]

    assert 1 < done[0] < 200
    assert done == list(range(done[0], 201))
    network, record = run(Net(0.5), steps=200, settings=replace(SETTINGS, average=0.5), micro_batch_tokens=5)
    found, losses = torch.load(out)
    assert torch.equal(found, weights(network))
    assert losses == record.losses


def test_a_finished_training_is_not_done_again(tmp_path) -> None:
    first, record, _ = resumed(tmp_path, steps=20)

    second, again, done = resumed(tmp_path, steps=20)

    assert done == []
    assert torch.equal(weights(first), weights(second))
    assert again == record
    assert not second.training


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 21},
        {"settings": replace(SETTINGS, learning_rate=0.04)},
        {"settings": replace(SETTINGS, stop_after=19)},
        {"data": ring(65)},
        {"data": (ring()[0], 1 - ring()[1])},
        {"rates": (0.5,)},
        {"chance": 0.6},
        {"micro_batch_tokens": 3},
    ],
)
def test_another_training_in_the_same_folder_is_a_training_of_its_own(tmp_path, other) -> None:
    killed_at(15, tmp_path, steps=20)

    _, _, done = resumed(tmp_path, **{"steps": 20, **other})

    assert done[0] == 1
    assert len(files(tmp_path)) == 2


def test_another_seed_or_other_first_weights_are_another_training(tmp_path) -> None:
    killed_at(15, tmp_path, steps=20)
    moved = Net()
    with torch.no_grad():
        moved.last.bias[0] += 1e-3

    assert resumed(tmp_path, steps=20, network=moved)[2][0] == 1
    run(steps=20, context=replace(CONTEXT, seed=4, checkpoints=tmp_path))
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "foreign", "folder"])
def test_a_broken_checkpoint_is_told_and_the_training_begins_anew(tmp_path, damage) -> None:
    killed_at(15, tmp_path, steps=20)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-9] ^= 1
        path.write_bytes(data)
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "foreign":
        CheckpointFolder(tmp_path, "other").write(Checkpoint({"step": 3}, {"weight": torch.ones(3)}))
        (tmp_path / "other.safetensors").replace(path)
    else:
        path.unlink()
        path.mkdir()
        (path / "file").touch()
    told = []

    def go_on():
        return run(steps=20, context=replace(CONTEXT, checkpoints=tmp_path, progress=lambda *how: told.append(how)))

    if damage == "folder":
        with pytest.raises(OutputError, match=r"cannot keep its checkpoint.*Make room"):
            go_on()
        return
    network, _ = go_on()
    assert told[0] == (0, 20, "training from the start, the checkpoint cannot be used")
    assert [done for done, *_ in told[1:]] == list(range(1, 21))
    assert torch.equal(weights(network), weights(run(steps=20)[0]))


def test_a_half_written_checkpoint_leaves_the_last_one_in_force(tmp_path) -> None:
    killed_at(15, tmp_path, steps=20)
    (path,) = tmp_path.iterdir()
    path.with_suffix(".partial").write_bytes(path.read_bytes()[:100])

    network, _, done = resumed(tmp_path, steps=20)

    assert done[0] == 15
    assert torch.equal(weights(network), weights(run(steps=20)[0]))
    assert files(tmp_path) == [path.name]


def test_a_checkpoint_is_plain_tensors_and_json(tmp_path) -> None:
    killed_at(12, tmp_path, steps=20)

    (path,) = tmp_path.iterdir()
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["nshot"])["facts"]
        names = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118
    assert facts["stand"]["step"] == 11
    assert facts["stand"]["examples_seen"] == 11 * 16
    assert len(facts["stand"]["losses"]) == 11
    assert names == {"parameter", "optimiser", "random"}


def test_what_was_looked_at_before_the_kill_is_looked_at_again(tmp_path) -> None:
    def looking(network):
        looked = []
        watch = Watch(frozenset({2, 10, 18, 30}), lambda _, at: looked.append((at, network.training, weights(network))))
        return {"network": network, "watch": watch, "steps": 30, "settings": replace(SETTINGS, average=0.2)}, looked

    options, seen = looking(Net(0.5))
    killed_at(13, tmp_path, **options)
    options, seen_after = looking(Net(0.5))
    resumed(tmp_path, **options)
    options, seen_finished = looking(Net(0.5))
    _, _, done = resumed(tmp_path, **options)
    options, seen_whole = looking(Net(0.5))
    run(**options)

    assert [at for at, *_ in seen] == [2, 10]
    assert done == []
    for found in (seen_after, seen_finished):
        assert [at for at, *_ in found] == [2, 10, 18, 30]
        assert not any(training for _, training, _ in found)
        assert all(torch.equal(a[2], b[2]) for a, b in zip(found, seen_whole, strict=True))


def test_without_the_weights_of_a_look_the_training_begins_anew(tmp_path) -> None:
    looked = []
    options = {"watch": Watch(frozenset({2}), lambda _, step: looked.append(step)), "steps": 20}
    killed_at(13, tmp_path, **options)
    next(tmp_path.glob("*-look-*")).unlink()

    _, _, done = resumed(tmp_path, **options)

    assert done == list(range(21))
    assert looked == [2, 2]


@pytest.mark.parametrize(("step", "attempt"), [(15, 1), (1, 2), (15, 2), (40, 1)])
def test_a_training_that_was_begun_again_is_resumed_where_it_was(tmp_path, step, attempt) -> None:
    def options():
        looked = []
        return {
            "steps": 40,
            "settings": replace(SETTINGS, learning_rate=12.0, average=0.1),
            "chance": chance_loss(ring()[1], 2),
            "network": Net(0.2),
            "watch": Watch(frozenset({5, 30}), lambda _, step: looked.append(step)),
        }, looked

    whole_options, whole_looked = options()
    network, record = run(**whole_options)
    assert record.restarts == 1
    killed_at(step, tmp_path, attempt=attempt, **options()[0])
    again_options, looked = options()
    again, again_record, _ = resumed(tmp_path, **again_options)

    assert torch.equal(weights(again), weights(network))
    assert again_record.as_json() == record.as_json()
    assert looked[-2:] == whole_looked[-2:] == [5, 30]


def test_the_error_of_a_diverging_training_is_the_same_after_a_kill(tmp_path) -> None:
    options = {"settings": replace(SETTINGS, learning_rate=1e30), "chance": 0.69}
    with pytest.raises(TrainingError) as alone:
        run(**options)
    with pytest.raises(TrainingError) as first:
        resumed(tmp_path, **options)
    with pytest.raises(TrainingError) as second:
        resumed(tmp_path, **options)

    assert str(alone.value) == str(first.value) == str(second.value)


def test_figures_are_tracked_once_up_to_a_checkpoint(tmp_path) -> None:
    told = []

    def track(step, figures):
        told.append(step)

    def stop(done, total, doing=""):
        if done == 12:
            raise Killed

    with pytest.raises(Killed):
        run(steps=30, context=replace(CONTEXT, checkpoints=tmp_path, track=track, progress=stop))
    assert told == list(range(1, 13))
    del told[11:]  # the step after the last checkpoint is done again
    run(steps=30, context=replace(CONTEXT, checkpoints=tmp_path, track=track))

    assert told == list(range(1, 31))


def test_a_disk_that_refuses_is_told_in_words(tmp_path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match="goes on from the last checkpoint"):
        resumed(tmp_path / "file" / "folder", steps=5)
