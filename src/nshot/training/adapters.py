"""Adapters: put into a network by peft for training, merged by formula afterwards.

peft takes seconds to import, so it is imported only where a network is wrapped. What was trained is kept under peft's
names with peft's configuration, so that peft can read it; predicting needs neither.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nshot.core import Backbone, HandsOver, OptionError, PrefixShape

_PREFIX = "base_model.model."
_DOWN, _UP, _MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
_ROWS = ".token_adapter.trainable_tokens_delta"
_SCALE = ".ia3_l"
_OF_WHOLE_MODELS = ("config.json", "generation_config.json")
PREFIX = "prompt_embeddings"
"""The name that peft gives to a prefix."""


def with_adapters(
    network: nn.Module,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    target_modules: Sequence[str],
    seed: int,
    dora: bool = False,
    tokens: Mapping[str, Sequence[int]] | None = None,
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
        dora: Whether the length of every row of a matrix is trained apart from its direction, see `merged`.
        tokens: Tokens whose rows are trained as well, by the last part of the name of their table.

    Raises:
        OptionError: The network has no linear layer.
    """
    from peft import LoraConfig, get_peft_model

    targets = _targets(network, target_modules)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        use_dora=dora,
        trainable_token_indices={name: list(rows) for name, rows in tokens.items()} if tokens else None,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers for a name that transformers has given another one.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        torch.manual_seed(seed)
        wrapped: nn.Module = get_peft_model(network, config)
    return wrapped


def with_scales(network: nn.Module, *, target_modules: Sequence[str]) -> nn.Module:
    """Return `network` with a trained factor on every output of its target layers; only the factors are trainable.

    Layers that narrow (the second of a feed-forward block) have their inputs scaled instead. All factors start at 1
    (Liu et al. 2022, https://arxiv.org/abs/2205.05638).

    Args:
        network: Is changed: hand over a copy.
        target_modules: Last parts of the names of linear layers. Where the network has none of them, every linear
            layer gets factors.

    Raises:
        OptionError: The network has no linear layer.
    """
    from peft import IA3Config, get_peft_model

    outputs = _targets(network, target_modules)
    inputs = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.in_features > module.out_features
    ]
    config = IA3Config(target_modules=sorted({*outputs, *inputs}), feedforward_modules=inputs)
    wrapped: nn.Module = get_peft_model(network, config)
    return wrapped


def prefix_state(vectors: np.ndarray, shape: PrefixShape) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return peft's configuration, json-able, and the prefix under peft's name.

    Args:
        vectors: Shape (length, layers * 2 * hidden), float32.
        shape: Of the network.
    """
    from peft import PrefixTuningConfig

    config = PrefixTuningConfig(
        task_type="FEATURE_EXTRACTION",
        num_virtual_tokens=len(vectors),
        num_transformer_submodules=1,
        num_layers=shape.layers,
        num_attention_heads=shape.heads,
        token_dim=shape.hidden,
        encoder_hidden_size=shape.hidden,
    ).to_dict()
    return {**config, "peft_type": config["peft_type"].value, "inference_mode": True}, {PREFIX: vectors}


def adapter_state(wrapped: nn.Module) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return peft's configuration, json-able, and the adapters under peft's names, float32.

    Args:
        wrapped: From `with_adapters` or `with_scales`.
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


def files_of(config: Mapping[str, Any], source: Backbone) -> dict[str, bytes]:
    """Return what makes adapters in a decoder a folder that peft opens, by file name: its base's tokenizer, too.

    Args:
        config: From `adapter_state`.
        source: The base; one that is no model of transformers leaves nothing to open.
    """
    found: object = source
    if not isinstance(found, HandsOver):
        return {}
    place = Path(source.ref.id).expanduser()
    base = str(place.resolve()) if place.is_dir() else source.ref.id
    record = {
        **config,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": source.ref.revision,
    }
    files = {name: data for name, data in found.files_for_saving().items() if name not in _OF_WHOLE_MODELS}
    return {**files, "adapter_config.json": (json.dumps(record, indent=2) + "\n").encode()}


def shapes(adapters: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """Return the shape of every matrix that adapters change, under the name that it has in the bare network.

    Args:
        adapters: From `adapter_state`; tensors of other names are passed over.
    """
    layers = [name.removesuffix(_DOWN) for name in adapters if name.endswith(_DOWN)]
    return {
        f"{layer.removeprefix(_PREFIX)}.weight": (len(adapters[layer + _UP]), adapters[layer + _DOWN].shape[1])
        for layer in layers
    }


def merged(
    weights: Mapping[str, torch.Tensor],
    adapters: Mapping[str, np.ndarray],
    *,
    rank: int,
    alpha: float,
    tokens: Sequence[int] = (),
) -> dict[str, np.ndarray]:
    """Return ``V = W + alpha / rank * B A`` for every layer with an adapter, under the names of the bare network.

    Where an adapter has magnitudes m, one per row, it is ``m V / |V|``, row by row (DoRA: Liu et al. 2024,
    https://arxiv.org/abs/2402.09353, equation 5).

    Args:
        weights: The bare network's, float32.
        adapters: From `adapter_state`; tensors of other names are passed over.
        rank: As trained.
        alpha: As trained.
        tokens: Whose rows of a table were trained as well.
    """
    changed = {}
    for name in [name for name in adapters if name.endswith(_ROWS)]:
        table = name.removeprefix(_PREFIX).removesuffix(_ROWS) + ".weight"
        rows = weights[table].numpy().copy()
        rows[list(tokens)] = adapters[name]
        changed[table] = rows
    for layer in [name.removesuffix(_DOWN) for name in adapters if name.endswith(_DOWN)]:
        down, up = (_tensor(adapters[layer + part]) for part in (_DOWN, _UP))
        name = layer.removeprefix(_PREFIX) + ".weight"
        weight = weights[name] + (up @ down) * (alpha / rank)
        if layer + _MAGNITUDE in adapters:
            weight *= (_tensor(adapters[layer + _MAGNITUDE]) / weight.norm(dim=1))[:, None]
        changed[name] = weight.numpy()
    return changed


def rescaled(weights: Mapping[str, torch.Tensor], adapters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of every layer with factors: rows and bias times those of its outputs, columns times inputs'.

    Args:
        weights: The bare network's, float32.
        adapters: From `adapter_state` of a network `with_scales`; tensors of other names are passed over.
    """
    changed = {}
    for key in [key for key in adapters if key.endswith(_SCALE)]:
        layer = key.removesuffix(_SCALE).removeprefix(_PREFIX)
        scale = _tensor(adapters[key])  # of shape (out, 1) or (1, in)
        changed[f"{layer}.weight"] = (weights[f"{layer}.weight"] * scale).numpy()
        if scale.shape[1] == 1 and f"{layer}.bias" in weights:
            changed[f"{layer}.bias"] = (weights[f"{layer}.bias"] * scale[:, 0]).numpy()
    return changed


def _targets(network: nn.Module, last_parts: Sequence[str]) -> list[str]:
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if name.rsplit(".", 1)[-1] in last_parts] or linear
    if not targets:
        raise OptionError("Adapters go beside linear layers, and this backbone has none. Use full_finetune.")
    return targets


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(value))
