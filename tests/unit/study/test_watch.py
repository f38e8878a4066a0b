"""Steps of a long piece of work, shown as seconds."""

from __future__ import annotations

import pytest

from nshot.study import watch
from nshot.study.watch import Pace


class Shown:
    """A watch that remembers the progress it was shown."""

    def __init__(self) -> None:
        self.progresses: list[tuple[str, float, float]] = []

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def progress(self, doing: str, done: float, total: float) -> None:
        self.progresses.append((doing, done, total))


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_from_the_pace_so_far(clock):
    shown = Shown()
    pace = Pace(shown)
    pace(1, 11, "training")
    clock[0] = 10.0
    pace(6, 11, "training, loss 0.412, 118 examples/s")
    assert shown.progresses == [
        ("training, 1 of 11", 0.0, 0.0),
        ("training, loss 0.412, 118 examples/s, 6 of 11", 12.0, 22.0),
    ]


def test_steps_that_another_process_did_cost_nothing(clock):
    shown = Shown()
    pace = Pace(shown)
    pace(900, 1000, "training")
    clock[0] = 10.0
    pace(950, 1000, "training")
    _, done, total = shown.progresses[-1]
    assert total - done == pytest.approx(10.0)


@pytest.mark.parametrize("following", [(1, 11, "embedding"), (1, 100, "training"), (1, 11, "training")])
def test_work_that_begins_anew_has_a_pace_of_its_own(following, clock):
    shown = Shown()
    pace = Pace(shown)
    pace(1, 11, "training")
    clock[0] = 100.0
    pace(5, 11, "training")
    pace(*following)
    assert shown.progresses[-1][1:] == (0.0, 0.0)
    clock[0] = 101.0
    pace(following[0] + 1, *following[1:])
    assert shown.progresses[-1][1] == pytest.approx(2.0)
