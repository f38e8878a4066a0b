"""From an example to the array that is compressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.backbones.image_decoding import pixels_of
from nshot.core import Backbone, BackboneRef, DataError, Dataset, Example, ExampleError
from nshot.training import frozen

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_LOOKED_AT = 1000
"""Rows that decide which columns hold numbers, where nobody says."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Reading:
    """How an example becomes an array.

    Attributes:
        kind: ``image``, ``row`` or ``embedded``.
        columns: Of rows whose cells have names: the columns of numbers, in their order; the others are left out.
        width: Length of a vector; 0 of images.
        backbone: What embeds; None of images and rows.
    """

    kind: str
    columns: tuple[str, ...] = ()
    width: int = 0
    backbone: frozen.Encoder | None = None

    @classmethod
    def of(cls, pool: Dataset, backbone: Backbone | None) -> Reading:
        """Return how the examples of this pool are read, n > 0.

        Raises:
            DataError: No column holds numbers.
        """
        if backbone is not None:
            encoder = frozen.encoder(backbone)
            return cls("embedded", width=encoder.width, backbone=encoder)
        if pool.modality == "image":
            return cls("image")
        first = pool.examples[0]
        if not isinstance(first, Mapping):
            return cls("row", width=len(first))
        columns = number_columns(pool.examples)
        if not columns:
            raise DataError(
                f"No column of {pool.name} holds numbers: {', '.join(map(str, list(first)[:5]))}. "
                "Only numbers can be compressed; name a backbone to compress what it makes of the rows."
            )
        return cls("row", columns, len(columns))

    @classmethod
    def from_json(cls, record: Mapping[str, Any], open_backbone: Callable[[BackboneRef], Backbone]) -> Reading:
        """Return what `as_json` wrote."""
        backbone = None
        if record["backbone"] is not None:
            backbone = frozen.encoder(open_backbone(BackboneRef.from_json(record["backbone"])))
        return cls(record["kind"], tuple(record["columns"]), int(record["width"]), backbone)

    def as_json(self) -> dict[str, Any]:
        """Return a json-able record."""
        backbone = None if self.backbone is None else self.backbone.ref.as_json()
        return {"kind": self.kind, "columns": list(self.columns), "width": self.width, "backbone": backbone}

    @property
    def is_image(self) -> bool:
        """Return whether the arrays are pixels."""
        return self.kind == "image"

    def arrays(self, examples: Sequence[Example]) -> list[Array]:
        """Return one array per example: uint8 (height, width) or (height, width, 3), or float32 (width,).

        Raises:
            ExampleError: An example cannot be read this way; the message says which.
        """
        if self.backbone is not None:
            return list(frozen.embed(self.backbone, examples))
        if self.kind == "image":
            return [pixels_of(example, at) for at, example in enumerate(examples)]
        return [self._row(example, at) for at, example in enumerate(examples)]

    def _row(self, example: Example, position: int) -> Array:
        if self.columns:
            if not isinstance(example, Mapping):
                raise ExampleError(position, f" is no row with named cells: found {type(example).__name__}.")
            cells = [example.get(name) for name in self.columns]
        elif isinstance(example, Sequence | np.ndarray) and not isinstance(example, str | bytes):
            cells = list(example)
        else:
            raise ExampleError(position, f" is no row of numbers: found {type(example).__name__}.")
        if len(cells) != self.width:
            raise ExampleError(position, f" has {len(cells):,} numbers; {self.width:,} were expected.")
        for place, cell in enumerate(cells):
            if not _is_number(cell):
                where = f"the column '{self.columns[place]}'" if self.columns else f"place {place + 1:,}"
                found = "nothing" if cell is None else repr(cell)
                raise ExampleError(position, f" has {found} in {where}; a finite number was expected. Fill it in.")
        return np.array(cells, dtype=np.float32)


def number_columns(rows: Sequence[Example]) -> tuple[str, ...]:
    """Return the columns whose cells are numbers in all of the first rows."""
    numbers: dict[str, bool] = {}
    for row in islice(rows, _LOOKED_AT):
        for name, cell in row.items():
            numbers[name] = numbers.get(name, True) and _is_number(cell)
    return tuple(name for name, holds in numbers.items() if holds)


def _is_number(cell: Any) -> bool:
    # What overflows in float32 would come back as infinity; a comparison with NaN is false.
    if not isinstance(cell, Real):
        return False
    magnitude: Any = abs(cell)
    return bool(magnitude <= _LARGEST)
