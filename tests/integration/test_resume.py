from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from integration.calling import ledger, succeeded, tickets, write_csv

# Some hundred short runs: long enough to be caught in the middle.
PLAN = ("--methods", "majority,tfidf_linear", "--repeats", "12", "--sizes", "16")


@pytest.fixture
def data(tmp_path) -> Path:
    return write_csv(tmp_path / "tickets.csv", tickets(90))


@pytest.fixture
def started(data, tmp_path) -> Iterator[subprocess.Popen[str]]:
    """Return a comparison that runs in a process group of its own and has finished some runs."""
    command = [sys.executable, "-c", "from nshot.cli.main import main; main()", "compare", str(data)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), *PLAN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(ledger(tmp_path / "out")) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def is_gone(worker: psutil.Process) -> bool:
    return not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def keys(out: Path) -> list[str]:
    return [run["key"] for run in ledger(out)]


def finish(data: Path, out: Path, finished_before: list[str]) -> None:
    """Give the same command again; what was finished before must not be run again."""
    before = (out / "runs.jsonl").stat().st_size
    succeeded("compare", data, "--out", out, *PLAN, "--quiet")
    found = keys(out)
    assert found[: len(finished_before)] == finished_before
    assert len(set(found)) == len(found) == 2 * 12 * 5 * 2
    assert (out / "runs.jsonl").stat().st_size > before
    for name in ("verdict.json", "report.html", "study.toml", "model/manifest.json"):
        assert (out / name).is_file()
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_a_killed_comparison_loses_the_run_in_flight_and_goes_on(started, data, tmp_path):
    out = tmp_path / "out"
    children = workers(started)
    assert children, "the runs happen in a worker"
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert all(is_gone(worker) for worker in alive), "an orphaned worker ends by itself"
    finished_before = keys(out)
    assert 5 <= len(finished_before) < 240
    finish(data, out, finished_before)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_comparison_says_that_it_can_go_on_and_leaves_no_worker(sent, started, tmp_path):
    children = workers(started)
    started.send_signal(sent)
    out, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert out == ""
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert all(is_gone(worker) for worker in children)
    assert not (tmp_path / "out" / "verdict.json").exists()
    assert (tmp_path / "out" / "study.toml").is_file()
    found = keys(tmp_path / "out")
    assert len(set(found)) == len(found) >= 5
