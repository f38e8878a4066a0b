"""What happens when labels arrive later: every candidate is fitted without some of them, and takes them in.

It runs after the comparison itself, within the same budget, and only when it was asked for. Its runs have a ledger of
their own, so that the same command goes on from where it is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from nshot import metrics
from nshot.core import OptionError, Run, RunStatus, TakesIn, Task, TaskKind
from nshot.evaluation.new_labels import MOST_EXAMPLES, Answered, LabelDraw, label_draws
from nshot.evaluation.protocol import Design
from nshot.spec import Method
from nshot.study.evidence import Evidence
from nshot.study.execute import Asked, Clock, Outcome, as_run, ended
from nshot.study.ledger import Ledger
from nshot.study.plan import Contender, Skipped
from nshot.study.process import OutOfTimeError
from nshot.study.spec import RunSpec
from nshot.study.watch import Watch
from nshot.study.worker import Fitted, FitWithNewLabels, WouldTakeLongerError

SHARE_OF_COMPARISON = 0.7
"""What the comparison itself may take of the budget while labels are held out; what it leaves is free for them."""
_FEW = 1
"""The smaller number of examples per new label that is tried."""
_ROUNDING_UP = 1.15
"""Estimates of a run's time are raised by this much."""


@dataclass(frozen=True, order=True)
class Way:
    """One way of taking a new label in.

    Attributes:
        again: By a new fit, instead of handing the label to what was fitted without it.
        examples: Number of examples of each new label.
    """

    again: bool
    examples: int

    @property
    def needs(self) -> str:
        """Return what it needs, as the record says it."""
        if self.again:
            return TakesIn.BY_TRAINING.value
        if not self.examples:
            return TakesIn.BY_NAME.value
        return f"{self.examples} example" + ("s" if self.examples > 1 else "")


def ways_of(method: Method) -> tuple[Way, ...]:
    """Return the ways in which a method takes in a label: a new fit only where nothing less does."""
    if method.takes_in is TakesIn.BY_NAME:
        return (Way(again=False, examples=0),)
    if method.takes_in is TakesIn.BY_EXAMPLES:
        return Way(again=False, examples=_FEW), Way(again=False, examples=MOST_EXAMPLES)
    by_names = (Way(again=True, examples=0),) if method.needs.label_names else ()
    return (*by_names, Way(again=True, examples=MOST_EXAMPLES)) if method.needs.fewest_labels else by_names


@dataclass(frozen=True)
class Job:
    """What one request to the worker measures: one candidate, one draw, and ways that begin with the same fit.

    Attributes:
        contender: Whose.
        draw: Which labels arrive later.
        specs: What each way is recorded as.
        train: Positions of the rows of the labels that are there from the start.
    """

    contender: Contender
    draw: LabelDraw
    specs: Mapping[Way, RunSpec]
    train: NDArray[np.int64]

    @property
    def again(self) -> bool:
        """Whether it is a new fit."""
        return any(way.again for way in self.specs)

    def request(self, within: float) -> FitWithNewLabels:
        """Return what the worker is asked."""
        spec = next(iter(self.specs.values()))
        return FitWithNewLabels(
            keys={way.examples: own.key for way, own in self.specs.items()},
            method=spec.candidate.method,
            options=spec.candidate.options,
            backbone=spec.candidate.backbone,
            repeat=self.draw.repeat,
            fold=self.draw.fold,
            seed=spec.seed,
            train=self.train,
            examples=self.draw.examples,
            again=self.again,
            within=within,
        )


class NewLabels:
    """The plan: which labels are held out, and what is run for each candidate.

    Args:
        task: What is asked.
        design: How the study divides its rows.
        targets: Label of each row that is trained on.
        tested: Label of each row that the design's test positions refer to.
        groups: Shape (rows that may be tested,): which rows belong together.
        share: Share of the labels that are held out.
        seed: The study's.

    Raises:
        OptionError: The task has no labels of this kind, or too few.
    """

    def __init__(
        self,
        task: Task,
        design: Design,
        targets: Sequence[str],
        tested: Sequence[str],
        groups: NDArray[np.int64],
        *,
        share: float,
        seed: int,
    ) -> None:
        if task.kind != TaskKind.CLASSIFY:
            raise OptionError(
                f"--hold-out-labels needs rows with one label each; the task here is '{task.kind}'. "
                "Leave the option out."
            )
        self.share = share
        self.design = design
        self.draws = label_draws(design, targets, tested, share=share, seed=seed)
        self.targets = np.asarray(targets, dtype=object).astype(str)
        self._tested = np.asarray(tested, dtype=object).astype(str)
        self._groups = groups
        self._seed = seed

    @property
    def overlap(self) -> float:
        """Return how far the fits of different draws overlap; see `nshot.evaluation.new_labels`."""
        if self.design.folds == 1:
            return 0.0
        return self.design.n_test / self.design.folds / self.design.n_train

    def jobs(
        self, contenders: Iterable[Contender], division: Mapping[tuple[int, int], str], precision: str
    ) -> list[Job]:
        """Return everything there is to run, draw by draw; a candidate that trains a network has the first draw only.

        Args:
            contenders: The candidates.
            division: Hash of the data as each (repeat, fold) divides it.
            precision: Number format of the network.
        """
        found = []
        for draw in self.draws:
            for contender in contenders:
                if not contender.cheap and draw.number > 0:
                    continue
                # Ways that hand labels over share the fit without them; every new fit is a job of its own.
                for _, ways in groupby(ways_of(contender.method), lambda way: way if way.again else None):
                    own = division[draw.repeat, draw.fold]
                    found.append(self._job(contender, draw, tuple(ways), own, precision))
        return found

    def _job(self, contender: Contender, draw: LabelDraw, ways: Sequence[Way], division: str, precision: str) -> Job:
        learns = contender.method.needs.fewest_labels > 0
        train = draw.seen if learns else draw.seen[:0]
        specs = {}
        for way in ways:
            handed = draw.handed_over(way.examples)
            specs[way] = RunSpec(
                candidate=contender.candidate,
                n_labels=len(train) + len(handed),
                repeat=draw.repeat,
                fold=draw.fold,
                seed=self._seed * 10_000 + draw.repeat * 100 + draw.fold,
                data=_fingerprint(division, way, draw, handed),
                precision=precision if contender.candidate.backbone else None,
            )
        return Job(contender, draw, specs, train)

    def answered(self, draw: LabelDraw, right: NDArray[np.bool_]) -> Answered:
        """Return the right and wrong answers on a draw's test rows, sorted into seen and new labels.

        A label that nobody could have learnt, because no training row has it, is neither.
        """
        rows = self.design.draw(draw.repeat, draw.fold).test
        labels = self._tested[rows]
        new = np.isin(labels, draw.held_out)
        kept = new | np.isin(labels, np.unique(self.targets[draw.seen]))
        return Answered(draw.number, rows[kept], right[kept], new[kept], self._groups[rows][kept])


def _fingerprint(division: str, way: Way, draw: LabelDraw, handed: NDArray[np.int64]) -> str:
    """Return the hash of everything that decides what a way is given."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (division, way.needs, *draw.held_out):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(handed.tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------- run


class Rehearsal:
    """Executes the jobs within what is left of the budget.

    Args:
        plan: What to run on.
        evidence: The study's own runs: they tell how long a fit takes.
        worker: Fits.
        ledger: Takes the runs; those it has already are not run again.
        clock: The whole budget.
        watch: Shown what is going on.
        kept_back: Seconds to leave for the model that is handed over.
    """

    def __init__(
        self,
        plan: NewLabels,
        evidence: Evidence,
        worker: Asked,
        ledger: Ledger,
        clock: Clock,
        watch: Watch,
        *,
        kept_back: float,
    ) -> None:
        self._plan = plan
        self._evidence = evidence
        self._worker = worker
        self._ledger = ledger
        self._clock = clock
        self._watch = watch
        self._kept_back = kept_back
        self._seconds: dict[tuple[str, bool], float] = {}
        self.completed: list[Job] = []
        self.outcome = Outcome()

    def replay(self, jobs: Iterable[Job], only: Collection[str]) -> None:
        """Execute exactly the jobs that were recorded."""
        for job in jobs:
            if any(spec.key in only for spec in job.specs.values()):
                self._run(job)

    def run(self, jobs: Sequence[Job]) -> None:
        """Execute what fits: every candidate on frozen features draw by draw, then those that train, cheapest first."""
        self.outcome.notes.append(
            f"The comparison itself had {SHARE_OF_COMPARISON:.0%} of the budget; the rest, and what it left of its "
            "own, was for labels that arrive later."
        )
        compared = set(self._evidence.measured_today())
        possible = []
        for job in jobs:
            if job.contender.name in compared:
                possible.append(job)
            else:
                self._skip(job, "it was not measured with all labels, so there is nothing to hold it against")
        cheap = [job for job in possible if job.contender.cheap]
        for job in cheap:
            if job.draw.number == 0:
                self._try(job)
        self._further_draws([job for job in cheap if job.draw.number > 0])
        for job in sorted((job for job in possible if not job.contender.cheap), key=self._expected):
            self._try(job)

    def _further_draws(self, jobs: Sequence[Job]) -> None:
        """Execute whole draws of all candidates at once: ways are compared on the draws that they share."""
        for number, together in groupby(jobs, lambda job: job.draw.number):
            own = [job for job in together if not self._is_known(job)]
            if sum(map(self._expected, own)) > self._left():
                self.outcome.notes.append(
                    f"Labels were held out in {number} of {len(self._plan.draws)} random draws; the budget holds no "
                    "more."
                )
                return
            for job in (job for job in jobs if job.draw.number == number):
                self._run(job)

    def _left(self) -> float:
        return self._clock.left(self._kept_back)

    def _is_known(self, job: Job) -> bool:
        runs = [self._ledger.get(spec.key) for spec in job.specs.values()]
        return all(run is not None and run.status == RunStatus.COMPLETE for run in runs)

    def _expected(self, job: Job) -> float:
        """Return the seconds that a job is expected to take: what its like took, or the candidate's fit on all rows."""
        name = job.contender.name
        if (name, job.again) in self._seconds:
            return self._seconds[name, job.again]
        sizes = self._evidence.sizes[name]
        return _ROUNDING_UP * float(np.median([run.seconds for run in self._evidence.completed(name, sizes[-1])]))

    def _try(self, job: Job) -> None:
        """Execute a job if it fits."""
        expected = self._expected(job)
        if expected <= self._left() or self._is_known(job):
            self._run(job)
        else:
            self._left_out(job, expected)

    def _left_out(self, job: Job, expected: float) -> None:
        self._skip(job, f"would take about {expected:,.0f}s more than the budget holds; give more time (--budget)")

    def _skip(self, job: Job, reason: str) -> None:
        spec = next(iter(job.specs.values()))
        what = TakesIn.BY_TRAINING.value if job.again else "without training again"
        self.outcome.skipped.append(Skipped(spec.candidate.name, spec.n_labels, f"new labels, {what}: {reason}"))

    def _run(self, job: Job) -> None:
        """Execute a job, whatever comes of it; one that is in the ledger is left as it is."""
        if not self._is_known(job):
            self._ask(job)
        if self._is_known(job):
            runs = [self._ledger.get(spec.key) for spec in job.specs.values()]
            self._seconds[job.contender.name, job.again] = sum(run.seconds for run in runs if run)
            self.completed.append(job)
            self.outcome.executed += job.specs.values()

    def _ask(self, job: Job) -> None:
        started = self._clock.spent
        within = math.inf if job.contender.cheap or not self._clock.limited else self._left()
        try:
            ending = ended(
                lambda: self._worker.ask(
                    job.request(within),
                    seconds=self._clock.last_moment,
                    progress=lambda done, total, doing: self._show(job, done, total),
                )
            )
        except WouldTakeLongerError as error:
            self._left_out(job, error.before + error.training)
            return
        except OutOfTimeError as error:
            self._skip(job, str(error))
            return
        seconds = (self._clock.spent - started) / len(job.specs)
        fitted: Sequence[Fitted | None] = ending.answer or [None] * len(job.specs)
        for (way, spec), own in zip(job.specs.items(), fitted, strict=True):
            settings = {"needs": way.needs, "examples_per_label": way.examples, "held_out": list(job.draw.held_out)}
            self._ledger.append(as_run(spec, ending, own, seconds, settings))
        if ending.reason is not None:
            self._skip(job, ending.reason)

    def _show(self, job: Job, done: int, total: int) -> None:
        share = f" {done / total:.0%}" if total else ""
        budget = self._clock.budget_seconds if self._clock.limited else 0.0
        what = "training again" if job.again else "taking them in"
        self._watch.progress(f"new labels: {job.contender.name}, {what}{share}", self._clock.spent, budget)


# ---------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Measured:
    """What a candidate answered once it knew all labels.

    Attributes:
        candidate: Its name.
        way: How it took the new ones in; None: it had every label from the start, with all its rows.
        answers: One entry per draw.
        seconds: Median time to take all new labels of a draw in; where it had them from the start, of the fit.
    """

    candidate: str
    way: Way | None
    answers: tuple[Answered, ...]
    seconds: float


def measured(plan: NewLabels, evidence: Evidence, ledger: Ledger, jobs: Sequence[Job]) -> list[Measured]:
    """Return what the completed `jobs` answered, by candidate and way."""
    found: dict[tuple[str, Way], list[tuple[Answered, Run]]] = {}
    for job in jobs:
        for way, spec in job.specs.items():
            run = ledger.get(spec.key)
            if run is not None:
                right = evidence.arrays(run)["metric.accuracy"][:, 0] > 0
                found.setdefault((job.contender.name, way), []).append((plan.answered(job.draw, right), run))
    return [
        Measured(
            candidate=name,
            way=way,
            answers=tuple(answers for answers, _ in own),
            seconds=float(np.median([run.cost.fit_seconds for _, run in own if run.cost])),
        )
        for (name, way), own in found.items()
    ]


def from_the_start(plan: NewLabels, evidence: Evidence, ways: Sequence[Measured]) -> list[Measured]:
    """Return what the candidates of `ways` answer on the same rows in the study's own runs, fitted with all rows."""
    found = []
    for name in dict.fromkeys(way.candidate for way in ways):
        n = evidence.sizes[name][-1]
        if n == 0:
            continue  # it learns from no rows, so there is nothing to have from the start
        numbers = {own.draw for way in ways if way.candidate == name for own in way.answers}
        blocks = {(block.repeat, block.fold): block for block in evidence.blocks(name, n, metrics.get("accuracy"))}
        answers = tuple(
            plan.answered(draw, blocks[draw.repeat, draw.fold].statistics[:, 0] > 0)
            for draw in plan.draws
            if draw.number in numbers and (draw.repeat, draw.fold) in blocks
        )
        cost = evidence.cost(name, n)
        if answers and cost is not None:
            found.append(Measured(name, None, answers, cost.fit_seconds))
    return found
