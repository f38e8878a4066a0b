import subprocess
import sys

import numpy as np
import pytest

from nshot.backbones import fake
from nshot.core import BackboneRef, Dataset, FitContext, State, Task, TaskKind
from nshot.methods.lora import Lora

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate"))
TEXTS = ["my card was stolen", "what exchange rate do you use", "block the card now", "the rate for dollars is bad"]
TARGETS = ["card", "rate", "card", "rate"]
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


def fit(method=None, texts=TEXTS, targets=TARGETS):
    train = Dataset(texts, targets=targets)
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    return (method or Lora()).fit(TASK, train, train.without_targets(), backbone, CONTEXT)


@pytest.mark.parametrize("dora", [False, True])
def test_it_learns_its_training_rows(dora) -> None:
    prediction = fit(Lora(epochs=60, dora=dora)).predict(TEXTS)

    assert list(prediction.labels) == TARGETS


def test_few_examples_are_learnt_at_a_lower_rate() -> None:
    few = fit().state().settings["training"]["learning_rate"]
    many = fit(texts=TEXTS * 12, targets=TARGETS * 12).state().settings["training"]["learning_rate"]

    assert few == pytest.approx(many * len(TEXTS) / 48)
    assert many == Lora().learning_rate


def test_peft_never_touches_the_shared_backbone() -> None:
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    before, vectors = backbone.ref, backbone.embed(TEXTS)
    network = backbone.module()
    names = [name for name, _ in network.named_modules()]
    train = Dataset(TEXTS, targets=TARGETS)

    predictor = Lora().fit(TASK, train, train.without_targets(), backbone, CONTEXT)

    assert backbone.ref == before
    assert np.array_equal(backbone.embed(TEXTS), vectors)
    assert [name for name, _ in network.named_modules()] == names == [n for n, _ in backbone.module().named_modules()]
    assert not np.allclose(predictor.encoder.embed(TEXTS), vectors, atol=1e-4)


def test_only_adapters_and_head_are_saved_under_pefts_names() -> None:
    state = fit(Lora(rank=3)).state()

    shapes = {name: value.shape for name, value in state.tensors.items()}
    width = fake.open(BackboneRef("fake/text-encoder")).width
    assert shapes == {
        "base_model.model.dense.lora_A.weight": (3, width),
        "base_model.model.dense.lora_B.weight": (width, 3),
        "head.weight": (2, width),
        "head.bias": (2,),
    }
    assert state.settings["adapter"]["r"] == 3
    assert state.settings["adapter"]["target_modules"] == ["dense"]


def test_dora_saves_one_magnitude_per_row_besides() -> None:
    plain, dora = (fit(Lora(dora=dora)).state() for dora in (False, True))

    name = "base_model.model.dense.lora_magnitude_vector"
    assert set(dora.tensors) - set(plain.tensors) == {name}
    assert dora.tensors[name].shape == (fake.open(BackboneRef("fake/text-encoder")).width,)
    assert (plain.settings["adapter"]["use_dora"], dora.settings["adapter"]["use_dora"]) == (False, True)


@pytest.mark.parametrize("dora", [False, True])
def test_restoring_gives_the_same_probabilities(dora) -> None:
    method = Lora(rank=3, alpha=5.0, dora=dora)
    predictor = fit(method)
    saved = predictor.state()

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), fake.open)

    assert np.array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)


def test_restoring_and_predicting_import_no_peft(tmp_path) -> None:
    from safetensors.numpy import save_file

    saved = fit().state()
    save_file(dict(saved.tensors), tmp_path / "t.safetensors")
    script = f"""
import sys
from safetensors.numpy import load_file
from nshot.backbones import fake
from nshot.core import State, Task, TaskKind
from nshot.methods.lora import Lora
state = State({dict(saved.settings)!r}, load_file({str(tmp_path / "t.safetensors")!r}))
predictor = Lora().restore(Task(TaskKind.CLASSIFY, labels=("card", "rate")), state, fake.open)
assert list(predictor.predict(["my card was stolen"]).labels) == ["card"]
assert "peft" not in sys.modules and "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_was_planned_is_what_was_trained_on() -> None:
    for method in (Lora(), Lora(epochs=2.5, batch_size=3)):
        assert fit(method).state().settings["training"]["examples_seen"] == method.planned_examples(len(TEXTS))


def test_one_class_is_answered_without_training() -> None:
    predictor = fit(targets=["rate"] * 4)

    assert list(predictor.predict(["my card"]).labels) == ["rate"]
    assert predictor.state().settings["training"] is None
