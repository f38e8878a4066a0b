"""Image encoders: a real one, and tiny ones of several architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nshot.backbones import FeatureCache, open_backbone
from nshot.backbones.image_encoder import ImageEncoder
from nshot.core import ExampleError, ModelError

TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}
PICTURES = [
    np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 256, (33, 33), dtype=np.uint8),
]


def saved(model: transformers.PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def of_folder(folder: Path, cache: FeatureCache | None = None) -> ImageEncoder:
    opened = open_backbone(str(folder), precision="fp32", cache=cache)
    assert isinstance(opened, ImageEncoder)
    return opened


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_the_vision_tower_of_clip_is_its_image_encoder(tmp_path: Path) -> None:
    text = {**TOWER, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.CLIPConfig(text_config=text, vision_config=TOWER)
    model = transformers.CLIPModel(config).eval()
    encoder = of_folder(saved(model, tmp_path))
    prepared = encoder._prepare([_rgb(picture) for picture in PICTURES])
    with torch.inference_mode():
        expected = model.vision_model(pixel_values=prepared).pooler_output
    np.testing.assert_allclose(encoder.embed(PICTURES), expected.numpy(), atol=1e-5)


def test_a_classifier_without_trained_pooling_gives_its_class_token(tmp_path: Path) -> None:
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TOWER)).eval()
    encoder = of_folder(saved(model, tmp_path))
    with torch.inference_mode():
        states = model.vit(pixel_values=encoder._prepare([_rgb(picture) for picture in PICTURES])).last_hidden_state
    np.testing.assert_allclose(encoder.embed(PICTURES), states[:, 0].numpy(), atol=1e-5)


def test_a_vector_depends_on_its_own_image_and_is_computed_once(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    folder = saved(transformers.ResNetForImageClassification(config), tmp_path / "model")
    encoder = of_folder(folder, FeatureCache(tmp_path / "cache"))
    together = encoder.embed(PICTURES)
    assert together.shape == (2, encoder.width) == (2, 16)
    alone = np.concatenate([encoder.uncached().embed([picture]) for picture in PICTURES])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.first_cost(PICTURES) > 0
    again = of_folder(folder, FeatureCache(tmp_path / "cache"))
    np.testing.assert_array_equal(again.embed(PICTURES), together)
    assert "_network" not in vars(again)
    assert encoder.uncached().embed([]).shape == (0, 16)


def test_an_example_that_is_no_image_is_named(tmp_path: Path) -> None:
    encoder = of_folder(saved(transformers.ViTModel(transformers.ViTConfig(**TOWER)), tmp_path))
    with pytest.raises(ExampleError, match="Example 2 is no image"):
        encoder.embed([PICTURES[0], b"text"])


def test_a_folder_that_does_not_say_how_to_prepare_images_is_refused(tmp_path: Path) -> None:
    folder = saved(transformers.ViTModel(transformers.ViTConfig(**TOWER)), tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config.json is missing"):
        of_folder(folder).embed(PICTURES)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    folder = saved(transformers.ViTModel(transformers.ViTConfig(**TOWER)), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match="are not those of a ViTModel"):
        of_folder(folder).embed(PICTURES)


def test_frozen_features_of_photographs_tell_ants_from_bees(shared_data: Path, shared_models: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    encoder = of_folder(shared_models / "mobilenet_v2_imagenet")

    def read(part: str, every: int) -> tuple[np.ndarray, list[str]]:
        files = sorted((shared_data / "images" / "ants_bees" / part).glob("*/*"))[::every]
        return encoder.embed([file.read_bytes() for file in files]), [file.parent.name for file in files]

    features, labels = read("train", 5)
    tested, truth = read("val", 4)
    assert encoder.width == 1280
    found = LogisticRegression(C=0.1, max_iter=1000).fit(features, labels).predict(tested)
    assert (found == np.array(truth)).mean() > 0.85


def _rgb(picture: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(picture).convert("RGB")
