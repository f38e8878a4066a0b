"""What the folder of a decoder says about itself: architecture, longest input, what ends a text. Json only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nshot.backbones.settings import read_optional, read_record

_DECODER_ENDINGS = ("ForCausalLM", "LMHeadModel")
# Heads of this ending on networks that read in both directions.
_NO_DECODERS = ("Bert", "Roberta", "Electra", "XLM", "XLNet", "Flaubert", "RoFormer", "BigBird", "Camembert")
# Where a config names no architecture, what its network is used for.
_DECODER_TYPES = frozenset(
    {"gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "llama", "mistral", "mixtral", "phi", "phi3", "qwen2", "qwen3"}
    | {"gemma", "gemma2", "gemma3_text", "smollm3", "olmo", "olmo2", "stablelm", "starcoder2", "falcon", "bloom"}
)
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "dim")
# Tokenizers write numbers beyond this for "no limit".
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is opened.

    Attributes:
        folder: Where config, weights and tokenizer lie.
        config: The network's ``config.json``.
        generation: ``generation_config.json``; empty where there is none.
        longest: The most tokens that it takes in; None where nobody says.
    """

    folder: Path
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    longest: int | None

    @property
    def model_type(self) -> str:
        """Return the architecture's name."""
        return str(self.config.get("model_type", "unknown"))

    @property
    def width(self) -> int | None:
        """Return the length of a token's vector; None where the config names it otherwise than usual."""
        return next((int(self.config[key]) for key in _WIDTH_KEYS if isinstance(self.config.get(key), int)), None)

    @property
    def end_ids(self) -> frozenset[int]:
        """Return the tokens that its files name as the end of a text."""
        stated = (source.get("eos_token_id") for source in (self.generation, self.config))
        found = (value if isinstance(value, list) else [value] for value in stated if value is not None)
        return frozenset(int(token) for tokens in found for token in tokens)


def is_decoder(folder: Path) -> bool:
    """Return whether the model in `folder` writes texts; a folder of sentence-transformers embeds them."""
    if (folder / "modules.json").is_file() or not (folder / "config.json").is_file():
        return False
    config = read_record(folder / "config.json")
    if config.get("is_encoder_decoder"):
        return False
    architectures = config.get("architectures") or []
    if not architectures:
        return config.get("model_type") in _DECODER_TYPES
    return any(name.endswith(_DECODER_ENDINGS) and not name.startswith(_NO_DECODERS) for name in architectures)


def read_decoder_settings(folder: Path) -> DecoderSettings:
    """Return the settings of the decoder in `folder`.

    Raises:
        ModelError: A file cannot be read, or the weights are in a format that needs another program.
    """
    config = read_record(folder / "config.json")
    return DecoderSettings(folder, config, read_optional(folder / "generation_config.json"), _longest(folder, config))


def _longest(folder: Path, config: Mapping[str, Any]) -> int | None:
    positions = [config[key] for key in _LENGTH_KEYS if isinstance(config.get(key), int)]
    tokenizer = read_optional(folder / "tokenizer_config.json").get("model_max_length")
    limits = [*positions[:1], *([tokenizer] if isinstance(tokenizer, int) and tokenizer < _NO_LIMIT else [])]
    return min(limits, default=None)
