"""Opening the network of a decoder with its weights, or with fresh ones."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from nshot.backbones.silence import without_bars
from nshot.core import ModelError


def pretrained(folder: Path, kind: torch.dtype, *, trust_remote_code: bool) -> transformers.PreTrainedModel:
    """Return the causal language model in `folder`, on the processor, training mode off.

    Raises:
        ModelError: It cannot be opened, or weights are missing.
    """
    try:
        with without_bars():
            model, report = AutoModelForCausalLM.from_pretrained(
                folder,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                use_safetensors=True,
                dtype=kind,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(f"The model in {folder} cannot be opened: {error}") from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"The weights in {folder} lack {len(missing)} that its config.json asks for, such as {missing[0]}. "
            "Is config.json that of another model?"
        )
    opened: transformers.PreTrainedModel = model.eval()
    return opened


def untrained(folder: Path, seed: int, *, trust_remote_code: bool) -> transformers.PreTrainedModel:
    """Return the architecture in `folder` with weights drawn from `seed`, float32, training mode off.

    Raises:
        ModelError: Its config cannot be read.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code, local_files_only=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"The model in {folder} cannot be built: {error}") from None
    built: transformers.PreTrainedModel = model.eval()
    return built
