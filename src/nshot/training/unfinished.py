"""The folder beside a model in which its training keeps what it needs to go on after it was killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot.core import EnvironmentProblem, Interrupted, OutputError

_KEY = re.compile(r"[0-9a-f]{16}")


def key_of(facts: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change when any of these json-able facts does."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Unfinished:
    """What there is of a training.

    Attributes:
        folder: Where its checkpoints are kept.
        has_begun: Whether an earlier process left some there.
    """

    folder: Path
    has_begun: bool


def folder_beside(model: Path, key: str) -> Path:
    """Return where the checkpoints of the training with this key lie, for the model at `model`."""
    return model.with_name(f"{model.name}.training") / key


@contextmanager
def kept_beside(model: Path, key: str) -> Iterator[Unfinished]:
    """Make ``MODEL.training/KEY`` for the checkpoints of a training; gone once the model is there.

    It stays where the same command may go on: after a kill, after an interruption, and where the machine refused
    (a full disk, no memory). A training that went wrong would go wrong again, so nothing stays of it. Checkpoints of
    other commands for the same model are kept until one of them has succeeded.

    Args:
        model: The folder that the model is going to be written to.
        key: From `key_of`: everything that decides the weights.

    Raises:
        OutputError: The disk refuses.
    """
    folder = folder_beside(model, key)
    place = folder.parent
    made = [path for path in (place, *place.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_begun = any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}, where the training keeps what it needs to go on: {error.strerror}. "
            "Name another folder: --out DIR."
        ) from None
    try:
        yield Unfinished(folder, has_begun)
    except (EnvironmentProblem, Interrupted, KeyboardInterrupt):
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        for path in place.iterdir():
            if _KEY.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
    finally:
        for path in (folder, place, *made[1:]):
            with contextlib.suppress(OSError):  # it holds something, or is gone
                path.rmdir()
