"""Arithmetic whose result for a row does not depend on the rows beside it.

A matrix product sums in another order for one row than for a thousand, so its last bits differ; a tie then breaks one
way in a batch and the other way alone. Here products are summed in float64 and rounded to float32: the difference
(about 1e-16) disappears in the rounding (6e-8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

_BLOCK_ELEMENTS = 1 << 22
"""Largest number of products held in float64 at once: 32 MiB."""


def products(rows: Array, columns: Array, offsets: Array | None = None) -> Array:
    """Return ``rows @ columns.T + offsets``.

    Args:
        rows: Shape (n, d), dense or a SciPy CSR matrix.
        columns: Shape (k, d), dense.
        offsets: Shape (k,), or None for zero.

    Returns:
        Shape (n, k), float32; every row as if it had been computed alone.
    """
    n, k = rows.shape[0], columns.shape[0]
    result = np.empty((n, k), dtype=np.float32)
    right = np.ascontiguousarray(columns.T, dtype=np.float64)
    step = max(1, _BLOCK_ELEMENTS // max(1, k, columns.shape[1]))
    for start in range(0, n, step):
        block = rows[start : start + step].astype(np.float64) @ right
        if offsets is not None:
            block += offsets
        result[start : start + step] = block
    return result


def normalised(vectors: Array) -> Array:
    """Return the vectors scaled to length one, float64, shape (n, d); a vector of zeros stays zero."""
    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0, lengths, 1.0)


def softmax(scores: Array) -> Array:
    """Return ``exp(s_j) / sum_k exp(s_k)`` per row, float64, shape (n, k); a score of -inf gives 0."""
    wide = np.asarray(scores, dtype=np.float64)
    if not wide.size:
        return wide
    raised = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
