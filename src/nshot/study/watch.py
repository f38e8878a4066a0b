"""What a study tells whoever is watching."""

from __future__ import annotations

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
