"""Features of images without a pre-trained network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nshot.backbones import default_for, open_backbone
from nshot.core import BackboneRef, ModelError


def pictures(n: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, (20 + i, 31, 3), dtype=np.uint8) for i in range(n)]


def test_images_get_it_where_no_backbone_is_named() -> None:
    assert open_backbone(default_for("image")).ref == BackboneRef("pixels", "1")
    assert default_for("row") == "table"
    assert default_for("text") == "all-MiniLM-L6-v2"


def test_an_image_has_the_same_vector_alone_and_among_others() -> None:
    backbone = open_backbone("pixels")
    together = backbone.embed(pictures(5))
    assert together.shape == (5, backbone.width)
    alone = np.concatenate([backbone.embed([picture]) for picture in pictures(5)])
    np.testing.assert_array_equal(together, alone)
    assert backbone.embed([]).shape == (0, backbone.width)


def test_an_image_of_one_colour_and_one_of_one_pixel_have_finite_vectors() -> None:
    flat = [np.full((9, 9), 200, dtype=np.uint8), np.zeros((1, 1, 3), dtype=np.uint8)]
    assert np.isfinite(open_backbone("pixels").embed(flat)).all()


def test_an_edge_is_found_in_its_direction() -> None:
    upright, lying = np.zeros((64, 64), dtype=np.uint8), np.zeros((64, 64), dtype=np.uint8)
    upright[:, 32:], lying[32:] = 255, 255
    # Whether the bright side is left or right is no matter; whether the edge stands or lies is.
    found = open_backbone("pixels").embed([upright, 255 - upright, lying])[:, : 49 * 36]
    assert found[0] @ found[1] == pytest.approx(1.0, abs=1e-5)
    assert found[0] @ found[2] < 0.3


def test_another_version_that_was_recorded_is_refused() -> None:
    with pytest.raises(ModelError, match="version 0 were recorded"):
        open_backbone(BackboneRef("pixels", "0"))


def test_x_rays_are_told_apart(shared_data: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    with np.load(shared_data / "images" / "pneumonia_subset" / "pneumoniamnist.npz") as file:
        train, test = file["train_images"][::4], file["test_images"]
        labels, truth = file["train_labels"].ravel()[::4], file["test_labels"].ravel()
    backbone = open_backbone("pixels")
    probe = LogisticRegression(C=0.1, max_iter=1000).fit(backbone.embed(list(train)), labels)
    assert (probe.predict(backbone.embed(list(test))) == truth).mean() > 0.8
