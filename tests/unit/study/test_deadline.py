from __future__ import annotations

import pickle

import pytest

from nshot.core import silent
from nshot.study.worker import Deadline, WouldTakeLongerError


@pytest.fixture
def time(monkeypatch):
    """Return a list whose last entry is the time."""
    now = [0.0]
    monkeypatch.setattr("nshot.study.worker.time.perf_counter", lambda: now[-1])
    return now


def steps(deadline, time, total, each, begun=5.0):
    for done in range(1, total + 1):
        time.append(begun + each * done)
        deadline(done, total, "training, loss 0.1")


def test_a_training_that_ends_in_time_goes_to_its_end(time):
    steps(Deadline(silent, within=20.0), time, total=100, each=0.1)


def test_a_training_that_would_not_is_given_up_after_a_few_steps_and_tells_how_long_it_takes(time):
    with pytest.raises(WouldTakeLongerError) as caught:
        steps(Deadline(silent, within=20.0), time, total=100, each=0.5)
    assert len(time) - 1 == 5
    assert caught.value.before == pytest.approx(5.5)
    assert caught.value.training == pytest.approx(50.0)
    assert pickle.loads(pickle.dumps(caught.value)).training == caught.value.training


def test_what_is_not_training_is_not_judged(time):
    deadline = Deadline(silent, within=1.0)
    for done in range(100):
        time.append(float(done))
        deadline(done, 100, "embedding")


def test_a_training_in_its_second_half_is_not_given_up(time):
    deadline = Deadline(silent, within=20.0)
    steps(deadline, time, total=10, each=0.1)
    time.append(1000.0)
    deadline(9, 10, "training")
