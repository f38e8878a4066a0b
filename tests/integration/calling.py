"""Calling the command line as a user types it, and small data to call it on."""

from __future__ import annotations

import csv
import json
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

_WORDS = {
    "billing": ("invoice", "charge", "refund", "card", "payment", "receipt"),
    "delivery": ("parcel", "courier", "late", "address", "tracking", "van"),
    "login": ("password", "account", "reset", "code", "locked", "email"),
}
_OTHERS = (
    "please",
    "help",
    "me",
    "my",
    "the",
    "a",
    "with",
    "is",
    "it",
    "when",
    "why",
    "again",
    "today",
    "still",
    "how",
)
FAST = ("--methods", "majority,tfidf_linear", "--repeats", "1", "--sizes", "16")


@dataclass(frozen=True)
class Called:
    """What a command came to."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return standard output, which must be one JSON object and nothing else."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def nshot(*arguments: str | Path, stdin: str | bytes | None = None) -> Called:
    """Call the command line in this process, with standard streams of its own."""
    from nshot.cli.main import run

    before = signal.getsignal(signal.SIGTERM)
    try:
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = run([str(argument) for argument in arguments])
            sys.stdout.flush()
            sys.stderr.flush()
            return Called(code, out.getvalue().decode(), err.getvalue().decode())
    finally:
        signal.signal(signal.SIGTERM, before)


def succeeded(*arguments: str | Path, stdin: str | bytes | None = None) -> Called:
    """Call the command line and expect that all goes well."""
    called = nshot(*arguments, stdin=stdin)
    assert called.code == 0, called.err
    return called


def tickets(rows: int, seed: int = 0, wrong: float = 0.0) -> list[tuple[str, str]]:
    """Return made-up texts with their label; a share of the labels is `wrong`."""
    random_ = random.Random(seed)
    labels = list(_WORDS)
    found = []
    for i in range(rows):
        label = labels[i % len(labels)]
        words = [*random_.sample(_OTHERS, 5), *random_.sample(_WORDS[label], 2), f"n{seed}x{i}"]
        random_.shuffle(words)
        found.append((" ".join(words), random_.choice(labels) if random_.random() < wrong else label))
    return found


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("message", "queue")) -> Path:
    """Write a table and return its path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def ledger(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a study's ledger that are finished."""
    file = folder / "runs.jsonl"
    data = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in data[: data.rfind("\n") + 1].splitlines()]
