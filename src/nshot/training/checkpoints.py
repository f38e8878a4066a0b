"""What a training keeps on disk so that it can go on after it was killed.

One file per training, named by a hash of everything that decides its outcome: a fit that trains several times (folds,
rounds) finds each of its trainings again, and never takes another one for it. A file is written beside its place,
flushed and then moved there, so that it is whole or not there at all; read again, it is checked against its own hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nshot.core import OutputError
from nshot.training.batching import Batch, Step

SECONDS_BETWEEN_CHECKPOINTS = 60.0
"""What a killed training loses at most, apart from the step in flight."""
_FORMAT = 1
_METADATA = "nshot"


@dataclass(frozen=True)
class Checkpoint:
    """A training on its way.

    Attributes:
        facts: Json-able.
        tensors: By name, on the processor.
    """

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class CheckpointFolder:
    """The files of one training.

    Attributes:
        folder: Shared by all trainings of a fit; made when something is written.
        key: From `training_key`.
    """

    folder: Path
    key: str

    def exists(self) -> bool:
        """Return whether there is a file of this training, readable or not."""
        return self._path("").exists()

    def read(self, part: str = "") -> Checkpoint | None:
        """Return what was written under `part`, or None where there is none, or one that is broken or foreign."""
        try:
            # An absent file, a cut one, one of another program: all of them mean that there is nothing to go on from.
            with safe_open(self._path(part), "pt") as file:
                header = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError):
            return None
        if not isinstance(header, dict) or (header.get("format"), header.get("key")) != (_FORMAT, self.key):
            return None
        if header.get("hash") != _hash(header.get("facts"), tensors):
            return None
        return Checkpoint(header["facts"], tensors)

    def write(self, checkpoint: Checkpoint, part: str = "") -> None:
        """Put a checkpoint in the place of the last one, at once or not at all.

        Raises:
            OutputError: The disk refuses. The last checkpoint is still there.
        """
        tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
        facts = dict(checkpoint.facts)
        header = {"format": _FORMAT, "key": self.key, "hash": _hash(facts, tensors), "facts": facts}
        path = self._path(part)
        partial = path.with_suffix(".partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial, metadata={_METADATA: json.dumps(header)})
            _flush(partial)
            partial.replace(path)
            _flush(self.folder)
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"The training cannot keep its checkpoint in {self.folder}: {error}. "
                "Make room there; the same command then goes on from the last checkpoint."
            ) from None

    def _path(self, part: str) -> Path:
        return self.folder / f"{self.key}{part and '-'}{part}.safetensors"


def training_key(facts: Mapping[str, Any], tensors: Iterable[Tensor], batches: Iterator[Batch]) -> str:
    """Return 32 hex digits that name a training.

    Args:
        facts: Json-able: plan, settings, seed and the like.
        tensors: The weights that it starts from.
        batches: Its examples.
    """
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True, default=int).encode(), digest_size=16)
    for tensor in tensors:
        digest.update(_bytes(tensor))
    for batch in batches:
        digest.update(str(batch.units).encode())
        for name in sorted(batch.inputs):
            digest.update(name.encode())
            digest.update(_bytes(batch.inputs[name]))
        if batch.targets is not None:
            digest.update(_bytes(batch.targets))
    return digest.hexdigest()


def every_example(plan: Sequence[Step], batch: Callable[[Sequence[int]], Batch]) -> Iterator[Batch]:
    """Yield batches with every example of the plan once."""
    seen: set[int] = set()
    for step in plan:
        for positions in step:
            fresh = [position for position in positions if position not in seen]
            if fresh:
                seen.update(fresh)
                yield batch(fresh)


def _hash(facts: Any, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _flush(path: Path) -> None:
    """Let the disk have what was written; where a folder cannot be opened for it, the system does so by itself."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
