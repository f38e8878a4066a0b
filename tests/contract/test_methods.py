"""What every method promises, whatever its task and backbone."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.cases import (
    BACKBONES,
    CASES,
    SAMPLES,
    Case,
    answer_bytes,
    backbone_bytes,
    cases_where,
    context,
    fitted,
    open_backbone,
    renamed,
    small_options,
    state_bytes,
)
from nshot import bundle, methods
from nshot.backbones import fake
from nshot.core import (
    BackboneRef,
    DataError,
    Dataset,
    Growable,
    NshotError,
    Prediction,
    Predictor,
    Selection,
    Span,
    TakesIn,
    Task,
    TaskKind,
    UnsupportedError,
)

every_case = cases_where(lambda case: True)
LABELLED = frozenset({TaskKind.CLASSIFY, TaskKind.TAG})
ABOUT = bundle.BundleInfo(
    model_n_labels=3, score=bundle.MeasuredScore(metric="macro_f1", score=0.5, n_labels=3, target="this model")
)


def assert_well_formed(prediction: Prediction, task: Task, n: int) -> None:
    """Check that there are n answers of the kind that `task` asks for."""
    assert len(prediction) == n
    match task.kind:
        case TaskKind.CLASSIFY:
            assert len(prediction.labels) == n
            assert set(prediction.labels) <= set(task.labels)
            assert all(type(label) is str for label in prediction.labels)
        case TaskKind.TAG:
            assert all(set(labels) <= set(task.labels) for labels in prediction.labels)
        case TaskKind.EXTRACT:
            assert all(
                isinstance(span, Span) and span.label in task.labels for spans in prediction.spans for span in spans
            )
        case TaskKind.GENERATE:
            assert all(type(text) is str for text in prediction.texts)
            assert prediction.stopped is None or [type(ended) for ended in prediction.stopped] == [bool] * n
        case TaskKind.CLUSTER:
            assert len(prediction.labels) == n
            assert all(label == "" or int(label) > 0 for label in prediction.labels)
        case TaskKind.COMPRESS:
            assert prediction.bits.shape == (n,)
            assert len(prediction.decoded) == n
            assert {array.dtype for array in prediction.decoded} <= {np.dtype(np.uint8), np.dtype(np.float32)}
        case TaskKind.DETECT:
            assert prediction.scores.shape == (n,)
            assert np.isfinite(prediction.scores).all()
        case TaskKind.REGRESS:
            assert prediction.values.shape == (n,)
            assert np.isfinite(prediction.values).all()
    if prediction.probabilities is not None:
        probabilities = prediction.probabilities
        assert probabilities.dtype == np.float32
        assert probabilities.shape == (n, len(task.labels))
        assert ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all()
        if task.kind is TaskKind.CLASSIFY:
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            columns = [task.labels.index(label) for label in prediction.labels]
            np.testing.assert_array_equal(probabilities[range(n), columns], probabilities.max(axis=1, initial=0))


def answer_or_refusal(predictor: Predictor, examples: Sequence[Any], task: Task) -> None:
    """Check that there is an answer or a message; any other exception fails the test."""
    try:
        prediction = predictor.predict(examples)
    except NshotError as error:
        assert len(str(error)) > 20
    else:
        assert_well_formed(prediction, task, len(examples))


@every_case
def test_answers_are_of_the_kind_that_the_task_asks_for(case: Case) -> None:
    assert_well_formed(fitted(case).predict(case.sample.new), case.sample.task, len(case.sample.new))


@every_case
def test_same_seed_gives_the_same_bytes_whatever_the_global_random_state_is(case: Case) -> None:
    first = fitted(case)
    random.seed(9)
    np.random.seed(9)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(9)
    again = case.fit()
    assert state_bytes(again.state()) == state_bytes(first.state())
    assert answer_bytes(again.predict(case.sample.new)) == answer_bytes(first.predict(case.sample.new))


@every_case
def test_global_random_state_is_left_alone(case: Case) -> None:
    fitted(case)  # whatever is imported first may draw numbers
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    case.fit()
    assert (random.random(), np.random.random()) == expected


@cases_where(lambda case: not case.type.uses_seed)
def test_a_method_that_says_it_uses_no_seed_gives_the_same_with_another(case: Case) -> None:
    other = case.fit(seed=1)
    assert answer_bytes(other.predict(case.sample.new)) == answer_bytes(fitted(case).predict(case.sample.new))


@every_case
def test_an_answer_depends_on_its_own_example_only(case: Case) -> None:
    predictor, new = fitted(case), case.sample.new
    together = answer_bytes(predictor.predict(new))
    alone = tuple(answer_bytes(predictor.predict([example]))[0] for example in new)
    assert alone == together


@every_case
def test_order_of_the_batch_changes_no_answer(case: Case) -> None:
    predictor, new = fitted(case), case.sample.new
    order = [*range(1, len(new), 2), *range(0, len(new), 2)]
    mixed = answer_bytes(predictor.predict(Selection(new, order)))
    together = answer_bytes(predictor.predict(new))
    assert mixed == tuple(together[i] for i in order)


@every_case
def test_no_examples_give_no_answers(case: Case) -> None:
    assert_well_formed(fitted(case).predict([]), case.sample.task, 0)


@every_case
def test_odd_examples_get_an_answer_or_a_clear_error(case: Case) -> None:
    for example in case.sample.odd:
        answer_or_refusal(fitted(case), [example], case.sample.task)


@cases_where(lambda case: case.kind in LABELLED)
def test_odd_examples_in_training_get_an_answer_or_a_clear_error(case: Case) -> None:
    train, odd = case.sample.train, list(case.sample.odd[:8])
    mixed = replace(
        train,
        examples=[*train.examples, *odd],
        targets=[*train.targets, *[train.targets[0]] * len(odd)],
    )
    try:
        predictor = case.fit(train=mixed)
    except NshotError as error:
        assert len(str(error)) > 20
    else:
        answer_or_refusal(predictor, case.sample.new, case.sample.task)


@every_case
def test_fit_changes_neither_data_nor_backbone(case: Case) -> None:
    train, backbone = case.sample.train, case.open()
    own = Dataset(list(train.examples), train.modality, list(train.targets), name="own")
    pool = own.without_targets() if case.sample.normal is None else case.sample.pool
    before = backbone_bytes(backbone)
    case.build().fit(case.sample.task, own, pool, backbone, context())
    assert replace(own).fingerprint == replace(train, name="own").fingerprint
    assert pool.targets is None
    assert backbone_bytes(backbone) == before


@every_case
def test_predicting_does_not_change_the_predictor(case: Case) -> None:
    predictor = fitted(case)
    before = state_bytes(predictor.state())
    first = answer_bytes(predictor.predict(case.sample.new))
    assert answer_bytes(predictor.predict(case.sample.new)) == first
    assert state_bytes(predictor.state()) == before


@every_case
def test_saved_and_loaded_answers_are_identical(case: Case, tmp_path: Path) -> None:
    predictor = fitted(case)
    bundle.save(tmp_path / "model", method=case.build(), task=case.sample.task, predictor=predictor, about=ABOUT)
    loaded = bundle.load(tmp_path / "model", open_backbone)
    assert loaded.method == case.build()
    assert loaded.task == case.sample.task
    assert answer_bytes(loaded.predictor.predict(case.sample.new)) == answer_bytes(predictor.predict(case.sample.new))
    assert bundle.check_round_trip(tmp_path / "model", predictor, case.sample.new, open_backbone) == 0.0
    if case.backbone is not None:
        assert case.open().ref in [record.ref for record in loaded.manifest.backbones]


@every_case
def test_a_loaded_model_is_saved_again_without_a_change(case: Case, tmp_path: Path) -> None:
    for folder, source in (("first", None), ("second", "first")):
        predictor = fitted(case) if source is None else bundle.load(tmp_path / source, open_backbone).predictor
        bundle.save(tmp_path / folder, method=case.build(), task=case.sample.task, predictor=predictor, about=ABOUT)
    first, second = (bundle.read_manifest(tmp_path / folder) for folder in ("first", "second"))
    assert first.files == second.files


@cases_where(lambda case: case.kind in {*LABELLED, TaskKind.EXTRACT} and not case.type.needs.label_names)
def test_label_names_and_their_order_change_no_score_where_names_are_not_read(case: Case) -> None:
    other, names = renamed(case.sample)
    before = fitted(case).predict(case.sample.new)
    after = case.fit(task=other.task, train=other.train).predict(case.sample.new)
    if before.probabilities is not None:
        columns = [other.task.labels.index(names[label]) for label in case.sample.task.labels]
        np.testing.assert_allclose(after.probabilities[:, columns], before.probabilities, atol=1e-4)
    elif before.labels is not None:
        assert [names[label] for label in before.labels] == list(after.labels)
    elif before.spans is not None:
        translated = [[span._replace(label=names[span.label]) for span in spans] for spans in before.spans]
        assert translated == [list(spans) for spans in after.spans]


@cases_where(lambda case: case.kind in LABELLED)
def test_a_label_without_training_rows_is_a_column_like_any_other(case: Case) -> None:
    task = replace(case.sample.task, labels=("an_unseen_one", *case.sample.task.labels))
    try:
        predictor = case.fit(task=task)
    except NshotError as error:
        assert "an_unseen_one" in str(error)
    else:
        assert_well_formed(predictor.predict(case.sample.new), task, len(case.sample.new))


@cases_where(lambda case: case.kind is TaskKind.CLASSIFY)
def test_one_class_only_gets_an_answer_or_a_clear_error(case: Case) -> None:
    one = case.sample.train.where(lambda target: target == "card_lost")
    for task in (case.sample.task, replace(case.sample.task, labels=("card_lost",))):
        try:
            predictor = case.fit(task=task, train=one)
        except NshotError as error:
            assert len(str(error)) > 20
        else:
            assert_well_formed(predictor.predict(case.sample.new), task, len(case.sample.new))


@every_case
def test_one_labelled_row_gets_an_answer_or_a_clear_error(case: Case) -> None:
    try:
        predictor = case.fit(train=case.sample.train.take([0]))
    except NshotError as error:
        assert len(str(error)) > 20
    else:
        answer_or_refusal(predictor, case.sample.new, case.sample.task)


@cases_where(lambda case: case.kind is TaskKind.CLASSIFY)
def test_two_rows_of_every_class_are_enough(case: Case) -> None:
    targets = list(case.sample.train.targets)
    rows = [i for i, target in enumerate(targets) if targets[:i].count(target) < 2]
    predictor = case.fit(train=case.sample.train.take(rows))
    assert_well_formed(predictor.predict(case.sample.new), case.sample.task, len(case.sample.new))


@every_case
def test_without_any_label_it_works_or_says_how_many_it_needs(case: Case) -> None:
    nothing = case.sample.train.take([])
    if case.type.needs.fewest_labels == 0:
        predictor = case.fit(train=nothing)
        assert_well_formed(predictor.predict(case.sample.new), case.sample.task, len(case.sample.new))
    else:
        with pytest.raises(NshotError):
            case.fit(train=nothing)


@cases_where(lambda case: case.kind is TaskKind.REGRESS)
def test_one_and_the_same_target_everywhere_is_answered_everywhere(case: Case) -> None:
    same = replace(case.sample.train, targets=[7.25] * len(case.sample.train))
    answers = case.fit(train=same).predict(case.sample.new).values
    np.testing.assert_allclose(answers, 7.25, atol=0.1)


@cases_where(lambda case: case.kind is TaskKind.DETECT and case.type.needs.fewest_labels > 0)
def test_labelled_anomalies_score_higher_than_what_is_normal(case: Case) -> None:
    sample, predictor = case.sample, fitted(case)
    found = predictor.predict(sample.train.examples).scores
    normal = predictor.predict(sample.pool.examples).scores
    assert np.median(found) > np.median(normal)


# A baseline may know nothing, and two epochs teach little.
@cases_where(
    lambda case: case.kind is TaskKind.CLASSIFY and case.type.family != "baseline" and not case.type.trains_network
)
def test_it_learns_what_its_labels_say(case: Case) -> None:
    prediction = fitted(case).predict(case.sample.train.examples)
    right = np.mean([a == b for a, b in zip(prediction.labels, case.sample.train.targets, strict=True)])
    assert right >= 0.8


@every_case
def test_a_predictor_is_growable_exactly_where_its_method_says_so(case: Case) -> None:
    grows = case.kind in LABELLED and case.type.takes_in is not TakesIn.BY_TRAINING
    assert isinstance(fitted(case), Growable) == grows


@cases_where(lambda case: case.kind in LABELLED and case.type.takes_in is not TakesIn.BY_TRAINING)
def test_a_label_without_examples_is_taken_in_by_name_or_refused_in_words(case: Case) -> None:
    predictor = fitted(case)
    assert isinstance(predictor, Growable)
    if case.type.takes_in is TakesIn.BY_NAME:
        grown = predictor.with_label("branch_hours", "opening hours of the branch")
        task = case.sample.task.with_label("branch_hours")
        assert_well_formed(grown.predict(case.sample.new), task, len(case.sample.new))
        assert _says(grown.predict(["opening hours of the branch"]).labels[0], "branch_hours")
    else:
        with pytest.raises(DataError, match="branch_hours"):
            predictor.with_label("branch_hours", "opening hours of the branch")


@cases_where(lambda case: case.kind in LABELLED and case.type.takes_in is not TakesIn.BY_TRAINING)
def test_labels_taken_in_one_after_the_other_are_answered_whatever_their_order(case: Case) -> None:
    first, second = case.sample.of_a_new_label, list(case.sample.odd[-2:-1]) * 2
    grown = fitted(case)
    for label, examples in (("branch_hours", first), ("a_second_one", second)):
        assert isinstance(grown, Growable)
        grown = grown.with_label(label, examples=examples)
    other = fitted(case)
    for label, examples in (("a_second_one", second), ("branch_hours", first)):
        assert isinstance(other, Growable)
        other = other.with_label(label, examples=examples)
    assert grown.predict(case.sample.new).labels == other.predict(case.sample.new).labels


@cases_where(lambda case: case.kind in LABELLED and case.type.takes_in is not TakesIn.BY_TRAINING)
def test_a_grown_predictor_answers_the_new_label_and_leaves_the_old_one_alone(case: Case, tmp_path: Path) -> None:
    predictor = fitted(case)
    assert isinstance(predictor, Growable)
    before = state_bytes(predictor.state())
    extra = case.sample.of_a_new_label
    old = bundle.Bundle(_manifest(case, predictor, tmp_path / "old"), case.sample.task, case.build(), predictor)
    reads_names = case.type.takes_in is TakesIn.BY_NAME
    words = "opening hours of the branch" if reads_names else None
    grown = old.grown(bundle.LabelGiven("branch_hours", words, extra))
    assert state_bytes(predictor.state()) == before
    assert grown.task == case.sample.task.with_label("branch_hours", words)
    prediction = grown.predictor.predict([*case.sample.new, extra[0]])
    assert_well_formed(prediction, grown.task, len(case.sample.new) + 1)
    assert _says(prediction.labels[-1], "branch_hours")
    bundle.save(tmp_path / "new", method=grown.method, task=grown.task, predictor=grown.predictor, about=grown.about)
    loaded = bundle.load(tmp_path / "new", open_backbone)
    assert old.manifest.score is not None
    assert loaded.manifest.score is None
    assert loaded.manifest.model_n_labels == 3 + (0 if reads_names else len(extra))
    assert answer_bytes(loaded.predictor.predict(case.sample.new)) == answer_bytes(prediction)[:-1]


def _says(answer: str | tuple[str, ...], label: str) -> bool:
    """Return whether an answer is this label, or holds it where there may be several."""
    return answer == label if isinstance(answer, str) else label in answer


def _manifest(case: Case, predictor: Predictor, folder: Path) -> bundle.Manifest:
    bundle.save(folder, method=case.build(), task=case.sample.task, predictor=predictor, about=ABOUT)
    return bundle.read_manifest(folder)


@pytest.mark.parametrize("name", sorted({case.method for case in CASES}))
def test_fit_refuses_with_exactly_the_reason_that_supports_gives(name: str) -> None:
    kind = methods.get(name)
    method = methods.build(name, small_options(kind))
    refusals = 0
    for sample in SAMPLES.values():
        nameless = replace(sample.task, names_say_something=False)
        for task in (sample.task, nameless):
            for backbone in (None, *(fake.open(BackboneRef(other)) for other in BACKBONES)):
                reason = method.supports(task, backbone)
                if reason is None:
                    continue
                refusals += 1
                with pytest.raises(UnsupportedError) as caught:
                    method.fit(task, sample.train, sample.pool, backbone, context())
                assert str(caught.value) == reason
    assert refusals
