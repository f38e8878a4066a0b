"""Runs a plan into the ledger, within the budget: the clock decides which runs happen, never what a run does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Protocol

from nshot.core import Cost, NshotError, OutOfMemoryError, Run, RunStatus
from nshot.evaluation.protocol import Design
from nshot.study.ledger import Ledger
from nshot.study.plan import Contender, Skipped
from nshot.study.process import OutOfTimeError
from nshot.study.spec import RunSpec
from nshot.study.watch import Watch
from nshot.study.worker import Fit, Fitted, TimeTraining

_ROUNDING_UP = 1.15
"""Estimates of a run's time are raised by this much: a run that does not end in time is lost."""
_REPORTING_SECONDS = 4.0
"""Kept back for the verdict, the report and the model."""
_GRACE = 1.08
"""A run in flight may exceed the budget by this factor before it is ended."""
_SHARE_OF_CHEAP_REPEATS = 0.5
"""Further repeats of the cheap candidates may take this share of the budget while trained ones wait."""

ReasonToStop = Callable[[Contender, float], "str | None"]
"""``(contender, share of its full number of draws that the rest of the budget can hold)`` -> a reason, or None."""


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
        self._per_example: dict[str, float] = {}
        self._trained: list[Contender] = []
        self.outcome = Outcome()

    # ---------------------------------------------------------------------------------------- one run

    def _run(self, spec: RunSpec) -> None:
        """Execute one run, whatever comes of it; a run that is in the ledger is left as it is."""
        known = self._ledger.get(spec.key)
        whole = spec.n_labels in (0, self._design.n_train) and spec.repeat == 0 and spec.fold == 0
        if known is not None and known.status == RunStatus.COMPLETE:
            self._remember(spec, known)
            self.outcome.executed.append(spec)
            return
        self._show(spec)
        request = fit_request(spec, keep=whole and self._keep_whole, latency=whole)
        status, reason, fitted = RunStatus.COMPLETE, None, None
        started = self._clock.spent
        try:
            fitted = self._worker.ask(
                request,
                seconds=self._clock.last_moment,
                progress=lambda done, total, doing: self._show(spec, done, total, doing),
            )
        except OutOfTimeError as error:
            self._skip(spec, str(error))
            return
        except OutOfMemoryError as error:
            status, reason = RunStatus.KILLED, str(error)
        except NshotError as error:
            status, reason = RunStatus.FAILED, str(error)
        run = _as_run(spec, status, reason, fitted, self._clock.spent - started)
        self._ledger.append(run)
        if run.status == RunStatus.COMPLETE:
            self._remember(spec, run)
            self.outcome.executed.append(spec)
        else:
            self._skip(spec, reason or "")

    def _remember(self, spec: RunSpec, run: Run) -> None:
        self._seconds[spec.candidate.name, spec.n_labels] = run.seconds

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

        The first repeat always runs. Further ones run while they keep to their share of the budget.
        """
        first = [spec for _, specs in plans for spec in specs if spec.repeat == 0]
        further = [spec for _, specs in plans for spec in specs if spec.repeat > 0]
        for spec in sorted(first, key=lambda spec: (spec.fold, spec.n_labels)):
            self._run(spec)
        share = _SHARE_OF_CHEAP_REPEATS if others_wait else 1.0
        stopped_at: int | None = None
        # Whole repeats of all candidates at once: intervals and pairings use complete blocks only.
        for repeat in sorted({spec.repeat for spec in further}):
            specs = [spec for spec in further if spec.repeat == repeat]
            expected = sum(self._seconds.get((spec.candidate.name, spec.n_labels), 0.0) for spec in specs)
            if self._clock.spent + expected > share * self._clock.budget_seconds:
                known = all((run := self._ledger.get(spec.key)) and run.status == RunStatus.COMPLETE for spec in specs)
                if not known:
                    stopped_at = repeat
                    break
            for spec in sorted(specs, key=lambda spec: (spec.fold, spec.n_labels)):
                self._run(spec)
        if stopped_at is not None:
            self.outcome.notes.append(
                f"The candidates on frozen features were repeated {stopped_at} of {self._design.repeats} times; "
                "the budget holds no more."
            )

    def trained(self, plans: Sequence[tuple[Contender, list[RunSpec]]], reason_to_stop: ReasonToStop) -> None:
        """Execute the runs of candidates that train a network, the most telling first, as far as time allows."""
        self._trained = [contender for contender, _ in plans]
        waiting = [(contender, spec) for contender, specs in plans for spec in specs]
        waiting.sort(key=lambda item: item[0].method.relative_cost * item[0].method.planned_examples(item[1].n_labels))
        first = [item for item in waiting if item[1].repeat == 0 and item[1].fold == 0]
        left_out: dict[tuple[str, int], float] = {}
        for contender, spec in chain(self._smallest(first), self._whole(first), self._others(first, left_out)):
            expected = self._attempt(contender, spec)
            if expected is not None:
                left_out[contender.name, spec.n_labels] = expected
        ended: dict[str, str] = {}
        further = [item for item in waiting if item not in first]
        for contender, spec in sorted(further, key=lambda item: self._urgency(item[1])):
            # In a hold-out further draws are for the curve alone; two of them show how much draws differ.
            if self._design.folds > 1 or spec.repeat > 1:
                if contender.name not in ended and self._ledger.get(spec.key) is None:
                    reason = reason_to_stop(contender, self._affordable(contender))
                    if reason is not None:
                        ended[contender.name] = reason
                        self.outcome.notes.append(f"{contender.name}: {reason}")
                if contender.name in ended:
                    continue
            self._attempt(contender, spec)
        self._list_left_out(left_out)

    def _attempt(self, contender: Contender, spec: RunSpec) -> float | None:
        """Execute a run if it fits; return the seconds it would take if it does not."""
        expected = self.expected_seconds(contender, spec.n_labels)
        kept_back = self._kept_back([contender] if spec.n_labels == self._design.n_train else [])
        fits = expected <= self._clock.left(kept_back)
        if not fits and self._ledger.get(spec.key) is None:
            return expected
        self._run(spec)
        return None

    def _smallest(self, first: Sequence[tuple[Contender, RunSpec]]) -> list[tuple[Contender, RunSpec]]:
        """Return each candidate's two cheapest runs: they begin its curve, and tell how fast it trains here.

        The first alone would not: it pays for what is loaded once.
        """
        whole = self._design.n_train
        sizes = sorted({spec.n_labels for _, spec in first if spec.n_labels != whole})[:2]
        return [item for item in first if item[1].n_labels in sizes]

    def _whole(self, first: Sequence[tuple[Contender, RunSpec]]) -> list[tuple[Contender, RunSpec]]:
        """Return the runs on all rows: today's question is asked there."""
        return [item for item in first if item[1].n_labels == self._design.n_train]

    def _others(
        self, first: Sequence[tuple[Contender, RunSpec]], left_out: Mapping[tuple[str, int], float]
    ) -> Iterator[tuple[Contender, RunSpec]]:
        """Yield the sizes between, once it is known what of the runs on all rows did not fit.

        A candidate that has its answer for all rows fills its curve from the cheap end. One that has not starts at the
        largest size: that is the nearest there is to an answer.
        """
        whole = self._design.n_train
        own: dict[str, list[tuple[Contender, RunSpec]]] = {}
        told = [*self._smallest(first), *self._whole(first)]
        for item in first:
            if item not in told:
                own.setdefault(item[0].name, []).append(item)
        for name, items in own.items():
            items.sort(key=lambda item: item[1].n_labels, reverse=(name, whole) in left_out)
        for row in zip_longest(*own.values()):
            yield from (item for item in row if item is not None)

    def _list_left_out(self, left_out: Mapping[tuple[str, int], float]) -> None:
        needed = self._clock.budget_seconds + sum(left_out.values())
        for (name, n), expected in left_out.items():
            reason = f"would take about {_rounded(expected)} more; --budget {_rounded(needed)} holds everything"
            if not expected:
                reason = f"there was no time to find out how long it takes; --budget {_rounded(2 * needed)}"
            self.outcome.skipped.append(Skipped(name, n, reason))

    def _urgency(self, spec: RunSpec) -> tuple[int, int, int, int]:
        """Return what orders the runs after the first draw by what they tell.

        The other folds at all rows answer today's question; then come the other folds at smaller sizes, and further
        repeats.
        """
        smaller = spec.n_labels != self._design.n_train
        stage = int(smaller) if spec.repeat == 0 else 1 + spec.repeat
        return stage, spec.fold, int(smaller), spec.n_labels

    def _affordable(self, contender: Contender) -> float:
        """Return how many more fits on all rows the budget holds; a hold-out has only one."""
        if self._design.folds == 1:
            return 0.0
        return self._clock.left() / max(0.01, self.expected_seconds(contender, self._design.n_train))

    def _kept_back(self, about_to_run: Sequence[Contender]) -> float:
        """Return the seconds to keep for fitting the pick once more on every row there is.

        Any candidate that was, or is about to be, fitted on all training rows may be the pick.
        """
        if self._keep_whole:
            return 0.0  # the run on all rows is what is handed over
        whole = self._design.n_train
        possible = [*about_to_run, *(who for who in self._trained if (who.name, whole) in self._seconds)]
        return max((self.expected_seconds(who, self._design.n_rows) for who in possible), default=0.0)

    def time_training(self, contender: Contender) -> None:
        """Measure how fast a candidate trains here, unless its own runs tell."""
        if any(name == contender.name for name, _ in self._seconds):
            return
        request = TimeTraining(contender.candidate.method, contender.candidate.options, contender.candidate.backbone)
        self._watch.say(f"Timing {contender.name}")
        try:
            self._per_example[contender.name] = self._worker.ask(request, seconds=self._clock.last_moment)
        except NshotError:
            self._per_example[contender.name] = 0.0  # its first run will say what is wrong

    def expected_seconds(self, contender: Contender, n_labels: int) -> float:
        """Return how long a run is expected to take, from its own measured runs where there are any."""
        name, planned = contender.name, contender.method.planned_examples
        measured = [(n, seconds) for (who, n), seconds in self._seconds.items() if who == name and n > 0]
        if measured:
            # The nearest size tells most: its seconds hold the part that does not grow with n as well.
            nearest, seconds = min(measured, key=lambda item: abs(item[0] - n_labels))
            grown = seconds * max(1.0, planned(n_labels) / max(1, planned(nearest)))
            return _ROUNDING_UP * (grown if n_labels > nearest else seconds)
        return _ROUNDING_UP * self._per_example.get(name, 0.0) * planned(n_labels)


def fit_request(spec: RunSpec, *, keep: bool, latency: bool = False) -> Fit:
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
    )


def _as_run(spec: RunSpec, status: RunStatus, reason: str | None, fitted: Fitted | None, seconds: float) -> Run:
    cost: Cost | None = fitted.cost if fitted else None
    return Run(
        key=spec.key,
        candidate=spec.candidate.name,
        n_labels=spec.n_labels,
        repeat=spec.repeat,
        fold=spec.fold,
        seed=spec.seed,
        status=status,
        reason=reason,
        cost=cost,
        seconds=round(seconds, 4),
        predictions=fitted.predictions if fitted else None,
        settings=fitted.settings if fitted else {},
    )


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds < 100 else f"{-(-seconds // 60):.0f}m"
