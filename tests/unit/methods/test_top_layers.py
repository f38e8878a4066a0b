from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.backbones import fake, open_backbone
from nshot.core import (
    Ability,
    BackboneRef,
    Dataset,
    FitContext,
    OptionError,
    State,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.methods.top_layers import TopLayers
from nshot.training import classifier, supervised
from nshot.training.loop import Group
from unit.backbones.tiny import write_bert

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate", "top up"))
ROWS = [
    ("my card was stolen", "card"),
    ("block the card now", "card"),
    ("lost card on the train", "card"),
    ("what exchange rate do you use", "rate"),
    ("the rate for dollars is bad", "rate"),
    ("exchange rate abroad", "rate"),
    ("how do I top up", "top up"),
    ("my top up failed", "top up"),
    ("top up by transfer", "top up"),
]
TEXTS = [text for text, _ in ROWS]
TRAIN = Dataset(TEXTS, targets=[label for _, label in ROWS])
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


@pytest.fixture
def tiny(tmp_path: Path):
    folder = write_bert(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True}, num_hidden_layers=3)
    return open_backbone(str(folder), precision="fp32", threads=1, device="cpu")


def fit(method, backbone, train=TRAIN, context=CONTEXT):
    return method.fit(TASK, train, train.without_targets(), backbone, context)


def test_the_weights_are_those_of_training_with_the_lower_layers_frozen(tiny) -> None:
    method = TopLayers(layers=2, epochs=6, batch_size=4)

    def build(start):
        network = classifier.Classifier(tiny.module(), start)
        classifier.set_dropout(network, 0.0)
        network.encoder.requires_grad_(False)
        upper = list(network.encoder.encoder.layer[-2:].requires_grad_(True).parameters())
        return network, [Group(upper), Group(list(network.head.parameters()), rate=method.head_rate)]

    labelled = supervised.Labelled.of(TASK, TRAIN, tiny)
    wanted = supervised.fit(labelled, build, method, method.learning_rate, CONTEXT).network

    found = fit(method, tiny).state().tensors

    weights = wanted.encoder.state_dict()
    names = [name for name in found if name.startswith("network.")]
    assert len(names) == 2 * 16
    for name in names:
        np.testing.assert_allclose(found[name], weights[name.removeprefix("network.")], atol=2e-5, err_msg=name)
    np.testing.assert_allclose(found["head.weight"], wanted.head_for_unit_vectors()["head.weight"], atol=1e-4)


def test_only_upper_layers_are_changed_and_saved(tiny) -> None:
    predictor = fit(TopLayers(layers=1), tiny)

    names = {name for name in predictor.state().tensors if name.startswith("network.")}
    assert len(names) == 16
    assert all(name.startswith("network.encoder.layer.2.") for name in names)
    trained, original = predictor.encoder.module().state_dict(), tiny.module().state_dict()
    changed = {f"network.{name}" for name, value in trained.items() if not torch.equal(value, original[name])}
    assert changed == names


def test_it_learns_its_training_rows(tiny) -> None:
    prediction = fit(TopLayers(epochs=60, learning_rate=2e-3), tiny).predict(TEXTS)

    assert list(prediction.labels) == TRAIN.targets


def test_the_lower_layers_are_computed_once_whatever_the_number_of_epochs(tiny, monkeypatch) -> None:
    computed = []
    split = type(tiny).split

    def counting(self, top):
        made = split(self, top)
        states = made.states
        monkeypatch.setattr(made, "states", lambda prepared: computed.append(len(prepared)) or states(prepared))
        return made

    monkeypatch.setattr(type(tiny), "split", counting)

    fit(TopLayers(epochs=7, early_stopping=True), tiny)

    assert computed == [len(ROWS)]


def test_activations_in_a_file_give_the_same_weights(tiny, monkeypatch) -> None:
    in_memory = fit(TopLayers(), tiny).state().tensors
    monkeypatch.setattr("nshot.training.activations._SHARE", 0.0)
    in_a_file = fit(TopLayers(), tiny).state().tensors

    assert in_memory.keys() == in_a_file.keys()
    assert all(np.array_equal(in_memory[name], in_a_file[name]) for name in in_memory)


def test_restoring_gives_the_same_probabilities(tiny) -> None:
    method = TopLayers(label_smoothing=0.1)
    predictor = fit(method, tiny)
    saved = predictor.state()

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), lambda ref: tiny)

    assert np.array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)


def test_more_layers_than_there_are_is_told_in_words(tiny) -> None:
    with pytest.raises(OptionError, match=r"last 4 layers, and this backbone has 3\. Set layers to 3 or fewer"):
        fit(TopLayers(layers=4), tiny)


def test_a_backbone_that_cannot_be_cut_is_refused_by_name() -> None:
    class Whole:
        ref = BackboneRef("whole")
        modalities = frozenset({"text"})
        abilities = frozenset({Ability.EMBEDS, Ability.TRAINS})

    reason = TopLayers().supports(TASK, Whole())

    assert reason == "top_layers needs a backbone that can be cut between its layers; whole cannot."
    with pytest.raises(UnsupportedError, match="whole cannot"):
        fit(TopLayers(), Whole())


def test_one_class_is_answered_without_training() -> None:
    backbone = fake.open(BackboneRef("fake/text-encoder"))

    predictor = fit(TopLayers(layers=1), backbone, train=Dataset(TEXTS[:3], targets=["card"] * 3))

    assert list(predictor.predict(["anything"]).labels) == ["card"]
    assert predictor.state().settings["training"] is None


def test_what_was_planned_is_what_was_trained_on(tiny) -> None:
    method = TopLayers(epochs=2.5, batch_size=4)

    assert fit(method, tiny).state().settings["training"]["examples_seen"] == method.planned_examples(len(ROWS))
