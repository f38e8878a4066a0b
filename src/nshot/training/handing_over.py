"""The state of a decoder that was trained, so that the saved model is one that transformers or peft opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.core import Backbone, HandsOver, State

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

_CONFIG, _GENERATION, _ADAPTER = "config.json", "generation_config.json", "adapter_config.json"


def whole_model(source: Backbone, module: nn.Module, settings: Mapping[str, Any]) -> State:
    """Return the state of a network all of which may have been trained: a model folder of transformers.

    Args:
        source: The backbone that was trained. One that cannot be written as such a folder leaves weights only.
        module: Its ``causal_module()``, trained.
        settings: What is saved besides.
    """
    files = source.files_for_saving() if isinstance(source, HandsOver) else {}
    return State(settings, all_weights(module), files)


def adapter(
    source: Backbone, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> State:
    """Return the state of adapters in a decoder: an adapter folder of peft, with the tokenizer of its base.

    Args:
        source: The backbone that they were trained in; one that cannot be written as a folder leaves no such files.
        config: Of peft.
        tensors: The adapters under peft's names.
        settings: What is saved besides.
    """
    if not isinstance(source, HandsOver):
        return State({**settings, "adapter": dict(config)}, tensors)
    place = Path(source.ref.id).expanduser()
    base = str(place.resolve()) if place.is_dir() else source.ref.id
    named = {**config, "task_type": "CAUSAL_LM", "base_model_name_or_path": base}
    if source.ref.revision is not None:
        named["revision"] = source.ref.revision
    files = {name: data for name, data in source.files_for_saving().items() if name not in {_CONFIG, _GENERATION}}
    return State(settings, tensors, {**files, _ADAPTER: (json.dumps(named, indent=2) + "\n").encode()})


def all_weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of a network, float32; one of two names, such as that of a tied head, under the first."""
    kept: dict[str, np.ndarray] = {}
    seen: set[int] = set()
    for name, value in module.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            kept[name] = value.detach().float().cpu().numpy().copy()
    return kept
