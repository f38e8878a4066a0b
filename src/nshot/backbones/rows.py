"""Rows of numbers as they are: the backbone of data that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nshot.core import Ability, BackboneRef, DataError, Example

if TYPE_CHECKING:
    import numpy as np


class NumberRows:
    """Takes equally long rows of finite numbers and embeds each as itself.

    Args:
        width: Length of a row.
    """

    def __init__(self, width: int) -> None:
        self._width = width

    @property
    def ref(self) -> BackboneRef:
        """Return a reference that says how long the rows are."""
        return BackboneRef("number-rows", revision=str(self._width))

    @property
    def modalities(self) -> frozenset[str]:
        """Return ``row``."""
        return frozenset({"row"})

    @property
    def abilities(self) -> frozenset[Ability]:
        """Return what it can do: embed."""
        return frozenset({Ability.EMBEDS})

    @property
    def width(self) -> int:
        """Return the length of a row."""
        return self._width

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return the rows as float32, shape (n, width).

        Raises:
            DataError: A row has another length.
        """
        import numpy as np

        rows = np.asarray([np.asarray(example, dtype=np.float64) for example in examples], dtype=np.float32)
        if len(examples) and rows.shape != (len(examples), self._width):
            raise DataError(f"Expected rows of {self._width} numbers, found an array of shape {rows.shape}.")
        return rows.reshape(len(examples), self._width)
