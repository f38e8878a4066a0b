"""Tiny random decoders in a folder, as people have them on disk."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "a",
    "red",
    "blue",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "mat",
    "with",
    "ball",
    "yes",
    "no",
    "card",
    "lost",
]
WORDS += ["where", "is", "my", "account", "name", "area", "food"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}
KINDS: dict[str, dict[str, Any]] = {
    "LlamaConfig": {**SMALL, "num_key_value_heads": 2, "intermediate_size": 48},
    "Qwen2Config": {**SMALL, "num_key_value_heads": 2, "intermediate_size": 48, "tie_word_embeddings": True},
    "GPT2Config": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "Gemma2Config": {
        **SMALL, "num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8, "sliding_window": 8,
        "query_pre_attn_scalar": 8,
    },
    "Gemma3TextConfig": {
        **SMALL, "num_key_value_heads": 1, "intermediate_size": 48, "head_dim": 8, "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "MistralConfig": {**SMALL, "num_key_value_heads": 2, "intermediate_size": 48, "sliding_window": 8},
    "Phi3Config": {**SMALL, "intermediate_size": 48, "pad_token_id": 0},
    "GPTNeoXConfig": {**SMALL, "intermediate_size": 48},
    "BloomConfig": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "MambaConfig": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}  # fmt: skip


@cache
def _tokenizer_json() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS), *(f" {word}" for word in WORDS)] * 4, trainer)
    return tokenizer.to_str()


def write_tokenizer(folder: Path, *, template: str | None = None, **names: str | None) -> None:
    """Write a byte-level tokenizer; `names` overrides ``bos_token`` and ``eos_token`` (None: it has none)."""
    (folder / "tokenizer.json").write_text(_tokenizer_json())
    tokens = {"bos_token": "<s>", "eos_token": "</s>", **names}
    record = {"tokenizer_class": "PreTrainedTokenizerFast", **{name: token for name, token in tokens.items() if token}}
    (folder / "tokenizer_config.json").write_text(json.dumps(record))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


def write_decoder(
    folder: Path,
    kind: str = "LlamaConfig",
    *,
    template: str | None = None,
    seed: int = 0,
    names: dict[str, str | None] | None = None,
    **changes: Any,
) -> Path:
    """Write a decoder with random weights, large enough that what it says depends on what it reads."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    names = names or {}
    write_tokenizer(folder, template=template, **names)
    size = Tokenizer.from_str(_tokenizer_json()).get_vocab_size()
    ends = None if names.get("eos_token", "") is None else 1
    options = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": ends, **KINDS[kind], **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**options))
        with torch.no_grad():
            for name, value in model.named_parameters():
                if value.ndim > 1:
                    value.normal_(0, 0.2 if "embed" in name or "wte" in name else 0.3)
    model.save_pretrained(folder)
    return folder
