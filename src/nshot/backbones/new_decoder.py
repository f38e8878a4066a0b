"""A decoder that begins from nothing: a small network of the Llama architecture, and a tokenizer made from texts.

Its tokenizer cuts a text into words, runs of punctuation and blanks. A word has the same tokens wherever it stands:
behind a blank, a bracket or at the beginning, so that what was read can be copied token by token. A blank between two
words has no token of its own. Every text comes back as it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot.backbones.causal_lm import CausalLM
from nshot.backbones.locate import Located
from nshot.backbones.tokens import encodable
from nshot.core import ROLES, BackboneRef

if TYPE_CHECKING:
    import numpy as np
    import torch
    import transformers

_PADDING, _END = "<|padding|>", "<|end|>"
_TEMPLATE = (
    "{% if tools %}{{ tools | tojson + '\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|' + message.role + '|>\\n' + message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
    "{{ '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
_LETTER = r"[\p{L}\p{M}\p{N}_]"
"""A letter of a word; what `\\w` means differs between the two places where it is used."""
_HEAD_WIDTH = 32
_BYTES = 256


@dataclass(frozen=True)
class Shape:
    """The sizes of a new decoder.

    Attributes:
        width: Length of the vectors between layers, a multiple of 32.
        layers: Number of layers.
        dropout: The share of the weights of attention dropped while training.
    """

    width: int
    layers: int
    dropout: float


def tokenizer_of(texts: Iterable[str], most: int) -> str:
    """Return a tokenizer made from texts, as the content of a ``tokenizer.json``.

    Byte-pair encoding (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) over bytes, so that it reads everything.

    Args:
        texts: What it is made from.
        most: The most tokens; fewer where the texts have fewer that occur twice.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"(?<={_LETTER}) (?={_LETTER})"), "removed"),
            pre_tokenizers.Split(Regex(rf"{_LETTER}+|(?:(?!{_LETTER})\S)+|\s"), "isolated"),
            # Puts a blank before everything that is none.
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.ByteLevel(),
            # Of the blanks that were put in, those between two words stay.
            decoders.Replace(Regex(f" (?=(?!{_LETTER})[^ ])"), ""),
            decoders.Replace(Regex(f"(?<!{_LETTER}) (?={_LETTER})"), ""),
        ]
    )
    special = [_PADDING, _END, *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=max(most, len(special) + _BYTES),
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(map(encodable, texts), trainer)
    return str(made.to_str())


def files_of(tokenizer: str, shape: Shape, longest: int) -> dict[str, bytes]:
    """Return the files that transformers opens a new decoder from, its weights excepted.

    Args:
        tokenizer: From `tokenizer_of`.
        shape: Of the network.
        longest: The most tokens that it takes in.
    """
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(vocabulary),
        "hidden_size": shape.width,
        "intermediate_size": shape.width * 8 // 3 // 32 * 32,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.width // _HEAD_WIDTH,
        "num_key_value_heads": shape.width // _HEAD_WIDTH,
        "max_position_embeddings": longest,
        "attention_dropout": shape.dropout,
        # Of transformers' usual 0.02 a narrow network learns to copy late or never: its layers hardly change anything.
        "initializer_range": shape.width**-0.5,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": vocabulary[_END],
        "pad_token_id": vocabulary[_PADDING],
        "dtype": "float32",
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": _END,
        "pad_token": _PADDING,
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
    }
    return {
        "config.json": _json(config),
        "generation_config.json": _json({"eos_token_id": vocabulary[_END], "pad_token_id": vocabulary[_PADDING]}),
        "tokenizer.json": tokenizer.encode(),
        "tokenizer_config.json": _json(settings),
        "chat_template.jinja": _TEMPLATE.encode(),
    }


class NewDecoder(CausalLM):
    """A decoder whose files are in memory."""

    ID = "new-decoder"

    def __init__(
        self,
        files: Mapping[str, bytes],
        weights: Mapping[str, np.ndarray] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Read the settings.

        Args:
            files: From `files_of`, or as they were saved.
            weights: By the names of `causal_module`; None: fresh ones.
            device: A torch device name, or ``auto``.
            threads: Processor threads, or None for all that this process may use.
        """
        folder = Path(tempfile.mkdtemp(prefix="nshot-decoder-"))
        # transformers reads a tokenizer from a folder only.
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        self._files = dict(files)
        self._own = dict(weights or {})
        located = Located(self.ID, folder, revision=None, wanted_sha256=None, on_hub=False)
        super().__init__(located, precision="fp32", device=device, threads=threads)

    @cached_property
    def ref(self) -> BackboneRef:
        """Return a reference with the hash of files and weights."""
        digest = hashlib.sha256()
        parts = {**self._files, **{name: value.tobytes() for name, value in self._own.items()}}
        for name in sorted(parts):
            digest.update(name.encode())
            digest.update(parts[name])
        return BackboneRef(self.ID, sha256=digest.hexdigest())

    def rewritten(self, weights: Mapping[str, np.ndarray]) -> NewDecoder:
        """Return a decoder with these weights."""
        own = {**self._own, **weights}
        return NewDecoder(self._files, own, device=self._asked_device, threads=self._threads)

    def _pretrained(self, kind: torch.dtype) -> transformers.PreTrainedModel:
        from nshot.backbones.networks import changed

        module = self.random_causal_module(0)
        changed(module, self._own)
        opened: transformers.PreTrainedModel = module.to(kind)
        return opened


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()
