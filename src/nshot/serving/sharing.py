"""Models that were made of the same pre-trained one share it: it is opened once, and lies in memory once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from weakref import WeakValueDictionary

from nshot.core import Backbone, BackboneRef


class SharedBackbones:
    """Opens backbones; one that is open already, and is still used by a model, is handed out again."""

    def __init__(self, open_backbone: Callable[[BackboneRef], Backbone]) -> None:
        """Make ready.

        Args:
            open_backbone: Opens one that nobody uses yet.
        """
        self._open = open_backbone
        self._lock = Lock()
        self._used: WeakValueDictionary[BackboneRef, Backbone] = WeakValueDictionary()

    def opened(self, ref: BackboneRef) -> Backbone:
        """Return the backbone of this reference.

        One without a hash, such as weights that lie in a saved model's own folder, is always opened anew: what lies
        there may have changed.

        Raises:
            NshotError: It cannot be opened.
        """
        if ref.sha256 is None:
            return self._open(ref)
        with self._lock:
            found = self._used.get(ref)
            if found is None:
                found = self._used[ref] = self._open(ref)
        return found
