"""The methods that let a decoder answer without training it, on real texts with a real, very small decoder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from nshot import bundle, methods, metrics
from nshot.backbones import open_backbone
from nshot.core import Backbone, BackboneRef, Dataset, FitContext, Predictor, Task, TaskKind, Writer

ABOUT = bundle.BundleInfo(model_n_labels=40)
WRITE = Task(TaskKind.GENERATE, metric="token_f1", instruction="Say it in a sentence.")


def opened(ref: BackboneRef) -> Backbone:
    return open_backbone(ref, precision="fp32", device="cpu", threads=1)


@pytest.fixture
def stories(shared_models: Path) -> Backbone:
    return opened(BackboneRef(str(shared_models / "stories260K")))


@pytest.fixture
def questions(shared_data: Path) -> Dataset:
    with (shared_data / "text" / "trec" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:60]
    return Dataset([row["text"] for row in rows], targets=[row["label"] for row in rows], name="trec")


@pytest.fixture
def meanings(shared_data: Path) -> Dataset:
    path = shared_data / "generation" / "e2e_clean" / "devel-fixed.no-ol.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:60]
    return Dataset(
        [row["mr"] for row in rows], targets=[(row["ref"],) for row in rows], groups=[row["mr"] for row in rows]
    )


def fit(name: str, task: Task, train: Dataset, model: Backbone | None, **options: object) -> Predictor:
    context = FitContext(lambda targets, prediction: 0.0, open=opened)
    return methods.build(name, options).fit(task, train, train.without_targets(), model, context)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("prompt", {}),
        ("in_context", {"shots": 6}),
        ("in_context", {"shots": 6, "choose": "nearest"}),
        ("in_context", {"shots": 2, "choose": "nearest"}),
    ],
)
def test_questions_are_classified_alike_alone_together_and_after_saving(
    name: str, options: dict[str, object], questions: Dataset, stories: Backbone, tmp_path: Path
) -> None:
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(questions.targets))))
    predictor = fit(name, task, questions.take(range(40)), stories, **options)
    new = [*questions.examples[40:46], "long " * 2_000, "", "\ud800 \x00 ☃"]
    prediction = predictor.predict(new)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([predictor.predict([text]).probabilities for text in new])
    np.testing.assert_allclose(alone, prediction.probabilities, atol=1e-4)
    method = methods.build(name, options)
    bundle.save(tmp_path / "model", method=method, task=task, predictor=predictor, about=ABOUT)
    assert bundle.check_round_trip(tmp_path / "model", predictor, new, opened) < 1e-5


def test_calibrating_takes_off_what_the_model_says_to_nothing(questions: Dataset, stories: Backbone) -> None:
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(questions.targets))))
    predictor = fit("in_context", task, questions.take(range(40)), stories, shots=6)
    nothing = predictor.predict(["N/A", "[MASK]", ""])
    raw = np.exp(predictor.reader.log_shares(["N/A"], predictor.reader.question())[0])
    assert nothing.probabilities.max() < 0.8
    assert raw.max() > nothing.probabilities.max()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("prompt", {"max_new_tokens": 12}),
        ("in_context", {"max_new_tokens": 12, "shots": 3}),
        ("in_context", {"max_new_tokens": 12, "shots": 3, "choose": "nearest"}),
    ],
)
def test_answers_are_written_streamed_and_judged(
    name: str, options: dict[str, object], meanings: Dataset, stories: Backbone, tmp_path: Path
) -> None:
    predictor = fit(name, WRITE, meanings.take(range(40)), stories, **options)
    assert isinstance(predictor, Writer)
    new = meanings.examples[50:54]
    texts = predictor.predict(new).texts
    assert ["".join(predictor.stream(example, predictor.decoding)) for example in new] == list(texts)
    found = predictor.likelihoods(new, [target[0] for target in meanings.targets[50:54]])
    assert np.isfinite(found).all()
    assert (found[:, 0] < 0).all()
    bundle.save(tmp_path / "model", method=methods.build(name, options), task=WRITE, predictor=predictor, about=ABOUT)
    again = bundle.load(tmp_path / "model", opened).predictor
    assert list(again.predict(new).texts) == list(texts)


def test_the_nearest_answer_is_a_sentence_about_the_same_restaurant(meanings: Dataset) -> None:
    predictor = fit("nearest_answer", WRITE, meanings, None)
    prediction = predictor.predict(meanings.examples[:20])
    accepted = {}
    for meaning, (answer,) in zip(meanings.examples, meanings.targets, strict=True):
        accepted.setdefault(meaning, set()).add(answer)
    assert all(text in accepted[m] for m, text in zip(meanings.examples[:20], prediction.texts, strict=True))
    targets = [tuple(accepted[meaning]) for meaning in meanings.examples[:20]]
    assert metrics.get("token_f1").score(targets, prediction, WRITE) == 1.0
