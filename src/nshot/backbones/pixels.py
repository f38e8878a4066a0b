"""Images without a pre-trained network: colours, brightness and edges by place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nshot.backbones.image_decoding import picture_of
from nshot.core import Ability, BackboneRef, Example, ModelError, Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ID = "pixels"
_VERSION = "1"
"""Changed with anything below that changes a vector."""
_SIDE = 64
"""Every image is scaled to so many pixels both ways before its edges are looked at."""
_CELL = 8
_CELLS = _SIDE // _CELL
_DIRECTIONS = 9
_BRIGHTNESS = 16
_COLOURS = 6
_STEEPEST = 0.2
"""No direction has a larger share of a block: one hard edge does not drown the others."""
_FAINT = 0.02
"""A gradient (brightness from 0 to 1, per pixel) below which a block counts as flat."""
_AT_ONCE = 256


class Pixels:
    """Fixed features of an image, made by arithmetic alone.

    Each image is scaled to a square. Its features are histograms of oriented gradients (Dalal and Triggs 2005,
    "Histograms of oriented gradients for human detection": 9 directions without sign, in cells of 8 x 8 of 64 x 64
    pixels, normalised over blocks of 2 x 2 cells, clipped and normalised again), its brightness in 16 x 16 fields, and
    its colours in 6 x 6; each of the three has length 1 where it has any. They say where in a picture something is,
    so they do best where all pictures show the same thing from the same side; photographs of things anywhere want a
    pre-trained network.
    """

    modalities = frozenset({"image"})
    abilities = frozenset({Ability.EMBEDS})

    def __init__(self, ref: BackboneRef | None = None, progress: Progress = silent) -> None:
        """Open it; there is nothing to read.

        Args:
            ref: What was recorded; None: nothing was.
            progress: Told how many of the images are done.

        Raises:
            ModelError: The features of another version were recorded.
        """
        if ref is not None and ref.revision not in (None, _VERSION):
            raise ModelError(
                f"The features '{ID}' of version {ref.revision} were recorded, and this nshot makes version "
                f"{_VERSION}. Fit again, or use the nshot version that the model was made with."
            )
        self._progress = progress

    @property
    def ref(self) -> BackboneRef:
        """Return a reference that says which version of the features it is."""
        return BackboneRef(ID, revision=_VERSION)

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        return (_CELLS - 1) ** 2 * 4 * _DIRECTIONS + _BRIGHTNESS**2 + 3 * _COLOURS**2

    def embed(self, examples: Sequence[Example]) -> np.ndarray:
        """Return one vector per image, shape (n, width), float32.

        Raises:
            ExampleError: An example is no image that can be read.
        """
        import numpy as np

        vectors = np.empty((len(examples), self.width), dtype=np.float32)
        for start in range(0, len(examples), _AT_ONCE):
            pictures = [picture_of(examples[at], at) for at in range(start, min(start + _AT_ONCE, len(examples)))]
            vectors[start : start + len(pictures)] = _features(pictures)
            self._progress(start + len(pictures), len(examples), "looking at images")
        return vectors


def _features(pictures: Sequence[Image.Image]) -> np.ndarray:
    import numpy as np

    colours = np.stack([_scaled(picture, _COLOURS) for picture in pictures]).reshape(len(pictures), -1)
    greys = [picture.convert("L") for picture in pictures]
    brightness = np.stack([_scaled(grey, _BRIGHTNESS) for grey in greys]).reshape(len(pictures), -1)
    edges = _oriented_gradients(np.stack([_scaled(grey, _SIDE) for grey in greys]))
    blocks = (edges, brightness - 0.5, colours - 0.5)
    return np.concatenate([_of_length_one(block) for block in blocks], axis=1).astype(np.float32)


def _scaled(picture: Image.Image, side: int) -> np.ndarray:
    """Return the picture scaled to a square, values from 0 to 1, float64."""
    import numpy as np
    from PIL import Image

    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float64) / 255.0


def _of_length_one(block: np.ndarray) -> np.ndarray:
    import numpy as np

    lengths = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
    return block / np.where(lengths > 0, lengths, 1.0)


def _oriented_gradients(greys: np.ndarray) -> np.ndarray:
    """Return normalised histograms of the directions of edges, shape (n, blocks * 4 * directions).

    Args:
        greys: Shape (n, side, side), values from 0 to 1.
    """
    import numpy as np

    down, across = np.gradient(greys, axis=(1, 2))
    strength = np.hypot(down, across)
    # Between two neighbouring directions a gradient is shared by how near it is to each.
    place = np.arctan2(down, across) % np.pi * (_DIRECTIONS / np.pi) - 0.5
    lower = np.floor(place).astype(np.int64)
    share = place - lower
    shape = (len(greys), _DIRECTIONS, _CELLS, _CELLS)
    image, row, column = np.ix_(np.arange(len(greys)), np.arange(_SIDE) // _CELL, np.arange(_SIDE) // _CELL)
    histograms = np.zeros(math.prod(shape))
    for direction, part in ((lower, 1.0 - share), (lower + 1, share)):
        where = ((image * _DIRECTIONS + direction % _DIRECTIONS) * _CELLS + row) * _CELLS + column
        weights = (strength * part).ravel()
        histograms += np.bincount(where.ravel(), weights=weights, minlength=len(histograms))
    histograms = histograms.reshape(shape)
    corners = [histograms[:, :, i : i + _CELLS - 1, j : j + _CELLS - 1] for i in (0, 1) for j in (0, 1)]
    blocks = np.concatenate(corners, axis=1)  # (n, 4 * directions, cells - 1, cells - 1)
    flat = (_FAINT * _CELL**2) ** 2
    for most in (_STEEPEST, 1.0):
        lengths = np.sqrt(np.square(blocks).sum(axis=1, keepdims=True) + flat)
        blocks = np.minimum(blocks / lengths, most)
        flat = np.finfo(np.float64).tiny
    return blocks.reshape(len(greys), -1)
