"""Image files without the header that all files of one shape share: both ends know it.

On a picture of 28 x 28 pixels the header of a JPEG file, 600 bytes of tables and names, is six times what the picture
itself takes. Where many pictures are kept together it is written once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from nshot.core import Dataset, Example, Prediction, State
from nshot.training.codecs.quantised import read_back, round_trip
from nshot.training.codecs.reading import Reading
from nshot.training.codecs.shapes import Shape, Shapes, places

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

Format = Literal["JPEG", "WEBP"]

_LARGEST_QUALITY = 100
_LOOKED_AT = 64
"""Pictures of the pool on which a quality is tried."""
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_RIFF_BYTES = 20
"""RIFF, its length, WEBP, the name and the length of the only chunk."""
_TAG_BYTES, _SHAPE_BYTES = 3, 7
"""Of a key frame of VP8: its tag, then a start code and the size (RFC 6386, section 9.1)."""


@dataclass(frozen=True)
class FileCodec:
    """Pictures as files of one format and quality.

    Attributes:
        format: As Pillow calls it.
        quality: 1 (few bits) to 100.
        whole: Whether a file is written whole, or without what all files of one shape share.
        shapes: What is usual.
    """

    format: Format
    quality: int
    whole: bool
    shapes: Shapes

    @classmethod
    def for_rate(cls, file_format: Format, pool: Dataset, rate: float, *, whole: bool) -> FileCodec:
        """Return the codec with the highest quality that takes at most `rate` bits per pixel in the mean of the pool.

        Args:
            file_format: ``JPEG`` or ``WEBP``.
            pool: n images, n > 0; at most 64 of them, evenly spaced, are tried.
            rate: Bits per pixel; where even the lowest quality takes more, it is the lowest.
            whole: As the attribute.
        """
        examples = [pool.examples[at] for at in range(0, len(pool), -(-len(pool) // _LOOKED_AT))]
        arrays = Reading("image").arrays(examples)
        shapes = Shapes.of(arrays)

        def taken(quality: int) -> float:
            codec = cls(file_format, quality, whole, shapes)
            return float(np.mean([8 * len(codec.written(array)) / places(array.shape) for array in arrays]))

        low, high = 1, _LARGEST_QUALITY
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if taken(middle) <= rate else (low, middle - 1)
        return cls(file_format, low, whole, shapes)

    def encode(self, examples: Sequence[Example]) -> list[bytes]:
        """Return each image in few bytes; see `nshot.core.Codec`."""
        return [self.written(array) for array in Reading("image").arrays(examples)]

    def decode(self, written: Sequence[bytes]) -> list[Array]:
        """Return the images that were written; see `nshot.core.Codec`."""
        return [read_back(self._read, data, at) for at, data in enumerate(written)]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the images as they come back, and their bits."""
        return round_trip(self, examples)

    def state(self) -> State:
        """Return the quality and what is usual."""
        return State({"quality": self.quality, "shapes": self.shapes.as_json()})

    @classmethod
    def restored(cls, file_format: Format, state: State, *, whole: bool) -> FileCodec:
        """Return the codec of a saved state."""
        shapes = Shapes.from_json(state.settings["shapes"])
        return cls(file_format, int(state.settings["quality"]), whole, shapes)

    def written(self, array: Array) -> bytes:
        """Return a picture, uint8, (height, width) or (height, width, 3), in few bytes."""
        file = _file(self.format, self.quality, array, own_tables=self.whole)
        if self.whole:
            return file
        body = _BODIES[self.format].cut(file, self.quality, array.shape)
        return self.shapes.header(array.shape) + body

    def _read(self, written: bytes) -> Array:
        shape, at = (self.shapes.usual, 0) if self.whole else self.shapes.read_header(written)
        picture = _opened(written if self.whole else _BODIES[self.format].whole(written[at:], self.quality, shape))
        # WebP knows no grey.
        return picture[:, :, 1] if len(shape) == 2 and picture.ndim == 3 else picture


@dataclass(frozen=True)
class _Body:
    """How a format's shared part is left out and put back.

    Attributes:
        cut: ``cut(file, quality, shape)``: what is left.
        whole: ``whole(body, quality, shape)``: the file.
    """

    cut: Callable[[bytes, int, Shape], bytes]
    whole: Callable[[bytes, int, Shape], bytes]


def _file(file_format: Format, quality: int, array: Array, *, own_tables: bool) -> bytes:
    """Return an image file.

    Args:
        file_format: ``JPEG`` or ``WEBP``.
        quality: 1 to 100.
        array: A picture.
        own_tables: JPEG only: code tables made for this picture, which the file then holds; else those of the standard.
    """
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(array).save(written, file_format, quality=quality, optimize=own_tables)
    return written.getvalue()


def _opened(file: bytes) -> Array:
    from PIL import Image

    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture)


@lru_cache(maxsize=256)
def _jpeg_header(quality: int, shape: Shape) -> bytes:
    blank = _file("JPEG", quality, np.zeros(shape, dtype=np.uint8), own_tables=False)
    return blank[: _scan_begins(blank)]


def _scan_begins(file: bytes) -> int:
    at = file.index(_START_OF_SCAN)
    return at + 2 + int.from_bytes(file[at + 2 : at + 4], "big")


def _cut_jpeg(file: bytes, quality: int, shape: Shape) -> bytes:
    return file[len(_jpeg_header(quality, shape)) :].removesuffix(_END_OF_IMAGE)


def _whole_jpeg(body: bytes, quality: int, shape: Shape) -> bytes:
    return _jpeg_header(quality, shape) + body + _END_OF_IMAGE


def _cut_webp(file: bytes, quality: int, shape: Shape) -> bytes:
    end = _RIFF_BYTES + int.from_bytes(file[_RIFF_BYTES - 4 : _RIFF_BYTES], "little")
    tag = file[_RIFF_BYTES : _RIFF_BYTES + _TAG_BYTES]
    return tag + file[_RIFF_BYTES + _TAG_BYTES + _SHAPE_BYTES : end]


def _whole_webp(body: bytes, quality: int, shape: Shape) -> bytes:
    size = b"\x9d\x01\x2a" + shape[1].to_bytes(2, "little") + shape[0].to_bytes(2, "little")
    frame = body[:_TAG_BYTES] + size + body[_TAG_BYTES:]
    chunk = b"VP8 " + len(frame).to_bytes(4, "little") + frame + b"\x00" * (len(frame) % 2)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


_BODIES: Mapping[Format, _Body] = {"JPEG": _Body(_cut_jpeg, _whole_jpeg), "WEBP": _Body(_cut_webp, _whole_webp)}
