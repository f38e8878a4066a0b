"""Compressing images and vectors: the rate is met, what is written is all there is, and what learns is worth it."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nshot import methods
from nshot.backbones import fake
from nshot.core import BackboneRef, Codec, DataError, Dataset, ExampleError, FitContext, Task, TaskKind
from nshot.metrics.compress import psnr

LEARNING = ("pca_codec", "product_quantisation", "autoencoder_codec")
FILES = ("jpeg", "webp")
TASK = Task(TaskKind.COMPRESS, metric="psnr")
QUICK = {"autoencoder_codec": {"steps": 20, "hidden": 16}}


def fitted(name: str, pool: Dataset, backbone: Any = None, **options: Any) -> Codec:
    method = methods.build(name, {**QUICK.get(name, {}), **options})
    codec = method.fit(TASK, pool.take(()), pool, backbone, FitContext(lambda targets, prediction: 0.0))
    assert isinstance(codec, Codec)
    return codec


@cache
def slopes(n: int, height: int = 24, width: int = 24, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return smooth grey pictures with a little noise."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / max(height, width)
    weights = generator.normal(size=(n, 4)) * (60, 60, 30, 30)
    shapes = np.stack([down, across, np.sin(6 * down), np.cos(6 * across)])
    pictures = 128 + np.tensordot(weights, shapes, axes=1) + generator.normal(scale=2, size=(n, height, width))
    return tuple(np.clip(pictures, 0, 255).astype(np.uint8))


def image_pool(**size: int) -> Dataset:
    return Dataset(list(slopes(200, **size)), "image")


@pytest.mark.parametrize("name", [*LEARNING, *FILES])
@pytest.mark.parametrize("rate", [0.5, 1.5])
def test_new_images_take_about_the_bits_that_were_asked_for(name: str, rate: float) -> None:
    prediction = fitted(name, image_pool(), rate=rate).predict(slopes(50, seed=1))
    written = prediction.bits.mean() / 24**2
    if name in FILES:
        assert written <= 1.05 * rate or fitted(name, image_pool(), rate=rate).state().settings["quality"] == 1
    else:
        assert written == pytest.approx(rate, rel=0.12) or written < rate


@pytest.mark.parametrize("name", LEARNING)
def test_more_bits_give_a_better_image(name: str) -> None:
    new = slopes(30, seed=1)
    few, many = (fitted(name, image_pool(), rate=rate).predict(new) for rate in (0.2, 1.0))
    assert psnr.score(new, many, TASK) > psnr.score(new, few, TASK) + 0.1


@pytest.mark.parametrize("name", [*LEARNING, *FILES])
def test_bytes_are_all_that_is_needed_to_read_an_image_of_any_size(name: str) -> None:
    codec = fitted(name, image_pool(height=40, width=40))
    new = [*slopes(2, height=19, width=57, seed=2), *slopes(1, height=40, width=40, seed=3)]
    prediction = codec.predict(new)
    again = codec.decode(codec.encode(new))
    assert [array.shape for array in again] == [(19, 57), (19, 57), (40, 40)]
    for one, other in zip(again, prediction.decoded, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(prediction.bits, [8 * len(one) for one in codec.encode(new)])
    assert psnr.score(new, prediction, TASK) > 25


@pytest.mark.parametrize("name", ["jpeg", "webp"])
@pytest.mark.parametrize("shape", [(24, 30), (24, 30, 3), (17, 5, 3)])
def test_a_file_without_its_shared_header_is_the_same_image(name: str, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    codec = fitted(name, Dataset([picture], "image"), rate=4.0)
    whole = io.BytesIO()
    Image.fromarray(picture).save(whole, name.upper(), quality=codec.state().settings["quality"])
    expected = np.asarray(Image.open(whole).convert("RGB" if len(shape) == 3 else "L"))
    written = codec.encode([picture])
    np.testing.assert_array_equal(codec.decode(written)[0], expected)
    assert len(written[0]) < len(whole.getvalue()) - 25


def test_whole_files_are_files() -> None:
    codec = fitted("jpeg", image_pool(), rate=8.0, whole_files=True)
    written = codec.encode(slopes(1))[0]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written))), codec.decode([written])[0])


@pytest.mark.parametrize("name", LEARNING)
def test_rows_come_back_in_their_own_units(name: str) -> None:
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(300, 2))
    values = np.c_[hidden @ generator.normal(size=(2, 6)), np.full(300, 7.0)] * [1e-3, 1, 1, 1, 1, 1e4, 1]
    names = [f"column {i}" for i in range(7)]
    rows = [{**dict(zip(names, map(float, row), strict=True)), "name": "x"} for row in values]
    codec = fitted(name, Dataset(rows[:250], "row"), rate=4.0)
    back = np.stack(codec.predict(rows[250:]).decoded)
    lost = np.square(back - values[250:]).mean(axis=0)[:6] / values.var(axis=0)[:6]
    assert (lost < 0.1).all()
    np.testing.assert_allclose(back[:, 6], 7.0, atol=1e-4)
    with pytest.raises(ExampleError, match="Example 1 has nothing in the column 'column 2'"):
        codec.encode([{**rows[0], "column 2": None}])


def test_texts_are_compressed_as_what_a_backbone_makes_of_them() -> None:
    texts = [f"{what} number {i} is {how}" for i in range(40) for what in ("card", "rate") for how in ("lost", "new")]
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    codec = fitted("pca_codec", Dataset(texts, "text"), backbone, rate=2.0)
    back = np.stack(codec.predict(texts[:5]).decoded)
    assert back.shape == (5, 64)
    restored = methods.build("pca_codec").restore(TASK, codec.state(), fake.open)
    np.testing.assert_array_equal(np.stack(restored.predict(texts[:5]).decoded), back)
    with pytest.raises(DataError, match="Texts are compressed as what a backbone makes of them"):
        fitted("pca_codec", Dataset(texts, "text"))


@pytest.mark.parametrize("name", [*LEARNING, *FILES])
def test_bytes_that_are_none_of_its_own_are_refused(name: str) -> None:
    codec = fitted(name, image_pool())
    with pytest.raises(ExampleError, match="Example 2 is not what this model writes"):
        codec.decode([codec.encode(slopes(1))[0], b"\x07"])


@pytest.mark.parametrize("name", LEARNING)
def test_a_coloured_image_is_refused_by_a_model_of_grey_ones(name: str) -> None:
    with pytest.raises(ExampleError, match="Example 1 is coloured"):
        fitted(name, image_pool()).encode([np.zeros((24, 24, 3), dtype=np.uint8)])


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(DataError, match="learns from examples without labels"):
        fitted("pca_codec", Dataset([], "image"))


def test_components_of_x_rays_need_fewer_bits_than_jpeg_and_webp(shared_data: Path) -> None:
    with np.load(shared_data / "images" / "pneumonia_subset" / "pneumoniamnist.npz") as file:
        pool, new = Dataset(list(file["train_images"]), "image"), list(file["test_images"][::4])
    found = {name: fitted(name, pool, rate=1.0).predict(new) for name in ("pca_codec", "jpeg", "webp")}
    scores = {name: psnr.score(new, prediction, TASK) for name, prediction in found.items()}
    assert found["pca_codec"].bits.mean() / 784 == pytest.approx(1.0, rel=0.1)
    assert scores["pca_codec"] > max(scores["jpeg"], scores["webp"]) + 4
