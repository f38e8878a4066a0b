"""What a command shows while it works: progress with the time left, on stderr; results go to stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from nshot.study.watch import Unwatched, Watch

_LINE_EVERY_SECONDS = 15.0


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bar: Progress, sure: str) -> None:
        self._bar = bar
        self._sure = sure
        self._task = bar.add_task("", total=None, left="")

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._bar.console.print(text, style="dim", markup=False, highlight=False)

    def progress(self, doing: str, done: float, total: float) -> None:
        """Move the bar."""
        left = f"{self._sure} {_clock(total - done)} left" if total > done else "finishing"
        self._bar.update(self._task, description=doing, completed=done, total=total or None, left=left if total else "")


class _Lines:
    """A line now and then, where there is no terminal (a log, a pipe)."""

    def __init__(self, sure: str) -> None:
        self._last = time.monotonic()
        self._sure = sure

    def say(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def progress(self, doing: str, done: float, total: float) -> None:
        """Print a line if the last one is long ago."""
        if time.monotonic() - self._last >= _LINE_EVERY_SECONDS:
            self._last = time.monotonic()
            left = f", {self._sure} {_clock(total - done)} left" if total > done else ""
            self.say(f"{doing}{left}")


@contextmanager
def watching(*, quiet: bool, sure: str = "at most") -> Iterator[Watch]:
    """Show progress on stderr while inside.

    Args:
        quiet: Show nothing.
        sure: How sure the time left is: ``at most`` within a budget, ``about`` where it is foretold.
    """
    if quiet:
        yield Unwatched()
    elif sys.stderr.isatty():
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            yield _Bar(bar, sure)
    else:
        yield _Lines(sure)


def print_json(record: Any) -> None:
    """Print one JSON object to stdout."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
