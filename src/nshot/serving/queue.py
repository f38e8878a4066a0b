"""One answer is written at a time; a bounded number of others waits, and further ones are turned away at once."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from nshot.serving.served import Answer

_LOOK_SECONDS = 0.5
"""How often it is looked whether whoever asked is still there."""
_FIRST_GUESS_SECONDS = 1.0
"""How long an answer takes, before any was written."""


class FullError(Exception):
    """There is no place left to wait in.

    Attributes:
        retry_after_seconds: When there probably is one.
    """

    reason = "full"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"The queue is full. Try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class DeadlineError(Exception):
    """There was no answer in time."""

    reason = "deadline"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"There was no answer within {seconds:g} s. Ask for less at once, or try again later.")


class AnswerQueue:
    """Writes answers one after the other in a thread of its own."""

    def __init__(self, most_waiting: int) -> None:
        """Make ready.

        Args:
            most_waiting: How many answers may wait while one is written.
        """
        self._most = 1 + most_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nshot-answers")
        self._under_way: set[PendingAnswer] = set()
        self._seconds_each = _FIRST_GUESS_SECONDS

    @property
    def is_full(self) -> bool:
        """Whether one more answer would be turned away."""
        return len(self._under_way) >= self._most

    def begin(self, answer: Answer, patience_seconds: float) -> PendingAnswer:
        """Take a place in the queue.

        Args:
            answer: What is to be written.
            patience_seconds: How long its turn may take to come.

        Raises:
            FullError: There is no place, or its turn would come too late even if the answer that is being written
                ended now.
        """
        wait = (len(self._under_way) - 1) * self._seconds_each
        if self.is_full or wait > patience_seconds:
            raise FullError(max(1, math.ceil(self._seconds_each)))
        begun = PendingAnswer(answer, patience_seconds, self._thread, self._ended)
        self._under_way.add(begun)
        return begun

    def close(self) -> None:
        """Break off what is being written and wait until it has ended."""
        for each in tuple(self._under_way):
            each.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _ended(self, ended: PendingAnswer, seconds: float | None) -> None:
        self._under_way.discard(ended)
        if seconds is not None:
            self._seconds_each += 0.3 * (seconds - self._seconds_each)


class PendingAnswer:
    """An answer that waits or is being written."""

    def __init__(
        self,
        answer: Answer,
        patience_seconds: float,
        thread: ThreadPoolExecutor,
        ended: Callable[[PendingAnswer, float | None], None],
    ) -> None:
        self.answer = answer
        self._patience_seconds = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._cancelled = threading.Event()
        self._events: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self._until = time.monotonic() + patience_seconds
        self._turn = thread.submit(self._write)

    def cancel(self) -> None:
        """Let nothing more be written; one that waits gives up its place. Called in the thread of the event loop."""
        self._cancelled.set()
        if self._turn.cancel():
            self._ended(self, None)

    @property
    def _waits(self) -> bool:
        return not self._turn.running() and not self._turn.done()

    def _write(self) -> None:
        """Write the answer, in the thread for it."""
        began = time.monotonic()
        event: Exception | None = None
        try:
            for piece in self.answer.pieces():
                self._tell(piece)
                if self._cancelled.is_set():
                    break
        except Exception as error:  # it is raised again where the answer is read
            event = error
        self._tell(event)
        took = None if event or self._cancelled.is_set() else time.monotonic() - began
        with suppress(RuntimeError):  # the loop was closed: nobody waits for a place any more
            self._loop.call_soon_threadsafe(self._ended, self, took)

    def _tell(self, event: str | Exception | None) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def pieces(self, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """Yield the pieces as they come; nothing more is written once they are no longer read.

        Args:
            is_gone: Tells whether whoever asked has gone away.

        Raises:
            DeadlineError: Its turn has not come in time; before the first piece.
            Exception: What the model raised.
        """
        looked = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                if now - looked >= _LOOK_SECONDS:
                    looked = now
                    if await is_gone():
                        return
                left = self._until - now if self._waits else _LOOK_SECONDS
                if left <= 0:
                    raise DeadlineError(self._patience_seconds)
                try:
                    event = await asyncio.wait_for(self._events.get(), min(left, _LOOK_SECONDS))
                except TimeoutError:
                    continue
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.cancel()
