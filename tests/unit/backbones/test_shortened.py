"""The first layers of a text encoder as a smaller one, and a network of theirs that is trained and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nshot import api
from nshot.backbones import open_backbone
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import OptionError, UnsupportedError
from unit.backbones.tiny import TEXTS, write_bert

ROWS = [{"text": text, "label": label} for text, label in [
    ("my card is lost", "card"), ("the card is stolen", "card"), ("where is my card", "card"),
    ("top up my account", "money"), ("where is my money", "money"), ("money top up", "money"),
]] * 3  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("models") / "bert", pooling={"pooling_mode": "mean"})


def opened(folder: Path) -> TextEncoder:
    found = open_backbone(str(folder), precision="fp32", threads=1)
    assert isinstance(found, TextEncoder)
    return found


def test_it_answers_like_the_network_whose_upper_layers_were_taken_away(base):
    whole = opened(base)
    short = whole.shortened(1)
    assert (whole.depth, short.depth) == (2, 1)
    assert short.ref == whole.ref
    network = whole.module()
    del network.encoder.layer[1:]
    texts = [text for text in TEXTS if text.strip()]
    one_by_one = [network(**whole.collate(whole.tokenize([text]))).detach().numpy()[0] for text in texts]
    np.testing.assert_allclose(short.embed(texts), one_by_one, atol=1e-5)
    assert np.abs(short.embed(texts) - whole.embed(texts)).max() > 1e-2


def test_it_takes_trained_weights_and_keeps_those_of_a_backbone_that_was_trained_before(base):
    whole = opened(base)
    name = "encoder.layer.0.output.dense.bias"
    trained = whole.module().state_dict()[name].numpy() + 1
    other = "encoder.layer.0.intermediate.dense.bias"
    more = whole.module().state_dict()[other].numpy() + 2
    once = whole.adapted({name: trained}).shortened(1)
    twice = once.adapted({other: more})
    np.testing.assert_array_equal(once.module().state_dict()[name].numpy(), trained)
    np.testing.assert_array_equal(twice.module().state_dict()[name].numpy(), trained)
    np.testing.assert_array_equal(twice.module().state_dict()[other].numpy(), more)
    assert not any(key.startswith("encoder.layer.1") for key in twice.module().state_dict())


def test_a_trained_network_of_the_first_layers_comes_back_as_it_was_saved(base, tmp_path):
    options = {"method": "full_finetune", "set": ("layers=1", "epochs=2"), "backbone": str(base), "threads": 1}
    model = api.fit(ROWS, out=tmp_path / "short", precision="fp32", **options)
    again = api.load(tmp_path / "short", precision="fp32", threads=1)
    texts = [row["text"] for row in ROWS[:6]]
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))


def test_onnx_has_the_first_layers_only(base, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    options = {"method": "full_finetune", "set": ("epochs=1", "layers=1"), "threads": 1}
    api.fit(ROWS, out=tmp_path / "model", backbone=str(base), **options)
    done = api.export(tmp_path / "model", tmp_path / "onnx", to="onnx", threads=1)
    assert done.record["read_back"]["same"] == done.record["read_back"]["examples"]
    whole = sum(value.nbytes for value in map(np.asarray, opened(base).module().state_dict().values()))
    assert done.record["network_bytes"] < 0.8 * whole


def test_more_layers_than_there_are_are_refused(base):
    with pytest.raises(OptionError, match="first 3 layers, and this backbone has 2"):
        api.fit(ROWS, method="full_finetune", set=("layers=3",), backbone=str(base), threads=1)


def test_a_network_of_another_architecture_says_so(tmp_path):
    folder = write_bert(tmp_path / "relu", hidden_act="relu")
    with pytest.raises(UnsupportedError, match="architecture of BERT"):
        opened(folder).shortened(1)
