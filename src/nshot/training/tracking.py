"""Where the figures of a training go besides nshot's own record: TensorBoard and MLflow.

A destination is written ``NAME`` or ``NAME:PLACE``. Its library is imported when it is opened, never before.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nshot.core import EnvironmentProblem, MissingExtraError, OutputError

DESTINATIONS = ("tensorboard", "mlflow")
WISH = "tensorboard, tensorboard:DIR, mlflow or mlflow:URI"
"""What a destination must be, in words."""

_TENSORBOARD_FOLDER = "runs"
_MLFLOW_EXPERIMENT = "nshot"
_MLFLOW_TAG = "nshot.fit"
_MLFLOW_MOST_FIGURES = 500
_MLFLOW_LONGEST_PARAMETER = 500
_MLFLOW_RETRIES = "3"
_SECONDS_BETWEEN_WRITES = 5.0


def is_destination(entry: str) -> bool:
    """Return whether `entry` is ``NAME`` or ``NAME:PLACE`` with a name of `DESTINATIONS`."""
    name, colon, place = entry.partition(":")
    return name in DESTINATIONS and bool(place) == bool(colon)


@dataclass(frozen=True)
class TrackedFit:
    """What a destination says about the fit whose figures it gets.

    Attributes:
        name: What people call it.
        key: The same for the same fit, so that one that was killed goes on where it is shown already.
        facts: Method, options, data and the like, json-able.
    """

    name: str
    key: str
    facts: Mapping[str, Any]


class Destination(Protocol):
    """Keeps the figures of one fit."""

    @property
    def shown(self) -> str:
        """How people get to see what it keeps."""

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of one step."""

    def finish(self, record: Mapping[str, Any]) -> None:
        """Keep the record of the whole fit, and close."""

    def leave(self) -> None:
        """Close without a record: the fit was stopped or went wrong."""


class Tracking:
    """Hands the figures of a fit to its destinations.

    One that fails in the middle is left out from there on: no training is lost because a server went away.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._destinations: list[Destination] = []
        self._say = say
        self._trainings = 1
        self._last = 0

    def add(self, destination: Destination) -> None:
        """Hand the figures to this one too."""
        self._destinations.append(destination)
        self._say(f"Tracked: {destination.shown}")

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step; a step that is not later than the last one begins another training.

        A fit trains again where the first run learnt nothing, or where its method has two phases. What belongs to
        the second training is called ``training_2/loss`` and so on, so that no curve jumps back.
        """
        if step <= self._last:
            self._trainings += 1
        self._last = step
        before = "" if self._trainings == 1 else f"training_{self._trainings}/"
        named = {before + name: float(value) for name, value in figures.items()}
        self._each(lambda destination: destination.take(step, named))

    def finish(self, record: Mapping[str, Any]) -> None:
        """Hand over the record of the fit; nothing may follow."""
        self._each(lambda destination: destination.finish(record))
        self._destinations = []

    def leave(self) -> None:
        """Close what is still open."""
        self._each(lambda destination: destination.leave())
        self._destinations = []

    def _each(self, tell: Callable[[Destination], None]) -> None:
        for destination in list(self._destinations):
            try:
                tell(destination)
            except (EnvironmentProblem, OSError) as error:
                self._destinations.remove(destination)
                self._say(f"Tracking stopped, the training goes on: {error}")


@contextmanager
def tracked(entries: Sequence[str], fit: TrackedFit, say: Callable[[str], None]) -> Iterator[Tracking]:
    """Open the destinations; on leaving, close what `Tracking.finish` has not closed.

    Args:
        entries: Destinations as a user writes them, see `is_destination`.
        fit: What is tracked.
        say: Gets a sentence on where the figures can be seen, and on a destination that failed.

    Raises:
        MissingExtraError: The library of a destination is not installed.
        EnvironmentProblem: A destination cannot be opened.
    """
    tracking = Tracking(say)
    try:
        for entry in entries:
            tracking.add(_opened(entry, fit))
        yield tracking
    finally:
        tracking.leave()


def _opened(entry: str, fit: TrackedFit) -> Destination:
    name, _, place = entry.partition(":")
    return _TensorBoard(Path(place or _TENSORBOARD_FOLDER), fit) if name == "tensorboard" else _MLflow(place, fit)


def _missing(name: str) -> MissingExtraError:
    return MissingExtraError(
        f"--track {name} needs the package {name}, which is not installed: pip install 'nshot[track]'"
    )


def _as_text(facts: Mapping[str, Any]) -> str:
    """Return facts as Markdown that shows them as they are: indented code."""
    lines = json.dumps(facts, ensure_ascii=False, indent=1, default=str).splitlines()
    return "\n".join(f"    {line}" for line in lines)


class _TensorBoard:
    """Event files in a folder of their own below the one that TensorBoard is pointed to."""

    def __init__(self, folder: Path, fit: TrackedFit) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _missing("tensorboard") from None
        self._make = SummaryWriter
        self._all = folder
        self._folder = folder / f"{fit.name}-{fit.key[:8]}"
        self._facts = fit.facts
        self._writer: Any = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot write to {self._folder}: {error.strerror}. Name another folder: --track tensorboard:DIR."
            ) from None

    @property
    def shown(self) -> str:
        return f"tensorboard --logdir {self._all}"

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        writer = self._open(step)
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    def finish(self, record: Mapping[str, Any]) -> None:
        self._open(0).add_text("record", _as_text(record))
        self.leave()

    def leave(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        if self._writer is None:
            # What a killed run wrote for this and later steps is not shown any more.
            self._writer = self._make(str(self._folder), purge_step=step)
            self._writer.add_text("fit", _as_text(self._facts))
        return self._writer


class _MLflow:
    """A run in the experiment ``nshot`` (or ``MLFLOW_EXPERIMENT_NAME``) of a tracking server or database."""

    def __init__(self, uri: str, fit: TrackedFit) -> None:
        # MLflow asks a server that is away for more than four minutes; nobody waits so long to be told.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _MLFLOW_RETRIES)
        try:
            from mlflow.entities import Metric, Param
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise _missing("mlflow") from None
        self._metric = Metric
        self._refusal = MlflowException
        self._unwritten: list[Any] = []
        self._written = time.monotonic()
        with self._in_words():
            self._client = MlflowClient(tracking_uri=uri or None)
            self._uri = self._client.tracking_uri
            self._run = self._begun(fit)
            self._client.log_batch(
                self._run,
                params=[Param(name, str(value)[:_MLFLOW_LONGEST_PARAMETER]) for name, value in fit.facts.items()],
            )

    @property
    def shown(self) -> str:
        return f"MLflow at {self._uri}, run {self._run}"

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        now = round(time.time() * 1000)
        self._unwritten += [self._metric(name, value, now, step) for name, value in figures.items()]
        due = time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES
        if due or len(self._unwritten) >= _MLFLOW_MOST_FIGURES:
            self._write()

    def finish(self, record: Mapping[str, Any]) -> None:
        # Under names of their own: the highest learning rate is no point of the rate's curve.
        figures = {f"fit/{name}": value for name, value in record.items() if isinstance(value, int | float)}
        self.take(int(record.get("steps") or 0), figures)
        self._write()
        with self._in_words():
            self._client.log_dict(self._run, dict(record), "training.json")
            self._client.set_terminated(self._run, "FINISHED")

    def leave(self) -> None:
        self._write()
        with self._in_words():
            self._client.set_terminated(self._run, "KILLED")

    def _begun(self, fit: TrackedFit) -> str:
        """Return the id of this fit's run: of the one that was killed, or else of a new one."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _MLFLOW_EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        identity = experiment.experiment_id if experiment else self._client.create_experiment(name)
        unfinished = f"tags.`{_MLFLOW_TAG}` = '{fit.key}' and attributes.status != 'FINISHED'"
        for run in self._client.search_runs([identity], unfinished, max_results=1):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        made = self._client.create_run(identity, run_name=fit.name, tags={_MLFLOW_TAG: fit.key})
        return str(made.info.run_id)

    def _write(self) -> None:
        figures, self._unwritten = self._unwritten, []
        self._written = time.monotonic()
        for first in range(0, len(figures), _MLFLOW_MOST_FIGURES):
            with self._in_words():
                self._client.log_batch(self._run, metrics=figures[first : first + _MLFLOW_MOST_FIGURES])

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (self._refusal, OSError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EnvironmentProblem(
                f"MLflow cannot be written to ({first:.300}). Start its server, or name another: --track mlflow:URI."
            ) from None
