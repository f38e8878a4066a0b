"""What a model folder says about itself: architecture, pooling, longest input, prompt. Reads json only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot.core import ModelError

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# These number positions from pad_token_id + 1, so that many of their position embeddings are never used.
_POSITIONS_AFTER_PADDING = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
}
# A model that names no limit of its own, or a huge one, would make a single long text cost minutes.
_LONGEST = 8192


@dataclass(frozen=True)
class Dense:
    """A linear layer after pooling, stored in a folder of its own.

    Attributes:
        folder: Where its ``model.safetensors`` lies.
        in_features: Length of a vector before.
        out_features: Length of a vector after.
        bias: Whether it has one.
        activation: Class name in `torch.nn`.
    """

    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class Normalise:
    """Scale a vector to length 1."""


@dataclass(frozen=True)
class EncoderSettings:
    """How a text becomes a vector.

    Attributes:
        folder: Where the network's config, weights and tokenizer lie.
        config: The network's ``config.json``.
        pooling: Names of `POOLING_MODES`; several are concatenated.
        after: What follows pooling, in order.
        max_tokens: Longest input in tokens, special tokens included; the rest is cut off.
        lower: Whether texts are put in lower case before the tokenizer.
        prompt: Put before every text.
    """

    folder: Path
    config: Mapping[str, Any]
    pooling: tuple[str, ...]
    after: tuple[Dense | Normalise, ...]
    max_tokens: int
    lower: bool
    prompt: str

    @property
    def model_type(self) -> str:
        """Return the architecture's name."""
        return str(self.config.get("model_type", "unknown"))

    @property
    def hidden_size(self) -> int:
        """Return the length of a token's vector."""
        for key in ("hidden_size", "d_model", "dim", "n_embd"):
            if key in self.config:
                return int(self.config[key])
        raise ModelError(
            f"{self.folder / 'config.json'} does not say how long its vectors are "
            "(hidden_size, d_model, dim or n_embd). Is it a text encoder?"
        )

    @property
    def width(self) -> int:
        """Return the length of a text's vector."""
        widths = [step.out_features for step in self.after if isinstance(step, Dense)]
        return widths[-1] if widths else self.hidden_size * len(self.pooling)

    @property
    def signature(self) -> str:
        """Return one line with everything besides the weights that changes a vector."""
        steps = [
            f"dense{step.out_features}{step.activation}" if isinstance(step, Dense) else "normalise"
            for step in self.after
        ]
        return "|".join(
            ["+".join(self.pooling), *steps, f"max{self.max_tokens}", f"lower{self.lower:d}", f"prompt={self.prompt}"]
        )


def read_settings(folder: Path) -> EncoderSettings:
    """Return the settings of the model in `folder`, read as sentence-transformers does; else mean pooling.

    Raises:
        ModelError: A file is missing or not understood, or the model is no text encoder.
    """
    modules = _modules(folder)
    network = folder / modules[0][1]
    config = read_record(network / "config.json")
    if "vision_config" in config or "image_size" in config:
        raise ModelError(
            f"{folder} holds a model of type '{config.get('model_type')}', which takes images. "
            "Expected a text encoder, or a decoder that reads texts only."
        )
    pooling: tuple[str, ...] = ("mean",)
    after: list[Dense | Normalise] = []
    includes_prompt = True
    for kind, path in modules[1:]:
        if kind == "Pooling":
            record = read_record(folder / path / "config.json")
            pooling = _pooling(record, folder / path)
            includes_prompt = bool(record.get("include_prompt", True))
        elif kind == "Dense":
            after.append(_dense(folder / path))
        elif kind == "Normalize":
            after.append(Normalise())
        elif kind != "Dropout":  # nothing happens in a Dropout outside its own training
            raise ModelError(
                f"{folder / 'modules.json'} asks for a module '{kind}'. "
                "nshot knows Transformer, Pooling, Dense and Normalize."
            )
    prompts = read_optional(folder / "config_sentence_transformers.json")
    prompt = str(prompts.get("prompts", {}).get(prompts.get("default_prompt_name"), "") or "")
    if prompt and not includes_prompt:
        raise ModelError(f"{folder} leaves its prompt out of pooling, which nshot cannot do. Use another model.")
    limits = _sentence_limits(network)
    return EncoderSettings(
        folder=network,
        config=config,
        pooling=pooling,
        after=tuple(after),
        max_tokens=_max_tokens(network, config, limits),
        lower=bool(limits.get("do_lower_case", False)),
        prompt=prompt,
    )


def _modules(folder: Path) -> list[tuple[str, str]]:
    path = folder / "modules.json"
    if not path.is_file():
        return [("Transformer", "")]
    records = _json(path)
    modules = [(str(record["type"]).rsplit(".", 1)[-1], str(record["path"])) for record in records]
    if not modules or modules[0][0] != "Transformer":
        found = modules[0][0] if modules else "nothing"
        raise ModelError(f"{path} must begin with a Transformer. Found: {found}.")
    return modules


def _pooling(record: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    mode = record.get("pooling_mode")
    if mode is None:
        modes = tuple(name for flag, name in _POOLING_FLAGS.items() if record.get(flag)) or ("mean",)
    else:
        modes = (mode,) if isinstance(mode, str) else tuple(mode)
    unknown = [name for name in modes if name not in POOLING_MODES]
    if unknown:
        raise ModelError(
            f"{folder / 'config.json'} asks for pooling '{unknown[0]}'. nshot knows: {', '.join(POOLING_MODES)}."
        )
    return modes


def _dense(folder: Path) -> Dense:
    record = read_record(folder / "config.json")
    if record.get("use_residual"):
        raise ModelError(f"{folder / 'config.json'} asks for a residual dense layer, which nshot does not know.")
    return Dense(
        folder=folder,
        in_features=int(record["in_features"]),
        out_features=int(record["out_features"]),
        bias=bool(record.get("bias", True)),
        activation=str(record.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1],
    )


def _sentence_limits(network: Path) -> Mapping[str, Any]:
    for path in sorted(network.glob("sentence_*_config.json")):
        return read_record(path)
    return {}


def _max_tokens(network: Path, config: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
    stated = limits.get("max_seq_length")
    if stated is not None:
        return int(stated)
    positions = config.get("max_position_embeddings", _LONGEST)
    if config.get("model_type") in _POSITIONS_AFTER_PADDING:
        positions -= int(config.get("pad_token_id", 1)) + 1
    tokenizer = read_optional(network / "tokenizer_config.json").get("model_max_length", _LONGEST)
    return int(min(positions, tokenizer, _LONGEST))


def read_optional(path: Path) -> Mapping[str, Any]:
    """Return the json object in a file; an empty one where there is no such file."""
    return read_record(path) if path.is_file() else {}


def read_record(path: Path) -> Mapping[str, Any]:
    """Return the json object in a file.

    Raises:
        ModelError: It is missing, cannot be read or holds something else.
    """
    record = _json(path)
    if not isinstance(record, dict):
        raise ModelError(f"{path} must hold a json object. Found: {type(record).__name__}.")
    return record


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path} is missing. A model folder needs config.json, tokenizer.json and model.safetensors."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from None
