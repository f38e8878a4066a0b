from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot.core import Candidate, Cost, OptionError, Run, RunStatus, Task, TaskKind, TrainingError
from nshot.evaluation.protocol import design
from nshot.methods import build
from nshot.study.evidence import Entrant, Evidence
from nshot.study.execute import Clock
from nshot.study.ledger import Ledger
from nshot.study.new_labels import SHARE_OF_COMPARISON, NewLabels, Rehearsal, Way, from_the_start, measured, ways_of
from nshot.study.new_labels_record import record
from nshot.study.plan import Contender, runs_of
from nshot.study.process import OutOfTimeError
from nshot.study.watch import Unwatched
from nshot.study.worker import Fitted, FitWithNewLabels, WouldTakeLongerError

LABELS = tuple(f"label_{i}" for i in range(10))
TARGETS = [LABELS[i % 10] for i in range(200)]
TESTED = [LABELS[i % 10] for i in range(100)]
TASK = Task(TaskKind.CLASSIFY, LABELS)
PLAN = design(TARGETS, np.arange(200), seed=0, n_given_test=100)
DIVISION = {(draw.repeat, draw.fold): "division" for draw in PLAN.draws}


def contender(name: str) -> Contender:
    method = build(name)
    return Contender(Candidate(name, method.family), method)


ZERO = contender("label_similarity")
GROWS = contender("prototypes")
PROBE = contender("linear_probe")
NAMES = contender("primed_probe")
TRAINED = contender("full_finetune")
ALSO_TRAINED = contender("top_layers")


class FakeClock(Clock):
    """A clock that only moves when a request takes time."""

    def __init__(self, budget_seconds: float) -> None:
        self.now = 0.0
        super().__init__(budget_seconds, now=lambda: self.now)


@dataclass
class FakeWorker:
    """Answers seen labels right, and new ones with the chance that a method is said to have."""

    folder: Path
    clock: FakeClock
    seconds: dict[str, float] = field(default_factory=dict)
    right: dict[str, float] = field(default_factory=dict)
    fails: dict[str, BaseException] = field(default_factory=dict)
    asked: list[FitWithNewLabels] = field(default_factory=list)

    def ask(self, request: Any, *, seconds: float | None, progress: Any = None) -> Any:
        assert isinstance(request, FitWithNewLabels)
        self.asked.append(request)
        if request.method in self.fails:
            raise self.fails[request.method]
        takes = self.seconds.get(request.method, 0.1)
        if takes > request.within:
            raise WouldTakeLongerError(1.0, takes)
        if seconds is not None and takes > seconds:
            raise OutOfTimeError("It would have taken longer than the time that was left.")
        self.clock.now += takes
        rng = np.random.default_rng(len(self.asked))
        found = []
        for key in request.keys.values():
            new = np.isin(TESTED, list(request.examples))
            right = np.where(new, rng.random(100) < self.right.get(request.method, 0.5), rng.random(100) < 0.9)
            file = f"{key}.safetensors"
            save_file({"metric.accuracy": right[:, None].astype(np.float64)}, self.folder / file)
            found.append(Fitted(Cost(takes, 0.0, 0.0), file))
        return found

    def end(self) -> None:
        """Do nothing."""


def new_labels(share: float = 0.2, seed: int = 0) -> NewLabels:
    return NewLabels(TASK, PLAN, TARGETS, TESTED, np.arange(100), share=share, seed=seed)


@dataclass
class Setup:
    """A study whose own runs are done."""

    folder: Path
    clock: FakeClock
    worker: FakeWorker
    ledger: Ledger
    evidence: Evidence
    contenders: list[Contender]

    def rehearsal(self, kept_back: float = 0.0) -> Rehearsal:
        return Rehearsal(
            new_labels(), self.evidence, self.worker, self.ledger, self.clock, Unwatched(), kept_back=kept_back
        )

    def run(self, kept_back: float = 0.0) -> Rehearsal:
        work = self.rehearsal(kept_back)
        work.run(self.jobs())
        return work

    def jobs(self) -> list[Any]:
        return new_labels().jobs(self.contenders, DIVISION, "fp32")

    def record(self, work: Rehearsal) -> dict[str, Any]:
        plan = new_labels()
        ways = measured(plan, self.evidence, self.ledger, work.completed)
        return record(plan, ways, from_the_start(plan, self.evidence, ways))


@pytest.fixture
def make(tmp_path):
    def build_setup(*contenders: Contender, budget: float = 1e6, own: float = 1.0, slow=None, without=()):
        entrants, runs = [], {}
        for item in contenders:
            specs = [
                spec
                for spec in runs_of(item, PLAN, seed=0, data=DIVISION, precision="fp32")
                if spec.n_labels in (0, PLAN.n_train) and item.name not in without
            ]
            for spec in specs:
                right = np.random.default_rng(len(runs)).random(100) < 0.95
                save_file({"metric.accuracy": right[:, None].astype(np.float64)}, tmp_path / f"own-{spec.key}")
                runs[spec.key] = Run(
                    key=spec.key,
                    candidate=item.name,
                    n_labels=spec.n_labels,
                    repeat=spec.repeat,
                    fold=spec.fold,
                    seed=spec.seed,
                    status=RunStatus.COMPLETE,
                    cost=Cost(own, 0.0, 0.0),
                    seconds=(slow or {}).get(item.name, own),
                    predictions=f"own-{spec.key}",
                )
            entrants.append(Entrant(item.name, item.name, item.candidate.family, None, {}, tuple(specs)))
        evidence = Evidence(tmp_path, PLAN, entrants=entrants, runs=runs, groups=np.arange(100), answers={})
        clock = FakeClock(budget)
        worker = FakeWorker(tmp_path, clock)
        return Setup(tmp_path, clock, worker, Ledger(tmp_path / "new_labels.jsonl"), evidence, list(contenders))

    return build_setup


# ------------------------------------------------------------------------------------------ what is planned


@pytest.mark.parametrize(
    ("method", "ways"),
    [
        ("label_similarity", [("nothing", 0)]),
        ("prototypes", [("1 example", 1), ("5 examples", 5)]),
        ("nearest_neighbours", [("1 example", 1), ("5 examples", 5)]),
        ("primed_probe", [("training again", 0), ("training again", 5)]),
        ("linear_probe", [("training again", 5)]),
        ("full_finetune", [("training again", 5)]),
    ],
)
def test_a_method_takes_labels_in_by_the_least_that_it_needs(method, ways):
    assert [(way.needs, way.examples) for way in ways_of(build(method))] == ways


def test_candidates_on_frozen_features_have_every_draw_and_trained_ones_the_first():
    jobs = new_labels().jobs([GROWS, TRAINED], DIVISION, "fp32")
    assert [job.draw.number for job in jobs if job.contender is GROWS] == [0, 1, 2, 3, 4]
    assert [job.draw.number for job in jobs if job.contender is TRAINED] == [0]


def test_keys_change_with_everything_that_decides_a_run():
    def keys(plan: NewLabels, division: str = "division", precision: str = "fp32") -> set[str]:
        item = replace(PROBE, candidate=replace(PROBE.candidate, backbone=None))
        jobs = plan.jobs([item], dict.fromkeys(DIVISION, division), precision)
        return {spec.key for job in jobs for spec in job.specs.values()}

    own = keys(new_labels())
    assert len(own) == 5
    assert keys(new_labels()) == own
    assert not keys(new_labels(), division="another") & own
    assert not keys(new_labels(share=0.5)) & own
    assert not keys(new_labels(seed=1)) & own


def test_zero_shot_is_handed_no_rows_and_others_those_of_seen_labels_only():
    for job in new_labels().jobs([ZERO, GROWS], DIVISION, "fp32"):
        held_out = set(job.draw.held_out)
        rows = job.request(1.0).train
        assert not {TARGETS[row] for row in rows} & held_out
        assert len(rows) == (0 if job.contender is ZERO else 160)


def test_labels_of_another_kind_of_task_are_refused():
    with pytest.raises(OptionError, match="one label each"):
        NewLabels(replace(TASK, kind=TaskKind.TAG), PLAN, TARGETS, TESTED, np.arange(100), share=0.2, seed=0)


# ------------------------------------------------------------------------------------------ what is run


def test_ways_without_a_new_fit_share_the_fit_before(make):
    setup = make(GROWS)
    setup.run()
    assert [list(request.keys) for request in setup.worker.asked] == [[1, 5]] * 5
    assert not any(request.again for request in setup.worker.asked)


def test_every_run_is_in_a_ledger_of_its_own_and_the_same_command_goes_on(make):
    setup = make(GROWS, PROBE)
    first = setup.run()
    assert len(setup.ledger) == 15
    assert len(first.outcome.executed) == 15
    again = setup.run()
    assert len(setup.worker.asked) == 10
    assert again.outcome.executed == first.outcome.executed
    assert setup.record(again) == setup.record(first)


def test_a_killed_rehearsal_goes_on_from_where_it_was(make):
    setup = make(GROWS, PROBE)
    setup.worker.fails["linear_probe"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        setup.run()
    assert len(setup.ledger) == 2
    setup.worker.fails.clear()
    setup.run()
    assert len(Ledger(setup.ledger.path)) == 15


def test_whole_draws_are_left_out_for_all_candidates_at_once(make):
    setup = make(GROWS, PROBE, budget=4.0 + 2 * 3.0, own=1.0)
    setup.worker.seconds = {"prototypes": 1.0, "linear_probe": 1.0}
    work = setup.run()
    done = [(job.contender.name, job.draw.number) for job in work.completed]
    assert sorted(done) == [(name, number) for name in ("linear_probe", "prototypes") for number in range(3)]
    assert "3 of 5 random draws" in work.outcome.notes[-1]
    assert len(setup.record(work)["held_out"]) == 3


def test_a_training_that_does_not_fit_is_left_out_with_its_time(make):
    setup = make(GROWS, TRAINED, ALSO_TRAINED, budget=60.0, slow={"full_finetune": 500.0})
    work = setup.run()
    [left_out] = work.outcome.skipped
    assert (left_out.candidate, left_out.n_labels) == ("full_finetune", 170)
    assert "new labels, training again: would take about 575s" in left_out.reason
    assert "top_layers" in {job.contender.name for job in work.completed}


def test_a_training_that_turns_out_too_long_is_left_out(make):
    setup = make(GROWS, TRAINED, budget=60.0)
    setup.worker.seconds = {"full_finetune": 300.0}
    work = setup.run()
    assert "301s" in work.outcome.skipped[0].reason
    assert all(request.within < 60 for request in setup.worker.asked if request.method == "full_finetune")


def test_time_for_the_model_that_is_handed_over_is_kept_back(make):
    setup = make(GROWS, TRAINED, budget=60.0, own=20.0)
    assert not setup.run(kept_back=50.0).completed
    assert {job.contender.name for job in setup.run().completed} >= {"prototypes"}


def test_what_was_not_measured_with_all_labels_is_left_out_with_the_reason(make):
    setup = make(GROWS, TRAINED, without=("full_finetune",))
    work = setup.run()
    [left_out] = work.outcome.skipped
    assert left_out.candidate == "full_finetune"
    assert "not measured with all labels" in left_out.reason


def test_a_run_that_fails_is_recorded_and_the_others_go_on(make):
    setup = make(GROWS, PROBE)
    setup.worker.fails["linear_probe"] = TrainingError("the loss is not finite")
    work = setup.run()
    failed = [run for run in setup.ledger if run.status == RunStatus.FAILED]
    assert {run.candidate for run in failed} == {"linear_probe"}
    assert any("the loss is not finite" in item.reason for item in work.outcome.skipped)
    assert {row["candidate"] for row in setup.record(work)["rows"]} == {"prototypes"}


def test_a_replay_runs_what_was_recorded_and_knows_no_clock(make):
    setup = make(GROWS, PROBE, budget=1.0)
    wanted = [spec.key for job in setup.jobs()[:2] for spec in job.specs.values()]
    work = setup.rehearsal()
    work.replay(setup.jobs(), wanted)
    assert [spec.key for spec in work.outcome.executed] == wanted


def test_the_share_of_the_comparison_is_said_and_its_clock_began_with_the_whole(make):
    assert "70%" in make(GROWS).run().outcome.notes[0]
    clock = FakeClock(100.0)
    clock.now = 30.0
    part = clock.part(SHARE_OF_COMPARISON)
    assert (part.budget_seconds, part.spent) == (70.0, 30.0)
    assert not Clock().part(SHARE_OF_COMPARISON).limited


# ------------------------------------------------------------------------------------------ what is said


def test_the_record_has_its_keys_and_the_best_way_first(make):
    setup = make(ZERO, GROWS, NAMES, PROBE)
    setup.worker.right = {"label_similarity": 0.3, "prototypes": 0.8, "primed_probe": 0.5, "linear_probe": 0.1}
    found = setup.record(setup.run())
    assert (found["share"], found["n_labels_held_out"], found["n_labels_seen"]) == (0.2, 2, 8)
    assert found["rows_per_new_label"] == 20.0
    assert sorted(label for labels in found["held_out"] for label in labels) == list(LABELS)
    rows = found["rows"]
    assert rows[0]["candidate"] == "prototypes"
    assert rows[0]["versus_best"] is None
    scores = [row["harmonic_mean"]["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        assert set(row) == {
            "candidate",
            "needs",
            "examples_per_label",
            "seen",
            "new",
            "harmonic_mean",
            "versus_best",
            "seconds_to_take_in",
            "draws",
        }
        for name in ("seen", "new", "harmonic_mean"):
            low, high = row[name]["interval"]
            assert low <= row[name]["score"] <= high
    assert {row["candidate"] for row in found["from_the_start"]} == {"prototypes", "primed_probe", "linear_probe"}


def test_the_scores_are_those_of_rows_of_seen_and_new_labels(make):
    setup = make(PROBE)
    setup.worker.right = {"linear_probe": 0.0}
    [row] = setup.record(setup.run())["rows"]
    assert row["new"]["score"] == row["harmonic_mean"]["score"] == 0.0
    assert row["seen"]["score"] == pytest.approx(0.9, abs=0.06)


def test_the_words_name_the_best_way_and_what_it_would_be_worth_to_have_them_from_the_start(make):
    setup = make(ZERO, GROWS, PROBE)
    setup.worker.right = {"label_similarity": 0.2, "prototypes": 0.7, "linear_probe": 0.1}
    best, *others = setup.record(setup.run())["because"]
    assert best.startswith("prototypes takes new labels in best, with ")
    assert any("label_similarity, by their names alone, reaches" in words and ": behind (" in words for words in others)
    assert "Had they been there from the start" in others[-1]
    assert "about 20 each" in others[-1]


def test_that_nothing_takes_labels_in_without_training_is_said(make):
    setup = make(PROBE)
    because = setup.record(setup.run())["because"]
    assert "None of the ways compared takes in a label without training again." in because


def test_without_a_run_the_words_say_so(make):
    setup = make(GROWS, budget=1.0)
    found = setup.record(setup.run())
    assert found["rows"] == []
    assert "No way of taking new labels in was measured" in found["because"][0]


def test_a_way_run_on_fewer_draws_is_held_against_the_others_on_the_draws_they_share(make):
    setup = make(GROWS, TRAINED)
    setup.worker.right = {"prototypes": 0.3, "full_finetune": 0.95}
    found = setup.record(setup.run())
    top = found["rows"][0]
    assert (top["candidate"], top["draws"]) == ("full_finetune", 1)
    own = {row["needs"]: row for row in found["rows"]}
    assert own["5 examples"]["versus_best"]["mean"] < 0


def test_ways_say_what_they_need():
    assert Way(again=False, examples=0).needs == "nothing"
    assert Way(again=False, examples=1).needs == "1 example"
    assert Way(again=True, examples=5).needs == "training again"


def test_a_way_that_cannot_be_told_from_the_best_is_as_good_only_where_it_was_measured_alike(make):
    setup = make(ZERO, GROWS)
    setup.worker.right = {"label_similarity": 0.5, "prototypes": 0.56}
    [sentence] = [words for words in setup.record(setup.run())["because"] if words.startswith("label_similarity")]
    assert " lower on the same draws ([-" in sentence
    assert sentence.endswith("but this test cannot tell the two apart.")
    assert "as good" not in sentence
