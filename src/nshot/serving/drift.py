"""What a served model is asked and answers, held against its training while it is served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nshot.bundle.reference import Reference
from nshot.core import Backbone, Embeds, Example, Prediction
from nshot.serving.watching import Watch

_EVERY = 32
"""Which of the inputs are embedded once more for their distance from the training: every so manieth."""
_TOGETHER = 8
"""So many of them are embedded at once, which takes less than half of the time of one after the other."""


class Drift:
    """Watches a model; used in the thread that computes its predictions, read in any."""

    def __init__(self, reference: Reference, backbones: Iterable[Backbone]) -> None:
        """Make ready.

        Args:
            reference: From the model's manifest.
            backbones: Those that it was made of.
        """
        self._watch = Watch(reference)
        self._backbones = tuple(backbones)
        wanted = self._watch.backbone
        embedding = (each for each in self._backbones if isinstance(each, Embeds) and each.ref.id == wanted)
        self._encoder = next(embedding, None)
        self._seen = 0
        self._drawn: list[Example] = []

    def held_against(self, reference: Reference | None) -> Drift | None:
        """Return what watches a later version of the model, from its beginning; None where there is no reference."""
        return None if reference is None else Drift(reference, self._backbones)

    def saw(self, examples: Sequence[Example], prediction: Prediction) -> None:
        """Count n examples and the answers to them."""
        features = None
        if self._encoder is not None:
            self._drawn.extend(examples[-self._seen % _EVERY :: _EVERY])
            if len(self._drawn) >= _TOGETHER:
                drawn, self._drawn = self._drawn, []
                features = self._encoder.embed(drawn)
        self._seen += len(examples)
        self._watch.saw(prediction, features)

    def figures(self) -> dict[str, float]:
        """Return what there is to tell, by name; see `Watch.figures`."""
        return self._watch.figures()
