import dataclasses

import numpy as np
import pytest

from nshot.backbones import fake
from nshot.core import BackboneRef, DataError, Dataset, FitContext, State, Task, TaskKind, TrainingError
from nshot.methods.full_finetune import FullFinetune

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
CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=5)


def dataset(rows=ROWS):
    return Dataset([text for text, _ in rows], targets=[label for _, label in rows])


def fit(method=None, rows=ROWS, context=CONTEXT, task=TASK):
    train = dataset(rows)
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    return (method or FullFinetune()).fit(task, train, train.without_targets(), backbone, context)


def test_it_learns_its_training_rows() -> None:
    predictor = fit(FullFinetune(epochs=60, learning_rate=5e-3))

    prediction = predictor.predict([text for text, _ in ROWS])

    assert list(prediction.labels) == [label for _, label in ROWS]
    assert prediction.probabilities.shape == (9, 3)
    assert prediction.probabilities.sum(axis=1) == pytest.approx(np.ones(9))


def test_the_training_changes_the_network_and_not_the_backbone() -> None:
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    before = backbone.ref
    train = dataset()

    predictor = FullFinetune().fit(TASK, train, train.without_targets(), backbone, CONTEXT)

    assert backbone.ref == before
    assert not np.allclose(predictor.encoder.embed(["my card"]), backbone.embed(["my card"]), atol=1e-4)


def test_only_changed_weights_are_saved() -> None:
    assert set(fit().state().tensors) == {"network.dense.weight", "network.dense.bias", "head.weight", "head.bias"}
    everything = fit(FullFinetune(train_embeddings=True)).state().tensors
    assert set(everything) == set(fit().state().tensors) | {"network.words.weight"}
    assert all(value.dtype == np.float32 for value in everything.values())


def test_restoring_gives_the_same_probabilities() -> None:
    method = FullFinetune(label_smoothing=0.1)
    predictor = fit(method)
    saved = predictor.state()
    texts = ["a stolen card", "", "bad rate"]

    again = method.restore(TASK, State(dict(saved.settings), dict(saved.tensors)), fake.open)

    assert np.array_equal(again.predict(texts).probabilities, predictor.predict(texts).probabilities)


def test_what_was_planned_is_what_was_trained_on() -> None:
    for method in (FullFinetune(), FullFinetune(epochs=2.5, batch_size=4)):
        training = fit(method).state().settings["training"]
        assert training["examples_seen"] == method.planned_examples(len(ROWS))
    assert FullFinetune().planned_examples(0) == 0
    assert FullFinetune(epochs=3).planned_examples(100) == 320  # ten steps of 32


def test_more_labels_mean_more_work_but_fewer_passes() -> None:
    sizes = [1, 16, 64, 256, 1024, 10_003, 100_000]
    planned = [FullFinetune().planned_examples(n) for n in sizes]

    assert planned == sorted(planned)
    passes = [examples / n for examples, n in zip(planned, sizes, strict=True)]
    assert passes[1:] == sorted(passes[1:], reverse=True)


def test_another_seed_gives_another_model() -> None:
    first, other = (fit(context=dataclasses.replace(CONTEXT, seed=seed)).state().tensors for seed in (1, 2))

    # Batches of all nine rows are the same whatever their order; smaller ones are not.
    small = [
        fit(FullFinetune(batch_size=2), context=dataclasses.replace(CONTEXT, seed=seed)).state().tensors
        for seed in (1, 2)
    ]
    assert np.allclose(first["head.weight"], other["head.weight"], atol=1e-4)
    assert not np.allclose(small[0]["head.weight"], small[1]["head.weight"], atol=1e-6)


def test_one_class_is_answered_without_training() -> None:
    predictor = fit(rows=ROWS[:3])

    prediction = predictor.predict(["anything"])

    assert list(prediction.labels) == ["card"]
    assert prediction.probabilities.tolist() == [[1.0, 0.0, 0.0]]
    assert predictor.state().settings["training"] is None


def test_every_row_its_own_class_is_fitted() -> None:
    labels = tuple(f"label {i}" for i in range(9))
    rows = [(text, labels[i]) for i, (text, _) in enumerate(ROWS)]

    predictor = fit(
        FullFinetune(epochs=100, learning_rate=1e-2), rows=rows, task=Task(TaskKind.CLASSIFY, labels=labels)
    )

    assert list(predictor.predict([text for text, _ in rows]).labels) == list(labels)


def test_no_rows_are_refused_in_words() -> None:
    with pytest.raises(DataError, match="at least 1 labelled example"):
        fit(rows=[])


def test_a_wild_learning_rate_is_told_in_words() -> None:
    with pytest.raises(TrainingError, match="Lower learning_rate"):
        fit(FullFinetune(learning_rate=1e25), rows=[("my card", label) for _, label in ROWS])


def test_smoothed_labels_do_not_make_the_answers_unsure() -> None:
    method = FullFinetune(epochs=300, learning_rate=1e-2, label_smoothing=0.3)

    probabilities = fit(method).predict([text for text, _ in ROWS]).probabilities

    # Taken as they come, the scores would say 1 - 0.3 + 0.3 / 3 = 0.8.
    assert probabilities.max(axis=1).min() > 0.9


def test_dropout_is_part_of_the_training() -> None:
    # The fake network has no dropout: the option changes nothing there, and nothing breaks.
    assert fit(FullFinetune(dropout=0.5)).state().tensors.keys() == fit().state().tensors.keys()


def test_the_real_network_learns_in_seconds(shared_data) -> None:
    from nshot.backbones import open_backbone

    texts = ["my card was stolen", "the exchange rate is bad", "how can I top up", "I lost my bank card"]
    texts += ["what rate do you use for euros", "my top up has failed"]
    train = Dataset(texts, targets=["card", "rate", "top up", "card", "rate", "top up"])
    backbone = open_backbone("all-MiniLM-L6-v2", threads=1)
    method = FullFinetune(epochs=8)

    predictor = method.fit(TASK, train, train.without_targets(), backbone, CONTEXT)

    assert list(predictor.predict(["someone took my card", "rate for dollars"]).labels) == ["card", "rate"]
    saved = predictor.state()
    assert "network.embeddings.word_embeddings.weight" not in saved.tensors
    assert "network.encoder.layer.0.attention.self.query.weight" in saved.tensors
    again = method.restore(TASK, saved, lambda ref: backbone)
    assert np.array_equal(again.predict(texts).probabilities, predictor.predict(texts).probabilities)


def test_a_number_is_learnt_and_early_stopping_chooses_by_it() -> None:
    task = Task(TaskKind.REGRESS, metric="mae")
    values = [float(len(text)) for text, _ in ROWS]
    train = Dataset([text for text, _ in ROWS], targets=values)
    method = FullFinetune(epochs=60, learning_rate=5e-3, early_stopping=True)

    def objective(targets, prediction):
        return -float(np.abs(np.asarray(targets) - prediction.values).mean())

    context = dataclasses.replace(CONTEXT, objective=objective)
    backbone = fake.open(BackboneRef("fake/text-encoder"))
    predictor = method.fit(task, train, train.without_targets(), backbone, context)

    assert len(predictor.saved.settings["chosen"]["scores"]) == 8
    assert np.abs(predictor.predict(train.examples).values - values).max() < 0.5 * np.ptp(values)
