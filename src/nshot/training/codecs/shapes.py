"""Arrays of any shape as tiles of one shape, and the few bytes that say which shape it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

TILE = 16
"""Side of a tile of pictures."""
_LARGEST_WHOLE = 1024
"""Numbers in a picture up to which it is one tile, where all pictures have the same shape."""
_USUAL, _GREY, _COLOURED = 0, 1, 2
_LARGEST_SIDE = 1 << 16

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """Which shapes there are.

    Attributes:
        usual: What most arrays are like: (width,) of vectors, (height, width) or (height, width, 3) of pictures.
        only: Nothing else occurs, so that a shape takes no byte.
    """

    usual: Shape
    only: bool

    @classmethod
    def of(cls, arrays: Sequence[Array]) -> Shapes:
        """Return the shapes of a pool; pictures that come later may have any shape."""
        counts = Counter(array.shape for array in arrays)
        usual = max(counts, key=lambda shape: (counts[shape], shape))
        return cls(usual, only=len(usual) == 1)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Shapes:
        """Return what `as_json` wrote."""
        return cls(tuple(int(side) for side in record["usual"]), bool(record["only"]))

    def as_json(self) -> dict[str, Any]:
        """Return a json-able record."""
        return {"usual": list(self.usual), "only": self.only}

    def header(self, shape: Shape) -> bytes:
        """Return what stands before everything else: nothing for vectors, one byte for the usual shape."""
        if self.only:
            return b""
        if shape == self.usual:
            return bytes([_USUAL])
        return bytes([_GREY if len(shape) == 2 else _COLOURED]) + number(shape[0]) + number(shape[1])

    def read_header(self, written: bytes) -> tuple[Shape, int]:
        """Return the shape and where the rest begins.

        Raises:
            ValueError: It is no such header.
        """
        if self.only:
            return self.usual, 0
        if not written or written[0] > _COLOURED:
            raise ValueError("no shape")
        if written[0] == _USUAL:
            return self.usual, 1
        height, at = read_number(written, 1)
        width, at = read_number(written, at)
        if not 0 < height <= _LARGEST_SIDE or not 0 < width <= _LARGEST_SIDE:
            raise ValueError("no shape")
        return (height, width) if written[0] == _GREY else (height, width, 3), at


def places(shape: Shape) -> int:
    """Return what a rate is counted by: pixels of a picture, numbers of a vector."""
    return int(np.prod(shape[:2]))


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut, row by row; what sticks out beyond its edge repeats the edge. A vector is one tile.

    Attributes:
        height: Of a tile; of vectors 1.
        width: Of a tile.
        channels: 1 (grey, vectors) or 3; a grey picture among coloured ones counts as coloured.
    """

    height: int
    width: int
    channels: int

    @classmethod
    def of(cls, arrays: Sequence[Array]) -> Tiling:
        """Return the whole array where all have one small shape, else 16 x 16 pixels."""
        shapes = {array.shape for array in arrays}
        first = next(iter(shapes))
        if len(first) == 1:
            return cls(1, first[0], 1)
        channels = 3 if any(len(shape) == 3 for shape in shapes) else 1
        if len(shapes) == 1 and np.prod(first) <= _LARGEST_WHOLE:
            return cls(first[0], first[1], channels)
        return cls(TILE, TILE, channels)

    @property
    def size(self) -> int:
        """Return the numbers in a tile."""
        return self.height * self.width * self.channels

    @property
    def places(self) -> int:
        """Return what a tile counts for in a rate."""
        return self.height * self.width

    def count(self, shape: Shape) -> int:
        """Return how many tiles an array of this shape is cut into."""
        if len(shape) == 1:
            return 1
        return -(-shape[0] // self.height) * -(-shape[1] // self.width)

    def cut(self, array: Array) -> Array:
        """Return the tiles, float64, shape (count, size)."""
        if array.ndim == 1:
            return np.asarray(array, dtype=np.float64)[None, :]
        picture = array[:, :, None] if array.ndim == 2 else array
        if picture.shape[2] != self.channels:
            picture = np.repeat(picture, self.channels, axis=2)
        down, across = -(-picture.shape[0] // self.height), -(-picture.shape[1] // self.width)
        more = (down * self.height - picture.shape[0], across * self.width - picture.shape[1])
        whole = np.pad(picture, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge").astype(np.float64)
        parts = whole.reshape(down, self.height, across, self.width, self.channels)
        return np.asarray(parts.transpose(0, 2, 1, 3, 4).reshape(down * across, self.size))

    def joined(self, tiles: Array, shape: Shape) -> Array:
        """Return the array of this shape: uint8 of a picture, float32 of a vector.

        Args:
            tiles: Shape (count, size).
            shape: What `cut` was given.
        """
        if len(shape) == 1:
            return np.asarray(tiles[0], dtype=np.float32)
        down, across = -(-shape[0] // self.height), -(-shape[1] // self.width)
        parts = tiles.reshape(down, across, self.height, self.width, self.channels).transpose(0, 2, 1, 3, 4)
        whole = parts.reshape(down * self.height, across * self.width, self.channels)[: shape[0], : shape[1]]
        if len(shape) == 2:
            whole = whole.mean(axis=2)
        return np.asarray(np.rint(np.clip(whole, 0.0, 255.0)), dtype=np.uint8)


def number(value: int) -> bytes:
    """Return a whole number >= 0 in as few bytes as it needs, seven bits in each."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def read_number(written: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends.

    Raises:
        ValueError: It has no end.
    """
    value = shift = 0
    while at < len(written):
        byte = written[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number has no end")
