"""Columns of texts: what a text encoder makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from pydantic import Field

from nshot.backbones.table_numbers import Spread, rounded
from nshot.core import Backbone, Embeds
from nshot.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

_LOOKED_AT = 256
_SAME = 1e-6
_WIDEST = 1 << 16


class TextColumnEncoder(Backbone, Embeds, Protocol):
    """A backbone that embeds texts."""


class Texts(Spec):
    """A column of texts: the encoder's vector times ``scale``, which makes the variances of its entries add up to one.

    So the column weighs as much as one of numbers. A missing text is a vector of zeros.
    """

    name: str
    """The column."""
    width: int = Field(ge=1, le=_WIDEST)
    """Length of the encoder's vector."""
    scale: Spread
    """Factor of the vectors."""
    missing: bool
    """Whether cells were missing: that is a feature, 0 or 1."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return a name per feature."""
        meanings = (f"{self.name}: meaning {number} of {self.width}" for number in range(1, self.width + 1))
        return (*meanings, *([f"{self.name} is missing"] if self.missing else []))

    @classmethod
    def learnt(cls, cells: Cells, name: str, encoder: TextColumnEncoder) -> Self | None:
        """Return how far apart the texts are, by at most 256 of them; None where all are the same."""
        texts = cells.spread(_LOOKED_AT).words(name).drop_null().to_pylist()
        if not texts:
            return None
        vectors = encoder.embed(texts).astype(np.float64)
        variance = float(np.square(vectors - vectors.mean(axis=0)).sum(axis=1).mean())
        if variance <= _SAME:
            return None
        has_missing = cells.words(name).null_count > 0
        return cls(name=name, width=encoder.width, scale=rounded(variance**-0.5, variance**-0.5), missing=has_missing)

    def write(self, cells: Cells, features: NDArray[np.float32], encoder: TextColumnEncoder) -> None:
        """Write the features of n rows, shape (n, number of features)."""
        words = cells.words(self.name)
        is_missing = np.asarray(words.is_null(), dtype=bool)
        features[is_missing, : self.width] = 0.0
        if not is_missing.all():
            features[~is_missing, : self.width] = encoder.embed(words.drop_null().to_pylist()) * np.float32(self.scale)
        if self.missing:
            features[:, self.width] = is_missing
