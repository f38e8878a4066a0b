from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nshot.core import Candidate, Cost, Family, OutOfMemoryError, RunStatus, TrainingError
from nshot.evaluation.protocol import design
from nshot.methods import build
from nshot.study.execute import Clock, Execution
from nshot.study.ledger import Ledger
from nshot.study.plan import Contender, runs_of
from nshot.study.process import OutOfTimeError
from nshot.study.watch import Unwatched
from nshot.study.worker import Fit, Fitted, TimeTraining

PLAN = design(["a", "b"] * 100, np.arange(200), seed=0)


class FakeClock(Clock):
    """A clock that only moves when a run takes time."""

    def __init__(self, budget_seconds: float) -> None:
        self.now = 0.0
        super().__init__(budget_seconds, now=lambda: self.now)


@dataclass
class FakeWorker:
    """Answers at once and moves the clock by what a fit on 160 rows is said to take, in proportion."""

    clock: FakeClock
    seconds: dict[str, float]
    per_example: float = 0.01
    fails: dict[str, Exception] = field(default_factory=dict)
    asked: list[Fit] = field(default_factory=list)

    def ask(self, request: Any, *, seconds: float | None, progress: Any = None) -> Any:
        if isinstance(request, TimeTraining):
            return self.per_example
        assert isinstance(request, Fit)
        self.asked.append(request)
        if request.method in self.fails:
            raise self.fails[request.method]
        takes = self.seconds[request.method] * max(1, request.n_labels) / 160
        if seconds is not None and takes > seconds:
            self.clock.now += seconds
            raise OutOfTimeError("It would have taken longer than the time that was left.")
        self.clock.now += takes
        return Fitted(Cost(takes, 0.0, 0.0), f"predictions/{request.key}.safetensors", {})


def contender(name: str, family: Family) -> Contender:
    return Contender(Candidate(name, family), build(name))


CHEAP = contender("majority", Family.BASELINE)
ALSO_CHEAP = contender("tfidf_linear", Family.BASELINE)
TRAINED = contender("full_finetune", Family.FINE_TUNING)


def plans(*contenders: Contender):
    data = {(draw.repeat, draw.fold): "d" for draw in PLAN.draws}
    return [(item, runs_of(item, PLAN, seed=0, data=data, precision="fp32")) for item in contenders]


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "runs.jsonl")


@pytest.fixture
def wall() -> FakeClock:
    return FakeClock(300.0)


def execution(ledger, worker, clock) -> Execution:
    return Execution(worker, ledger, PLAN, clock, Unwatched(), keep_whole=False)


def go_on(who: Contender, more: float) -> None:
    return None


def test_cheap_candidates_get_every_run(ledger, wall):
    worker = FakeWorker(wall, {"majority": 0.01, "tfidf_linear": 0.1})
    work = execution(ledger, worker, wall)
    work.cheap(plans(CHEAP, ALSO_CHEAP), others_wait=False)
    assert len(work.outcome.executed) == len(ledger) == 2 * 15 * len(PLAN.ladder)
    assert not work.outcome.skipped


def test_nothing_is_run_twice_when_a_study_goes_on(ledger, wall):
    first = FakeWorker(wall, {"majority": 0.01})
    execution(ledger, first, wall).cheap(plans(CHEAP), others_wait=False)
    second = FakeWorker(wall, {"majority": 0.01})
    work = execution(Ledger(ledger.path), second, wall)
    work.cheap(plans(CHEAP), others_wait=False)
    assert not second.asked
    assert len(work.outcome.executed) == len(first.asked)


def test_a_study_that_was_cut_short_runs_only_what_is_missing(ledger, wall):
    [(_, specs)] = plans(CHEAP)
    for spec in specs[:7]:
        execution(ledger, FakeWorker(wall, {"majority": 0.01}), wall).replay([spec])
    second = FakeWorker(wall, {"majority": 0.01})
    execution(Ledger(ledger.path), second, wall).cheap([(CHEAP, specs)], others_wait=False)
    assert {request.key for request in second.asked} == {spec.key for spec in specs[7:]}


def test_a_repeat_that_the_budget_does_not_hold_is_left_out_for_all_and_noted(ledger, wall):
    wall.budget_seconds = 60.0
    work = execution(ledger, FakeWorker(wall, {"majority": 0.1, "tfidf_linear": 4.0}), wall)
    work.cheap(plans(CHEAP, ALSO_CHEAP), others_wait=False)
    repeats = {name: {run.repeat for run in ledger if run.candidate == name} for name in ("majority", "tfidf_linear")}
    assert repeats == {"majority": {0}, "tfidf_linear": {0}}
    assert "repeated 1 of 3 times" in work.outcome.notes[0]


def test_the_first_repeat_always_runs(ledger, wall):
    wall.budget_seconds = 1.0
    wall.now = 100.0
    worker = FakeWorker(wall, {"majority": 0.0})
    work = execution(ledger, worker, wall)
    work.cheap(plans(CHEAP), others_wait=True)
    assert {request.repeat for request in worker.asked} == {0}


def test_the_budget_is_kept_and_what_does_not_fit_names_a_budget_that_holds_it(ledger, wall):
    wall.budget_seconds = 60.0
    worker = FakeWorker(wall, {"full_finetune": 40.0}, per_example=40.0 / 160 / 10)
    work = execution(ledger, worker, wall)
    work.trained(plans(TRAINED), go_on)
    assert wall.spent <= 60.0
    left_out = {item.n_labels: item.reason for item in work.outcome.skipped}
    assert PLAN.n_train in left_out
    assert "--budget" in left_out[PLAN.n_train]
    assert "would take about" in left_out[PLAN.n_train]


def test_with_time_enough_every_draw_of_a_trained_candidate_runs(ledger, wall):
    wall.budget_seconds = 1e6
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 1.0}), wall)
    [(_, specs)] = plans(TRAINED)
    work.trained(plans(TRAINED), go_on)
    assert len(work.outcome.executed) == len(specs)
    assert not work.outcome.skipped


def test_the_first_draw_runs_before_any_other_fold(ledger, wall):
    wall.budget_seconds = 1e6
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    execution(ledger, worker, wall).trained(plans(TRAINED), go_on)
    n = len(PLAN.ladder)
    assert all((request.repeat, request.fold) == (0, 0) for request in worker.asked[:n])
    assert [request.n_labels for request in worker.asked[n : n + 4]] == [PLAN.n_train] * 4


def test_a_candidate_that_is_settled_is_not_run_again_and_the_reason_is_noted(ledger, wall):
    wall.budget_seconds = 1e6
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    work = execution(ledger, worker, wall)
    work.trained(plans(TRAINED), lambda who, more: "clearly behind")
    assert len(worker.asked) == len(PLAN.ladder)
    assert work.outcome.notes == ["full_finetune: clearly behind"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutOfMemoryError("memory ran out"), RunStatus.KILLED),
        (TrainingError("the loss is not finite"), RunStatus.FAILED),
    ],
)
def test_a_run_that_goes_wrong_is_recorded_and_the_others_go_on(ledger, wall, error, status):
    worker = FakeWorker(wall, {"majority": 0.01, "tfidf_linear": 0.01}, fails={"majority": error})
    work = execution(ledger, worker, wall)
    work.cheap(plans(CHEAP, ALSO_CHEAP), others_wait=False)
    bad = [run for run in ledger if run.candidate == "majority"]
    assert {run.status for run in bad} == {status}
    assert {run.reason for run in bad} == {str(error)}
    assert {item.reason for item in work.outcome.skipped} == {str(error)}
    assert {spec.candidate.method for spec in work.outcome.executed} == {"tfidf_linear"}


def test_a_run_that_failed_is_tried_again_when_the_study_goes_on(ledger, wall):
    [(_, specs)] = plans(CHEAP)
    failing = FakeWorker(wall, {}, fails={"majority": TrainingError("no")})
    execution(ledger, failing, wall).replay(specs[:1])
    work = execution(Ledger(ledger.path), FakeWorker(wall, {"majority": 0.01}), wall)
    work.replay(specs[:1])
    assert work.outcome.executed == specs[:1]


def test_a_run_that_is_ended_by_the_clock_is_left_out_and_not_recorded(ledger, wall):
    wall.budget_seconds = 10.0
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 500.0}, per_example=0.0), wall)
    work.trained(plans(TRAINED), go_on)
    assert len(ledger) == 0
    assert any("longer than the time that was left" in item.reason for item in work.outcome.skipped)
    assert wall.spent <= 11.0


def test_a_replay_knows_no_clock(ledger, wall):
    worker = FakeWorker(wall, {"full_finetune": 1e6})
    [(_, specs)] = plans(TRAINED)
    work = execution(ledger, worker, Clock())
    work.replay(specs)
    assert [request.key for request in worker.asked] == [spec.key for spec in specs]


def test_a_measured_run_tells_how_long_a_larger_one_takes(ledger, wall):
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 160.0}), wall)
    [(_, specs)] = plans(TRAINED)
    small = next(spec for spec in specs if spec.n_labels == 16)
    work.replay([small])
    grown = TRAINED.method.planned_examples(160) / TRAINED.method.planned_examples(16)
    assert work.expected_seconds(TRAINED, 160) == pytest.approx(1.15 * 16 * grown, rel=0.01)
    assert work.expected_seconds(TRAINED, 160) >= work.expected_seconds(TRAINED, 16)


def test_what_there_was_no_time_to_measure_is_not_said_to_take_no_time(ledger, wall):
    wall.budget_seconds = 10.0
    wall.now = 9.9
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 1.0}, per_example=0.0), wall)
    work.trained(plans(TRAINED), go_on)
    reasons = {item.reason for item in work.outcome.skipped}
    assert reasons
    assert not any("about 0s" in reason for reason in reasons)
    assert all("no time to find out" in reason for reason in reasons)
