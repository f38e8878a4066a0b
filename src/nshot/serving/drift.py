"""What a served model is asked and answers, held against its training while it is served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nshot.bundle.reference import Reference
from nshot.core import Backbone, Embeds, Example, Prediction
from nshot.serving.watching import Watch

_EVERY = 32
"""Which of the inputs are embedded once more for their distance from the training: every so manieth."""


class Drift:
    """Watches a model; used in the thread that computes its predictions, read in any."""

    def __init__(self, reference: Reference, backbones: Iterable[Backbone]) -> None:
        """Make ready.

        Args:
            reference: From the model's manifest.
            backbones: Those that it was made of.
        """
        self._watch = Watch(reference)
        wanted = self._watch.backbone
        self._encoder = next((each for each in backbones if each.ref.id == wanted and isinstance(each, Embeds)), None)
        self._seen = 0

    def saw(self, examples: Sequence[Example], prediction: Prediction) -> None:
        """Count n examples and the answers to them."""
        drawn = examples[-self._seen % _EVERY :: _EVERY]
        self._seen += len(examples)
        features = self._encoder.embed(drawn) if self._encoder is not None and drawn else None
        self._watch.saw(prediction, features)

    def figures(self) -> dict[str, float]:
        """Return what there is to tell, by name; see `Watch.figures`."""
        return self._watch.figures()
