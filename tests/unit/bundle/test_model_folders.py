"""A saved decoder is an ordinary model folder: transformers and peft open it, and it needs no other model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from nshot import bundle
from nshot.backbones import open_backbone
from nshot.bundle.exporting import write_model_folder
from nshot.core import (
    Backbone,
    BackboneRef,
    Conversation,
    Decoding,
    Message,
    ModelError,
    OutputError,
    State,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.methods.sft import Sft
from nshot.training import decoders
from nshot.training.writing import ModelWriter
from unit.backbones.tiny_decoder import CHATML, write_decoder

ASKED = ["where is my card", Conversation.asking("the red ball"), "a cat"]
TASK = Task(TaskKind.GENERATE, metric="bleu", instruction="yes food")
ABOUT = bundle.BundleInfo(model_n_labels=9, modality="conversation", data_name="answers.csv")
DECODERS = [
    ("LlamaConfig", None),
    ("Qwen2Config", CHATML),
    ("GPT2Config", CHATML),
    ("Gemma2Config", None),
]


def opened(ref: BackboneRef) -> Backbone:
    return open_backbone(ref, precision="fp32", device="cpu", threads=1)


def trained(base: Path, seed: int = 0) -> ModelWriter:
    """Return a writer whose every weight differs a little from those of the base, as after a training."""
    source = opened(BackboneRef(str(base)))
    module = source.causal_module()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.02 * torch.randn(value.shape, generator=draw))
    settings = {"backbone": source.ref.as_json(), "longest_answer": 6, "seed": 0}
    state = State(settings, decoders.weights_of(module), decoders.files_of(source))
    before = (Message("system", TASK.instruction),)
    return ModelWriter(source.rewritten(state.tensors), Decoding(16), state, before)


def saved(writer: ModelWriter, folder: Path, **changes: object) -> list[bundle.Agreement]:
    found = []
    values = {
        "method": Sft(),
        "task": TASK,
        "predictor": writer,
        "about": ABOUT,
        "check": lambda written: found.append(bundle.verify(written, writer, ASKED, opened)),
    }
    bundle.save(folder, **{**values, **changes})
    return found


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "base", "Qwen2Config", template=CHATML)


@pytest.mark.parametrize(("kind", "template"), DECODERS)
def test_a_saved_decoder_is_read_by_nshot_and_by_transformers_and_answers_the_same(tmp_path, kind, template):
    writer = trained(write_decoder(tmp_path / "base", kind, template=template))
    (agreement,) = saved(writer, tmp_path / "model")
    assert agreement.readers == ("nshot", "transformers")
    assert (agreement.examples, agreement.same) == (3, 3)
    assert agreement.largest_difference < 1e-4
    assert agreement.left_out is None
    template_file = (tmp_path / "model" / "chat_template.jinja").read_text()
    assert template_file == template if template else "message.content" in template_file


def test_it_is_read_again_where_the_model_that_it_began_as_is_gone(tmp_path, base):
    writer = trained(base)
    saved(writer, tmp_path / "model")
    shutil.rmtree(base)
    again = bundle.load(tmp_path / "model", opened)
    assert list(again.predictor.predict(ASKED).texts) == list(writer.predict(ASKED).texts)
    assert again.predictor.before == writer.before
    assert [record.id for record in again.manifest.backbones] == [str(base)]


def test_no_weight_is_stored_twice_and_tied_ones_stay_tied(tmp_path, base):
    writer = trained(base)
    saved(writer, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").glob("**/*.safetensors")] == ["model.safetensors"]
    assert "lm_head.weight" not in writer.state().tensors
    network = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert network.dtype == torch.float32
    assert network.get_output_embeddings().weight.data_ptr() == network.get_input_embeddings().weight.data_ptr()
    expected = writer.state().tensors["model.embed_tokens.weight"]
    np.testing.assert_array_equal(network.get_input_embeddings().weight.detach().numpy(), expected)


def test_every_file_is_in_the_manifest_and_a_changed_one_is_refused(tmp_path, base):
    saved(trained(base), tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    unread = {"manifest.json", "README.md"}
    assert {path.name for path in (tmp_path / "model").iterdir()} - unread == set(manifest["files"])
    for name in ("tokenizer.json", "chat_template.jinja", "config.json", "model.safetensors"):
        file = tmp_path / "model" / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=name):
            bundle.load(tmp_path / "model", opened)
        file.write_bytes(whole)
    bundle.load(tmp_path / "model", opened)


def test_a_template_that_was_lost_is_noticed_before_the_old_model_is_replaced(tmp_path, base):
    saved(trained(base), tmp_path / "model")
    before = (tmp_path / "model" / "manifest.json").read_bytes()
    writer = trained(base, seed=1)
    state = writer.state()
    other = {**state.blobs, "chat_template.jinja": b"{{ messages[-1].content }}"}
    broken = ModelWriter(writer.model, writer.decoding, State(state.settings, state.tensors, other), writer.before)
    with pytest.raises(ModelError, match=r"not put in place.*opened what was written"):
        saved(broken, tmp_path / "model")
    assert (tmp_path / "model" / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "model"]


def test_a_weight_that_was_changed_on_the_way_is_noticed(tmp_path, base):
    writer = trained(base)
    state = writer.state()
    name = "model.layers.1.mlp.down_proj.weight"
    other = {**state.tensors, name: state.tensors[name] * 1.5}
    broken = ModelWriter(writer.model, writer.decoding, State(state.settings, other, state.blobs), writer.before)
    with pytest.raises(ModelError, match=r"log-probabilities .* differ by|answers"):
        saved(broken, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_second_copy_that_memory_does_not_hold_is_not_opened(tmp_path, base, monkeypatch):
    import psutil

    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    (agreement,) = saved(trained(base), tmp_path / "model")
    assert agreement.readers == ()
    assert "memory" in agreement.left_out
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_a_model_folder_of_somebody_else_is_not_replaced(tmp_path, base):
    with pytest.raises(OutputError, match="not part of a saved model"):
        saved(trained(base), base)
    assert (base / "model.safetensors").exists()


def test_the_card_says_what_the_hub_and_the_next_user_want_to_know(tmp_path, base):
    writer = trained(base)
    state = writer.state()
    settings = {**state.settings, "backbone": {**state.settings["backbone"], "id": "some-org/tiny"}}
    of_hub = ModelWriter(writer.model, writer.decoding, State(settings, state.tensors, state.blobs), writer.before)
    saved(of_hub, tmp_path / "model", check=lambda _: None)
    card = (tmp_path / "model" / "README.md").read_text()
    head = card.split("---")[1]
    assert "library_name: transformers" in head
    assert 'license: "unknown"' in head
    assert "base_model:\n- some-org/tiny" in head
    assert "> yes food" in card
    assert "9 examples with their answers of answers.csv" in card


def test_an_export_holds_what_other_programs_expect_and_nothing_else(tmp_path):
    base = write_decoder(tmp_path / "base")
    writer = trained(base)
    values = {"method": "sft", "task": TASK, "predictor": writer, "about": ABOUT, "examples": ASKED}
    found = write_model_folder(tmp_path / "out", merged=True, **values)
    assert not found.is_adapter
    assert found.agreement.readers == ("transformers",)
    assert found.agreement.same == 3
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "Modelfile", "README.md"} <= names
    assert not {"manifest.json", "settings.json"} & names
    modelfile = (tmp_path / "out" / "Modelfile").read_text()
    assert 'SYSTEM """yes food"""' in modelfile
    assert "{{ .Prompt }}" in modelfile
    with pytest.raises(OutputError, match="holds something already"):
        write_model_folder(tmp_path / "out", merged=True, **values)


def test_a_model_that_was_not_trained_is_not_exported(tmp_path, base):
    source = opened(BackboneRef(str(base)))
    writer = ModelWriter(source, Decoding(8), State({"backbone": source.ref.as_json()}))
    with pytest.raises(UnsupportedError, match="prompt trains no weights"):
        write_model_folder(
            tmp_path / "out", method="prompt", task=TASK, predictor=writer, about=ABOUT, merged=False, examples=ASKED
        )
    assert not (tmp_path / "out").exists()
