"""What frozen layers make of the training texts, computed once and kept for every epoch: in memory, or in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nshot.core import FitContext, OutputError, Split
from nshot.training.memory import free_bytes

_SHARE = 0.25
"""The part of the memory that activations may fill; beyond it they go into a file."""


@contextmanager
def kept(split: Split, prepared: Sequence[Any], context: FitContext) -> Iterator[Sequence[Tensor]]:
    """Compute the states of all examples and keep them until the context ends.

    Args:
        split: Computes the states.
        prepared: n examples as `Trains.tokenize` returns them, n > 0.
        context: Says how much memory there is; is told the progress.

    Yields:
        n tensors of shape (tokens, hidden) in the order of `prepared`; read only.

    Raises:
        OutputError: They need a file, and the disk for temporary files is full.
    """
    lengths = [len(item) for item in prepared]
    states = _told(split.states(prepared), context, len(lengths))
    first = next(states)
    size = sum(lengths) * first.shape[1] * first.element_size()
    room = free_bytes() if context.memory_bytes is None else context.memory_bytes
    if size <= _SHARE * room:
        pieces = torch.split(torch.empty(sum(lengths), first.shape[1], dtype=first.dtype), lengths)
        for piece, each in zip(pieces, chain([first], states), strict=True):
            piece.copy_(each)
        yield pieces
        return
    # On Windows a file cannot be removed while it is mapped: then the system clears it away.
    with tempfile.TemporaryDirectory(prefix="nshot-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "states"
        _write(path, first, states, size)
        flat = torch.from_file(str(path), shared=False, size=sum(lengths) * first.shape[1], dtype=first.dtype)
        yield torch.split(flat.view(sum(lengths), -1), lengths)


def _told(states: Iterator[Tensor], context: FitContext, total: int) -> Iterator[Tensor]:
    for done, each in enumerate(states, start=1):
        context.progress(done, total, "computing the frozen layers")
        yield each


def _write(path: Path, first: Tensor, others: Iterator[Tensor], size: int) -> None:
    # Written, not copied into the mapped file: writing says that the disk is full, a mapping kills the process.
    try:
        with path.open("wb") as file:
            for each in chain([first], others):
                file.write(each.contiguous().view(torch.uint8).numpy().data)
    except OSError as error:
        raise OutputError(
            f"The states of the frozen layers need {size / 1e9:.1f} GB in {path.parent.parent}, which cannot be "
            f"written: {error.strerror}. Free some space, or set TMPDIR to a folder on a larger disk."
        ) from None
