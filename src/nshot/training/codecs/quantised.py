"""A transform of tiles whose coefficients are rounded and written: the frame of PCA and of the autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nshot.core import Backbone, BackboneRef, Example, ExampleError, Prediction, State
from nshot.training.codecs.entropy import LARGEST, Tables
from nshot.training.codecs.reading import Reading
from nshot.training.codecs.shapes import Shape, Shapes, Tiling, number, places, read_number

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_HELD_BACK = 4
"""Every fourth tile has no part in the transform: how new tiles come out of it is seen on these."""
_FEWEST_HELD_BACK = 8
_SEARCHED = 4000
"""Tiles on which the step is searched for."""
_ROUNDS = 16
ROUNDING = 0.4
"""Added before cutting off: a coefficient becomes 0 up to 0.6 steps, for the bits that it would take."""
_TOGETHER = 8
"""Tiles of a picture that are written as one number; longer numbers take longer to compute with."""
_PADDING_BITS = 5.0
"""What filling up the last byte takes on average, and what the coder adds."""
_LENGTH_BITS = 12.0
_SHRINKAGE = 10.0


class Transform(Protocol):
    """Turns tiles into coefficients, and back."""

    def analyse(self, tiles: Array) -> Array:
        """Return coefficients, shape (tiles, k), of tiles of shape (tiles, size)."""

    def synthesise(self, coefficients: Array) -> Array:
        """Return tiles, shape (tiles, size); there may be fewer coefficients than k, the others count as 0."""

    def tensors(self) -> Mapping[str, Array]:
        """Return what it consists of."""


@dataclass(frozen=True, eq=False)
class Quantiser:
    """Coefficients to whole numbers and back.

    Attributes:
        step: The width of a whole number.
        shifts: How much farther from 0 the coefficients lie, in the mean, than their numbers say, in steps, shape (k,).
        tables: How frequent each number is.
    """

    step: float
    shifts: Array
    tables: Tables

    @classmethod
    def of(cls, coefficients: Array, step: float) -> Quantiser:
        """Return the quantiser of this step for these, shape (tiles, k); last ones that are always 0 are left out."""
        values = rounded(coefficients, step)
        used = np.flatnonzero(values.any(axis=0))
        k = int(used[-1]) + 1 if len(used) else 0
        values = values[:, :k]
        is_set = values != 0
        beyond = np.where(is_set, np.abs(coefficients[:, :k]) / step - np.abs(values), 0.0).sum(axis=0)
        shifts = (beyond / (is_set.sum(axis=0) + _SHRINKAGE)).astype(np.float32)
        return cls(step, shifts, Tables.of(values))

    def quantised(self, coefficients: Array) -> Array:
        """Return whole numbers, int64, shape (tiles, k)."""
        values = rounded(coefficients[:, : len(self.shifts)], self.step)
        return np.clip(values, -self.tables.largest, self.tables.largest)

    def restored(self, values: Array) -> Array:
        """Return coefficients, float64, shape (tiles, k)."""
        return np.asarray((values + np.sign(values) * self.shifts) * self.step)


def rounded(coefficients: Array, step: float) -> Array:
    """Return coefficients in whole steps, drawn towards 0."""
    away = np.floor(np.abs(coefficients) / step + ROUNDING)
    return (np.sign(coefficients) * np.minimum(away, LARGEST)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class QuantisedCodec:
    """A fitted transform with its quantiser.

    Attributes:
        reading: How examples become arrays.
        shapes: What is usual.
        tiling: How arrays are cut.
        transform: Of tiles.
        quantiser: Of coefficients.
        training: What a training recorded about itself; None where nothing was trained.
    """

    reading: Reading
    shapes: Shapes
    tiling: Tiling
    transform: Transform
    quantiser: Quantiser
    training: Mapping[str, Any] | None = None

    def encode(self, examples: Sequence[Example]) -> list[bytes]:
        """Return each example in few bytes; see `nshot.core.Codec`."""
        return [self._written(array, at) for at, array in enumerate(self.reading.arrays(examples))]

    def decode(self, written: Sequence[bytes]) -> list[Array]:
        """Return the arrays that were written; see `nshot.core.Codec`."""
        return [read_back(self._read, data, at) for at, data in enumerate(written)]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the examples as they come back, and their bits."""
        return round_trip(self, examples)

    def state(self) -> State:
        """Return the transform, the quantiser, and how examples are read."""
        settings: dict[str, Any] = {
            "reading": self.reading.as_json(),
            "shapes": self.shapes.as_json(),
            "tile": [self.tiling.height, self.tiling.width, self.tiling.channels],
            "step": self.quantiser.step,
        }
        if self.training is not None:
            settings["training"] = dict(self.training)
        tables = self.quantiser.tables
        return State(
            settings,
            {
                **self.transform.tensors(),
                "shifts": self.quantiser.shifts,
                "largest": tables.largest,
                "frequencies": tables.frequencies,
                "ends": tables.ends,
            },
        )

    @classmethod
    def restored(
        cls, state: State, transform: Transform, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> QuantisedCodec:
        """Return the codec of a saved state."""
        settings, tensors = state.settings, state.tensors
        tables = Tables(tensors["largest"], tensors["frequencies"], tensors["ends"])
        return cls(
            Reading.from_json(settings["reading"], open_backbone),
            Shapes.from_json(settings["shapes"]),
            Tiling(*(int(side) for side in settings["tile"])),
            transform,
            Quantiser(float(settings["step"]), tensors["shifts"], tables),
            settings.get("training"),
        )

    def _written(self, array: Array, position: int) -> bytes:
        refuse_colours(array, self.tiling, position)
        values = self.quantiser.quantised(self.transform.analyse(self.tiling.cut(array)))
        parts = [self.quantiser.tables.write(values[at : at + _TOGETHER]) for at in range(0, len(values), _TOGETHER)]
        lengths = [number(len(part)) for part in parts[:-1]] + [b""]
        return self.shapes.header(array.shape) + b"".join(
            length + part for length, part in zip(lengths, parts, strict=True)
        )

    def _read(self, written: bytes) -> Array:
        shape, at = self.shapes.read_header(written)
        tiles = self.tiling.count(shape)
        parts = []
        for start in range(0, tiles, _TOGETHER):
            end = len(written)
            if start + _TOGETHER < tiles:
                length, at = read_number(written, at)
                end = at + length
            parts.append(self.quantiser.tables.read(written[at:end], min(_TOGETHER, tiles - start)))
            at = end
        coefficients = self.quantiser.restored(np.concatenate(parts))
        return self.tiling.joined(self.transform.synthesise(coefficients), shape)


class _Codec(Protocol):
    def encode(self, examples: Sequence[Example]) -> list[bytes]: ...

    def decode(self, written: Sequence[bytes]) -> list[Array]: ...


def round_trip(codec: _Codec, examples: Sequence[Example]) -> Prediction:
    """Return the examples as they come back, and how many bits each took: those of the bytes that were written."""
    written = codec.encode(examples)
    bits = np.array([8 * len(data) for data in written], dtype=np.float64)
    return Prediction(decoded=codec.decode(written), bits=bits)


def read_back(read: Callable[[bytes], Array], written: bytes, position: int) -> Array:
    """Return what `read` makes of the bytes.

    Raises:
        ExampleError: They are no bytes of this codec.
    """
    try:
        return read(written)
    except (ValueError, IndexError, OSError) as error:
        raise ExampleError(position, f" is not what this model writes ({error}), or it is damaged.") from None


def refuse_colours(array: Array, tiling: Tiling, position: int) -> None:
    """Raise where a coloured picture comes to a model of grey ones.

    Raises:
        ExampleError: It does.
    """
    if array.ndim == 3 and tiling.channels == 1:
        raise ExampleError(position, " is coloured, and this model was fitted on grey images. Make it grey first.")


def halves(tiles: Array) -> tuple[Array, Array]:
    """Return the tiles that a transform is learnt from, and those that show how new ones come out of it."""
    if len(tiles) < _HELD_BACK * _FEWEST_HELD_BACK:
        return tiles, tiles
    is_held_back = np.arange(len(tiles)) % _HELD_BACK == _HELD_BACK - 1
    return tiles[~is_held_back], tiles[is_held_back]


def budget(arrays: Sequence[Array], shapes: Shapes, tiling: Tiling, rate: float, *, in_parts: bool = True) -> float:
    """Return how many bits a tile may take, in the mean over these arrays, so that all that is written meets `rate`.

    Args:
        arrays: A pool.
        shapes: What is usual there.
        tiling: How arrays are cut.
        rate: Bits per pixel of a picture, per number of a vector.
        in_parts: Whether a picture is written in parts, each with its length, as `QuantisedCodec` does.
    """

    def besides(shape: Shape) -> float:
        parts = -(-tiling.count(shape) // _TOGETHER) if in_parts else 1
        return 8 * len(shapes.header(shape)) + parts * _PADDING_BITS + (parts - 1) * _LENGTH_BITS

    per_tile = np.mean([tiling.count(array.shape) / places(array.shape) for array in arrays])
    spent = np.mean([besides(array.shape) / places(array.shape) for array in arrays])
    return (rate - float(spent)) / float(per_tile)


def quantiser_for(coefficients: Array, bits: float) -> Quantiser:
    """Return the quantiser with the shortest step with which a tile takes no more bits than these, in the mean.

    Args:
        coefficients: Of tiles that the transform was not learnt from, shape (tiles, k).
        bits: See `budget`; where even zeros take more, everything becomes zero.
    """
    searched = coefficients[:: -(-len(coefficients) // _SEARCHED)]

    # What frequencies were learnt from takes fewer bits than what comes later: each half is measured by the other's.
    parts = (searched[::2], searched[1::2]) if len(searched) > _FEWEST_HELD_BACK else (searched, searched)

    def taken(step: float) -> float:
        bits = []
        for own, other in (parts, parts[::-1]):
            found = Quantiser.of(own, step)
            bits.append(float(found.tables.bits(found.quantised(other)).mean()))
        return sum(bits) / 2

    most = 4.0 * max(float(np.abs(coefficients).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    low, high = math.log(most) - 16 * math.log(2.0), math.log(most)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if taken(math.exp(middle)) > bits:
            low = middle
        else:
            high = middle
    return Quantiser.of(coefficients, math.exp(high))
