"""A study from its data to its verdict: what `nshot compare` does between reading and reporting."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.backbones import FeatureCache
from nshot.backbones.precision import available_threads
from nshot.core import Check, Dataset, Family, NshotError, OptionError, Prediction, Run, State, Task, TaskKind
from nshot.evaluation.protocol import Design, design
from nshot.metrics import Metric
from nshot.spec import Method
from nshot.study import new_labels_record
from nshot.study.answers import held_answers
from nshot.study.counting import counts, unit
from nshot.study.evidence import Entrant, Evidence
from nshot.study.execute import Asked, Clock, Execution, Outcome, fit_request
from nshot.study.files import StudyFolder
from nshot.study.findings import Opened, findings
from nshot.study.ledger import Ledger
from nshot.study.new_labels import SHARE_OF_COMPARISON, Job, NewLabels, Rehearsal, from_the_start, measured
from nshot.study.options import WRITTEN_TEST_ROWS, StudyOptions
from nshot.study.plan import Contender, Skipped, contenders, opened, runs_of
from nshot.study.prior import Prior, shipped
from nshot.study.process import WorkerProcess
from nshot.study.racing import EvidenceJudge
from nshot.study.spec import RunSpec
from nshot.study.verdict import Verdict, conclude
from nshot.study.watch import Watch
from nshot.study.worker import FinalFit, Fit, Fitted, Prepare, Prepared, Setting, Spending, kept_state


@dataclass(frozen=True)
class Given:
    """The answers of a system that exists already.

    Attributes:
        name: What the leaderboard calls it.
        prediction: Its answer to each row that may be tested.
    """

    name: str
    prediction: Prediction


@dataclass(frozen=True)
class StudyData:
    """What a study works on.

    Attributes:
        task: What is asked.
        train: All labelled rows.
        test: A test that the user gave, or None.
        unlabelled: Rows without a label, or None.
        groups: Shape (rows of `train`,): rows of one group never straddle a split.
        test_groups: The same for `test`, or None.
        leaked: Positions of rows of `train` that also stand in `test`; they are not trained on.
        given: Answers of present systems, for the rows of `test` (or of `train`, where there is none).
        file_rows: For each row of `test` (or of `train`, where there is none) its position in the file; None: the same.
        inputs: Shape (rows of `test`, or of `train`,): which input each row has, where several rows may have the same
            one with other answers; an input is tested once, at its first row. None: all rows are tested.
    """

    task: Task
    train: Dataset
    test: Dataset | None
    unlabelled: Dataset | None
    groups: NDArray[np.int64]
    test_groups: NDArray[np.int64] | None = None
    leaked: Sequence[int] = ()
    given: tuple[Given, ...] = ()
    file_rows: Sequence[int] | None = None
    inputs: NDArray[np.int64] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Return what a study's folder is recognised by."""
        parts = [self.train.fingerprint, self.test.fingerprint if self.test else "-", *self.task.labels]
        parts += [f"{label}={words}" for label, words in sorted(self.task.descriptions.items())]
        parts += [f"instruction={self.task.instruction}"] if self.task.instruction else []
        return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def tested(self) -> Dataset:
        """Return the rows that may be tested: the given test, or the data itself."""
        return self.test or self.train

    def testable(self, most: int | None, seed: int) -> NDArray[np.int64] | None:
        """Return the positions in `tested` that are tested, ascending; None: all.

        Args:
            most: At most so many, drawn at random.
            seed: Decides which.
        """
        rows = np.arange(len(self.tested)) if self.inputs is None else np.unique(self.inputs, return_index=True)[1]
        if most is not None and most < len(rows):
            rows = np.random.default_rng(seed).permutation(rows)[:most]
        return None if len(rows) == len(self.tested) else np.sort(rows)


@dataclass
class Result:
    """What a study came to.

    Attributes:
        verdict: What is said.
        findings: What the checks of the runs say.
        skipped: What was left out, with the reason.
        notes: What the planner decided, and why.
        timeline: Every run's cost, in the order of execution.
        precision: The number format that was settled on.
        device: Where the network ran.
    """

    verdict: Verdict
    findings: tuple[Check, ...]
    skipped: list[Skipped]
    notes: list[str]
    timeline: list[dict[str, Any]]
    precision: str
    device: str


@dataclass(frozen=True)
class HandedOver:
    """The predictor of the pick.

    Attributes:
        method: With its options.
        state: To restore it from.
        n_labels: Number of labels it saw.
        note: Why it did not see all of them, or None.
    """

    method: Method
    state: State
    n_labels: int
    note: str | None = None


def _distinct(skipped: Sequence[Skipped]) -> list[Skipped]:
    """Return each thing that was left out once, however many draws of it were."""
    return list({(item.candidate, item.n_labels): item for item in reversed(skipped)}.values())[::-1]


def _reasons(skipped: Sequence[Skipped]) -> str:
    """Return why things were left out, in one line: what several share once."""
    whose: dict[str, list[str]] = {}
    for item in skipped:
        names = whose.setdefault(item.reason.rstrip("."), [])
        names += [item.candidate] if item.candidate not in names else []
    return " ".join(f"{', '.join(names)}: {reason}." for reason, names in whose.items()) or "There was nothing to run."


def _metric(data: StudyData, options: StudyOptions) -> Metric:
    """Return the primary metric: the one that was named, or the usual one for such answers."""
    if options.metric is None:
        return metrics.default_metric(data.task, data.train.targets or ())
    named = metrics.deciding(options.metric)
    if data.task.kind not in named.task_kinds:
        listed = ", ".join(metrics.names(data.task.kind))
        raise OptionError(f"{named.name} does not judge the task '{data.task.kind}'. It has: {listed}.")
    return named


@dataclass
class _Planned:
    contender: Contender
    specs: list[RunSpec] = field(default_factory=list)


def _whole_run(planned: _Planned, n_train: int) -> RunSpec:
    """Return the first run on all rows."""
    return next(spec for spec in planned.specs if spec.n_labels == n_train)


class Study:
    """Plans, executes and concludes.

    Args:
        data: What to work on.
        options: What to compare and how.
        folder: Where everything is written.
        clock: The budget, running since the command was given.
        watch: Shown what is going on.
        worker: Makes what carries out the runs, from the setting and the file for its log.
        prior: What is usually reached on other data; of texts the one that comes with the package unless given.

    Raises:
        NshotError: Nothing can be compared; the text says why.
    """

    def __init__(
        self,
        data: StudyData,
        options: StudyOptions,
        folder: StudyFolder,
        clock: Clock,
        watch: Watch,
        worker: Callable[[Setting, Path], Asked] = WorkerProcess,
        prior: Prior | None = None,
    ) -> None:
        self.data = data
        self.options = options
        self._folder = folder
        # What is usual was measured on texts, and says nothing of rows or images.
        self._prior = prior or (shipped() if data.train.modality == "text" else None)
        self._whole_clock = clock
        self._clock = clock if options.hold_out_labels is None else clock.part(SHARE_OF_COMPARISON)
        self._watch = watch
        self.metric = _metric(data, options).on_scale_of(data.train.labelled_targets())
        self.task = replace(data.task, metric=self.metric.name)
        if options.price_per_mistake is not None and data.task.kind != TaskKind.CLASSIFY:
            raise OptionError(
                f"--price-per-mistake needs one label per row; the task here is '{data.task.kind}', and nothing says "
                "which answers are wrong as a whole. Leave it out."
            )
        backbones = opened(options, data.train.modality, folder.answers)
        is_slow = data.task.kind == TaskKind.GENERATE or any(backbone.ref.is_remote for backbone in backbones)
        trainable = np.setdiff1d(np.arange(len(data.train)), np.asarray(data.leaked, dtype=np.int64))
        self._counts = counts(
            data.task, data.train.labelled_targets(), data.train.name, only_normal=options.pool == "normal"
        )
        self.design: Design = design(
            self._counts.strata,
            data.groups,
            seed=options.seed,
            trainable=trainable,
            testable=data.testable(options.test_rows or (WRITTEN_TEST_ROWS if is_slow else None), options.seed),
            n_given_test=len(data.test) if data.test else None,
            repeats=options.repeats,
            sizes=options.sizes,
            per_class=options.per_class,
            counted=self._counts.counted,
        )
        self._new_labels = None
        if options.hold_out_labels is not None:
            if not data.task.labels:
                raise OptionError(f"--hold-out-labels needs labels, and the task '{data.task.kind}' has none.")
            tested, groups = data.tested, data.test_groups if data.test else data.groups
            self._new_labels = NewLabels(
                data.task,
                self.design,
                data.train.labelled_targets(),
                tested.labelled_targets(),
                data.groups if groups is None else groups,
                share=options.hold_out_labels,
                seed=options.seed,
            )
        self._contenders, self._refused = contenders(data.task, data.train.modality, backbones, options)
        used = {item.candidate.backbone.id for item in self._contenders if item.candidate.backbone}
        self.backbones = tuple(backbone.ref for backbone in backbones if backbone.ref.id in used)
        self.threads = options.threads or available_threads()
        self._setting = Setting(
            task=self.task,
            train=data.train,
            test=data.test,
            unlabelled=data.unlabelled,
            draws={(draw.repeat, draw.fold): draw for draw in self.design.draws},
            pool=self._counts.pool,
            backbones=self.backbones,
            metric=self.metric.name,
            metrics=tuple(dict.fromkeys((self.metric.name, *metrics.names(data.task.kind)))),
            cache=FeatureCache().folder,
            precision=options.precision,
            device=options.device,
            threads=self.threads,
            predictions=folder.predictions,
            models=folder.kept,
            remote=options.access(folder.answers),
        )
        self._worker = worker(self._setting, folder.log)
        self._executed: list[RunSpec] = []
        self._answered_by: Callable[[str], dict[str, NDArray[Any]]] = lambda _: {}
        self._holds_refit: Callable[[Contender], bool] = lambda contender: True

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Return the names of all metrics that are recorded, the primary one first."""
        return self._setting.metrics

    # ---------------------------------------------------------------------------------------- plan

    def _division(self, repeat: int, fold: int) -> str:
        """Return the hash of the data as one draw divides it."""
        draw = self.design.draw(repeat, fold)
        digest = hashlib.blake2b(digest_size=8)
        for part in (self.data.fingerprint, self.metric.name):
            digest.update(part.encode())
        digest.update(draw.order.tobytes())
        digest.update(draw.test.tobytes())
        digest.update(draw.rest.tobytes())
        return digest.hexdigest()

    def every_run(self, precision: str) -> list[RunSpec]:
        """Return all runs that unlimited time could hold, for this number format of the network."""
        return [spec for planned in self._plans(precision) for spec in planned.specs]

    @cached_property
    def _divisions(self) -> dict[tuple[int, int], str]:
        return {(draw.repeat, draw.fold): self._division(draw.repeat, draw.fold) for draw in self.design.draws}

    def _plans(self, precision: str) -> list[_Planned]:
        data = self._divisions
        return [
            _Planned(item, runs_of(item, self.design, seed=self.options.seed, data=data, precision=precision))
            for item in self._contenders
        ]

    def _prepare(self) -> Prepared:
        self._watch.say("Starting")

        def show(done: int, total: int, doing: str) -> None:
            share = f" {done:,} of {total:,} examples" if total else ""
            self._progress(f"{doing}{share}" or "starting")

        prepared: Prepared = self._worker.ask(Prepare(), seconds=None, progress=show)
        return prepared

    def _progress(self, doing: str) -> None:
        self._watch.progress(doing, self._clock.spent, self._clock.budget_seconds if self._clock.limited else 0.0)

    def preview(self) -> list[dict[str, Any]]:
        """Return what would be run, with the time that each run is expected to take; runs nothing but a measurement.

        Returns:
            One record per candidate and n: ``candidate``, ``n_labels``, ``runs``, and ``seconds`` of one run or None.
        """
        try:
            prepared = self._prepare()
            execution = self._execution(Ledger(self._folder.ledger))
            records = []
            for planned in self._plans(prepared.precision):
                if not planned.contender.cheap:
                    execution.time_training(planned.contender, _whole_run(planned, self.design.n_train))
                for n in planned.contender.sizes(self.design.ladder):
                    runs = sum(spec.n_labels == n for spec in planned.specs)
                    seconds = None if planned.contender.cheap else execution.expected_seconds(planned.contender, n)
                    records.append(
                        {"candidate": planned.contender.name, "n_labels": n, "runs": runs, "seconds": seconds}
                    )
            return records
        finally:
            self._worker.end()

    # ---------------------------------------------------------------------------------------- run

    def _execution(self, ledger: Ledger) -> Execution:
        return Execution(
            self._worker, ledger, self.design, self._clock, self._watch, keep_whole=self.design.kind == "given"
        )

    def run(self, only: Sequence[str] | None = None) -> Result:
        """Execute the plan as far as the budget goes, and conclude.

        Args:
            only: Keys of the runs to execute: a replay. None: plan by the clock.

        Raises:
            NshotError: Not one run completed.
        """
        ledger = Ledger(self._folder.ledger)
        prepared = self._prepare()
        plans = self._plans(prepared.precision)
        execution = self._execution(ledger)
        if only is None:
            cheap = [(planned.contender, planned.specs) for planned in plans if planned.contender.cheap]
            trained = [(planned.contender, planned.specs) for planned in plans if not planned.contender.cheap]
            execution.cheap(cheap, others_wait=bool(trained))
            latest = cache(lambda runs: self._evidence(ledger, execution.outcome.executed))
            judge = EvidenceJudge(
                lambda: latest(len(execution.outcome.executed)), self.metric, self.options, n_racing=len(trained)
            )
            execution.trained(trained, judge)
        else:
            known = {spec.key: spec for spec in self.every_run(prepared.precision)}
            late = [spec.key for job in self._late_jobs(prepared.precision) for spec in job.specs.values()]
            missing = set(only) - set(known) - set(late)
            if missing:
                raise OptionError(
                    f"{len(missing)} of the {len(only)} recorded runs cannot be replayed: the data, a method, a model "
                    "or the precision of this machine is not what was recorded."
                )
            execution.replay(known[key] for key in only if key in known)
        outcome = execution.outcome
        if not outcome.executed:
            raise NshotError(f"No run completed. {_reasons(outcome.skipped)}")
        self._executed, self._holds_refit = outcome.executed, execution.holds_refit
        evidence = self._evidence(ledger, outcome.executed)
        self._answered_by = partial(held_answers, evidence)
        if not evidence.measured_today():
            raise NshotError(
                f"No candidate was measured with all {self.design.n_train:,} labels, so there is nothing to pick from. "
                f"{_reasons(outcome.skipped)} What was run is kept; the same command with more time (--budget) goes on."
            )
        verdict = conclude(evidence, self.task, self.options, self.metric, self._prior)
        if any(ref.is_remote for ref in self.backbones):
            verdict.details["remote"] = self._worker.ask(Spending(), seconds=None)
        result = Result(
            verdict=verdict,
            findings=findings(
                evidence,
                verdict,
                self.data,
                self.metric,
                ledger=ledger,
                opened=Opened(self.backbones, prepared.precision),
            ),
            skipped=[*self._refused, *_distinct(outcome.skipped)],
            notes=[*outcome.notes, *self._unanswered(evidence)],
            timeline=self._timeline(ledger, outcome),
            precision=prepared.precision,
            device=prepared.device,
        )
        if self._new_labels is None:
            return result
        return self._with_new_labels(self._new_labels, result, execution, evidence, only)

    def _unanswered(self, evidence: Evidence) -> list[str]:
        """Return who could not take in some of the inputs."""
        notes = []
        for name in evidence.entrants:
            most = max((run.settings.get("unanswered", 0) for run in evidence.completed(name)), default=0)
            if most:
                notes.append(f"{name}: {most:,} of the test inputs are too long for it and count as empty answers.")
        return notes

    def _late_jobs(self, precision: str) -> list[Job]:
        if self._new_labels is None:
            return []
        return self._new_labels.jobs(self._contenders, self._divisions, precision)

    def _with_new_labels(
        self, plan: NewLabels, result: Result, execution: Execution, evidence: Evidence, only: Sequence[str] | None
    ) -> Result:
        """Return the result with what happens when labels arrive later, measured in what is left of the budget."""
        pick = next((item for item in self._contenders if item.name == result.verdict.pick), None)
        # Whether the pick can be fitted on every row is settled now: afterwards the time is gone.
        holds = {item.name: execution.holds_refit(item) for item in self._contenders}
        self._holds_refit = lambda contender: holds[contender.name]
        refits = pick is not None and self.design.kind != "given" and not pick.cheap and holds[pick.name]
        refit_seconds = execution.expected_seconds(pick, self.design.n_rows) if pick and refits else None
        ledger = Ledger(self._folder.new_labels)
        rehearsal = Rehearsal(
            plan, evidence, self._worker, ledger, self._whole_clock, self._watch, kept_back=refit_seconds or 0.0
        )
        jobs = self._late_jobs(result.precision)
        if only is None:
            rehearsal.run(jobs)
        else:
            rehearsal.replay(jobs, only)
        ways = measured(plan, evidence, ledger, rehearsal.completed)
        found = new_labels_record.record(plan, ways, from_the_start(plan, evidence, ways))
        outcome = rehearsal.outcome
        return replace(
            result,
            verdict=replace(result.verdict, record={**result.verdict.record, "new_labels": found}),
            skipped=[*result.skipped, *_distinct(outcome.skipped)],
            notes=[*result.notes, *outcome.notes],
            timeline=[*result.timeline, *self._timeline(ledger, outcome)],
        )

    def _timeline(self, ledger: Ledger, outcome: Outcome) -> list[dict[str, Any]]:
        records = []
        for spec in outcome.executed:
            run = ledger.get(spec.key)
            cost = run.cost if run else None
            records.append(
                {
                    "candidate": spec.candidate.name,
                    "n_labels": spec.n_labels,
                    "repeat": spec.repeat,
                    "fold": spec.fold,
                    "key": spec.key,
                    "seconds": round(cost.fit_seconds + cost.predict_seconds, 4) if cost else None,
                }
            )
        return records

    def _evidence(self, ledger: Ledger, executed: Sequence[RunSpec]) -> Evidence:
        by_name: dict[str, list[RunSpec]] = {}
        for spec in executed:
            by_name.setdefault(spec.candidate.name, []).append(spec)
        entrants = [
            Entrant(given.name, "given", Family.BASELINE, backbone=None, options={}, specs=())
            for given in self.data.given
        ]
        entrants += [
            Entrant(
                name=item.name,
                method=item.candidate.method,
                family=item.candidate.family,
                backbone=item.candidate.backbone.name if item.candidate.backbone else None,
                options=item.candidate.options,
                specs=tuple(by_name.get(item.name, ())),
            )
            for item in self._contenders
        ]
        runs: dict[str, Run] = {run.key: run for run in ledger}
        groups = self.data.groups if self.data.test_groups is None else self.data.test_groups
        answers = {given.name: self._answered(given) for given in self.data.given}
        return Evidence(self._folder.path, self.design, entrants=entrants, runs=runs, groups=groups, answers=answers)

    def _answered(self, given: Given) -> Mapping[str, Any]:
        """Return per-example statistics of a present system's answers, by metric, for all rows that may be tested."""
        targets = self.data.tested.labelled_targets()
        found = {}
        for name in self._setting.metrics:
            metric = metrics.get(name)
            if metric.unavailable(given.prediction) is None:
                found[f"metric.{name}"] = metric.statistics(targets, given.prediction, self.data.task)
        return found

    # ---------------------------------------------------------------------------------------- the model

    def hand_over(self, pick: str) -> HandedOver:
        """Return the predictor to ship: a fit on every row if the budget holds one, else the run that was measured.

        With a given test it is always the run that was measured: all rows were trained on already.
        """
        item = next(item for item in self._contenders if item.name == pick)
        candidate = item.candidate
        own = [spec for spec in self._executed if spec.candidate == candidate]
        # The first draw's, unless that failed, such as where all rows of it are equal.
        measured = max(own, key=lambda spec: (spec.repeat == spec.fold == 0, spec.n_labels))
        kept = self._folder.kept / measured.key
        if self.design.kind == "given" or (kept.is_dir() and not self._holds_refit(item)):
            if not kept.is_dir():
                self._ask(fit_request(measured, keep=True))
            return HandedOver(item.method, kept_state(kept), measured.n_labels, self._not_refitted(measured.n_labels))
        key = "all-" + hashlib.blake2b(f"{self.data.fingerprint}{candidate.name}".encode(), digest_size=8).hexdigest()
        seed = self.options.seed * 10_000
        labelled, pool = self._counts.everything(len(self.data.train), with_labels=not item.needs_no_labels)
        self._ask(FinalFit(key, candidate.method, candidate.options, candidate.backbone, seed, labelled, pool))
        n_labels = 0 if item.needs_no_labels else self.design.n_rows
        return HandedOver(item.method, kept_state(self._folder.kept / key), n_labels)

    def answered(self, pick: str) -> dict[str, NDArray[Any]]:
        """Return what the pick answered to held-out rows, as in `held_answers`; nothing before a run."""
        return self._answered_by(pick)

    def _not_refitted(self, n_labels: int) -> str | None:
        if self.design.kind == "given":
            return None
        return (
            f"The saved model is the one that was measured with {n_labels:,} of the {self.design.n_rows:,} "
            f"{unit(self.task).many}; the budget held no fit on all of them. With a larger one (--budget), the same "
            "command makes it."
        )

    def _ask(self, request: Fit | FinalFit) -> Fitted:
        def show(done: int, total: int, doing: str) -> None:
            self._progress("fitting the model to hand over")

        fitted: Fitted = self._worker.ask(request, seconds=None, progress=show)
        return fitted

    def close(self) -> None:
        """End the worker."""
        self._worker.end()
