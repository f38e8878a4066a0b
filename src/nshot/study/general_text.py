"""Questions about the world with their answers: what a language model knew before it was trained on something else."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources


@cache
def pairs() -> tuple[tuple[str, str], ...]:
    """Return questions with their answers.

    They are so few and so short that asking takes a moment, and of so many subjects that no training touches them all.
    """
    file = resources.files("nshot.study") / "general_text.json"
    return tuple((question, answer) for question, answer in json.loads(file.read_text(encoding="utf-8")))
