"""The torch side of an image encoder: opening the network, preparing images, pooling what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nshot.backbones.image_settings import PREPROCESSING
from nshot.backbones.silence import without_reports
from nshot.core import ModelError

if TYPE_CHECKING:
    import transformers
    from PIL import Image

Network = Callable[[Tensor], Tensor]
"""Prepared images, shape (n, 3, height, width), to float32 vectors, shape (n, width)."""

Preparing = Callable[[Sequence["Image.Image"]], Tensor]
"""Images in mode RGB to the input of the network, float32, shape (n, 3, height, width)."""


class PooledImages(nn.Module):
    """Any network of transformers that takes images, and one vector for each.

    What the network itself pools counts, if its weights were trained: many classifiers come without the weights of
    the last pooling layer, which would then be random. Else it is the class token of a transformer (Dosovitskiy et
    al. 2021), or the mean over the places of a map.
    """

    def __init__(self, model: transformers.PreTrainedModel, *, pools: bool) -> None:
        super().__init__()
        self.model = model
        self.pools = pools

    def forward(self, pixels: Tensor) -> Tensor:
        """Return one vector per image, shape (n, width)."""
        found = self.model(pixel_values=pixels)
        pooled: Tensor | None = found.get("pooler_output") if self.pools else None
        if pooled is not None:
            return pooled.flatten(1)
        states: Tensor = found.last_hidden_state
        return states[:, 0] if states.ndim == 3 else states.flatten(2).mean(dim=2)


def pretrained(folder: Path, *, trust_remote_code: bool) -> PooledImages:
    """Return the network with its weights, float32, training mode off.

    Raises:
        ModelError: The network is unknown, or the weights do not fit.
    """
    from transformers import MODEL_MAPPING, AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
        tower = getattr(config, "vision_config", None)  # each architecture has its own class of configs
        kind = AutoModel if tower is None else MODEL_MAPPING[type(tower)]
        with without_reports():
            model, report = kind.from_pretrained(
                folder,
                config=config if tower is None else tower,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelError(f"The network in {folder} cannot be opened as an image encoder: {error}.") from None
    absent = sorted(report["missing_keys"])
    if any("pooler" not in name for name in absent):
        raise ModelError(
            f"The weights in {folder} are not those of a {type(model).__name__}: '{absent[0]}' is missing "
            f"({len(absent)} in all). Expected an image encoder of the transformers library."
        )
    return PooledImages(model, pools=not absent).eval()


def preparing(folder: Path, *, trust_remote_code: bool) -> Preparing:
    """Return what prepares images: size, crop and scale are the model's own, computed by Pillow and NumPy.

    Raises:
        ModelError: The folder does not say how.
    """
    from transformers import AutoImageProcessor

    if not (folder / PREPROCESSING).is_file():
        raise ModelError(
            f"{folder / PREPROCESSING} is missing: it says how large images are made and how they are scaled. "
            "Copy it from where the model comes from."
        )
    try:
        # One implementation on every machine, whether torchvision is there or not: they differ in the last bits.
        own = AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{folder / PREPROCESSING} cannot be used: {error}.") from None

    def prepare(pictures: Sequence[Image.Image]) -> Tensor:
        prepared: dict[str, Any] = own(images=list(pictures), return_tensors="pt")
        pixels: Tensor = prepared["pixel_values"]
        return pixels

    return prepare


def for_inference(network: nn.Module, precision: str, device: str) -> Network:
    """Return the network as a function, in this precision on this device."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    network = network.to(device=device, dtype=kind)

    def run(pixels: Tensor) -> Tensor:
        vectors: Tensor = network(pixels.to(device=device, dtype=kind))
        return vectors.float()

    return run
