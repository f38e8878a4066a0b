"""Low-rank adapters: put into a network by peft for training, merged by formula afterwards.

peft takes seconds to import, so it is imported only where a network is wrapped. What was trained is kept under peft's
names with peft's configuration, so that peft can read it; predicting needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from nshot.core import OptionError

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def with_adapters(
    network: nn.Module, *, rank: int, alpha: float, dropout: float, target_modules: Sequence[str], seed: int
) -> nn.Module:
    """Return `network` with a low-rank adapter beside each target layer; only the adapters are trainable.

    ``W x`` becomes ``W x + alpha / rank * B A x`` with A of shape (rank, in) drawn at random and B of shape
    (out, rank) zero, so that training starts at the pre-trained network (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Args:
        network: Is changed: hand over a copy.
        rank: Rows of A.
        alpha: Scale of the adapters.
        dropout: Applied to the input of an adapter.
        target_modules: Last parts of the names of linear layers. Where the network has none of them, every linear
            layer gets an adapter.
        seed: Decides A.

    Raises:
        OptionError: The network has no linear layer.
    """
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if name.rsplit(".", 1)[-1] in target_modules] or linear
    if not targets:
        raise OptionError("Adapters go beside linear layers, and this backbone has none. Use full_finetune.")
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped: nn.Module = get_peft_model(network, config)
    return wrapped


def adapter_state(wrapped: nn.Module) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return peft's configuration, json-able, and the adapters under peft's names, float32.

    Args:
        wrapped: From `with_adapters`.
    """
    from peft import PeftModel, get_peft_model_state_dict

    if not isinstance(wrapped, PeftModel):
        raise TypeError(f"a network with adapters was expected, not {type(wrapped).__name__}")
    config: dict[str, Any] = wrapped.peft_config["default"].to_dict()
    # What peft itself does when it writes adapter_config.json: sets become lists, and the adapter is one to use.
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    tensors = {
        name: value.detach().float().cpu().numpy().copy() for name, value in get_peft_model_state_dict(wrapped).items()
    }
    return {**plain, "peft_type": config["peft_type"].value, "inference_mode": True}, tensors


def merged(
    weights: Mapping[str, torch.Tensor], adapters: Mapping[str, np.ndarray], *, rank: int, alpha: float
) -> dict[str, np.ndarray]:
    """Return ``W + alpha / rank * B A`` for every layer with an adapter, under the names of the bare network.

    Args:
        weights: The bare network's, float32.
        adapters: From `adapter_state`; tensors of other names are passed over.
        rank: As trained.
        alpha: As trained.
    """
    changed = {}
    for layer in [name.removesuffix(_DOWN) for name in adapters if name.endswith(_DOWN)]:
        down, up = (torch.from_numpy(np.array(adapters[layer + part])) for part in (_DOWN, _UP))
        name = layer.removeprefix(_PREFIX) + ".weight"
        changed[name] = (weights[name] + (up @ down) * (alpha / rank)).numpy()
    return changed
