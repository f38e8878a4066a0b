"""Runs a plan into the ledger, within the budget: the clock decides which runs happen, never what a run does."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Protocol

from nshot.core import NshotError, OutOfMemoryError, Run, RunStatus
from nshot.evaluation.curves import FEWEST_POINTS
from nshot.evaluation.protocol import Design
from nshot.study.ledger import Ledger
from nshot.study.plan import Contender, Skipped
from nshot.study.process import OutOfTimeError
from nshot.study.racing import RISK, Judge
from nshot.study.spec import RunSpec
from nshot.study.timing import Duration, Timing, duration_of, work_of
from nshot.study.watch import Watch
from nshot.study.worker import Fit, Fitted, WouldTakeLongerError

_REPORTING_SECONDS = 4.0
"""Kept back for the verdict, the report and the model."""
_GRACE = 1.08
"""A run in flight may exceed the budget by this factor before it is ended."""
_SHARE_OF_CHEAP_REPEATS = 0.5
"""Further repeats of the cheap candidates may take this share of the budget while trained ones wait."""

_SHARE_OF_ONE_RUN = 0.5
"""A first run that promises little and would take more of what is left waits until the leaders were repeated."""
_LITTLE = 0.01
"""An improvement that is expected to be smaller is little, as a share of the metric's range."""
_SHARE_OF_REFIT = 0.25
"""Time to fit the pick once more on every row is kept back if it takes at most this share of the budget."""
_ROUNDS_BEFORE_CURVES = 3
"""Draws at all rows that a contender has before the smaller sizes of its curve are run."""
_DRAWS_OF_A_CURVE = 2
"""Draws that every candidate has at the smaller sizes of a hold-out: two of them show how much draws differ."""
_SHORTEST_TRY = 3.0
"""Seconds that must be left for a run of which nobody knows how long it takes."""


class Asked(Protocol):
    """Carries out requests: the worker process, or whatever stands in for it."""

    def ask(
        self, request: Any, *, seconds: float | None, progress: Callable[[int, int, str], None] | None = None
    ) -> Any:
        """Carry out a request of `nshot.study.worker` and return its answer; see `WorkerProcess.ask`."""

    def end(self) -> None:
        """Stop whatever is going on."""


class Clock:
    """How much of the budget is left.

    Args:
        budget_seconds: How long the study may take; infinite for a replay.
        now: Tells the time in seconds.
    """

    def __init__(self, budget_seconds: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self.budget_seconds = budget_seconds
        self._now = now
        self._started = now()

    def part(self, share: float) -> Clock:
        """Return a clock of the same start, with this share of the budget."""
        clock = Clock(self.budget_seconds * share, self._now)
        clock._started = self._started
        return clock

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return math.isfinite(self.budget_seconds)

    @property
    def spent(self) -> float:
        """Return the seconds since the start."""
        return self._now() - self._started

    def left(self, kept_back: float = 0.0) -> float:
        """Return the seconds left for runs."""
        return self.budget_seconds - _REPORTING_SECONDS - kept_back - self.spent

    @property
    def last_moment(self) -> float | None:
        """Return the seconds after which a run in flight is ended; None: never."""
        return self.budget_seconds * _GRACE - self.spent if self.limited else None


@dataclass
class Outcome:
    """What execution leaves besides the ledger.

    Attributes:
        executed: The specs whose runs are in the ledger, in the order of the plan.
        skipped: What was left out, with the reason.
        notes: What was decided on the way and why.
    """

    executed: list[RunSpec] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Execution:
    """Executes the runs of a study.

    Args:
        worker: Fits.
        ledger: Takes the runs; those it has already are not run again.
        design: How the data is divided.
        clock: The budget.
        watch: Shown what is going on.
        keep_whole: Keep the predictors fitted on all rows: one of them may be what is handed over.
    """

    def __init__(
        self,
        worker: Asked,
        ledger: Ledger,
        design: Design,
        clock: Clock,
        watch: Watch,
        *,
        keep_whole: bool,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._design = design
        self._clock = clock
        self._watch = watch
        self._keep_whole = keep_whole
        self._seconds: dict[tuple[str, int], float] = {}
        self._timing = Timing()
        self._measured: list[Contender] = []
        self._left_out: dict[tuple[str, int], float | None] = {}
        self.outcome = Outcome()

    # ---------------------------------------------------------------------------------------- one run

    def _run(self, spec: RunSpec, *, trains: Contender | None = None) -> None:
        """Execute one run, whatever comes of it; a run that is in the ledger is left as it is.

        Args:
            spec: What to run.
            trains: The candidate, where it trains a network: it may then be given up on the way.
        """
        known = self._ledger.get(spec.key)
        if known is not None and self._is_known(spec):
            self._completed(spec, known, trains)
            return
        moment = self._clock.last_moment
        if moment is not None and moment <= 0:
            self._skip(spec, "the time was over; a larger --budget holds it")
            return
        self._show(spec)
        whole = spec.n_labels in (0, self._design.n_train) and spec.repeat == 0 and spec.fold == 0
        within = self._clock.left() if trains else math.inf
        request = fit_request(
            spec, keep=whole and (self._keep_whole or trains is not None), latency=whole, within=within
        )
        started = self._clock.spent
        try:
            ending = ended(
                lambda: self._worker.ask(
                    request,
                    seconds=self._clock.last_moment,
                    progress=lambda done, total, doing: self._show(spec, done, total, doing),
                )
            )
        except WouldTakeLongerError as error:
            if trains:
                self._timing.remember(trains, spec.n_labels, Duration(error.before, error.training))
                self._left_out[spec.candidate.name, spec.n_labels] = error.before + error.training
            return
        except OutOfTimeError as error:
            self._skip(spec, str(error))
            return
        fitted: Fitted | None = ending.answer
        run = as_run(spec, ending, fitted, self._clock.spent - started, fitted.settings if fitted else {})
        self._ledger.append(run)
        if run.status == RunStatus.COMPLETE:
            self._completed(spec, run, trains)
        else:
            self._skip(spec, run.reason or "")

    def _completed(self, spec: RunSpec, run: Run, trains: Contender | None) -> None:
        self._seconds[spec.candidate.name, spec.n_labels] = run.seconds
        if trains:
            self._timing.remember(trains, spec.n_labels, duration_of(run))
            if spec.n_labels == self._design.n_train and trains not in self._measured:
                self._measured.append(trains)
        self._left_out.pop((spec.candidate.name, spec.n_labels), None)
        self.outcome.executed.append(spec)

    def _skip(self, spec: RunSpec, reason: str) -> None:
        self.outcome.skipped.append(Skipped(spec.candidate.name, spec.n_labels, reason))

    def _show(self, spec: RunSpec, done: int = 0, total: int = 0, doing: str = "") -> None:
        share = f" {done / total:.0%}" if total else ""
        budget = self._clock.budget_seconds if self._clock.limited else 0.0
        self._watch.progress(f"{spec.candidate.name}, n = {spec.n_labels:,}{share}", self._clock.spent, budget)

    # ---------------------------------------------------------------------------------------- many runs

    def replay(self, specs: Iterable[RunSpec]) -> None:
        """Execute exactly these runs, in this order."""
        for spec in specs:
            self._run(spec)

    def cheap(self, plans: Sequence[tuple[Contender, list[RunSpec]]], *, others_wait: bool) -> None:
        """Execute the runs of candidates that train no network.

        The first repeat always runs without labels and on all rows: today's question is asked there. The sizes between
        follow, each in all folds or none, while there is time: what writes with a language model, or learns from
        a large table, trains no network and may still fill the budget. Further repeats run while they keep to their
        share of it.
        """
        first = [spec for _, specs in plans for spec in specs if spec.repeat == 0]
        further = [spec for _, specs in plans for spec in specs if spec.repeat > 0]
        ends = (0, self._design.n_train)
        for spec in sorted(first, key=lambda spec: (spec.n_labels, spec.fold)):
            if spec.n_labels in ends:
                self._run(spec)
        between: dict[tuple[int, str], list[RunSpec]] = {}
        for spec in first:
            if spec.n_labels not in ends:
                between.setdefault((spec.n_labels, spec.candidate.name), []).append(spec)
        for (n, name), folds in sorted(between.items()):
            new = sum(not self._is_known(spec) for spec in folds)
            expected = new * self._longest_so_far(name)
            if expected and self._clock.left() < expected:
                self._left_out[name, n] = expected
                continue
            for spec in folds:
                self._run(spec)
        share = _SHARE_OF_CHEAP_REPEATS if others_wait else 1.0
        stopped_at: int | None = None
        # Whole repeats of all candidates at once: intervals and pairings use complete blocks only.
        for repeat in sorted({spec.repeat for spec in further}):
            specs = [spec for spec in further if spec.repeat == repeat]
            expected = sum(self._seconds.get((spec.candidate.name, spec.n_labels), 0.0) for spec in specs)
            is_over = self._clock.spent + expected > share * self._clock.budget_seconds
            if is_over and not all(map(self._is_known, specs)):
                stopped_at = repeat
                break
            for spec in sorted(specs, key=lambda spec: (spec.fold, spec.n_labels)):
                self._run(spec)
        if stopped_at is not None:
            self._note(
                f"The candidates on frozen features were repeated {stopped_at} of {self._design.repeats} times; "
                "the budget holds no more."
            )

    def _longest_so_far(self, candidate: str) -> float:
        """Return the longest that a run of a candidate took, in seconds."""
        return max((seconds for (name, _), seconds in self._seconds.items() if name == candidate), default=0.0)

    def trained(self, plans: Sequence[tuple[Contender, list[RunSpec]]], judge: Judge) -> None:
        """Execute the runs of candidates that train a network, as far as time allows, where the verdict is open.

        All rows first, because today's question is asked there: every candidate once, in the order of what it promises
        for its time; then the contenders are repeated until they are settled. Smaller sizes, which tell what more
        labels are worth, come once the contenders were repeated a few times; where all rows take too long, the largest
        size that fits comes first: that is the nearest there is to an answer.
        """
        whole = self._design.n_train
        race = _Race({contender.name: (contender, list(specs)) for contender, specs in plans}, whole)
        for contender in race.contenders:  # what an earlier call of the same study did counts, and costs nothing
            for spec in race.take_all(contender, self._is_known):
                self._run(spec, trains=contender)
        waiting = self._first_runs(race, judge)
        self._repeated(race, judge, rounds=_ROUNDS_BEFORE_CURVES)
        for contender in waiting:
            self._try(contender, race.take(contender, whole, draws=1))
        self._repeated(race, judge, rounds=_ROUNDS_BEFORE_CURVES)
        unmeasured = [contender for contender in race.contenders if contender not in self._measured]
        measured = judge.in_order(self._measured)
        queues = [(contender, race.take_smaller(contender, draws=1)) for contender in [*measured, *unmeasured]]
        if measured:  # what more labels are worth is read from the leader's curve, which takes three points
            leader, specs = queues[0]
            self._try(leader, specs[: FEWEST_POINTS - 1])
            queues[0] = leader, specs[FEWEST_POINTS - 1 :]
        self._in_turns(queues)
        self._repeated(race, judge, rounds=self._design.repeats * self._design.folds)
        settled = self._design.folds > 1
        for contender in judge.in_order(self._measured):
            if not (settled and contender.name in race.stopped):
                self._try(contender, race.take_smaller(contender, draws=_DRAWS_OF_A_CURVE))
        for contender in judge.in_order(self._measured):
            if contender.name not in race.stopped:
                self._try(contender, race.take_smaller(contender, draws=self._design.repeats * self._design.folds))
        if race.stopped:
            self._note(f"What is as good as the best is said to be behind in at most {RISK:.0%} of comparisons.")
        self._list_left_out()

    def _first_runs(self, race: _Race, judge: Judge) -> list[Contender]:
        """Run every candidate once on all rows; return those that wait, which promise little for most of the time."""
        whole = self._design.n_train
        left = [contender for contender in race.contenders if not race.done(contender, whole)]
        waiting: list[Contender] = []
        while left:
            costs = {contender.name: self._relative_seconds(contender) for contender in left}
            promises = {contender.name: judge.promise(contender) for contender in left}
            contender = max(left, key=lambda who: (promises[who.name] / costs[who.name], who.name))
            left.remove(contender)
            is_long = (self.expected_seconds(contender, whole) or 0.0) > _SHARE_OF_ONE_RUN * self._clock.left()
            if self._measured and is_long and promises[contender.name] < _LITTLE:
                waiting.append(contender)
                continue
            self._try(contender, race.take(contender, whole, draws=1))
        if len(self._measured) > 1:
            names = ", ".join(contender.name for contender in self._measured)
            self._note(f"Run first, in the order of what each promised for its time: {names}.")
        if waiting:
            names = ", ".join(contender.name for contender in waiting)
            self._note(f"{names}: little to expect for most of the time that was left, so the others came first.")
        return waiting

    def _note(self, text: str) -> None:
        self.outcome.notes.append(text)

    def _relative_seconds(self, contender: Contender) -> float:
        """Return how long a run on all rows takes beside those of the others."""
        whole = self._design.n_train
        expected = self.expected_seconds(contender, whole)
        return max(1e-3, expected if expected is not None else work_of(contender, whole))

    def _repeated(self, race: _Race, judge: Judge, *, rounds: int) -> None:
        """Repeat the contenders at all rows, round by round, until they are settled or have had so many draws."""
        whole = self._design.n_train
        for _ in range(rounds):
            for contender in judge.in_order(self._measured):
                done = race.done(contender, whole)
                if done >= rounds or contender.name in race.stopped or not race.has_more(contender, whole):
                    continue
                reason = judge.reason_to_stop(contender, self._affordable(contender))
                if reason is not None:
                    race.stopped.add(contender.name)
                    self._note(f"{contender.name}: {reason}")
                    continue
                self._try(contender, race.take(contender, whole, draws=1))

    def _in_turns(self, queues: Sequence[tuple[Contender, list[RunSpec]]]) -> None:
        """Try one run of each candidate after the other."""
        for round_of_runs in zip_longest(*([(who, spec) for spec in specs] for who, specs in queues)):
            for item in round_of_runs:
                if item is not None:
                    self._try(item[0], [item[1]])

    def _is_known(self, spec: RunSpec) -> bool:
        known = self._ledger.get(spec.key)
        return known is not None and known.status == RunStatus.COMPLETE

    def _try(self, contender: Contender, specs: Sequence[RunSpec]) -> None:
        """Execute those of the runs that fit; what does not is noted with the seconds that it would take."""
        for spec in specs:
            expected = self.expected_seconds(contender, spec.n_labels)
            left = self._clock.left(self._kept_back())
            if left >= (_SHORTEST_TRY if expected is None else expected):
                self._run(spec, trains=contender)
            elif spec.repeat == 0 and spec.fold == 0:
                self._left_out[spec.candidate.name, spec.n_labels] = expected

    def _affordable(self, contender: Contender) -> float:
        """Return how many more fits on all rows the budget holds; a hold-out has only one."""
        if self._design.folds == 1:
            return 0.0
        expected = self.expected_seconds(contender, self._design.n_train)
        return self._clock.left(self._kept_back()) / max(0.01, expected or 0.0)

    def _kept_back(self) -> float:
        """Return the seconds to keep for fitting the pick once more on every row there is.

        Any candidate that was fitted on all training rows may be the pick. Where that would take much of the budget,
        the time goes to the comparison, and what was measured is handed over as it is.
        """
        if self._keep_whole:
            return 0.0  # the run on all rows is what is handed over
        refits = [self.expected_seconds(who, self._design.n_rows) or 0.0 for who in self._measured]
        longest = max(refits, default=0.0)
        return longest if longest <= _SHARE_OF_REFIT * self._clock.budget_seconds else 0.0

    def holds_refit(self, contender: Contender) -> bool:
        """Return whether the budget holds a fit on every row there is."""
        expected = self.expected_seconds(contender, self._design.n_rows)
        return contender.cheap or expected is None or expected <= self._clock.left()

    def _list_left_out(self) -> None:
        # The time for a run is counted even where another one of the same candidate was left out as well.
        needed = self._clock.spent + sum(expected or 0.0 for expected in self._left_out.values())
        needed = max(needed, self._clock.budget_seconds) + _REPORTING_SECONDS
        for (name, n), expected in self._left_out.items():
            reason = f"there was no time to find out how long it takes; --budget {_rounded(2 * needed)}"
            if expected is not None:
                reason = f"would take about {_rounded(expected)} more; --budget {_rounded(needed)} holds everything"
            self.outcome.skipped.append(Skipped(name, n, reason))

    def expected_seconds(self, contender: Contender, n_labels: int) -> float | None:
        """Return how long a run is expected to take, or None where no run was measured that tells."""
        return self._timing.expected(contender, n_labels)

    def time_training(self, contender: Contender, spec: RunSpec) -> None:
        """Find out how long a run takes by the first steps of its training."""
        self._watch.say(f"Timing {contender.name}")
        request = fit_request(spec, keep=False, within=0.0)
        started = self._clock.spent
        try:
            fitted: Fitted = self._worker.ask(request, seconds=self._clock.last_moment)
        except WouldTakeLongerError as error:
            self._timing.remember(contender, spec.n_labels, Duration(error.before, error.training))
        except NshotError:
            return  # its first run will say what is wrong
        else:
            seconds = self._clock.spent - started
            run = as_run(spec, Ending(RunStatus.COMPLETE), fitted, seconds, fitted.settings)
            self._timing.remember(contender, spec.n_labels, duration_of(run))


class _Race:
    """The runs that are still to come, by candidate, and who is not run any more."""

    def __init__(self, waiting: dict[str, tuple[Contender, list[RunSpec]]], whole: int) -> None:
        self._waiting = waiting
        self._whole = whole
        self._taken: Counter[tuple[str, int]] = Counter()
        self.stopped: set[str] = set()

    @property
    def contenders(self) -> list[Contender]:
        """Return all candidates."""
        return [contender for contender, _ in self._waiting.values()]

    def done(self, contender: Contender, n_labels: int) -> int:
        """Return how many draws were taken."""
        return self._taken[contender.name, n_labels]

    def has_more(self, contender: Contender, n_labels: int) -> bool:
        """Return whether there are draws left."""
        return any(spec.n_labels == n_labels for spec in self._waiting[contender.name][1])

    def take(self, contender: Contender, n_labels: int, *, draws: int) -> list[RunSpec]:
        """Take the next draws of one size."""
        own = self._waiting[contender.name][1]
        found = sorted((spec for spec in own if spec.n_labels == n_labels), key=lambda spec: (spec.repeat, spec.fold))
        return self._took(contender, found[:draws])

    def take_all(self, contender: Contender, wanted: Callable[[RunSpec], bool]) -> list[RunSpec]:
        """Take every run that is wanted."""
        return self._took(contender, [spec for spec in self._waiting[contender.name][1] if wanted(spec)])

    def _took(self, contender: Contender, specs: list[RunSpec]) -> list[RunSpec]:
        for spec in specs:
            self._waiting[contender.name][1].remove(spec)
            self._taken[contender.name, spec.n_labels] += 1
        return specs

    def take_smaller(self, contender: Contender, *, draws: int) -> list[RunSpec]:
        """Take draws of all sizes below all rows, the largest first, until each size has had so many."""
        sizes = {spec.n_labels for spec in self._waiting[contender.name][1] if spec.n_labels != self._whole}
        return [
            spec
            for n in sorted(sizes, reverse=True)
            for spec in self.take(contender, n, draws=max(0, draws - self.done(contender, n)))
        ]


def fit_request(spec: RunSpec, *, keep: bool, latency: bool = False, within: float = math.inf) -> Fit:
    """Return what the worker is asked for a planned run."""
    return Fit(
        key=spec.key,
        method=spec.candidate.method,
        options=spec.candidate.options,
        backbone=spec.candidate.backbone,
        n_labels=spec.n_labels,
        repeat=spec.repeat,
        fold=spec.fold,
        seed=spec.seed,
        keep=keep,
        latency=latency,
        within=within,
    )


@dataclass(frozen=True)
class Ending:
    """How a request to the worker ended, where it came to an end.

    Attributes:
        status: Complete, failed or killed.
        reason: Why it did not complete, or None.
        answer: What the worker answered, or None.
    """

    status: RunStatus
    reason: str | None = None
    answer: Any = None


def ended(ask: Callable[[], Any]) -> Ending:
    """Ask, and return how it ended: what goes wrong is a result as well.

    Raises:
        WouldTakeLongerError: It was given up, so there is no result.
        OutOfTimeError: It was ended by the clock.
    """
    try:
        return Ending(RunStatus.COMPLETE, answer=ask())
    except (WouldTakeLongerError, OutOfTimeError):
        raise
    except OutOfMemoryError as error:
        return Ending(RunStatus.KILLED, str(error))
    except NshotError as error:
        return Ending(RunStatus.FAILED, str(error))


def as_run(spec: RunSpec, ending: Ending, fitted: Fitted | None, seconds: float, settings: Mapping[str, Any]) -> Run:
    """Return the record of a run.

    Args:
        spec: What was planned.
        ending: How it ended.
        fitted: What came of it, or None.
        seconds: What it took here.
        settings: What is worth keeping of how it was fitted.
    """
    return Run(
        key=spec.key,
        candidate=spec.candidate.name,
        n_labels=spec.n_labels,
        repeat=spec.repeat,
        fold=spec.fold,
        seed=spec.seed,
        status=ending.status,
        reason=ending.reason,
        cost=fitted.cost if fitted else None,
        seconds=round(seconds, 4),
        predictions=fitted.predictions if fitted else None,
        settings=settings,
    )


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds < 100 else f"{-(-seconds // 60):.0f}m"
