"""What a study tells whoever is watching."""

from __future__ import annotations

import time
from typing import Protocol


class Watch(Protocol):
    """Shown what is going on; does nothing to it."""

    def say(self, text: str) -> None:
        """Take a sentence worth reading."""

    def progress(self, doing: str, done: float, total: float) -> None:
        """Take how far the study is; `done` and `total` are seconds of its budget."""


class Unwatched:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Drop the sentence."""

    def progress(self, doing: str, done: float, total: float) -> None:
        """Drop the progress."""


class Pace:
    """Shows a watch the steps of a long piece of work as seconds, at the pace they have had so far.

    Where the work begins to count anew, such as from embedding to training, so does the pace. What was done before
    the first call, such as the steps of a training that was resumed, costs nothing.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._work: tuple[str, int] | None = None
        self._began = 0.0
        self._before = 0
        self._done = 0

    def __call__(self, done: int, total: int, doing: str = "") -> None:
        """Take that `done` of `total` steps are finished; what follows a comma in `doing` are figures on the way."""
        work = (doing.partition(",")[0], total)
        if work != self._work or done < self._done:
            self._work, self._began, self._before = work, time.monotonic(), done
        self._done = done
        steps = done - self._before
        each = (time.monotonic() - self._began) / steps if steps else 0.0
        self._watch.progress(f"{doing}, {done:,} of {total:,}", done * each, total * each)
