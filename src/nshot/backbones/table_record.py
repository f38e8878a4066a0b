"""What a table backbone takes from rows: which features its columns become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from nshot.backbones.table_categories import Category
from nshot.backbones.table_dates import Dates
from nshot.backbones.table_numbers import Numbers
from nshot.backbones.table_texts import TextColumnEncoder, Texts
from nshot.core import BackboneRef, ColumnKind, DataError, ModelError, OptionError, without_middle
from nshot.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.backbones.table_cells import Cells

_MOST_ROWS = 100_000
"""From so many rows, evenly spaced, a column's spread and values are known well enough."""
_ROWS_AT_ONCE = 1 << 16
_LONGEST_REASON = 300


class _Block(Protocol):
    """What some columns become."""

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    def write(self, cells: Cells, features: NDArray[np.float32]) -> None: ...


class EncoderRecord(Spec):
    """The text encoder of the columns of texts."""

    id: str
    revision: str | None = None
    sha256: str | None = None

    @property
    def ref(self) -> BackboneRef:
        """Return the reference to open."""
        return BackboneRef(self.id, self.revision, self.sha256)


class Learnt(Spec):
    """Everything that has to be known to turn a row into a vector: json-able, and all there is to a table backbone."""

    version: Literal[1] = 1
    """Raised when the same record would give other vectors."""
    rows: int = Field(ge=1)
    """How many rows it was learnt from."""
    numbers: Numbers
    """All columns of numbers."""
    categories: tuple[Category, ...] = ()
    """Each column of categories."""
    dates: tuple[Dates, ...] = ()
    """Each column of dates."""
    texts: tuple[Texts, ...] = ()
    """Each column of texts."""
    encoder: EncoderRecord | None = None
    """What embeds the texts; None without them."""

    @model_validator(mode="after")
    def _has_an_encoder_for_its_texts(self) -> Self:
        if (self.encoder is None) != (not self.texts):
            raise ValueError("a text encoder where there are columns of texts, and none where there are none")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return a name per feature: numbers, categories, dates, texts."""
        return (
            *self.numbers.feature_names,
            *(name for column in self.categories for name in column.feature_names),
            *(name for column in self.dates for name in column.feature_names),
            *(name for column in self.texts for name in column.feature_names),
        )

    @property
    def n_columns(self) -> int:
        """Return how many columns tell rows apart."""
        return len(self.numbers.names) + len(self.categories) + len(self.dates) + len(self.texts)

    @classmethod
    def of(cls, cells: Cells, open_encoder: Callable[[], TextColumnEncoder]) -> Self:
        """Return what the columns of these rows become.

        Args:
            cells: Of the rows; at most 100,000 of them, evenly spaced, are looked at.
            open_encoder: Called if there are columns of texts.

        Raises:
            DataError: No column tells a row from another.
        """
        seen = cells.spread(_MOST_ROWS)
        by_kind: dict[ColumnKind, list[str]] = {kind: [] for kind in ColumnKind}
        for name, kind in seen.kinds.items():
            by_kind[kind].append(name)
        numbers = Numbers.learnt(seen, by_kind[ColumnKind.NUMBER])
        # A number that is always the same, where it is there at all, says no more than a category.
        alike = set(by_kind[ColumnKind.NUMBER]) - set(numbers.names)
        named = [name for name in seen.kinds if name in alike or name in by_kind[ColumnKind.CATEGORY]]
        categories = [Category.learnt(seen, name) for name in named]
        dates = [Dates.learnt(seen, name) for name in by_kind[ColumnKind.DATE]]
        encoder = open_encoder() if by_kind[ColumnKind.TEXT] else None
        texts = [Texts.learnt(seen, name, encoder) for name in by_kind[ColumnKind.TEXT]] if encoder else []
        learnt = cls(
            rows=max(1, len(cells)),
            numbers=numbers,
            categories=tuple(each for each in categories if each),
            dates=tuple(each for each in dates if each),
            texts=tuple(each for each in texts if each),
            encoder=EncoderRecord.parse(encoder.ref.as_json()) if encoder and any(texts) else None,
        )
        if not learnt.feature_names:
            raise DataError(_nothing_differs(seen))
        return learnt

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Return what a reference says was learnt.

        Raises:
            ModelError: Nobody learnt that.
        """
        try:
            return cls.parse(record)
        except (OptionError, TypeError) as error:
            raise ModelError(
                "What this model learnt of the columns of its table is damaged: "
                f"{without_middle(str(error), _LONGEST_REASON)} Copy the model again, or fit it anew."
            ) from None

    def features(self, cells: Cells, open_encoder: Callable[[], TextColumnEncoder]) -> NDArray[np.float32]:
        """Return the vectors of n rows, float32, shape (n, number of features).

        Args:
            cells: Of the rows.
            open_encoder: Called if there are columns of texts.
        """
        found = np.empty((len(cells), len(self.feature_names)), dtype=np.float32)
        for start in range(0, len(cells), _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, len(cells))
            part, into, first = cells.part(start, stop), found[start:stop], 0
            blocks: list[_Block] = [self.numbers, *self.categories, *self.dates]
            for block in blocks:
                after = first + len(block.feature_names)
                block.write(part, into[:, first:after])
                first = after
            for texts in self.texts:
                after = first + len(texts.feature_names)
                texts.write(part, into[:, first:after], open_encoder())
                first = after
        return found


def _nothing_differs(cells: Cells) -> str:
    columns = len(cells.kinds)
    rows = "one row only" if len(cells) == 1 else f"all {len(cells):,} rows say the same in each"
    return (
        "A table is learnt from rows that differ. "
        f"Found: {columns:,} {'column' if columns == 1 else 'columns'}, and {rows}. "
        "Add rows, or columns that tell one row from another."
    )
