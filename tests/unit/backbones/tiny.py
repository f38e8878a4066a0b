"""Tiny random encoders in a folder, as people have them on disk."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

WORDS = ["card", "money", "account", "top", "up", "##s", "##ing", "lost", "stolen", "is", "my", "where", "the", "##ed"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "where is my card",
    "",
    "   ",
    "top up",
    "my account is lost!",
    "the card the card the card the card money",
    "é ж 漢",
    "stolen",
]


def config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(vocabulary()),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 48,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 0,
        **changes,
    }


def vocabulary() -> list[str]:
    letters = [*string.ascii_lowercase, *string.digits, *"!?.,"]
    return [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in string.ascii_lowercase)]


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary())}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    record = {"tokenizer_class": "BertTokenizer", "model_max_length": 48, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(record))


def write_weights(folder: Path, record: dict[str, Any], seed: int = 0) -> None:
    """Draw the weights of a BERT large enough that attention is not flat, with the names of the published format."""
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(seed)
    wide, inner = record["hidden_size"], record["intermediate_size"]
    weights = {
        "embeddings.word_embeddings.weight": (record["vocab_size"], wide),
        "embeddings.position_embeddings.weight": (record["max_position_embeddings"], wide),
        "embeddings.token_type_embeddings.weight": (record["type_vocab_size"], wide),
        "embeddings.LayerNorm.weight": (wide,),
        "embeddings.LayerNorm.bias": (wide,),
    }
    for number in range(record["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        shapes = {
            **{f"attention.self.{part}": (wide, wide) for part in ("query", "key", "value")},
            "attention.output.dense": (wide, wide),
            "intermediate.dense": (inner, wide),
            "output.dense": (wide, inner),
        }
        for name, shape in shapes.items():
            weights[f"{layer}.{name}.weight"] = shape
            weights[f"{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{layer}.{name}.weight"] = (wide,)
            weights[f"{layer}.{name}.bias"] = (wide,)
    values = {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in weights.items()}
    for name in values:
        if name.endswith("LayerNorm.weight"):
            values[name] += 1.0
    save_file(values, folder / "model.safetensors", metadata={"format": "pt"})


def write_bert(folder: Path, *, pooling: dict[str, Any] | None = None, seed: int = 0, **changes: Any) -> Path:
    """Write a tiny random BERT; with `pooling` also the files that sentence-transformers writes."""
    folder.mkdir(parents=True, exist_ok=True)
    record = config(**changes)
    (folder / "config.json").write_text(json.dumps(record))
    write_tokenizer(folder)
    write_weights(folder, record, seed)
    if pooling is not None:
        kinds = ["Transformer", "Pooling", "Normalize"]
        paths = ["", "1_Pooling", "2_Normalize"]
        modules = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(
            json.dumps({"word_embedding_dimension": record["hidden_size"], **pooling})
        )
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 24, "do_lower_case": False}))
    return folder
