"""Labels that models learn while they are offered: each growth is saved first, and answers from then on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from nshot import bundle
from nshot.bundle.manifest import MANIFEST
from nshot.core import UnsupportedError
from nshot.serving.log import log
from nshot.serving.predicting import ServedPredictor
from nshot.serving.queue import FullError

_MOST_WAITING = 8
"""So many requests may wait for their growth, that under way included."""
_RETRY_AFTER_SECONDS = 5
_MOST_LABELS = 10_000
"""A model is told of no more labels than this over the network: each one makes all answers slower and larger."""


class Growing:
    """Lets models grow in a thread of its own, one request after the other, so that none undoes another."""

    def __init__(self, grow: Callable[[str, bundle.LabelGiven], ServedPredictor]) -> None:
        """Make ready.

        Args:
            grow: Puts the grown model in the place of the one of this name, and returns it.
        """
        self._grow = grow
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nshot-growing")
        self._waiting = 0

    async def grow(self, name: str, given: bundle.LabelGiven) -> ServedPredictor:
        """Return the model of this name once it has learnt what is given, and answers so.

        Raises:
            FullError: Too many requests wait.
            NshotError: It cannot learn that, or cannot be saved; it goes on as it was.
        """
        if self._waiting >= _MOST_WAITING:
            raise FullError(_RETRY_AFTER_SECONDS)
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(self._grow, name, given))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what waits, and end."""
        self._thread.shutdown()


def grown(model: ServedPredictor, given: bundle.LabelGiven, place: Path) -> ServedPredictor:
    """Return a model that has learnt what is given; it is saved before anybody is told so.

    Args:
        model: As it is offered; it stays as it is.
        given: A label, and what is known of it.
        place: Where the grown model is saved; an earlier one there is replaced in one step.

    Raises:
        NshotError: It cannot learn that, has too many labels already, or the disk refuses.
    """
    if given.label not in model.task.labels and len(model.task.labels) >= _MOST_LABELS:
        raise UnsupportedError(
            f"{model.name} has {len(model.task.labels):,} labels, and a server teaches a model no more than "
            f"{_MOST_LABELS:,}. Use nshot grow, or fit it again."
        )
    found = model.opened.grown(given)
    bundle.save(place, method=found.method, task=found.task, predictor=found.predictor, about=found.about)
    saved = replace(found, manifest=bundle.read_manifest(place), sha256=bundle.manifest_sha256(place))
    drift = None if model.drift is None else model.drift.held_against(saved.manifest.reference)
    return replace(model, opened=saved, drift=drift, created=int(time.time()))


def place_to_open(name: str, folder: Path, place: Path) -> Path:
    """Return where the model lies that is to be offered: what grew out of that in `folder`, or that itself.

    A new version in `folder` takes over from what grew out of the version before.

    Args:
        name: What requests call the model.
        folder: Where it was fitted to.
        place: Where its growths are saved.

    Raises:
        ModelError: There is no model in `folder`, or what lies in `place` is damaged.
    """
    origin = bundle.manifest_sha256(folder)
    if not (place / MANIFEST).is_file() or place.resolve() == folder.resolve():
        return folder
    if any(growth.grown_from == origin for growth in bundle.read_manifest(place).grown):
        return place
    log.warning(
        "%s: %s did not grow out of the version in %s, and is left aside. The next label replaces it: move it away to "
        "keep it.",
        name,
        place,
        folder,
    )
    return folder
