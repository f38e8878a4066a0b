"""What all detectors share: which rows of the pool they learn from, and a fitted detector as a predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nshot.core import Backbone, BackboneRef, DataError, Dataset, Example, Prediction, State
from nshot.training import frozen

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_ROWS_AT_ONCE = 1 << 16
_MOST_ELEMENTS = 1 << 27
"""Most numbers that are learnt from: 512 MiB."""
_SAMPLE = 0x0D7E
"""Which rows of a large pool are learnt from follows from its size alone, so that two fits on one pool are one."""


class Detector(ABC):
    """What was learnt from vectors without labels, as arrays, and scores others by it.

    A subclass is a frozen dataclass whose fields are arrays.
    """

    @abstractmethod
    def scores(self, vectors: Array) -> Array:
        """Return how strange each vector is, higher is stranger.

        Args:
            vectors: Shape (n, width), float32, finite.

        Returns:
            Shape (n,), float64; each as if its vector had been scored alone.
        """

    def tensors(self) -> dict[str, Array]:
        """Return everything that was learnt, by the names of the fields."""
        return {name: np.asarray(array, order="C") for name, array in vars(self).items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the detector whose `tensors` these are."""
        return cls(**tensors)


@dataclass(frozen=True)
class Sample:
    """The vectors that a detector learns from.

    Attributes:
        vectors: Shape (rows, width), float32.
        positions: Which rows of the pool they are, ascending, shape (rows,).
        of: Number of rows of the pool.
    """

    vectors: Array
    positions: Array
    of: int

    @property
    def settings(self) -> dict[str, Any]:
        """Return what a saved model says of it."""
        return {"learnt_from": {"rows": len(self.positions), "of": self.of}}


def learnt_from(encoder: frozen.Encoder, pool: Dataset, most_rows: int, method: str) -> Sample:
    """Return the vectors of the pool, or of a random part of it.

    Args:
        encoder: Embeds the examples.
        pool: Unlabelled examples.
        most_rows: The most rows to embed; fewer where vectors are so long that they would not fit.
        method: Who asks, for the message.

    Raises:
        DataError: The pool is empty.
    """
    n = len(pool)
    if n == 0:
        raise DataError(
            f"{method} learns what is usual from unlabelled rows; there are none. Add rows, labelled or not."
        )
    most = min(most_rows, max(2, _MOST_ELEMENTS // max(1, encoder.width)))
    if n > most:
        positions = np.sort(np.random.default_rng([_SAMPLE, n]).choice(n, most, replace=False))
        pool = pool.take(positions)
    else:
        positions = np.arange(n)
    return Sample(frozen.embed(encoder, pool.examples), positions, n)


@dataclass(frozen=True)
class FittedDetector:
    """A detector on a frozen backbone: what the unsupervised methods of `detect` return.

    Attributes:
        backbone: Embeds the examples.
        detector: Scores their vectors.
        settings: Json-able: how many rows it was learnt from, and what was chosen.
    """

    backbone: frozen.Encoder
    detector: Detector
    settings: Mapping[str, Any]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return one score per example, higher is stranger."""
        parts = (examples[at : at + _ROWS_AT_ONCE] for at in range(0, len(examples), _ROWS_AT_ONCE))
        scores = [self.detector.scores(frozen.embed(self.backbone, part)) for part in parts]
        return Prediction(scores=np.concatenate([np.zeros(0), *scores]))

    def state(self) -> State:
        """Return what was learnt, and the reference of the backbone."""
        return State({**self.settings, "backbone": self.backbone.ref.as_json()}, self.detector.tensors())

    @classmethod
    def restore(
        cls, state: State, open_backbone: Callable[[BackboneRef], Backbone], detector: type[Detector]
    ) -> FittedDetector:
        """Return the predictor whose `state` was saved."""
        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        settings = {name: value for name, value in state.settings.items() if name != "backbone"}
        return cls(encoder, detector.restored(state.tensors), settings)
