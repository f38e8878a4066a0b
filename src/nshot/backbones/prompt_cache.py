"""What a decoder remembers of the beginnings that prompts share, for the few that were asked for last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nshot.backbones.reading import Beginning

_MOST = 4


class PromptCache:
    """Beginnings by their tokens; the one that was not asked for longest makes room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], Beginning] = OrderedDict()
        self._lock = Lock()

    def get(self, ids: tuple[int, ...], read: Callable[[], Beginning]) -> Beginning:
        """Return the beginning with these tokens, from `read` where it is not kept."""
        with self._lock:  # a server asks from several threads
            if ids not in self._kept:
                self._kept[ids] = read()
                if len(self._kept) > _MOST:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(ids)
            return self._kept[ids]
