"""Models that are to be offered; a later version of one takes its place without a request being dropped."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nshot.core import NshotError, UnsupportedError
from nshot.serving.log import log

if TYPE_CHECKING:
    from nshot.bundle import LabelGiven
    from nshot.serving.predicting import ServedPredictor
    from nshot.serving.served import Served


@dataclass(frozen=True)
class Offer:
    """A model that is to be offered.

    Attributes:
        name: What requests call it.
        open: Opens what lies at its place now; raises `NshotError` where that cannot answer.
        grown_at: Where it is saved when it learns a label; None: it learns none.
    """

    name: str
    open: Callable[[], Served | ServedPredictor]
    grown_at: Path | None = None


class OpenOffers:
    """Offers that are open.

    Attributes:
        models: By name. A request keeps the one that it found there, so that the former version answers what it was
            asked, and is gone once nobody waits for it.
    """

    def __init__(self, offers: Sequence[Offer], reloads: Counter[tuple[str, ...]]) -> None:
        """Open them.

        Args:
            offers: With different names.
            reloads: Counts later versions by model and result.

        Raises:
            NshotError: One cannot be opened.
        """
        self._offers = offers
        self._reloads = reloads
        self._one_at_a_time = threading.Lock()
        self.models = {offer.name: offer.open() for offer in offers}

    def reload_beside(self) -> threading.Thread:
        """Open what lies at the places of the models now, in a thread of its own, and return that thread."""
        thread = threading.Thread(target=self._reload, name="nshot-reload", daemon=True)
        thread.start()
        return thread

    @property
    def may_grow(self) -> bool:
        """Whether any of them may learn labels."""
        return any(offer.grown_at is not None for offer in self._offers)

    def grow(self, name: str, given: LabelGiven) -> ServedPredictor:
        """Teach the model of this name a label, and return it; a reload meanwhile waits, and the other way round.

        Raises:
            NshotError: It cannot learn that, or cannot be saved; it goes on as it was.
        """
        from nshot.serving.growing import grown
        from nshot.serving.predicting import ServedPredictor

        place = next(offer.grown_at for offer in self._offers if offer.name == name)
        with self._one_at_a_time:
            model = self.models[name]
            if place is None or not isinstance(model, ServedPredictor):
                raise UnsupportedError(f"{name} was not saved by nshot, or writes its answers: it has no labels.")
            found = self.models[name] = grown(model, given, place)
        return found

    def _reload(self) -> None:
        with self._one_at_a_time:
            for offer in self._offers:
                try:
                    opened = offer.open()
                except (NshotError, OSError) as error:
                    self._reloads[offer.name, "refused"] += 1
                    log.error("%s: the new version is refused, the one before goes on: %s", offer.name, error)
                else:
                    if opened is self.models[offer.name]:
                        continue  # a pre-trained model as it is: it has no later version
                    self.models[offer.name] = opened
                    self._reloads[offer.name, "done"] += 1
                    log.warning("%s: the new version answers from here on", offer.name)
