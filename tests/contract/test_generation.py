"""What every method that answers with texts promises besides what every method does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.cases import SAMPLES, Case, answer_bytes, cases_where, fitted
from nshot import bundle
from nshot.backbones import fake
from nshot.core import (
    Conversation,
    DataError,
    Dataset,
    Decoding,
    Family,
    Growable,
    Message,
    Selection,
    TaskKind,
    Writer,
)

ABOUT = bundle.BundleInfo(model_n_labels=3)


every_case = cases_where(lambda case: case.kind is TaskKind.GENERATE)
# What is no baseline writes with a model, which can be talked to.
every_writer = cases_where(lambda case: case.kind is TaskKind.GENERATE and case.type.family is not Family.BASELINE)


def writer_of(case: Case) -> Writer:
    predictor = fitted(case)
    assert isinstance(predictor, Writer)
    return predictor


def answers_for(case: Case) -> list[str]:
    """Return an answer to be judged for each new example: short, long, empty and odd ones."""
    some = ["We have blocked card 3.", "", "card " * 30, "\ud800 is no text", "Which one?"]
    return [some[i % len(some)] for i in range(len(case.sample.new))]


@every_case
def test_nothing_but_texts_comes_back(case: Case) -> None:
    prediction = fitted(case).predict(case.sample.new)
    assert len(prediction.texts) == len(case.sample.new)
    assert prediction.labels is None
    assert prediction.probabilities is None
    assert not isinstance(fitted(case), Growable)


@every_case
def test_only_the_first_text_of_a_target_is_learnt_from(case: Case) -> None:
    train = case.sample.train
    more = replace(train, targets=[(target[0], "something else altogether") for target in train.targets])
    only = replace(train, targets=[target[:1] for target in train.targets])
    first, second = (case.fit(train=data).predict(case.sample.new) for data in (more, only))
    assert answer_bytes(first) == answer_bytes(second)


@every_case
def test_what_was_asked_before_does_not_change_an_answer(case: Case) -> None:
    predictor, new = fitted(case), case.sample.new
    before = answer_bytes(predictor.predict(new[:1]))
    predictor.predict(list(reversed(new)))
    assert answer_bytes(predictor.predict(new[:1])) == before


@cases_where(lambda case: case.kind is TaskKind.GENERATE and case.modality == "text")
def test_a_text_is_answered_like_the_conversation_that_says_it(case: Case) -> None:
    predictor = fitted(case)
    texts = predictor.predict(case.sample.new).texts
    assert list(predictor.predict([Conversation.asking(text) for text in case.sample.new]).texts) == list(texts)


@cases_where(lambda case: case.kind is TaskKind.GENERATE and case.modality == "conversation")
def test_conversations_with_tools_and_many_turns_are_answered_in_training_and_after(case: Case) -> None:
    long = Conversation(
        tuple(Message(("user", "assistant")[i % 2], f"turn {i} about a card") for i in range(9)),
    )
    train = case.sample.train
    predictor = case.fit(train=Dataset([*train.examples, long], "conversation", targets=[*train.targets, ("Done.",)]))
    assert len(predictor.predict([long, *train.examples]).texts) == len(train) + 1


@every_writer
def test_the_pieces_of_a_stream_are_the_answer(case: Case) -> None:
    writer = writer_of(case)
    for example, text in zip(case.sample.new, writer.predict(case.sample.new).texts, strict=True):
        assert "".join(writer.stream(example, writer.decoding)) == text


@every_writer
def test_a_stream_is_as_long_as_asked_for(case: Case) -> None:
    writer, example = writer_of(case), case.sample.new[0]
    whole = "".join(writer.stream(example, writer.decoding))
    short = "".join(writer.stream(example, replace(writer.decoding, max_new_tokens=1)))
    assert whole.startswith(short)
    assert len(short) < len(whole) or len(whole.split()) <= 1


@every_writer
def test_an_answer_that_stopped_by_itself_is_no_longer_with_more_room(case: Case) -> None:
    writer = writer_of(case)
    prediction = writer.predict(case.sample.new)
    assert prediction.stopped is not None
    more = replace(writer.decoding, max_new_tokens=writer.decoding.max_new_tokens + 20)
    for example, text, stopped in zip(case.sample.new, prediction.texts, prediction.stopped, strict=True):
        if stopped:
            assert "".join(writer.stream(example, more)) == text


@every_writer
def test_likelihoods_are_a_log_probability_and_a_number_of_tokens(case: Case) -> None:
    found = writer_of(case).likelihoods(case.sample.new, answers_for(case))
    assert found is not None
    assert found.shape == (len(case.sample.new), 2)
    assert np.isfinite(found).all()
    assert (found[:, 0] <= 0).all()
    assert (found[:, 1] >= 1).all()  # the end is a token as well
    assert writer_of(case).likelihoods([], []).shape == (0, 2)


@every_writer
def test_the_likelihood_of_an_answer_depends_on_its_own_example_only(case: Case) -> None:
    writer, new, answers = writer_of(case), case.sample.new, answers_for(case)
    together = writer.likelihoods(new, answers)
    order = [*range(1, len(new), 2), *range(0, len(new), 2)]
    mixed = writer.likelihoods(Selection(new, order), [answers[i] for i in order])
    # A real network sums in another order beside others.
    np.testing.assert_allclose(mixed, together[order], rtol=1e-6)
    for row, (example, answer) in enumerate(zip(new, answers, strict=True)):
        np.testing.assert_allclose(writer.likelihoods([example], [answer])[0], together[row], rtol=1e-6)


@every_writer
def test_a_saved_writer_streams_and_judges_alike(case: Case, tmp_path: Path) -> None:
    writer = writer_of(case)
    bundle.save(tmp_path / "model", method=case.build(), task=case.sample.task, predictor=writer, about=ABOUT)
    again = bundle.load(tmp_path / "model", fake.open).predictor
    assert isinstance(again, Writer)
    assert again.decoding == writer.decoding
    new, answers = case.sample.new, answers_for(case)
    np.testing.assert_array_equal(again.likelihoods(new, answers), writer.likelihoods(new, answers))
    for example in new[:3]:
        assert list(again.stream(example, Decoding(9))) == list(writer.stream(example, Decoding(9)))


@every_writer
def test_an_input_longer_than_the_model_takes_is_refused_in_words_and_loses_no_other(case: Case) -> None:
    writer = writer_of(case)
    long = "card " * 20_000
    example = Conversation.asking(long) if case.modality == "conversation" else long
    with pytest.raises(DataError, match="token"):
        writer.predict([example])
    assert len(writer.predict(case.sample.new).texts) == len(case.sample.new)


def test_baselines_and_untouched_models_are_among_the_tested_methods() -> None:
    tested = {case.method: case.type.family for case in _generation_cases()}
    assert tested["nearest_answer"] is Family.BASELINE
    assert tested["prompt"] is Family.ZERO_SHOT
    assert tested["in_context"] is Family.FEW_SHOT


def _generation_cases() -> list[Case]:
    from contract.cases import CASES

    assert {key[1] for key in SAMPLES if key[0] is TaskKind.GENERATE} == {"text", "conversation"}
    return [case for case in CASES if case.kind is TaskKind.GENERATE]
