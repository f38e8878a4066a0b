from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nshot.core import Dataset, OutOfMemoryError, Task, TaskKind, UsageProblem
from nshot.evaluation.protocol import Draw
from nshot.study.process import OutOfTimeError, WorkerProcess
from nshot.study.worker import Fit, Prepare, Prepared, Setting

TEXTS = [f"{word} number {i}" for i in range(10) for word in ("good", "bad")]
LABELS = ["a", "b"] * 10


@pytest.fixture
def worker(tmp_path):
    (tmp_path / "predictions").mkdir()
    setting = Setting(
        task=Task(TaskKind.CLASSIFY, ("a", "b")),
        train=Dataset(TEXTS, "text", LABELS),
        test=None,
        unlabelled=None,
        draws={(0, 0): Draw(0, 0, np.arange(14), np.arange(14, 20))},
        backbones=(),
        metric="macro_f1",
        metrics=("macro_f1",),
        cache=None,
        precision="fp32",
        device="cpu",
        threads=1,
        predictions=tmp_path / "predictions",
        models=tmp_path / "kept",
    )
    process = WorkerProcess(setting, tmp_path / "worker.log")
    yield process
    process.end()


def fit(**changed) -> Fit:
    values = {"method": "majority", "options": {}, "backbone": None, "n_labels": 14, "repeat": 0, "fold": 0, "seed": 0}
    return Fit(**{"key": "k", **values, **changed})


def children() -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True)
    pids = [int(line) for line in found.stdout.split()]
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in pids}
    return [pid for pid, file in commands.items() if file.exists() and b"nshot.study.worker" in file.read_bytes()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the worker")
def test_a_worker_that_the_system_kills_is_out_of_memory_and_the_next_request_starts_another(worker, tmp_path):
    assert isinstance(worker.ask(Prepare(), seconds=None), Prepared)
    [pid] = children()
    with pytest.raises(UsageProblem, match="no option 'depth'"):
        worker.ask(fit(options={"depth": 3}), seconds=None)
    assert children() == [pid], "a refusal does not end it"

    os.kill(pid, signal.SIGKILL)
    with pytest.raises(OutOfMemoryError, match="memory ran out"):
        worker.ask(fit(), seconds=None)
    fitted = worker.ask(fit(), seconds=60.0)
    assert (tmp_path / fitted.predictions).is_file()
    assert children() != [pid]

    [pid] = children()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(OutOfTimeError):
        worker.ask(fit(), seconds=0.3)
    assert children() == []
