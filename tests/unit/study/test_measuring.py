from __future__ import annotations

import numpy as np
import pytest

from nshot.backbones import open_backbone
from nshot.core import State
from nshot.study import measuring

TEXTS = [("word " * (1 + i % 40)).strip() for i in range(3_000)]


class Machine:
    """A predictor with a clock of its own: every call costs `call` seconds and every example `each`."""

    def __init__(self, call: float, each: float, first: float = 0.0) -> None:
        self.call, self.each, self.first = call, each, first
        self.time = 0.0
        self.batches: list[list[str]] = []

    def predict(self, examples):
        """Take the time that so many examples take."""
        self.time += self.call + self.each * len(examples) + (0.0 if self.batches else self.first)
        self.batches.append(list(examples))

    def speed(self, texts=TEXTS, all_at_once=10_000.0):
        """Return its measured speed."""
        return measuring.speed(self.predict, texts, all_at_once=all_at_once, now=lambda: self.time)


def test_what_is_loaded_at_the_first_answer_is_not_timed():
    found = Machine(0.003, 0.001, first=5.0).speed()
    assert found.milliseconds_alone == pytest.approx(4.0)
    assert found.milliseconds_alone_p95 == pytest.approx(4.0)


def test_the_batch_grows_until_it_brings_nothing():
    """A call of 4 ms is shared by the batch: from 128 examples on a larger one is less than 5 % faster."""
    machine = Machine(0.004, 0.0005)
    found = machine.speed()
    assert found.best_batch == 128
    assert found.examples_per_second == pytest.approx(2_000, rel=0.06)
    assert max(map(len, machine.batches)) < 1_024


def test_where_batches_bring_nothing_one_at_a_time_is_best():
    found = Machine(0.0, 0.001).speed()
    assert (found.best_batch, found.examples_per_second) == (1, pytest.approx(1_000))


def test_all_test_examples_at_once_are_a_batch_too():
    found = Machine(0.004, 0.001).speed(TEXTS[:500], all_at_once=0.1)
    assert (found.best_batch, found.examples_per_second) == (500, 5_000)


@pytest.mark.parametrize("each", [0.0002, 0.005, 0.08])
def test_measuring_takes_little_more_than_a_second(each):
    machine = Machine(0.001, each)
    machine.speed()
    assert machine.time < 1.7


def test_a_slow_predictor_is_asked_a_few_times_only():
    machine = Machine(0.0, 2.0)
    found = machine.speed()
    assert sum(map(len, machine.batches)) == 1 + 3
    assert found.milliseconds_alone_p95 is None, "three are too few"


def test_small_batches_have_texts_of_all_lengths():
    machine = Machine(0.004, 0.0005)
    machine.speed()
    usual = np.mean([len(text) for text in TEXTS])
    for batch in machine.batches:
        if len(batch) >= 8:
            assert np.mean([len(text) for text in batch]) == pytest.approx(usual, rel=0.05)


def test_without_examples_there_is_nothing_to_measure():
    assert Machine(0.0, 1.0).speed([]) is None


def test_a_clock_that_stands_still_gives_a_number():
    assert measuring.speed(lambda _: None, TEXTS, all_at_once=0.0, now=lambda: 0.0).examples_per_second > 0


# ------------------------------------------------------------------------------------------ what has to be there


def test_tokens_are_those_of_the_model_cut_to_its_longest_input():
    from nshot.backbones import open_backbone

    encoder = open_backbone()
    assert measuring.tokens_per_example(encoder, ["three short words"] * 3) == 5.0
    assert measuring.tokens_per_example(encoder, ["word " * 5_000]) == encoder.settings.max_tokens
    assert measuring.tokens_per_example(object(), ["text"]) is None
    assert measuring.tokens_per_example(encoder, []) is None


def test_what_is_shipped_is_the_state_and_the_files_of_the_model():
    from nshot.backbones import open_backbone

    own = State({}, {"weights": np.zeros(1_000, dtype=np.float32)}, {"words": b"12345"})
    assert measuring.artefact_bytes(own) == measuring.shipped_bytes(own, []) == 4_005
    ref = open_backbone().ref
    weights = 90_868_376
    assert weights + 4_005 < measuring.shipped_bytes(own, [ref, ref]) < weights + 2e6, "a model counts once"


def test_pixels_need_no_file_besides_what_a_predictor_keeps():
    state = State({}, {"weight": np.zeros(10, dtype=np.float32)})
    assert measuring.shipped_bytes(state, [open_backbone("pixels").ref]) == 40
