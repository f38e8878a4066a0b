import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.backbones import fake, open_backbone
from nshot.core import BackboneRef, Dataset, FitContext, OptionError, State, Task, TaskKind, UnsupportedError
from nshot.methods.prefix import Prefix
from unit.backbones.tiny import write_bert

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate"))
TEXTS = ["my card was stolen", "what rate do you use", "", "block the card now", "the rate for dollars is bad"]
TARGETS = ["card", "rate", "rate", "card", "rate"]
TRAIN = Dataset(TEXTS, targets=TARGETS)
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True})


def opened(folder: Path, precision: str = "fp32"):
    return open_backbone(str(folder), precision=precision, threads=1, device="cpu")


def fit(method, backbone, train=TRAIN):
    return method.fit(TASK, train, train.without_targets(), backbone, CONTEXT)


def test_the_fake_trains_the_network_that_it_answers_with() -> None:
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    prefix = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)

    with torch.no_grad():
        trained = backbone.prefixed_module(prefix)(**backbone.collate(backbone.tokenize(TEXTS)))

    np.testing.assert_allclose(backbone.prefixed(prefix).embed(TEXTS), trained, atol=1e-6)
    assert not np.allclose(trained, backbone.embed(TEXTS), atol=1e-2)


def test_it_learns_its_training_rows(folder: Path) -> None:
    prediction = fit(Prefix(epochs=150, length=20), opened(folder)).predict(TEXTS)

    assert list(prediction.labels) == TARGETS


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # peft asks transformers for it
def test_peft_reads_what_is_saved_and_gives_the_same_vectors(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.numpy import save_file
    from transformers import BertModel

    backbone = opened(folder)
    predictor = fit(Prefix(length=3), backbone)
    state = predictor.state()
    (tmp_path / "adapter_config.json").write_text(json.dumps(state.settings["adapter"]))
    prefix = {"prompt_embeddings": state.tensors["prompt_embeddings"]}
    save_file(prefix, tmp_path / "adapter_model.safetensors")

    theirs = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    network = PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    wanted = []
    for tokens in backbone.tokenize(TEXTS):
        ids = torch.tensor([tokens])
        with torch.no_grad():
            hidden = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        wanted.append(torch.nn.functional.normalize(hidden[0].mean(dim=0), dim=0).numpy())

    np.testing.assert_allclose(predictor.encoder.embed(TEXTS), np.stack(wanted), atol=1e-5)
    assert not np.allclose(wanted, backbone.embed(TEXTS), atol=1e-2)


def test_training_and_predicting_use_the_same_network(folder: Path) -> None:
    backbone = opened(folder)
    prefix = np.random.default_rng(0).normal(0, 0.5, (4, 2 * 2 * 32)).astype(np.float32)
    module = backbone.prefixed_module(prefix)

    with torch.no_grad():
        trained = module(**backbone.collate(backbone.tokenize(TEXTS))).numpy()

    np.testing.assert_allclose(backbone.prefixed(prefix).embed(TEXTS), trained, atol=1e-5)
    rounded = opened(folder, "bf16").prefixed(prefix).embed(TEXTS)
    assert (rounded * trained).sum(axis=1).min() > 0.998
    assert [name for name, value in module.named_parameters() if value.requires_grad] == ["prefix.vectors"]


def test_a_text_as_long_as_the_network_has_positions_gets_an_answer(tmp_path: Path) -> None:
    backbone = opened(write_bert(tmp_path / "tiny"))  # reads 48 tokens and has 48 positions
    long = "card " * 60
    assert len(backbone.tokenize([long])[0]) == 48

    vectors = fit(Prefix(length=40, epochs=1), backbone).encoder.embed([long, "card"])

    assert np.isfinite(vectors).all()


def test_only_prefix_and_head_are_saved(folder: Path) -> None:
    state = fit(Prefix(length=3), opened(folder)).state()

    shapes = {name: value.shape for name, value in state.tensors.items()}
    assert shapes == {"prompt_embeddings": (3, 2 * 2 * 32), "head.weight": (2, 32), "head.bias": (2,)}
    assert state.settings["adapter"]["peft_type"] == "PREFIX_TUNING"
    json.dumps(dict(state.settings))


def test_the_backbone_is_left_alone(folder: Path) -> None:
    backbone = opened(folder)
    before = backbone.embed(TEXTS)

    predictor = fit(Prefix(), backbone)

    assert np.array_equal(backbone.embed(TEXTS), before)
    assert "prefix.vectors" not in backbone.module().state_dict()
    assert not np.allclose(predictor.encoder.embed(TEXTS), before, atol=1e-2)


def test_restoring_gives_the_same_probabilities(folder: Path) -> None:
    method, backbone = Prefix(length=3, label_smoothing=0.1), opened(folder)
    predictor = fit(method, backbone)
    saved = predictor.state()

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), lambda ref: backbone)

    assert np.array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)


def test_restoring_and_predicting_import_no_peft(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    saved = fit(Prefix(epochs=1), opened(folder)).state()
    save_file(dict(saved.tensors), tmp_path / "t.safetensors")
    script = f"""
import sys
from safetensors.numpy import load_file
from nshot.backbones import open_backbone
from nshot.core import State, Task, TaskKind
from nshot.methods.prefix import Prefix
state = State({dict(saved.settings)!r}, load_file({str(tmp_path / "t.safetensors")!r}))
predictor = Prefix(epochs=1).restore(Task(TaskKind.CLASSIFY, labels=("card", "rate")), state, open_backbone)
predictor.predict(["my card was stolen"])
assert "peft" not in sys.modules and "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_other_networks_are_refused_in_words(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    from unit.backbones.tiny import vocabulary, write_tokenizer

    shape = DistilBertConfig(vocab_size=len(vocabulary()), dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    DistilBertModel(shape).save_pretrained(tmp_path / "distil")
    write_tokenizer(tmp_path / "distil")
    backbone = opened(tmp_path / "distil")

    reason = Prefix().supports(TASK, backbone)

    assert reason == "prefix needs a backbone with the architecture of BERT; distil has another. Use lora or ia3."
    with pytest.raises(UnsupportedError, match="architecture of BERT; distil"):
        fit(Prefix(), backbone)


def test_a_prefix_longer_than_there_are_positions_is_told_in_words(folder: Path) -> None:
    with pytest.raises(OptionError, match="Set length to 47 or less"):
        fit(Prefix(length=48), opened(folder))


def test_one_class_is_answered_without_training(folder: Path) -> None:
    predictor = fit(Prefix(), opened(folder), Dataset(TEXTS, targets=["rate"] * len(TEXTS)))

    assert list(predictor.predict(["my card"]).labels) == ["rate"]
    assert predictor.state().settings["training"] is None
