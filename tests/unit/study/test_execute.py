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
from nshot.study.worker import Fit, Fitted, WouldTakeLongerError

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
    first_steps: float = 1.0
    notices: bool = True
    fails: dict[str, Exception] = field(default_factory=dict)
    asked: list[Fit] = field(default_factory=list)

    def ask(self, request: Any, *, seconds: float | None, progress: Any = None) -> Any:
        assert isinstance(request, Fit)
        self.asked.append(request)
        if request.method in self.fails:
            raise self.fails[request.method]
        takes = self.seconds[request.method] * max(1, request.n_labels) / 160
        if self.notices and takes > request.within:
            self.clock.now += self.first_steps
            raise WouldTakeLongerError(0.0, takes)
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
QUICK = contender("top_layers", Family.FINE_TUNING)
ALSO_TRAINED = contender("lora", Family.FINE_TUNING)


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


@dataclass
class FakeJudge:
    """Promises as much as it is told, and stops whom it is told to."""

    promises: dict[str, float] = field(default_factory=dict)
    stops: dict[str, str] = field(default_factory=dict)

    def promise(self, contender: Contender) -> float:
        return self.promises.get(contender.name, 0.05)

    def in_order(self, contenders):
        return sorted(contenders, key=lambda who: (-self.promise(who), who.name))

    def reason_to_stop(self, contender: Contender, more: float) -> str | None:
        return self.stops.get(contender.name)


GO_ON = FakeJudge()


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


def test_todays_question_comes_first_and_the_sizes_between_while_there_is_time(ledger, wall):
    wall.budget_seconds = 84.0
    worker = FakeWorker(wall, {"majority": 8.0})
    work = execution(ledger, worker, wall)
    work.cheap(plans(CHEAP), others_wait=True)
    whole, smallest = PLAN.n_train, PLAN.ladder[0]
    # Each size in all folds or not at all: a score of some folds only could be compared with nothing.
    assert [request.n_labels for request in worker.asked] == [whole] * PLAN.folds + [smallest] * PLAN.folds
    work.trained([], GO_ON)
    left_out = {item.n_labels: item.reason for item in work.outcome.skipped}
    assert set(left_out) == set(PLAN.ladder) - {whole, smallest}
    assert all("--budget" in reason for reason in left_out.values())


def test_nothing_is_begun_when_the_time_is_over(ledger, wall):
    wall.budget_seconds = 1.0
    wall.now = 100.0
    worker = FakeWorker(wall, {"majority": 0.0})
    work = execution(ledger, worker, wall)
    work.cheap(plans(CHEAP), others_wait=True)
    assert not worker.asked
    assert "the time was over" in work.outcome.skipped[0].reason


def test_the_budget_is_kept_and_what_does_not_fit_names_a_budget_that_holds_it(ledger, wall):
    wall.budget_seconds = 60.0
    worker = FakeWorker(wall, {"full_finetune": 40.0})
    work = execution(ledger, worker, wall)
    work.trained(plans(TRAINED), GO_ON)
    assert wall.spent <= 60.0
    left_out = {item.n_labels: item.reason for item in work.outcome.skipped}
    assert set(left_out) == {64}
    assert "would take about 16s more; --budget 73s" in left_out[64]


def test_all_rows_come_before_anything_smaller(ledger, wall):
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    execution(ledger, worker, wall).trained(plans(TRAINED), GO_ON)
    assert worker.asked[0].n_labels == PLAN.n_train


def test_a_training_that_does_not_fit_is_given_up_and_the_largest_size_that_fits_is_run(ledger, wall):
    wall.budget_seconds = 70.0
    worker = FakeWorker(wall, {"full_finetune": 100.0})
    work = execution(ledger, worker, wall)
    work.trained(plans(TRAINED), GO_ON)
    assert [request.n_labels for request in worker.asked[:2]] == [PLAN.n_train, 64]
    assert {run.n_labels for run in ledger} == {64, 16}
    [reason] = [item.reason for item in work.outcome.skipped if item.n_labels == PLAN.n_train]
    assert "would take about 2m more" in reason


def test_what_promises_most_for_its_time_runs_first(ledger, wall):
    worker = FakeWorker(wall, {"full_finetune": 1.0, "lora": 1.0})
    for promises, first in (({"lora": 0.1}, "lora"), ({"full_finetune": 0.1}, "full_finetune")):
        worker.asked.clear()
        work = execution(Ledger(ledger.path.with_name(f"{first}.jsonl")), worker, wall)
        work.trained(plans(TRAINED, ALSO_TRAINED), FakeJudge(promises))
        assert worker.asked[0].method == first


@pytest.mark.parametrize(("promise", "second"), [(0.005, "top_layers"), (0.05, "full_finetune")])
def test_what_promises_little_for_most_of_the_time_waits_for_the_leader_to_be_repeated(ledger, wall, promise, second):
    wall.budget_seconds = 60.0
    worker = FakeWorker(wall, {"full_finetune": 40.0, "top_layers": 12.0})
    judge = FakeJudge({"top_layers": 1.0, "full_finetune": promise})
    execution(ledger, worker, wall).trained(plans(TRAINED, QUICK), judge)
    whole = [request.method for request in worker.asked if request.n_labels == PLAN.n_train]
    assert whole[:2] == ["top_layers", second]


def test_the_predictors_of_trained_candidates_on_all_rows_are_kept_to_be_handed_over(ledger, wall):
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    execution(ledger, worker, wall).trained(plans(TRAINED), GO_ON)
    kept = [(request.n_labels, request.repeat, request.fold) for request in worker.asked if request.keep]
    assert kept == [(PLAN.n_train, 0, 0)]


def test_a_refit_is_held_only_by_a_budget_with_time_left_for_it(ledger, wall):
    wall.budget_seconds = 60.0
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 40.0}), wall)
    work.trained(plans(TRAINED), GO_ON)
    assert not work.holds_refit(TRAINED)
    assert work.holds_refit(CHEAP)
    wall.budget_seconds = 600.0
    assert work.holds_refit(TRAINED)


def test_with_time_enough_every_draw_of_a_trained_candidate_runs(ledger, wall):
    wall.budget_seconds = 1e6
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 1.0}), wall)
    [(_, specs)] = plans(TRAINED)
    work.trained(plans(TRAINED), GO_ON)
    assert len(work.outcome.executed) == len(specs)
    assert not work.outcome.skipped


def test_the_curve_comes_after_three_draws_at_all_rows_and_before_the_others(ledger, wall):
    wall.budget_seconds = 1e6
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    execution(ledger, worker, wall).trained(plans(TRAINED), GO_ON)
    assert [(request.n_labels, request.fold) for request in worker.asked[:7]] == [
        (160, 0),
        (160, 1),
        (160, 2),
        (64, 0),
        (16, 0),
        (160, 3),
        (160, 4),
    ]


def test_a_candidate_that_is_settled_is_not_run_again_and_the_reason_is_noted(ledger, wall):
    wall.budget_seconds = 1e6
    worker = FakeWorker(wall, {"full_finetune": 1.0})
    work = execution(ledger, worker, wall)
    work.trained(plans(TRAINED), FakeJudge(stops={"full_finetune": "clearly behind"}))
    assert len(worker.asked) == len(PLAN.ladder)
    assert work.outcome.notes[0] == "full_finetune: clearly behind"
    assert "at most 1%" in work.outcome.notes[1]


def test_what_an_earlier_call_did_counts_and_is_not_done_again(ledger, wall):
    wall.budget_seconds = 1e6
    first = FakeWorker(wall, {"full_finetune": 1.0})
    execution(ledger, first, wall).trained(plans(TRAINED), GO_ON)
    second = FakeWorker(wall, {"full_finetune": 1.0})
    work = execution(Ledger(ledger.path), second, wall)
    work.trained(plans(TRAINED), FakeJudge(stops={"full_finetune": "clearly behind"}))
    assert not second.asked
    assert {spec.key for spec in work.outcome.executed} == {request.key for request in first.asked}


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
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 500.0}, notices=False), wall)
    work.trained(plans(TRAINED), GO_ON)
    assert len(ledger) == 0
    assert any("longer than the time that was left" in item.reason for item in work.outcome.skipped)
    assert wall.spent <= 11.0


def test_a_replay_knows_no_clock(ledger, wall):
    worker = FakeWorker(wall, {"full_finetune": 1e6})
    [(_, specs)] = plans(TRAINED)
    work = execution(ledger, worker, Clock())
    work.replay(specs)
    assert [request.key for request in worker.asked] == [spec.key for spec in specs]


def test_what_there_was_no_time_to_measure_is_not_said_to_take_no_time(ledger, wall):
    wall.budget_seconds = 10.0
    wall.now = 9.9
    work = execution(ledger, FakeWorker(wall, {"full_finetune": 1.0}), wall)
    work.trained(plans(TRAINED), GO_ON)
    reasons = {item.reason for item in work.outcome.skipped}
    assert reasons
    assert not any("about 0s" in reason for reason in reasons)
    assert all("no time to find out" in reason for reason in reasons)


def test_cheap_runs_without_labels_and_on_all_rows_come_before_the_sizes_between(ledger, wall):
    worker = FakeWorker(wall, {"majority": 0.01, "tfidf_linear": 0.1})
    execution(ledger, worker, wall).cheap(plans(CHEAP, ALSO_CHEAP), others_wait=False)
    first = [request.n_labels for request in worker.asked if request.repeat == 0]
    whole = max(PLAN.ladder)
    assert first.index(min(n for n in first if n)) > max(place for place, n in enumerate(first) if n == whole)
