"""A decoder as one GGUF file, which llama.cpp, Ollama and LM Studio read.

Written are the architectures whose names and layouts in llama.cpp are those of Llama, Mistral and Qwen2; the file's
names of tensors come from the package ``gguf``, which llama.cpp's authors keep.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from nshot.bundle.gguf_tokens import gguf_tokens, joined
from nshot.core import ModelError, UnsupportedError

FILE = "model.gguf"
_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    # llama.cpp runs Mistral by the graph of Llama.
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
}
_ROTATED = ("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")
_KINDS = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_BLOCK = 32
"""So many numbers of a row share a scale in q8_0."""
_FARTHEST = {"f32": 0.0, "f16": 2.0**-11, "q8_0": 0.5 / 127 + 2.0**-11}
"""By how much a number may be off, as a share of the largest of its row: half a step, and of q8_0 the rounded scale."""


@dataclass(frozen=True)
class Decoder:
    """What is written.

    Attributes:
        name: What the file calls the model.
        files: As in a folder of transformers: ``config.json``, ``tokenizer.json`` and so on.
        tensors: As transformers calls them, float32.
    """

    name: str
    files: Mapping[str, bytes]
    tensors: Mapping[str, np.ndarray]

    def record(self, name: str) -> dict[str, Any]:
        """Return the object in one of the files; an empty one where there is no such file."""
        found: dict[str, Any] = json.loads(self.files.get(name, b"{}"))
        return found


@dataclass(frozen=True)
class _Architecture:
    name: str
    config: Mapping[str, Any]

    @property
    def heads(self) -> int:
        return int(self.config["num_attention_heads"])

    @property
    def key_heads(self) -> int:
        return int(self.config.get("num_key_value_heads") or self.heads)

    @property
    def head_width(self) -> int:
        return int(self.config.get("head_dim") or self.config["hidden_size"] // self.heads)

    @property
    def context(self) -> int:
        """The longest text in tokens, within which attention to the last few only is attention to all."""
        longest = int(self.config["max_position_embeddings"])
        slides = self.config.get("use_sliding_window", True)
        return min(longest, int((slides and self.config.get("sliding_window")) or longest))

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])


def write(path: Path, decoder: Decoder, kind: str) -> None:
    """Write a decoder to a file.

    Args:
        path: Where.
        decoder: What.
        kind: Number format of the matrices: ``f32``, ``f16`` or ``q8_0``. Vectors stay float32; a matrix whose rows
            cannot be cut into blocks of 32 is written as f16 instead of q8_0.

    Raises:
        UnsupportedError: llama.cpp does not run it, or not from this.
    """
    architecture = _architecture(decoder.record("config.json"))
    writer = gguf.GGUFWriter(path, architecture.name)
    _describe(writer, decoder, architecture, kind)
    _describe_tokens(writer, decoder)
    for name, values in _renamed(decoder, architecture):
        stored = _stored_as(values, kind)
        writer.add_tensor(name, gguf.quants.quantize(values, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def require_the_same(path: Path, decoder: Decoder, kind: str, texts: list[str]) -> tuple[float, int]:
    """Read a file back, and compare its numbers and its tokens with those of the decoder.

    Args:
        path: From `write`.
        decoder: What was written.
        kind: In which format.
        texts: What is cut into tokens by the rule of llama.cpp, where that is SentencePiece's.

    Returns:
        The largest difference of a number, as a share of the largest of its row, and how many texts had the same
        tokens.

    Raises:
        ModelError: A number or a token is another one.
    """
    architecture = _architecture(decoder.record("config.json"))
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = dict(_renamed(decoder, architecture))
    if set(found) != set(expected):
        raise ModelError(f"{path.name} lacks tensors: {', '.join(sorted(set(expected) ^ set(found)))[:300]}.")
    worst = 0.0
    for name, values in expected.items():
        tensor = found[name]
        read = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
        largest = np.abs(values).max(axis=-1, keepdims=True)
        share = float((np.abs(read - values) / np.where(largest > 0, largest, 1.0)).max(initial=0.0))
        if not share <= _FARTHEST[kind] * 1.01 + 1e-6:
            raise ModelError(
                f"The export is not put in place: read back from {path.name}, {name} differs by {share:.3g} of the "
                f"largest number of its row, and {_FARTHEST[kind]:.3g} was expected at most."
            )
        worst = max(worst, share)
    return worst, _same_tokens(decoder, texts)


def _same_tokens(decoder: Decoder, texts: list[str]) -> int:
    from tokenizers import Tokenizer

    content = decoder.files["tokenizer.json"].decode()
    vocabulary = gguf_tokens(content, _vocabulary_size(decoder))
    if vocabulary.model != "llama":
        return 0
    theirs = Tokenizer.from_str(content)
    for text in texts:
        if joined(vocabulary, text) != theirs.encode(text, add_special_tokens=False).ids:
            raise ModelError(f"The export is not put in place: llama.cpp would cut {text[:60]!r} into other tokens.")
    return len(texts)


def _architecture(config: Mapping[str, Any]) -> _Architecture:
    """Return what llama.cpp calls the architecture.

    Raises:
        UnsupportedError: It is not one of those that are written, or asks for something beside it.
    """
    named = (config.get("architectures") or ["unknown"])[0]
    if named not in _ARCHITECTURES:
        raise UnsupportedError(
            f"The architecture {named} is not written as GGUF here, only {', '.join(_ARCHITECTURES)}. Export it with "
            "--to huggingface; llama.cpp's own convert_hf_to_gguf.py reads that folder."
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default" or config.get("hidden_act", "silu") != "silu" or config.get("mlp_bias"):
        raise UnsupportedError(
            f"This {named} is not written as GGUF here: its positions are scaled ('{scaling}'), or its layers have a "
            "form of their own. Export it with --to huggingface; llama.cpp's own convert_hf_to_gguf.py reads that "
            "folder."
        )
    return _Architecture(_ARCHITECTURES[named], config)


def _describe(writer: gguf.GGUFWriter, decoder: Decoder, architecture: _Architecture, kind: str) -> None:
    config = architecture.config
    rope = config.get("rope_parameters") or {}
    writer.add_name(decoder.name)
    writer.add_file_type(_FILE_TYPES[kind])
    # llama.cpp attends to the whole text in this graph.
    writer.add_context_length(architecture.context)
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(architecture.layers)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(architecture.heads)
    writer.add_head_count_kv(architecture.key_heads)
    writer.add_key_length(architecture.head_width)
    writer.add_value_length(architecture.head_width)
    writer.add_rope_dimension_count(architecture.head_width)
    writer.add_rope_freq_base(float(rope.get("rope_theta", config.get("rope_theta", 10000.0))))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(_vocabulary_size(decoder))


def _describe_tokens(writer: gguf.GGUFWriter, decoder: Decoder) -> None:
    from tokenizers import Tokenizer

    if "tokenizer.json" not in decoder.files:
        raise UnsupportedError("The model has no tokenizer.json, and only that form is written as GGUF.")
    content = decoder.files["tokenizer.json"].decode()
    vocabulary = gguf_tokens(content, _vocabulary_size(decoder))
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pattern)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(each) for each in vocabulary.types])
    if vocabulary.scores:
        writer.add_token_scores(list(vocabulary.scores))
        writer.add_add_space_prefix(vocabulary.adds_blank)
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    config, generation = decoder.record("config.json"), decoder.record("generation_config.json")
    settings = decoder.record("tokenizer_config.json")
    begin, ends = config.get("bos_token_id"), generation.get("eos_token_id", config.get("eos_token_id"))
    # The template of the prompt writes the beginning itself, where there is one; else the tokenizer does.
    template = decoder.files.get("chat_template.jinja", b"").decode() or settings.get("chat_template") or ""
    starts = Tokenizer.from_str(content).encode("a").ids[:1] == [begin]
    writer.add_add_bos_token(begin is not None and starts)
    writer.add_add_eos_token(False)
    if begin is not None:
        writer.add_bos_token_id(int(begin))
    ending = [ends] if isinstance(ends, int) else list(ends or [])
    if ending:
        # The first ends an answer; llama.cpp knows one more by the name of the end of a turn.
        own = config.get("eos_token_id")
        writer.add_eos_token_id(int(own if own in ending else ending[0]))
        for other in [each for each in ending if each != own][:1]:
            writer.add_eot_token_id(int(other))
    unknown = next((at for at, each in enumerate(vocabulary.types) if each.name == "UNKNOWN"), None)
    if unknown is not None:
        writer.add_unk_token_id(unknown)
    if isinstance(config.get("pad_token_id"), int):
        writer.add_pad_token_id(int(config["pad_token_id"]))
    if isinstance(template, str) and template:
        writer.add_chat_template(template)


def _vocabulary_size(decoder: Decoder) -> int:
    return len(decoder.tensors["model.embed_tokens.weight"])


def _renamed(decoder: Decoder, architecture: _Architecture) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each tensor as llama.cpp calls it, and with the rows of rotated heads in the order that it rotates them in.

    transformers rotates the two halves of a head with each other, llama.cpp's graph of Llama neighbouring pairs; that
    of Qwen2 does as transformers.
    """
    kind = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture.name)
    names = gguf.get_tensor_name_map(kind, architecture.layers)
    for name, values in decoder.tensors.items():
        called = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if called is None:
            raise UnsupportedError(f"llama.cpp has no tensor like {name}. Export it with --to huggingface.")
        if architecture.name == "llama" and name.endswith(_ROTATED):
            heads = architecture.heads if "q_proj" in name else architecture.key_heads
            halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
            values = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)  # noqa: PLW2901
        yield called, values.astype(np.float32)


def _stored_as(values: np.ndarray, kind: str) -> gguf.GGMLQuantizationType:
    if values.ndim < 2:
        return gguf.GGMLQuantizationType.F32
    if kind == "q8_0" and values.shape[-1] % _BLOCK:
        return gguf.GGMLQuantizationType.F16
    return _KINDS[kind]
