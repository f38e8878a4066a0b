from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.backbones import fake, open_backbone
from nshot.core import BackboneRef, Dataset, FitContext, State, Task, TaskKind
from nshot.methods.ia3 import Ia3
from unit.backbones.tiny import write_bert

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate"))
TEXTS = ["my card was stolen", "what exchange rate do you use", "block the card now", "the rate for dollars is bad"]
TARGETS = ["card", "rate", "card", "rate"]
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


def fit(method=None, backbone=None, texts=TEXTS, targets=TARGETS):
    train = Dataset(texts, targets=targets)
    backbone = backbone or fake.open(BackboneRef("fake/text-encoder"))
    return (method or Ia3()).fit(TASK, train, train.without_targets(), backbone, CONTEXT)


@pytest.fixture
def tiny(tmp_path: Path):
    folder = write_bert(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True})
    return open_backbone(str(folder), precision="fp32", threads=1, device="cpu")


def test_it_learns_its_training_rows() -> None:
    prediction = fit(Ia3(epochs=100)).predict(TEXTS)

    assert list(prediction.labels) == TARGETS


def test_keys_values_and_inner_activations_of_every_layer_have_factors(tiny) -> None:
    state = fit(backbone=tiny).state()

    shapes = {name: value.shape for name, value in state.tensors.items() if not name.startswith("head.")}
    assert shapes == {
        f"base_model.model.encoder.layer.{number}.{part}.ia3_l": shape
        for number in (0, 1)
        for part, shape in (
            ("attention.self.key", (32, 1)),
            ("attention.self.value", (32, 1)),
            ("output.dense", (1, 64)),
        )
    }
    inputs = [f"encoder.layer.{number}.output.dense" for number in (0, 1)]
    assert sorted(state.settings["adapter"]["feedforward_modules"]) == inputs


def test_the_predictor_embeds_as_the_network_with_its_factors_does(tiny) -> None:
    from peft import IA3Config, get_peft_model, set_peft_model_state_dict

    predictor = fit(backbone=tiny)
    state = predictor.state()
    adapter = state.settings["adapter"]
    config = IA3Config(target_modules=adapter["target_modules"], feedforward_modules=adapter["feedforward_modules"])
    network = get_peft_model(tiny.module(), config)
    tensors = {name: torch.from_numpy(value) for name, value in state.tensors.items() if "ia3_l" in name}
    set_peft_model_state_dict(network, tensors)

    with torch.no_grad():
        wanted = network.eval()(**tiny.collate(tiny.tokenize(TEXTS))).numpy()

    np.testing.assert_allclose(predictor.encoder.embed(TEXTS), wanted, atol=1e-5)
    assert not np.allclose(wanted, tiny.embed(TEXTS), atol=1e-3)


def test_restoring_gives_the_same_probabilities() -> None:
    method = Ia3(label_smoothing=0.1)
    predictor = fit(method)
    saved = predictor.state()

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), fake.open)

    assert np.array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)


def test_one_class_is_answered_without_training() -> None:
    predictor = fit(targets=["rate"] * 4)

    assert list(predictor.predict(["my card"]).labels) == ["rate"]
    assert predictor.state().settings["training"] is None


def test_what_was_planned_is_what_was_trained_on() -> None:
    method = Ia3(epochs=2.5, batch_size=3)

    assert fit(method).state().settings["training"]["examples_seen"] == method.planned_examples(len(TEXTS))
