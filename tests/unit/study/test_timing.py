from __future__ import annotations

import pytest

from nshot.core import Candidate, Family, Run, RunStatus
from nshot.methods import build
from nshot.study.plan import Contender
from nshot.study.timing import Duration, Timing, duration_of


def contender(name: str) -> Contender:
    return Contender(Candidate(name, Family.FINE_TUNING), build(name))


FULL, LORA, TOP = contender("full_finetune"), contender("lora"), contender("top_layers")


def work(who: Contender, n: int) -> float:
    return who.method.relative_cost * who.method.planned_examples(n)


def test_nothing_is_expected_before_anything_was_measured():
    assert Timing().expected(FULL, 100) is None


def test_a_larger_run_grows_by_its_training_steps_alone():
    timing = Timing()
    timing.remember(FULL, 16, Duration(around=5.0, training=2.0))
    grown = work(FULL, 256) / work(FULL, 16)
    assert timing.expected(FULL, 256) == pytest.approx(1.1 * (5.0 + 2.0 * grown))


def test_the_nearest_size_tells():
    timing = Timing()
    timing.remember(FULL, 16, Duration(0.0, 100.0))
    timing.remember(FULL, 256, Duration(1.0, 9.0))
    assert timing.expected(FULL, 256) == pytest.approx(11.0)


def test_other_candidates_tell_by_their_work_where_there_is_no_own_run():
    timing = Timing()
    timing.remember(TOP, 256, Duration(2.0, 10.0))
    assert timing.expected(LORA, 256) == pytest.approx(1.1 * (2.0 + 10.0 * work(LORA, 256) / work(TOP, 256)))
    assert not timing.is_known(LORA)


def test_a_run_tells_its_training_apart_from_what_is_around_it():
    run = Run("k", "c", 16, 0, 0, 0, RunStatus.COMPLETE, seconds=7.0, settings={"training": {"seconds": 4.5}})
    assert duration_of(run) == Duration(2.5, 4.5)
    assert duration_of(Run("k", "c", 16, 0, 0, 0, RunStatus.COMPLETE, seconds=7.0)) == Duration(0.0, 7.0)
