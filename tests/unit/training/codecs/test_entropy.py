"""Whole numbers to bytes."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.training.codecs.entropy import TOTAL, Tables


def coefficients(n: int, k: int = 12, seed: int = 0) -> np.ndarray:
    """Return numbers that get smaller from the first to the last, as those of sorted components do."""
    generator = np.random.default_rng(seed)
    return np.rint(generator.laplace(scale=np.geomspace(8, 0.1, k), size=(n, k))).astype(np.int64)


def test_what_was_written_is_read_back() -> None:
    tables = Tables.of(coefficients(500))
    new = np.clip(coefficients(40, seed=1), -tables.largest, tables.largest)
    for first, last in ((0, 40), (3, 4), (5, 5)):
        part = new[first:last]
        np.testing.assert_array_equal(tables.read(tables.write(part), len(part)), part)


def test_bytes_are_within_a_byte_of_the_entropy() -> None:
    tables = Tables.of(coefficients(500))
    new = coefficients(300, seed=1)
    for start in range(0, 300, 3):
        part = new[start : start + 3]
        assert 8 * len(tables.write(part)) <= tables.bits(part).sum() + 10


def test_the_estimate_is_the_entropy_of_the_frequencies() -> None:
    values = coefficients(20_000, k=1)
    _, counts = np.unique(values, return_counts=True)
    shares = counts / counts.sum()
    # One coefficient: whether it is 0 is written as well, and then it never is.
    entropy = float(-(shares * np.log2(shares)).sum())
    assert Tables.of(values).bits(values).mean() == pytest.approx(entropy, rel=0.05)


def test_every_symbol_has_a_frequency_and_they_add_up() -> None:
    tables = Tables.of(coefficients(50))
    assert tables.frequencies.min() >= 1
    ends = np.cumsum(2 * tables.largest + 1)
    assert [part.sum() for part in np.split(tables.frequencies, ends[:-1])] == [TOTAL] * 12
    assert tables.ends.sum() == TOTAL


def test_a_pool_of_zeros_has_tables_too() -> None:
    tables = Tables.of(np.zeros((5, 0), dtype=np.int64))
    assert tables.write(np.zeros((1, 0), dtype=np.int64)) == b""
    assert tables.read(b"", 1).shape == (1, 0)


def test_what_is_larger_than_anything_in_the_pool_is_cut_off() -> None:
    tables = Tables.of(np.ones((20, 1), dtype=np.int64))
    assert tables.read(tables.write(np.array([[1000]])), 1)[0, 0] == tables.largest[0]
