"""Weights held in 4 bits while adapters beside them are trained (QLoRA)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import nn

from nshot.core import MissingExtraError


def hold_in_4_bits(module: nn.Module, last_parts: Sequence[str], device: str) -> None:
    """Replace linear layers by ones whose weights are 4-bit normal floats, doubly quantised; moves `module`.

    Source: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, section 3.

    Args:
        module: Is changed: hand over a copy.
        last_parts: Last parts of the names of the layers.
        device: A graphics card.

    Raises:
        MissingExtraError: There is no graphics card, or bitsandbytes is not installed.
    """
    if torch.device(device).type != "cuda" or find_spec("bitsandbytes") is None:
        missing = "bitsandbytes is not installed" if find_spec("bitsandbytes") is None else f"this fit runs on {device}"
        raise MissingExtraError(
            f"quantise=4bit needs a CUDA graphics card and the package bitsandbytes; {missing}. "
            "Use quantise=none, or a machine with a graphics card and: pip install bitsandbytes."
        )
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(module.named_modules()):
        parent, _, last = name.rpartition(".")
        if isinstance(layer, nn.Linear) and last in last_parts:
            held = Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=torch.bfloat16,
                quant_type="nf4",
            )
            held.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            held.bias = layer.bias
            setattr(module.get_submodule(parent), last, held)
    module.to(device)  # which is when the weights are quantised
    module.is_loaded_in_4bit = True  # type: ignore[assignment]  # what peft asks before it puts adapters beside them
