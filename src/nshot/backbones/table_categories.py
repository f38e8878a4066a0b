"""Columns of categories: one feature per frequent value."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from nshot.backbones.table_numbers import LIMIT, Spread, rounded
from nshot.spec import Spec

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

MOST_VALUES = 50
_FEWEST_ROWS = 3


class Category(Spec):
    """A column of categories, one feature per frequent value: ``scale`` where a row has it, else 0.

    The scale makes the variances of the features add up to one, so that the column weighs as much as one of numbers:
    ``1 / sqrt(1 - sum_v p_v^2)`` with the shares p of its values; where nearly all rows have the same value it stops
    where rows with different ones are 30 apart. A value that was never seen has no feature: all of them are 0.
    """

    name: str
    """The column."""
    values: tuple[str, ...]
    """Those that at least 3 rows have, at most 50, the most frequent first."""
    rare: bool
    """Whether there were other values: they share a feature."""
    missing: bool
    """Whether cells were missing: that is a feature too."""
    scale: Spread
    """What stands in a feature for yes."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return a name per feature."""
        return (
            *(f"{self.name} = {value}" for value in self.values),
            *([f"{self.name} is a rare value"] if self.rare else []),
            *([f"{self.name} is missing"] if self.missing else []),
        )

    @classmethod
    def learnt(cls, cells: Cells, name: str) -> Self | None:
        """Return what the column's values are, or None where all rows have the same."""
        words = cells.words(name)
        counted = words.drop_null().value_counts()
        counts = dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
        # Ties by name: rows in another order are the same column.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        frequent = [item for item in ranked[:MOST_VALUES] if item[1] >= _FEWEST_ROWS]
        rest = len(words) - words.null_count - sum(count for _, count in frequent)
        shares = [count / len(words) for count in (*(count for _, count in frequent), rest, words.null_count) if count]
        if len(shares) < 2:
            return None
        scale = min(LIMIT / math.sqrt(2), 1 / math.sqrt(1 - sum(share**2 for share in shares)))
        return cls(
            name=name,
            values=tuple(value for value, _ in frequent),
            rare=rest > 0,
            missing=words.null_count > 0,
            scale=rounded(scale, scale),
        )

    def write(self, cells: Cells, features: NDArray[np.float32]) -> None:
        """Write the features of n rows, shape (n, number of features)."""
        import pyarrow.compute as pc

        words = cells.words(self.name)
        found = np.asarray(pc.index_in(words, value_set=self._values).fill_null(-1), dtype=np.int64)
        is_missing = np.asarray(words.is_null(), dtype=bool)
        features[:] = 0.0
        rows = np.flatnonzero(found >= 0)
        features[rows, found[rows]] = self.scale
        if self.rare:
            features[(found < 0) & ~is_missing, len(self.values)] = self.scale
        if self.missing:
            features[is_missing, -1] = self.scale

    @cached_property
    def _values(self) -> pa.Array:
        import pyarrow as pa

        return pa.array(self.values, pa.string())
