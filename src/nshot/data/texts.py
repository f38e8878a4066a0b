"""Texts that stay in Arrow memory behind a `Sequence`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowTexts(Sequence[str]):
    """n texts in Arrow memory; a missing one reads as an empty text.

    A million texts as Python strings take several times their Arrow size, so they become `str` only when asked for.
    """

    __slots__ = ("_chunks", "_column", "_ends")

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column
        self._chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._ends = list(accumulate(len(chunk) for chunk in self._chunks))

    @property
    def arrow(self) -> pa.ChunkedArray:
        """The column itself: strings, null where a cell is missing."""
        return self._column

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        n = len(self)
        if isinstance(index, slice):
            start, stop, step = index.indices(n)
            if step == 1:
                return ArrowTexts(self._column.slice(start, max(0, stop - start)))
            return self.take(range(start, stop, step))
        position = index + n if index < 0 else index
        if not 0 <= position < n:
            raise IndexError(f"position {index} of {n} texts")
        chunk = bisect_right(self._ends, position)
        start = self._ends[chunk - 1] if chunk else 0
        value: str | None = self._chunks[chunk][position - start].as_py()
        return "" if value is None else value

    def __iter__(self) -> Iterator[str]:
        for chunk in self._chunks:
            # A slice at a time, so that iterating a large column never makes all of it Python strings at once.
            for start in range(0, len(chunk), 8192):
                for value in chunk.slice(start, 8192).to_pylist():
                    yield "" if value is None else value

    def take(self, positions: Iterable[int]) -> ArrowTexts:
        """Return the texts at `positions` (0-based), in that order."""
        import pyarrow as pa

        return ArrowTexts(self._column.take(pa.array(positions, pa.int64())))
