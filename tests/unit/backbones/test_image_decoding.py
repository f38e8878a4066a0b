"""Images in every form that people have them in."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nshot.backbones.image_decoding import image_digest, picture_of, pixels_of
from nshot.core import ExampleError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def test_grey_stays_grey_and_colours_stay_colours() -> None:
    np.testing.assert_array_equal(pixels_of(file(Image.fromarray(GREY)), 0), GREY)
    coloured = np.stack([GREY, GREY + 1, GREY + 2], axis=2)
    np.testing.assert_array_equal(pixels_of(file(Image.fromarray(coloured)), 0), coloured)
    assert picture_of(GREY, 0).mode == "RGB"


def test_the_turn_that_a_camera_noted_is_carried_out() -> None:
    noted = Image.Exif()
    noted[0x0112] = 6  # to be turned by a quarter
    turned = pixels_of(file(Image.fromarray(GREY), exif=noted), 0)
    np.testing.assert_array_equal(turned, np.rot90(GREY, -1))


def test_a_palette_is_looked_up_and_what_is_transparent_lies_on_white() -> None:
    palette = Image.fromarray(GREY).convert("P")
    assert pixels_of(file(palette, "GIF"), 0).shape == (3, 4, 3)
    clear = Image.new("RGBA", (4, 3), (10, 20, 30, 0))
    assert (pixels_of(file(clear), 0) == 255).all()
    assert (pixels_of(file(Image.new("LA", (4, 3), (10, 255))), 0) == 10).all()


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 7], [257 * 100, 65535]], dtype=np.uint16))
    np.testing.assert_array_equal(pixels_of(file(deep), 0), [[0, 7], [100, 255]])


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (b"", "it is empty"),
        (b"no image at all", "begins with 'no image'"),
        (file(Image.effect_noise((99, 99), 90))[:3000], "damaged"),
        ("a text", "found str"),
        (np.zeros((3, 4)), "found float64 of shape"),
        (np.zeros((3, 4, 2), dtype=np.uint8), r"found uint8 of shape \(3, 4, 2\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\)"),
    ],
    ids=["empty", "text", "cut short", "string", "floats", "two channels", "no pixels"],
)
def test_what_is_no_image_is_named_by_its_number(example: Any, said: str) -> None:
    with pytest.raises(ExampleError, match=f"Example 8 .*{said}"):
        pixels_of(example, 7)


def test_the_address_of_an_array_knows_its_shape() -> None:
    assert image_digest(GREY, 0) != image_digest(GREY.reshape(4, 3), 0)
    assert image_digest(GREY, 0) == image_digest(GREY.copy(), 0)
