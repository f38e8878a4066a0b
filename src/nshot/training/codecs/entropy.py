"""Whole numbers to bytes: what is frequent takes few bits.

Arithmetic coding (Rissanen 1976; Witten, Neal and Cleary 1987, "Arithmetic coding for data compression") with fractions
that are exact: every symbol narrows an interval of [0, 1) to its share of M, and what is written is the shortest number
of bytes that lies in the last one. Python's integers have any length, so nothing is ever carried or renormalised, and
the bytes are within two bits of the entropy before they are filled up. The price is time that grows with the square of
the symbols written together, so few are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

_BITS = 16
TOTAL = 1 << _BITS
"""M: what the frequencies of a table add up to."""
LARGEST = 8000
"""No coefficient is written larger; every symbol must have a frequency of at least 1 of M."""
_SPREAD = 30.0
"""For how many coefficients a Laplace distribution of the same width counts: what the pool never showed may come."""
_NARROWEST = 0.1
"""The least mean of absolute values: a coefficient that was always 0 may still come."""
_MARGIN = 1.25
"""How much larger than in the pool a coefficient may become; beyond that it is cut off."""


@dataclass(frozen=True, eq=False)
class Tables:
    """How frequent symbols are: of each coefficient of a tile its values, and of a tile how many coefficients it has.

    A tile is written as the number of its coefficients up to the last that is not zero, then these.

    Attributes:
        largest: The largest absolute value of each coefficient, int64, shape (k,).
        frequencies: Of the values -largest ... largest of each coefficient in turn, int64, shape (sum of 2 m + 1,).
        ends: Of the numbers of coefficients 0 ... k, int64, shape (k + 1,).
    """

    largest: Array
    frequencies: Array
    ends: Array

    @classmethod
    def of(cls, values: Array) -> Tables:
        """Return the tables of these coefficients, int64, shape (tiles, k)."""
        k = values.shape[1]
        ends = _ends(values)
        largest = np.minimum(np.ceil(np.abs(values).max(axis=0, initial=0) * _MARGIN).astype(np.int64) + 1, LARGEST)
        sizes = 2 * largest + 1
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        written = np.arange(k) < ends[:, None]
        cut = np.clip(values, -largest, largest)
        counts = np.bincount((offsets[:-1] + cut + largest)[written], minlength=int(offsets[-1]))
        mean = np.abs(np.where(written, cut, 0)).sum(axis=0) / np.maximum(written.sum(axis=0), 1)
        # Of every symbol: its coefficient, and its value.
        column = np.repeat(np.arange(k), sizes)
        symbol = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1] + largest, sizes)
        laplace = np.exp(-np.abs(symbol) / np.maximum(mean, _NARROWEST)[column])
        weights = counts + _SPREAD * laplace / _by_column(laplace, offsets)[column]
        room = (TOTAL - sizes)[column]
        frequencies = 1 + np.floor(weights / _by_column(weights, offsets)[column] * room).astype(np.int64)
        frequencies[offsets[:-1] + largest] += TOTAL - _by_column(frequencies, offsets)
        of_ends = np.bincount(ends, minlength=k + 1) + _SPREAD / (k + 1)
        end_frequencies = 1 + np.floor(of_ends / of_ends.sum() * (TOTAL - k - 1)).astype(np.int64)
        end_frequencies[int(end_frequencies.argmax())] += TOTAL - int(end_frequencies.sum())
        return cls(largest, frequencies, end_frequencies)

    def bits(self, values: Array) -> Array:
        """Return about how many bits each tile takes, float64, shape (tiles,).

        Args:
            values: Coefficients, int64, shape (tiles, k).
        """
        ends = _ends(values)
        written = np.arange(values.shape[1]) < ends[:, None]
        places = self._offsets[:-1] + np.clip(values, -self.largest, self.largest) + self.largest
        of_values = -np.log2(self.frequencies / TOTAL)
        of_ends = -np.log2(self.ends / TOTAL)
        return np.asarray(np.where(written, of_values[places], 0.0).sum(axis=1) + of_ends[ends])

    def write(self, values: Array) -> bytes:
        """Return a few tiles as bytes.

        Args:
            values: Coefficients, int64, shape (tiles, k).
        """
        low, width, bits = 0, 1, 0
        for starts, symbol in self._symbols(values):
            low = (low << _BITS) + starts[symbol] * width
            width *= starts[symbol + 1] - starts[symbol]
            bits += _BITS
        length = max(0, bits - width.bit_length()) // 8
        while True:
            shift = max(0, bits - 8 * length)
            number = -(-low >> shift)
            if number << shift < low + width:
                return number.to_bytes(length, "big")
            length += 1

    def read(self, written: bytes, tiles: int) -> Array:
        """Return the coefficients that `write` wrote, int64, shape (tiles, k); of other bytes, some."""
        values = np.zeros((tiles, len(self.largest)), dtype=np.int64)
        rest, width = int.from_bytes(written, "big"), 1 << 8 * len(written)
        middle = self.largest.tolist()

        def symbol(starts: Sequence[int]) -> int:
            nonlocal rest, width
            rest <<= _BITS
            found = bisect_right(starts, rest // width) - 1
            rest -= starts[found] * width
            width *= starts[found + 1] - starts[found]
            return found

        for tile in range(tiles):
            for column in range(symbol(self._end_starts)):
                values[tile, column] = symbol(self._starts[column]) - middle[column]
        return values

    def _symbols(self, values: Array) -> Iterator[tuple[Sequence[int], int]]:
        """Return in the order of writing each symbol, and the frequencies before each of its alphabet."""
        rows = np.clip(values, -self.largest, self.largest) + self.largest
        for end, row in zip(_ends(values).tolist(), rows.tolist(), strict=True):
            yield self._end_starts, end
            for column in range(end):
                yield self._starts[column], row[column]

    @cached_property
    def _offsets(self) -> Array:
        return np.concatenate([[0], np.cumsum(2 * self.largest + 1)])

    @cached_property
    def _starts(self) -> list[list[int]]:
        """For each coefficient the frequencies before each of its symbols, and M."""
        return [_cumulative(part) for part in _parts(self.frequencies, self._offsets)]

    @cached_property
    def _end_starts(self) -> list[int]:
        return _cumulative(self.ends)


def _parts(frequencies: Array, offsets: Array) -> Iterator[Array]:
    return (frequencies[offsets[i] : offsets[i + 1]] for i in range(len(offsets) - 1))


def _cumulative(frequencies: Array) -> list[int]:
    return [0, *np.cumsum(frequencies).tolist()]


def _ends(values: Array) -> Array:
    """Return how many coefficients of each tile come before the last zeros, int64, shape (tiles,)."""
    places = np.arange(1, values.shape[1] + 1)
    return np.asarray(np.where(values != 0, places, 0).max(axis=1, initial=0))


def _by_column(values: Array, offsets: Array) -> Array:
    """Return the sum over the symbols of each coefficient, shape (k,)."""
    return np.asarray(np.add.reduceat(values, offsets[:-1]) if len(offsets) > 1 else values[:0])
