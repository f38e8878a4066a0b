"""Examples as people see them in a report."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nshot.core import Conversation
from nshot.data.showing import shown, thumbnail


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("a text", "a text"),
        ({"age": 41.0, "town": None, "note": "fine"}, "age = 41; note = fine"),
        ((1.0, 0.25), "1, 0.25"),
        (b"\x89PNG", ""),
    ],
)
def test_every_modality_has_its_words(example, words):
    assert shown(example) == words


def test_a_conversation_is_what_is_said_and_a_long_text_loses_its_middle():
    assert shown(Conversation.asking("where is my parcel")) == "where is my parcel"
    assert "characters left out" in shown("word " * 1000)
    assert len(shown("word " * 1000)) < 2_100


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("shape", [(40, 300), (300, 40, 3), (20, 20)])
def test_an_image_becomes_a_small_picture_with_its_proportions(shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    for example in (pixels, _png(pixels)):
        address = thumbnail(example, side=100)
        assert address.startswith("data:image/png;base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        assert max(picture.size) <= 100
        assert picture.width / picture.height == pytest.approx(shape[1] / shape[0], rel=0.1)


@pytest.mark.parametrize(
    "example", ["a text", {"age": 1}, b"no image at all", b"", _png(np.zeros((9, 9), np.uint8))[:40]]
)
def test_what_is_no_picture_has_none(example):
    assert thumbnail(example) == ""
