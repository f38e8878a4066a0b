"""Examples as a person reads them in a report, whatever their modality: one line of words, or a small picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

from nshot.core import Conversation, Example, without_middle
from nshot.data.rows import shown as shown_row

LONGEST = 2_000
_SIDE = 112


def shown(example: Example, longest: int = LONGEST) -> str:
    """Return an example in words, of at most about `longest` characters; nothing of an image, see `thumbnail`."""
    if isinstance(example, str):
        return without_middle(example, longest)
    if isinstance(example, Conversation):
        return without_middle(example.as_text(), longest)
    if isinstance(example, Mapping):
        return shown_row(example)
    if isinstance(example, tuple):
        return without_middle(", ".join(f"{value:.6g}" for value in example), longest)
    return ""


def thumbnail(example: Example, side: int = _SIDE) -> str:
    """Return an image as a small PNG in a ``data:`` address; nothing for what is no image, or cannot be read.

    Args:
        example: The bytes of an image's file, or a uint8 array of shape (height, width) or (height, width, 3).
        side: The longer side in pixels; an image is never enlarged.
    """
    import numpy as np

    if not isinstance(example, bytes | np.ndarray):
        return ""
    from PIL import Image, ImageOps

    try:
        picture = Image.open(io.BytesIO(example)) if isinstance(example, bytes) else Image.fromarray(example)
        picture = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return ""  # whoever reads images says which cannot be read; a report only goes without
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
