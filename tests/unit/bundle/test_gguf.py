"""A decoder as GGUF: read back number by number, cut into the same tokens, and answered alike by another reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nshot.bundle.exporting import write_gguf_folder
from nshot.bundle.gguf_tokens import TokenType, gguf_tokens, joined
from nshot.core import ModelError, UnsupportedError
from unit.backbones.tiny_decoder import CHATML, write_decoder
from unit.bundle.test_model_folders import ABOUT, ASKED, TASK, opened, trained

gguf = pytest.importorskip("gguf")

from nshot.bundle import gguf_file  # noqa: E402 - needs the package

TEXTS = ["Once upon a time", "Lily  said: héllo 日本 \t x", "  two", " ", "a\nb", "<s> is no token here? 1/2"]


@pytest.fixture
def stories(shared_models: Path) -> Path:
    return shared_models / "stories260K"


def written(base: Path, folder: Path, kind: str = "f32"):
    return write_gguf_folder(
        folder, method="sft", task=TASK, predictor=trained(base), about=ABOUT, kind=kind, examples=ASKED
    )


@pytest.mark.parametrize(("kind", "most"), [("f32", 0.0), ("f16", 2.0**-11), ("q8_0", 0.0045)])
def test_a_llama_comes_back_from_the_file(stories, tmp_path, kind, most):
    found = written(stories, tmp_path / kind, kind)
    assert found.largest_relative_difference <= most
    assert found.same_tokens == len(ASKED)
    assert found.agreement.readers == ("transformers",)
    assert found.agreement.largest_difference < {"f32": 1e-5, "f16": 1e-2, "q8_0": 0.1}[kind]
    assert set(found.files) == {"Modelfile", "README.md", "model.gguf"}
    assert (tmp_path / kind / "Modelfile").read_text().startswith("FROM ./model.gguf\n")
    assert "llama.cpp itself was not run" in (tmp_path / kind / "README.md").read_text()


def test_the_file_says_what_llama_cpp_has_to_know(stories, tmp_path):
    written(stories, tmp_path / "out")
    fields = gguf.GGUFReader(tmp_path / "out" / "model.gguf").fields
    values = {name: field.contents() for name, field in fields.items()}
    assert values["general.architecture"] == "llama"
    assert (values["llama.attention.head_count"], values["llama.attention.head_count_kv"]) == (8, 4)
    assert values["llama.rope.dimension_count"] == 8
    assert values["tokenizer.ggml.model"] == "llama"
    assert values["tokenizer.ggml.add_bos_token"]
    assert (values["tokenizer.ggml.bos_token_id"], values["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert len(values["tokenizer.ggml.tokens"]) == 512
    assert "tokenizer.chat_template" in values


@pytest.mark.parametrize(("kind", "changes"), [("Qwen2Config", {}), ("MistralConfig", {"sliding_window": None})])
def test_other_architectures_that_are_written_answer_alike(kind, changes, tmp_path):
    base = write_decoder(tmp_path / "base", kind, template=CHATML, **changes)
    found = written(base, tmp_path / "out")
    assert found.agreement.same == len(ASKED)
    assert found.agreement.largest_difference < 1e-4


def test_a_file_whose_heads_are_in_the_wrong_order_is_not_put_in_place(stories, tmp_path, monkeypatch):
    right = gguf_file._renamed

    def unrotated(decoder, architecture):
        # As one would write it who knows only the names.
        plain = gguf_file._Architecture("llama", {**architecture.config, "num_attention_heads": 1})
        yield from right(decoder, plain)

    monkeypatch.setattr(gguf_file, "_renamed", unrotated)
    with pytest.raises(ModelError, match="not put in place: transformers"):
        written(stories, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_llama_cpps_rule_gives_the_tokens_of_the_model(stories):
    tokenizers = pytest.importorskip("tokenizers")
    content = (stories / "tokenizer.json").read_text()
    vocabulary, theirs = gguf_tokens(content, 512), tokenizers.Tokenizer.from_str(content)
    for text in TEXTS[:-1]:
        assert joined(vocabulary, text) == theirs.encode(text, add_special_tokens=False).ids
    kinds = dict(zip(vocabulary.tokens, vocabulary.types, strict=True))
    assert kinds["<unk>"] is TokenType.UNKNOWN
    assert kinds["</s>"] is TokenType.CONTROL
    assert kinds["<0x0A>"] is TokenType.BYTE


def test_numbers_that_were_damaged_are_told_by_name(stories, tmp_path):
    source = opened_model(stories)
    gguf_file.write(tmp_path / "model.gguf", source, "f32")
    changed = {name: values + np.float32(0.5) * ("layers.3.mlp.up" in name) for name, values in source.tensors.items()}
    other = gguf_file.Decoder(source.name, source.files, changed)
    with pytest.raises(ModelError, match=r"blk\.3\.ffn_up\.weight differs"):
        gguf_file.require_the_same(tmp_path / "model.gguf", other, "f32", [])


def test_what_llama_cpp_does_not_run_is_refused_with_another_way(stories, tmp_path):
    with pytest.raises(UnsupportedError, match=r"GPT2LMHeadModel is not written as GGUF here.*--to huggingface"):
        written(write_decoder(tmp_path / "gpt2", "GPT2Config", template=CHATML), tmp_path / "out")
    record = json.loads((stories / "tokenizer.json").read_text())
    record["normalizer"] = {"type": "NFKC"}
    with pytest.raises(UnsupportedError, match="it changes texts first"):
        gguf_tokens(json.dumps(record), 512)
    assert not (tmp_path / "out").exists()


def opened_model(base: Path) -> gguf_file.Decoder:
    from nshot.core import BackboneRef
    from nshot.training.decoders import weights_of

    source = opened(BackboneRef(str(base)))
    return gguf_file.Decoder("stories", source.files_for_saving(), weights_of(source.causal_module()))
