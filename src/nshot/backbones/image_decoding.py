"""From an example of the modality ``image`` to its pixels: the bytes of an image file, or an array of them."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import TYPE_CHECKING

from nshot.backbones.cache import DIGEST_BYTES
from nshot.core import Example, ExampleError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_GREY = frozenset({"1", "L", "La", "LA"})
_DEEP = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N", "F"})
"""More than 8 bits for a pixel, all of them grey."""


def pixels_of(example: Example, position: int) -> np.ndarray:
    """Return the pixels of an image, uint8, shape (height, width) where it is grey, else (height, width, 3).

    The turn that a camera noted in the file (EXIF) is carried out, a palette is looked up, what is transparent lies on
    white, 16 bits become 8, and of an animation the first picture is taken.

    Args:
        example: The bytes of an image file, or a uint8 array that has one of these shapes already.
        position: Where it stands among the examples, for the message.

    Raises:
        ExampleError: It is neither, or the file is damaged.
    """
    import numpy as np

    if isinstance(example, bytes | bytearray | memoryview):
        return _decoded(bytes(example), position)
    if not isinstance(example, np.ndarray):
        raise ExampleError(
            position, f" is no image: expected the bytes of an image file or an array, found {type(example).__name__}."
        )
    is_image = example.ndim == 2 or (example.ndim == 3 and example.shape[2] == 3)
    if example.dtype != np.uint8 or not is_image or 0 in example.shape:
        raise ExampleError(
            position,
            f" is no image: expected a uint8 array of shape (height, width) or (height, width, 3), "
            f"found {example.dtype} of shape {example.shape}.",
        )
    return example


def picture_of(example: Example, position: int) -> Image.Image:
    """Return an image of three colours (mode RGB), whatever it is in the file; see `pixels_of`."""
    from PIL import Image

    return Image.fromarray(pixels_of(example, position)).convert("RGB")


def image_digest(example: Example, position: int) -> bytes:
    """Return the content address of an image."""
    if isinstance(example, bytes | bytearray | memoryview):
        return hashlib.blake2b(example, digest_size=DIGEST_BYTES).digest()
    pixels = pixels_of(example, position)
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=DIGEST_BYTES)
    digest.update(pixels.tobytes())
    return digest.digest()


def _decoded(file: bytes, position: int) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow doubts pictures of 90 million pixels and refuses twice as many; the first are no attack here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(file)) as opened:
                turned = ImageOps.exif_transpose(opened)
                return np.asarray(_of_eight_bits(turned))
    except UnidentifiedImageError:
        raise ExampleError(position, f" is no image file: {_beginning(file)}. Leave it out.") from None
    except Image.DecompressionBombError as error:
        raise ExampleError(position, f" has too many pixels to be opened ({error}). Make it smaller.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # A SyntaxError is what Pillow raises for a damaged PNG.
        raise ExampleError(position, f" is a damaged image file ({error}). Restore it or leave it out.") from None


def _beginning(file: bytes) -> str:
    if not file:
        return "it is empty"
    return f"it begins with '{file[:8].decode('ascii', 'backslashreplace')}'"


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Return the image in mode L or RGB."""
    import numpy as np
    from PIL import Image

    if image.mode in _DEEP:
        deep = np.asarray(image, dtype=np.float64)
        # Whole numbers of more than 8 bits have 16 in image files; a file of fractions says nothing of its range.
        low, high = (0.0, 65535.0) if image.mode != "F" else (float(deep.min()), float(deep.max()))
        scaled = (deep - low) * (255.0 / max(high - low, np.finfo(np.float64).tiny))
        return Image.fromarray(np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8))
    is_grey = image.mode in _GREY
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("L" if is_grey else "RGB")
