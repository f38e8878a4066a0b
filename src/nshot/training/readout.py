"""How an answer follows from the vector of an example, as plain numbers: what a program without nshot needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from nshot.core import Embeds, UnsupportedError
from nshot.training.rowwise import normalised

if TYPE_CHECKING:
    from nshot.training.rowwise import Array
    from nshot.training.values import Scale

NEVER = -1e30
"""The offset of a class that is never answered: its share of a softmax is exactly zero."""


@dataclass(frozen=True, eq=False)
class Readout:
    """Outputs ``s = W x + b`` on the vector x of an example, and what they mean.

    Attributes:
        encoder: Makes the vectors.
        coefficients: W, shape (k, width).
        offsets: b, shape (k,).
        unit_length: Whether x is scaled to length one first.
        classes: What the k outputs stand for, by ``softmax(s)``; none where the answer is a number.
        label_smoothing: What the outputs were trained with; see `losses.unsmoothed`.
        scale: Of the one number that is the answer.
        log_odds: Whether the answer is the score ``s_0 - s_1`` of an anomaly.
    """

    encoder: Embeds
    coefficients: Array
    offsets: Array
    unit_length: bool
    classes: tuple[str, ...] = ()
    label_smoothing: float = 0.0
    scale: Scale | None = None
    log_odds: bool = False

    def sharpened(self, power: float) -> Readout:
        """Return the readout whose probabilities are these to a power, and sum to one again.

        Raises:
            UnsupportedError: It was trained on smoothed labels, so that its outputs are no log-probabilities.
        """
        if self.label_smoothing and power != 1.0:
            raise UnsupportedError("A head that was trained on smoothed labels and then sharpened has no plain form.")
        return replace(self, coefficients=self.coefficients * power, offsets=self.offsets * power)

    def over(self, labels: Sequence[str]) -> tuple[Array, Array]:
        """Return W and b, float32, with a row for every one of these labels, in their order.

        Args:
            labels: All classes are among them; a further label is never answered.
        """
        known = {name: at for at, name in enumerate(self.classes)}
        coefficients = np.zeros((len(labels), self.coefficients.shape[1]), dtype=np.float32)
        offsets = np.full(len(labels), NEVER, dtype=np.float32)
        for row, label in enumerate(labels):
            if label in known:
                coefficients[row] = self.coefficients[known[label]]
                offsets[row] = self.offsets[known[label]]
        return coefficients, offsets


@runtime_checkable
class ReadsOut(Protocol):
    """A predictor whose answer is a plain function of one vector."""

    def readout(self) -> Readout:
        """Return that function.

        Raises:
            UnsupportedError: It has no plain form after all.
        """


def towards(encoder: Embeds, classes: Sequence[str], directions: Array, sharpness: float) -> Readout:
    """Return the readout of classes by how nearly a vector points towards their directions.

    Args:
        encoder: Makes the vectors.
        classes: k labels.
        directions: Shape (k, width), of any length.
        sharpness: Factor on the cosines.
    """
    return Readout(
        encoder, normalised(directions) * sharpness, np.zeros(len(classes)), unit_length=True, classes=tuple(classes)
    )


def required(predictor: object) -> Readout:
    """Return the readout of a predictor.

    Raises:
        UnsupportedError: It has none.
    """
    if not isinstance(predictor, ReadsOut):
        raise UnsupportedError("Its answers do not follow from one vector by a linear head.")
    return predictor.readout()
