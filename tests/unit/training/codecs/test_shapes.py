"""Pictures of any size as tiles of one."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.training.codecs.shapes import Shapes, Tiling, number, places, read_number

PICTURES = [
    np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)
    for i, shape in enumerate([(20, 33), (7, 5), (16, 16), (40, 17, 3), (1, 1, 3)])
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: "x".join(map(str, picture.shape)))
def test_a_picture_is_put_together_again(picture: np.ndarray) -> None:
    tiling = Tiling.of(PICTURES)
    tiles = tiling.cut(picture)
    assert tiles.shape == (tiling.count(picture.shape), 16 * 16 * 3)
    np.testing.assert_array_equal(tiling.joined(tiles, picture.shape), picture)


def test_small_pictures_of_one_shape_and_vectors_are_one_tile() -> None:
    assert Tiling.of([np.zeros((28, 28), np.uint8)] * 3) == Tiling(28, 28, 1)
    assert Tiling.of([np.zeros((280, 280), np.uint8)] * 3) == Tiling(16, 16, 1)
    vector = np.arange(7, dtype=np.float32)
    tiling = Tiling.of([vector])
    np.testing.assert_array_equal(tiling.joined(tiling.cut(vector), (7,)), vector)


def test_the_usual_shape_takes_one_byte_and_any_other_is_read_back() -> None:
    shapes = Shapes.of([PICTURES[0], PICTURES[0], PICTURES[1]])
    assert shapes.header((20, 33)) == b"\x00"
    for shape in ((20, 33), (7, 5), (1000, 70_0), (40, 17, 3)):
        assert shapes.read_header(shapes.header(shape) + b"rest") == (shape, len(shapes.header(shape)))
    with pytest.raises(ValueError, match="no shape"):
        shapes.read_header(b"\x09")
    assert Shapes.of([np.zeros(3)]).header((3,)) == b""
    assert (places((20, 33)), places((40, 17, 3)), places((7,))) == (660, 680, 7)


def test_whole_numbers_take_seven_bits_a_byte() -> None:
    for value in (0, 127, 128, 70_000):
        assert read_number(number(value) + b"\x01", 0) == (value, len(number(value)))
    assert [len(number(value)) for value in (127, 128, 16_384)] == [1, 2, 3]
