"""What a saved model may ask of the machine that opens it: all of it is looked at before anything is built.

A file of a few kilobytes can describe a network of terabytes, and a few megabytes of json can fill gigabytes of memory.
No model that nshot writes comes near these limits.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import ModelError, OutOfMemoryError

if TYPE_CHECKING:
    import numpy as np

MOST_JSON_BYTES = 1 << 28
MOST_JSON_VALUES = 8_000_000
"""Lists, objects and commas; each value takes some 60 bytes of memory, however short it is written."""
MOST_HEADER_BYTES = 1 << 24
"""Of a safetensors file: about a hundred thousand tensors."""
MOST_EMPTY = 1 << 24
"""A tensor without numbers takes no room, whatever its shape says; what is made beside it does."""
MOST_LAYERS = 4096
MOST_WIDTH = 1 << 26

_LENGTH_BYTES = 8
_LAYERS = ("layer", "block", "expert", "head", "group")
_WIDTHS = ("size", "dim", "width", "embd", "inner", "model", "channels", "rank")


def parsed_json(data: bytes, where: Path) -> Any:
    """Return what a json file holds.

    Raises:
        ModelError: It is too large, no json, or says something twice: two readers could take it for different things.
    """
    require_small_json(data, where)
    try:
        return json.loads(
            data.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_object
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is damaged: it is not valid json ({error}). Copy the whole folder again.") from error


def require_small_json(data: bytes, where: Path) -> None:
    """Refuse json that would fill the memory, before it is parsed.

    Raises:
        ModelError: It would.
    """
    if len(data) > MOST_JSON_BYTES or sum(map(data.count, (b"[", b"{", b","))) > MOST_JSON_VALUES:
        raise ModelError(
            f"{where} holds more than a json file of a saved model may: {MOST_JSON_BYTES:,} bytes, "
            f"{MOST_JSON_VALUES:,} values."
        )


def require_short_header(path: Path) -> None:
    """Refuse a safetensors file whose header would fill the memory, before it is parsed.

    Raises:
        ModelError: It would.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if length > MOST_HEADER_BYTES:
        raise ModelError(
            f"{path} is damaged: its header would have {length:,} bytes; at most {MOST_HEADER_BYTES:,} were expected."
        )


def require_plausible_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse tensors that hold nothing and claim to be large, or numbers that no method saves.

    Raises:
        ModelError: There is one.
    """
    for name, tensor in tensors.items():
        # Which kinds can be read depends on the packages that happen to be imported.
        if tensor.dtype.kind not in "biuf":
            raise ModelError(
                f"{path} is damaged: the tensor {name!r:.60} holds {tensor.dtype}, which nshot never saves."
            )
        if not tensor.size and math.prod(max(1, side) for side in tensor.shape) > MOST_EMPTY:
            raise ModelError(
                f"{path} is damaged: the tensor {name!r:.60} claims the shape {tensor.shape} and is empty."
            )


def require_memory(folder: Path, sizes: Iterable[int]) -> None:
    """Refuse files that do not fit into the memory, before they are read.

    Args:
        folder: For the message.
        sizes: In bytes.

    Raises:
        OutOfMemoryError: They do not.
    """
    import psutil

    needed, free = sum(sizes), psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemoryError(
            f"{folder} takes {needed / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB are free. "
            "Close other programs, or use a machine with more memory."
        )


def require_plausible_network(path: Path, config: Any) -> None:
    """Refuse a network's ``config.json`` that describes more than any network.

    Raises:
        ModelError: It does.
    """
    if not isinstance(config, Mapping):
        raise ModelError(f"{path} is damaged: a json object was expected.")
    for name, value in config.items():
        if isinstance(value, Mapping):
            require_plausible_network(path, value)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        is_width = any(word in name for word in _WIDTHS)
        most = MOST_WIDTH if is_width else MOST_LAYERS
        # -1 stands for none of something.
        if (is_width or any(word in name for word in _LAYERS)) and not -1 <= value <= most:
            raise ModelError(f"{path} is damaged: {name!r:.60} is {value:,}, and at most {most:,} was expected.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name!r:.60} stands there twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is no finite number")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not json")
