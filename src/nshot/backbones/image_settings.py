"""What the folder of a model says about images. Reads json only."""

from __future__ import annotations

import json
from pathlib import Path

from nshot.backbones.settings import read_optional

PREPROCESSING = "preprocessor_config.json"
"""How an image becomes the numbers that the network takes; its absence is told when it is opened."""

_IN_THE_CONFIG = frozenset({"vision_config", "image_size", "num_channels"})


def signature(folder: Path) -> str:
    """Return one line that changes with how images are prepared."""
    return json.dumps(read_optional(folder / PREPROCESSING), sort_keys=True)


def is_image_model(folder: Path) -> bool:
    """Return whether the network in `folder` takes images; of a model with two towers, one of them."""
    if (folder / "modules.json").is_file():
        return False
    return not _IN_THE_CONFIG.isdisjoint(read_optional(folder / "config.json"))
