"""The planning side of the worker process: starts it, asks it, outlives it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nshot.backbones import FEW_COMPILED_PRODUCTS
from nshot.core import NshotError, OutOfMemoryError
from nshot.study.worker import Setting, receive, send


class OutOfTimeError(NshotError):
    """A request took longer than it was given; the worker was ended."""


class RunFailedError(NshotError):
    """A request went wrong in a way that nobody foresaw; the study's log has the details."""


class WorkerProcess:
    """One worker; started again by the next request after it died or was ended.

    Args:
        setting: What stays the same over all requests.
        log: File that takes whatever the worker and its libraries print.
    """

    def __init__(self, setting: Setting, log: Path) -> None:
        self._setting = setting
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def _start(self) -> subprocess.Popen[bytes]:
        threads = str(self._setting.threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "RAYON_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": "true",
            "PYTHONUNBUFFERED": "1",
            # Waiting threads give up their core sooner than they would: on an idle machine that costs 7 %, beside one
            # busy process it saves a third of the time.
            "GOMP_SPINCOUNT": "5000",
            **FEW_COMPILED_PRODUCTS,
        }
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                # -P: a user's folder may hold a file named like a library.
                [sys.executable, "-P", "-c", "from nshot.study.worker import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the worker itself
            )
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(process, answers), daemon=True).start()
        self._answers, self._process = answers, process
        send(_pipe(process.stdin), self._setting)
        return process

    def ask(
        self, request: Any, *, seconds: float | None, progress: Callable[[int, int, str], None] | None = None
    ) -> Any:
        """Carry out a request and return its answer.

        Args:
            request: One of the requests in `nshot.study.worker`.
            seconds: End the worker after so long; None: never.
            progress: Called a few times a second while it is carried out.

        Raises:
            NshotError: What the request itself raised; the worker goes on.
            OutOfTimeError: It took too long; the worker was ended.
            OutOfMemoryError: The system ended the worker.
            RunFailedError: Anything else.
        """
        process = self._process or self._start()
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            send(_pipe(process.stdin), request)
        except OSError:
            raise self._gone(process) from None
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                kind, answer = self._answers.get(timeout=0.2 if left is None else max(0.0, min(0.2, left)))
            except queue.Empty:
                if left is not None and left <= 0:
                    self.end()
                    raise OutOfTimeError(
                        "It would have taken longer than the time that was left; a larger --budget holds it."
                    ) from None
                if progress is not None:
                    progress(0, 0, "")
                continue
            if kind == "progress":
                if progress is not None:
                    progress(*answer)
            elif kind == "done":
                return answer
            elif kind == "refused":
                raise answer
            elif kind == "failed":
                raise RunFailedError(f"{answer} (details: {self._log})")
            else:
                raise self._gone(process)

    def _gone(self, process: subprocess.Popen[bytes]) -> NshotError:
        code = self._reap(process)
        if code == -signal.SIGKILL:
            return OutOfMemoryError("The system ended this run, most likely because memory ran out.")
        return RunFailedError(f"The process that ran this ended with code {code} (details: {self._log}).")

    def end(self) -> None:
        """End the worker now."""
        if self._process is not None:
            self._process.kill()
            self._reap(self._process)

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        """Wait until the worker is gone, let go of its input, and return its exit code."""
        self._process = None
        with contextlib.suppress(OSError):  # what it was still to be told goes nowhere
            _pipe(process.stdin).close()
        return process.wait()


def _listen(process: subprocess.Popen[bytes], answers: queue.SimpleQueue[Any]) -> None:
    with _pipe(process.stdout) as output:
        while True:
            try:
                answers.put(receive(output))
            except (EOFError, OSError):
                answers.put(("gone", None))
                return


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return an end of a pipe that was asked for when the process was started."""
    if stream is None:
        raise RuntimeError("the worker was started without pipes")
    return stream
