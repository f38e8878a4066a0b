"""How texts of different lengths become one rectangle of token ids: one to a row, or several behind each other.

A decoder looks back only, so what stands behind a text in its row changes nothing of it: padding needs no mask. Where a
row holds several texts, position ids that begin again at 0 tell transformers where one ends, and it lets none look into
the one before it (`transformers.masking_utils`); `together` is to be asked first whether a network follows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_FILLER = 0
"""Any token: nothing that is learnt looks at it."""
_PROBE = 6
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Rows:
    """Texts laid out in rows of one length.

    Attributes:
        input_ids: Shape (rows, length).
        position_ids: Of the same shape: where in its text a token stands; None where every row holds one text.
        starts: Where in the flattened rows each text begins, in the order in which the texts were given.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    starts: tuple[int, ...]


def padded(texts: Sequence[Array]) -> Rows:
    """Return one text to a row, filled up to the longest."""
    longest = max(map(len, texts))
    return _laid_out(texts, [[number] for number in range(len(texts))], longest)


def packed(texts: Sequence[Array]) -> Rows:
    """Return several texts to a row, as many as fit into the length of the longest.

    The next longest text goes into the fullest row that has room for it, and into a new one where none has
    (best fit decreasing).
    """
    longest = max(map(len, texts))
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(texts)), key=lambda at: -len(texts[at])):
        fitting = [row for row, left in enumerate(room) if left >= len(texts[number])]
        if fitting:
            row = min(fitting, key=lambda at: room[at])
            rows[row].append(number)
            room[row] -= len(texts[number])
        else:
            rows.append([number])
            room.append(longest - len(texts[number]))
    return _laid_out(texts, rows, longest)


@torch.no_grad()
def together(body: nn.Module, vocabulary: int) -> bool:
    """Return whether a network keeps texts of one row apart: whether it finds the same in them as in each alone.

    Args:
        body: ``body(input_ids=..., position_ids=..., use_cache=False)`` returns ``last_hidden_state``, as the decoders
            of transformers do; in evaluation mode.
        vocabulary: Number of tokens.
    """
    device = next(body.parameters()).device
    ids = torch.arange(1, 1 + 2 * _PROBE, device=device)[None] % vocabulary
    positions = torch.arange(_PROBE, device=device).repeat(2)[None]
    try:
        both = body(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        alone = body(input_ids=ids.view(2, _PROBE), use_cache=False).last_hidden_state
    except (TypeError, ValueError):  # it takes no positions
        return False
    return bool((both.view_as(alone) - alone).abs().max() <= _TOLERANCE * alone.abs().max())


def _laid_out(texts: Sequence[Array], rows: Sequence[Sequence[int]], length: int) -> Rows:
    ids = np.full((len(rows), length), _FILLER)
    positions = np.zeros_like(ids)
    starts = [0] * len(texts)
    for row, numbers in enumerate(rows):
        at = 0
        for number in numbers:
            size = len(texts[number])
            ids[row, at : at + size] = texts[number]
            # What fills the row up goes on counting: it belongs to the last text and is no text of its own.
            positions[row, at:] = np.arange(length - at)
            starts[number] = row * length + at
            at += size
    several = any(len(numbers) > 1 for numbers in rows)
    return Rows(torch.from_numpy(ids), torch.from_numpy(positions) if several else None, tuple(starts))
