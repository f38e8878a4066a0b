"""Targets that are numbers: on one scale whatever their unit, so that one setting suits prices and temperatures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import DataError, Prediction

if TYPE_CHECKING:
    from nshot.training.rowwise import Array


@dataclass(frozen=True)
class Scale:
    """Where targets lie and how far they spread: a model learns ``(target - centre) / spread``.

    Attributes:
        centre: Their mean.
        spread: Their standard deviation; 1 where they are all the same.
    """

    centre: float
    spread: float

    @classmethod
    def of(cls, targets: Sequence[Any]) -> Scale:
        """Return the scale of n targets, n > 0.

        Raises:
            DataError: A target is no finite number, or they are too large to be told apart.
        """
        numbers = as_numbers(targets)
        with np.errstate(over="ignore", invalid="ignore"):
            centre, spread = float(numbers.mean()), float(numbers.std())
        if not math.isfinite(spread):
            raise DataError("The targets are too large to compute with. Divide them by a power of ten.")
        return cls(centre, spread if spread > abs(centre) * 1e-12 else 1.0)

    @classmethod
    def from_json(cls, record: Mapping[str, float]) -> Scale:
        """Return the scale that `as_json` wrote."""
        return cls(record["centre"], record["spread"])

    def as_json(self) -> dict[str, float]:
        """Return the scale as a json-able record."""
        return asdict(self)

    def standard(self, targets: Sequence[Any]) -> Array:
        """Return the targets on the common scale, float64, shape (n,)."""
        return np.asarray((as_numbers(targets) - self.centre) / self.spread)

    def answers(self, standard: Array) -> Prediction:
        """Return the answers that these numbers on the common scale mean.

        Args:
            standard: Shape (n,).
        """
        # Rounded first: the last bits of a sum depend on how many rows were computed at once.
        rounded = np.asarray(standard, dtype=np.float32).astype(np.float64)
        return Prediction(values=self.centre + self.spread * rounded)


def as_numbers(targets: Sequence[Any]) -> Array:
    """Return targets as float64, shape (n,).

    Raises:
        DataError: One is no finite number.
    """
    numbers = np.asarray(list(targets), dtype=np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"A target must be a finite number. Example {row + 1:,} has {numbers[row]}. Leave it out.")
    return numbers
