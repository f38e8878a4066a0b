import dataclasses
from pathlib import Path

import numpy as np

from nshot.backbones import fake, open_backbone
from nshot.core import BackboneRef, Dataset, Family, FitContext, State, Task, TaskKind
from nshot.methods.from_scratch import FromScratch
from unit.backbones.tiny import write_bert

TASK = Task(TaskKind.CLASSIFY, labels=("card", "rate"))
TEXTS = ["my card was stolen", "what exchange rate do you use", "block the card now", "the rate for dollars is bad"]
TARGETS = ["card", "rate", "card", "rate"]
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


def fit(method=None, backbone=None, targets=TARGETS, context=CONTEXT):
    train = Dataset(TEXTS, targets=targets)
    backbone = backbone or fake.open(BackboneRef("fake/text-encoder"))
    return (method or FromScratch()).fit(TASK, train, train.without_targets(), backbone, context)


def tiny(folder: Path, seed: int):
    path = write_bert(folder / "tiny", pooling={"pooling_mode_mean_tokens": True}, seed=seed)
    return open_backbone(str(path), precision="fp32", threads=1, device="cpu")


def test_it_learns_its_training_rows() -> None:
    prediction = fit(FromScratch(epochs=100)).predict(TEXTS)

    assert list(prediction.labels) == TARGETS


def test_the_pre_trained_weights_play_no_part(tmp_path: Path) -> None:
    one, other = (fit(backbone=tiny(tmp_path / str(seed), seed)) for seed in (1, 2))

    assert one.state().tensors.keys() == other.state().tensors.keys()
    for name, value in one.state().tensors.items():
        assert np.array_equal(value, other.state().tensors[name]), name
    assert np.array_equal(one.predict(TEXTS).probabilities, other.predict(TEXTS).probabilities)


def test_all_weights_are_saved_tables_included(tmp_path: Path) -> None:
    backbone = tiny(tmp_path, 0)

    saved = set(fit(backbone=backbone).state().tensors)

    assert saved == {f"network.{name}" for name in backbone.module().state_dict()} | {"head.weight", "head.bias"}


def test_tables_are_trained(tmp_path: Path) -> None:
    backbone = tiny(tmp_path, 0)
    name = "embeddings.word_embeddings.weight"

    trained = fit(backbone=backbone).state().tensors[f"network.{name}"]
    start = backbone.random_module(CONTEXT.seed).state_dict()[name].numpy()

    seen = sorted({token for tokens in backbone.tokenize(TEXTS) for token in tokens})
    assert (np.abs(trained - start)[seen].max(axis=1) > 1e-4).all()


def test_the_seed_decides_the_start() -> None:
    first, again, other = (fit(context=dataclasses.replace(CONTEXT, seed=seed)).state().tensors for seed in (1, 1, 2))

    assert np.array_equal(first["network.dense.weight"], again["network.dense.weight"])
    assert not np.allclose(first["network.dense.weight"], other["network.dense.weight"], atol=1e-2)


def test_restoring_gives_the_same_probabilities() -> None:
    method = FromScratch(label_smoothing=0.1)
    predictor = fit(method)
    saved = predictor.state()

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), fake.open)

    assert np.array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)


def test_one_class_is_answered_without_training() -> None:
    predictor = fit(targets=["rate"] * 4)

    assert list(predictor.predict(["my card"]).labels) == ["rate"]
    assert predictor.state().settings["training"] is None


def test_it_is_a_family_of_its_own_and_not_run_unasked() -> None:
    assert FromScratch.family is Family.FROM_SCRATCH
    assert not FromScratch.by_default


def test_few_labels_are_passed_more_often() -> None:
    method = FromScratch(batch_size=32)

    assert method.planned_examples(0) == 0
    assert method.planned_examples(4) == 100 * 4
    assert method.planned_examples(64) == 100 * 32
    assert method.planned_examples(1024) == 15 * 1024
    assert FromScratch(epochs=2).planned_examples(4) == 2 * 4


def test_what_was_planned_is_what_was_trained_on() -> None:
    for method in (FromScratch(), FromScratch(epochs=2.5, batch_size=3)):
        planned = method.planned_examples(len(TEXTS))
        assert fit(method).state().settings["training"]["examples_seen"] == planned


def test_a_number_is_learnt_and_comes_back_from_its_state() -> None:
    task = Task(TaskKind.REGRESS, metric="mae")
    values = [100.0, 900.0, 120.0, 880.0]
    method = FromScratch(epochs=400, learning_rate=3e-3)
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    train = Dataset(TEXTS, targets=values)
    predictor = method.fit(task, train, train.without_targets(), backbone, CONTEXT)

    answers = predictor.predict(TEXTS).values

    assert np.abs(answers - values).max() < 60
    again = method.restore(task, predictor.state(), fake.open)
    assert np.array_equal(again.predict(TEXTS).values, answers)
