"""Requests that wait are computed together; a bounded number of examples waits, and further ones are turned away."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from nshot.core import Example, Prediction
from nshot.serving.counters import Counters
from nshot.serving.log import log_without_texts
from nshot.serving.predicting import ServedPredictor, weight_of
from nshot.serving.queue import DeadlineError, FullError

_BATCH_CHARACTERS = 2048
"""What is computed together, some 30 sentences. More is hardly faster, and lets the processor rest between batches:
nothing is left to compute while answers are sent and the next requests come."""
_PAUSE_SECONDS = 0.001
"""While further requests come at least this often, those who were just answered are given the time to ask again."""
_LONGEST_WAIT_SECONDS = 0.01
_FIRST_GUESS_SECONDS = 0.01
"""How long an example takes, before any was computed."""


@dataclass(frozen=True)
class Answered:
    """An answer to the examples of one request.

    Attributes:
        prediction: About these examples, and possibly others before and behind them.
        first: Where the first one stands in it.
    """

    prediction: Prediction
    first: int


@dataclass(eq=False)
class _Job:
    """A request that waits; its future is cancelled once nobody waits for the answer any more."""

    model: ServedPredictor
    examples: Sequence[Example]
    answer: asyncio.Future[Answered]
    characters: int


@dataclass(frozen=True)
class _Done:
    """What became of jobs that were taken together.

    Attributes:
        jobs: Those that were computed.
        outcomes: For each the answer, or what went wrong with it.
        examples: Of all that were taken, those included that nobody waited for any more.
        seconds: How long it took.
    """

    jobs: Sequence[_Job]
    outcomes: Sequence[Answered | Exception]
    examples: int
    seconds: float


class Batcher:
    """Computes what waits in a thread of its own: when it is free it takes what is there.

    Clients that ask one request after the other would split into two halves, one computed while the other is answered,
    and small batches take longer for each text. So it waits, some milliseconds at most, while those who were just
    answered ask again. A lone client is never waited for.
    """

    def __init__(self, most_waiting: int, counters: Counters) -> None:
        """Make ready.

        Args:
            most_waiting: How many examples may wait or be computed.
            counters: Told what was computed together.
        """
        self._most = most_waiting
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._seconds_each = _FIRST_GUESS_SECONDS
        self.waiting = 0
        """How many examples wait or are computed."""
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="nshot-predictions", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether one more example would be turned away."""
        return self.waiting >= self._most

    async def answer(self, model: ServedPredictor, examples: Sequence[Example], patience_seconds: float) -> Answered:
        """Return what a model says about examples.

        Args:
            model: Whom to ask.
            examples: Any number above 0; more than may wait are taken in only while nothing else waits.
            patience_seconds: How long there is for it.

        Raises:
            FullError: There is no place to wait in, or the answer would come too late anyway.
            DeadlineError: It came too late.
            Exception: What the model raised.
        """
        wait = self.waiting * self._seconds_each
        if self.waiting and (self.waiting + len(examples) > self._most or wait > patience_seconds):
            raise FullError(max(1, math.ceil(wait)))
        job = _Job(model, examples, self._loop.create_future(), sum(map(weight_of, examples)))
        self.waiting += len(examples)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        try:
            async with asyncio.timeout(patience_seconds):
                return await job.answer
        except TimeoutError:
            raise DeadlineError(patience_seconds) from None

    def close(self) -> None:
        """Finish what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        expected = 0
        while True:
            with self._changed:
                while not self._jobs:
                    if self._is_closed:
                        return
                    self._changed.wait()
            self._let_come(expected)
            with self._changed:
                jobs = self._together()
                left = len(self._jobs)
            began = time.monotonic()
            wanted = [job for job in jobs if not job.answer.done()]
            outcomes = _computed(wanted)
            taken = sum(len(job.examples) for job in jobs)
            done = _Done(wanted, outcomes, taken, time.monotonic() - began)
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._deliver, done)
            _watch(done)
            expected = left + len(jobs)

    def _let_come(self, expected: int) -> None:
        """Wait while requests keep coming, until as many are there as waited and were answered last time."""
        end = time.monotonic() + _LONGEST_WAIT_SECONDS
        there = len(self._jobs)
        while there < expected and not self._is_closed and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
            before, there = there, len(self._jobs)
            if there == before:
                return

    def _together(self) -> list[_Job]:
        """Take the job that has waited longest, and those of the same model that fit beside it, in their order."""
        first = self._jobs.popleft()
        taken, left, room = [first], deque[_Job](), _BATCH_CHARACTERS - first.characters
        for job in self._jobs:
            if job.model is first.model and job.characters <= room:
                taken.append(job)
                room -= job.characters
            else:
                left.append(job)
        self._jobs = left
        return taken

    def _deliver(self, done: _Done) -> None:
        self.waiting -= done.examples
        if done.jobs:
            self._seconds_each += 0.2 * (done.seconds / done.examples - self._seconds_each)
            self._counters.batch[done.jobs[0].model.name].add(sum(len(job.examples) for job in done.jobs))
        for job, outcome in zip(done.jobs, done.outcomes, strict=True):
            if job.answer.done():
                continue
            if isinstance(outcome, Exception):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(outcome)


def _watch(done: _Done) -> None:
    """Hold what was asked and answered against the model's training, after the answers are on their way."""
    drift = done.jobs[0].model.drift if done.jobs else None
    if drift is None:
        return
    first = done.outcomes[0]
    if any(isinstance(outcome, Exception) for outcome in done.outcomes) or isinstance(first, Exception):
        return  # they were computed one by one, because one of them cannot be
    try:
        drift.saw([example for job in done.jobs for example in job.examples], first.prediction)
    except Exception as error:  # what is only watched must not end the thread that answers
        log_without_texts(error)


def _computed(jobs: Sequence[_Job]) -> list[Answered | Exception]:
    """Return the answers of jobs of one model; where they fail together, each is asked alone for its own error."""
    if not jobs:
        return []
    try:
        prediction = jobs[0].model.opened.predictor.predict([example for job in jobs for example in job.examples])
    except Exception as error:  # raised again where the answer is read
        return [error] if len(jobs) == 1 else [outcome for job in jobs for outcome in _computed([job])]
    found: list[Answered | Exception] = []
    first = 0
    for job in jobs:
        found.append(Answered(prediction, first))
        first += len(job.examples)
    return found
