"""A predictor's state as files: json, safetensors and blobs; never pickle.

Blobs under the names that transformers and peft look for lie at the top of the folder, and the tensors beside them
under the name that goes with them: then the folder is an ordinary model or adapter for other programs as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.bundle.limits import (
    MOST_JSON_BYTES,
    parsed_json,
    require_memory,
    require_plausible_network,
    require_plausible_tensors,
    require_short_header,
    require_small_json,
)
from nshot.bundle.manifest import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BLOB_NAME,
    BLOBS,
    MODEL_CONFIG,
    MODEL_FILES,
    MODEL_WEIGHTS,
    SETTINGS,
    TENSORS,
    WEIGHTS,
    FileRecord,
)
from nshot.core import ModelError, State

if TYPE_CHECKING:
    import numpy as np


def write_state(folder: Path, state: State, owner: str) -> None:
    """Write `state` into the existing, empty `folder`.

    Args:
        folder: Where.
        state: What.
        owner: The method whose state it is, for messages.

    Raises:
        ModelError: The state holds something that has no data format.
        OSError: The disk refuses.
    """
    try:
        text = json.dumps(dict(state.settings), indent=1, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{owner} cannot be saved: its settings are not plain json ({error}).") from error
    require_small_json(text.encode(), folder / SETTINGS)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")
    write_data(folder, state, owner)


def write_data(folder: Path, state: State, owner: str) -> None:
    """Write the tensors and blobs of `state`, but not its settings; see `write_state`."""
    if state.tensors:
        _write_tensors(folder / _weights_file(state), state.tensors, owner)
    for name, data in state.blobs.items():
        if not re.fullmatch(BLOB_NAME, name):
            raise ModelError(
                f"{owner} cannot be saved: a blob's name must be letters, digits, '.', '_' and '-'. "
                f"Got {name!r} instead."
            )
        if name.endswith(".json"):
            require_small_json(data, folder / name)
        place = folder if name in MODEL_FILES else folder / BLOBS
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(data)


def read_state(folder: Path, files: Mapping[str, FileRecord]) -> State:
    """Return the state in `folder`, after every file was compared with its record.

    Raises:
        ModelError: A file is missing, changed, cut short or not what its name says.
    """
    require_memory(folder, (record.size for record in files.values()))
    for name, record in files.items():
        _verify(folder, name, record)
    settings: dict[str, Any] = {}
    tensors: dict[str, np.ndarray] = {}
    blobs: dict[str, bytes] = {}
    for name in files:
        path = folder / name
        if name == SETTINGS:
            settings = read_json(path)
        elif name in WEIGHTS:
            tensors = _read_tensors(path)
        else:
            blobs[path.name] = path.read_bytes()
            if path.suffix == ".json":
                found = parsed_json(blobs[path.name], path)
                if name == MODEL_CONFIG:
                    require_plausible_network(path, found)
    return State(settings, tensors, blobs)


def _weights_file(state: State) -> str:
    """Return what the tensors' file has to be called, for those who read the files beside it."""
    if ADAPTER_CONFIG in state.blobs:
        return ADAPTER_WEIGHTS
    return MODEL_WEIGHTS if MODEL_CONFIG in state.blobs else TENSORS


def record_of(path: Path) -> FileRecord:
    """Return size and hash of the file at `path`."""
    with path.open("rb") as file:
        return FileRecord(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a json file of our own.

    Raises:
        ModelError: It is no regular file, not UTF-8, no json, or no object.
    """
    try:
        if not path.is_file() or path.stat().st_size > MOST_JSON_BYTES:
            raise ModelError(f"{path} is not a json file of a saved model. Copy the whole folder again.")
        record = parsed_json(path.read_bytes(), path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(record, dict):
        raise ModelError(f"{path} is damaged: a json object was expected, {type(record).__name__} was found.")
    return record


def _write_tensors(path: Path, tensors: Mapping[str, np.ndarray], owner: str) -> None:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    dense: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ModelError(
                f"{owner} cannot be saved: the tensor '{name}' must hold numbers of at most 8 bytes. "
                f"Got {array.dtype} instead."
            )
        # safetensors copies the memory as it lies, so a transposed view would come back scrambled.
        dense[name] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=None)
    path.touch()
    mode = path.stat().st_mode
    try:
        # transformers wants to be told which library's layout of tensors it is.
        save_file(dense, path, metadata={"format": "pt"})
        # It writes a file for its owner only; people expect what their umask says.
        path.chmod(mode)
    except SafetensorError as error:
        # The writer reports a full disk as its own error.
        raise OSError(None, str(error), str(path)) from error


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    require_short_header(path)
    try:
        tensors = dict(load_file(path))
    except (SafetensorError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged: it is no readable safetensors file ({error}).") from error
    require_plausible_tensors(path, tensors)
    return tensors


def _verify(folder: Path, name: str, record: FileRecord) -> None:
    path = folder / name
    advice = "Copy the whole folder again, or fit the model anew."
    try:
        status = path.stat()
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"{path} is a link that leads out of the saved model; it is not opened.")
        # A pipe or a device would be read for ever.
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a regular file; it is not opened. {advice}")
        if status.st_size != record.size:
            raise ModelError(f"{path} has {status.st_size:,} bytes, the manifest says {record.size:,}. {advice}")
        if record_of(path).sha256 != record.sha256:
            raise ModelError(f"{path} is not the file that was saved: its hash differs from the manifest's. {advice}")
    except FileNotFoundError:
        raise ModelError(f"{path} is missing, and the manifest lists it. {advice}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. {advice}") from error
