"""What the measurements of serving share: a model, servers on one core, the load generator on another."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared/data/text/banking77"
SERVER_CORE, LOAD_CORE = 0, 1
_PATIENCE_SECONDS = 240


def texts(path: Path, wanted: int) -> list[str]:
    """Return every k-th text of a file, so that all lengths are in."""
    with path.open(encoding="utf-8", newline="") as file:
        found = [row["text"] for row in csv.DictReader(file)]
    return found[:: max(1, len(found) // wanted)][:wanted]


def training_rows(folder: Path, every: int = 8) -> Path:
    """Write every k-th row of the training data and return the file."""
    path = folder / "train.csv"
    with (DATA / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows[1::every]])
    return path


def fitted(folder: Path, train: Path) -> Path:
    """Fit a probe on them and return its folder."""
    import nshot

    model = folder / "banking"
    if not model.exists():
        nshot.fit(str(train), method="linear_probe", set=("strength=10",)).save(model)
    return model


@dataclass(frozen=True)
class Server:
    """A server that is up.

    Attributes:
        process: It.
        port: Where it listens.
        path: What to ask.
        field: What the text is called in the body.
    """

    process: subprocess.Popen[bytes]
    port: int
    path: str
    field: str


@contextmanager
def started(port: int, command: Sequence[str], path: str, field: str) -> Iterator[Server]:
    """Run a server on its core while inside."""
    one = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), sys.executable, *command],
        env={**os.environ, **one},
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            server = Server(process, port, path, field)
            _wait_for(server)
            yield server
        finally:
            process.terminate()


def _wait_for(server: Server) -> None:
    body = json.dumps({server.field: "warm-up"}).encode()
    url = f"http://127.0.0.1:{server.port}{server.path}"
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).read()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end or server.process.poll() is not None:
                raise
            time.sleep(0.3)


def nshot(port: int, model: Path, *more: str) -> tuple[int, list[str], str, str]:
    """Return the arguments of `started` for nshot's own server."""
    command = ["-m", "nshot.cli", "serve", str(model), "--port", str(port), "--threads", "1", "--quiet", *more]
    return port, command, "/v1/predict", "inputs"


@contextmanager
def load() -> Iterator[subprocess.Popen[str]]:
    """Run the load generator on its core while inside."""
    command = [sys.executable, str(HERE / "load.py"), str(LOAD_CORE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def measured(generator: subprocess.Popen[str], server: Server, asked: list[str], **order: Any) -> dict[str, Any]:
    """Return the figures of one order to the load generator, and the processor time of the server per request."""
    record = {"port": server.port, "path": server.path, "field": server.field, "texts": asked, **order}
    assert generator.stdin and generator.stdout
    before = _cpu_seconds(server.process.pid)
    generator.stdin.write(json.dumps(record) + "\n")
    generator.stdin.flush()
    found: dict[str, Any] = json.loads(generator.stdout.readline())
    return {**found, "cpu_ms": 1000 * (_cpu_seconds(server.process.pid) - before) / found["requests"]}


def _cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used: what others do on the machine hardly changes it."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Return the memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGESIZE")


def busy() -> str:
    """Return how busy the machine is with the work of others, too."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
