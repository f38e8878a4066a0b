"""The process that fits: started once per study, fed one run at a time.

Fitting happens apart from the process that plans, so that memory is measured per run, and a crash or the system's
out-of-memory kill is a recorded result instead of the end of the study. The two talk over the worker's standard input
and output in length-prefixed frames; both are the same program of the same user, on one machine.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nshot.core import (
    Backbone,
    BackboneRef,
    Cost,
    Dataset,
    Embeds,
    FitContext,
    NshotError,
    OutOfMemoryError,
    OutputError,
    Prediction,
    Predictor,
    Progress,
    State,
    Task,
)
from nshot.spec import Method

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LATENCY_EXAMPLES = 16
_TIMED_EXAMPLES = 32


@dataclass(frozen=True)
class Setting:
    """What stays the same over all runs of a study; sent to the worker once.

    Attributes:
        task: What is asked.
        train: All labelled rows that may be trained on or, without a given test, tested on.
        test: The given test rows, or None: the draws' test positions then refer to `train`.
        unlabelled: Rows without a label, part of every pool.
        draws: For each (repeat, fold): the ordered training positions and the test positions.
        backbones: The references that candidates may name.
        metric: Name of the primary metric.
        metrics: Names of all metrics to be recorded.
        cache: Folder of the feature cache, or None: no caching.
        precision: ``auto``, ``fp32`` or ``bf16``.
        device: A torch device name, or ``auto``.
        threads: Processor threads.
        predictions: Folder for the predictions of each run.
        models: Folder for predictors to be kept.
    """

    task: Task
    train: Dataset
    test: Dataset | None
    unlabelled: Dataset | None
    draws: Mapping[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]
    backbones: tuple[BackboneRef, ...]
    metric: str
    metrics: tuple[str, ...]
    cache: Path | None
    precision: str
    device: str
    threads: int
    predictions: Path
    models: Path


@dataclass(frozen=True)
class Fit:
    """A request to fit and predict once.

    Attributes:
        key: Names the files that this run writes.
        method: Public name of the method.
        options: Its options.
        backbone: Which backbone, or None.
        n_labels: How many of the draw's rows to train on.
        repeat: Which draw.
        fold: Which fold of it.
        seed: Seed of the fit.
        keep: Keep the fitted predictor on disk.
        latency: Measure the time for one example at a time, cache off.
    """

    key: str
    method: str
    options: Mapping[str, Any]
    backbone: BackboneRef | None
    n_labels: int
    repeat: int
    fold: int
    seed: int
    keep: bool = False
    latency: bool = False


@dataclass(frozen=True)
class Fitted:
    """What came of a `Fit`."""

    cost: Cost
    predictions: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FinalFit:
    """A request to fit on all rows and keep the predictor: the model that is handed over."""

    key: str
    method: str
    options: Mapping[str, Any]
    backbone: BackboneRef | None
    seed: int


@dataclass(frozen=True)
class Prepare:
    """A request to embed all examples with each backbone, so that every run finds them cached."""


@dataclass(frozen=True)
class Prepared:
    """How long preparing took, by backbone id, and the precision and device that were settled on."""

    seconds: Mapping[str, float]
    precision: str
    device: str


@dataclass(frozen=True)
class TimeTraining:
    """A request to measure how fast a method trains on this machine: one short fit on few rows."""

    method: str
    options: Mapping[str, Any]
    backbone: BackboneRef | None


# ---------------------------------------------------------------------------------------------- frames


def send(stream: IO[bytes], message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: The other side is gone.
    """
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size = struct.unpack("<Q", head)[0]
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 - our own process at the other end of a private pipe


# ---------------------------------------------------------------------------------------------- memory


def _forget_peak() -> None:
    """Reset the highest resident memory that the system has noted for this process, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> int | None:
    """Return the highest resident memory since `_forget_peak`, in bytes; None where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


# ---------------------------------------------------------------------------------------------- the work


class Worker:
    """Carries out requests on one `Setting`."""

    def __init__(self, setting: Setting, report: Progress) -> None:
        from nshot import metrics
        from nshot.backbones import open_backbone
        from nshot.backbones.cache import FeatureCache
        from nshot.backbones.text_encoder import TextEncoder

        self._setting = setting
        self._report = report
        cache = FeatureCache(setting.cache) if setting.cache else None

        def opened(ref: BackboneRef, *, cached: bool = True) -> Backbone:
            return open_backbone(
                ref,
                cache=cache if cached else None,
                precision=setting.precision,
                device=setting.device,
                threads=setting.threads,
            )

        self._open = opened
        self._backbones = {ref.id: self._open(ref) for ref in setting.backbones}
        encoders = [backbone for backbone in self._backbones.values() if isinstance(backbone, TextEncoder)]
        self._device = encoders[0].device if encoders else "cpu"
        self._precision = encoders[0].precision if encoders else "fp32"
        self._metric = metrics.get(setting.metric)
        self._metrics = [metrics.get(name) for name in setting.metrics]

    def _examples(self, repeat: int, fold: int) -> tuple[Dataset, Dataset, Dataset]:
        """Return the training rows in order, the test rows and the pool of a draw."""
        setting = self._setting
        order, held = setting.draws[repeat, fold]
        train = setting.train.take(order)
        return train, (setting.test or setting.train).take(held), self._pool(train)

    def _pool(self, train: Dataset) -> Dataset:
        unlabelled = self._setting.unlabelled
        if unlabelled is None or not len(unlabelled):
            return train.without_targets()
        return Dataset([*train.examples, *unlabelled.examples], train.modality, name="pool")

    def _context(self, seed: int) -> FitContext:
        metric, task = self._metric, self._setting.task

        def objective(targets: Sequence[Any], prediction: Prediction) -> float:
            score = metric.aggregate(metric.statistics(targets, prediction, task))
            return score if metric.higher_is_better else -score

        return FitContext(
            objective=objective,
            seed=seed,
            device=self._device,
            precision=self._precision,
            threads=self._setting.threads,
            progress=self._report,
            open=self._open,
        )

    def prepare(self, request: Prepare) -> Prepared:
        """Embed everything once."""
        setting = self._setting
        seconds = {}
        parts = [setting.train, setting.test, setting.unlabelled]
        for ref in setting.backbones:
            backbone = self._backbones[ref.id]
            if not isinstance(backbone, Embeds):
                continue
            texts = [text for part in parts if part is not None for text in part.examples]
            started, step = time.perf_counter(), 2_048
            for at in range(0, len(texts), step):
                self._report(at, len(texts), f"embedding with {ref.name}")
                backbone.embed(texts[at : at + step])
            seconds[ref.id] = time.perf_counter() - started
        return Prepared(seconds, self._precision, self._device)

    def _first_cost(self, backbone: Backbone | None, embeds: bool, examples: Sequence[Any]) -> float:
        """Return the seconds that the cached features of `examples` once took; cached work is not free work."""
        from nshot.backbones.text_encoder import TextEncoder

        if embeds and isinstance(backbone, TextEncoder):
            return backbone.first_cost(examples)
        return 0.0

    def fit(self, request: Fit) -> Fitted:
        """Fit, predict, measure, and write the predictions."""
        from nshot.core import Ability
        from nshot.methods import build

        method = build(request.method, request.options)
        backbone = self._backbones[request.backbone.id] if request.backbone else None
        train, test, pool = self._examples(request.repeat, request.fold)
        subset = train.take(range(request.n_labels))
        context = self._context(request.seed)
        embeds = Ability.EMBEDS in (method.needs.abilities or ())
        learnt_from = pool.examples if method.needs.pool else subset.examples
        # Asked before the fit: what the fit itself computes is in its own time already.
        embedding_seconds = self._first_cost(backbone, embeds, learnt_from)
        embedding_test_seconds = self._first_cost(backbone, embeds, test.examples)
        _forget_peak()
        started = time.perf_counter()
        predictor = method.fit(self._setting.task, subset, pool, backbone, context)
        fitted = time.perf_counter()
        prediction = predictor.predict(test.without_targets().examples)
        done = time.perf_counter()
        memory = _peak_memory()
        state = predictor.state()
        fit_seconds = fitted - started + embedding_seconds
        predict_seconds = done - fitted + embedding_test_seconds
        training = state.settings.get("training")
        alone = self._alone(method, state, test) if request.latency else None
        cost = Cost(
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            milliseconds_per_example=1000 * predict_seconds / max(1, len(test)),
            milliseconds_alone=alone,
            peak_memory_bytes=memory,
            artefact_bytes=_artefact_bytes(state),
            examples_seen=training["examples_seen"] if training else None,
        )
        file = self._write_predictions(request.key, test, prediction)
        if request.keep:
            self._keep(request.key, predictor, method)
        return Fitted(cost, file, _json_only(state.settings))

    def final(self, request: FinalFit) -> Fitted:
        """Fit on every row and keep the predictor."""
        from nshot.methods import build

        method = build(request.method, request.options)
        backbone = self._backbones[request.backbone.id] if request.backbone else None
        train = self._setting.train
        started = time.perf_counter()
        predictor = method.fit(self._setting.task, train, self._pool(train), backbone, self._context(request.seed))
        seconds = time.perf_counter() - started
        self._keep(request.key, predictor, method)
        state = predictor.state()
        cost = Cost(seconds, 0.0, 0.0, None, _peak_memory(), _artefact_bytes(state))
        return Fitted(cost, None, _json_only(state.settings))

    def time_training(self, request: TimeTraining) -> float:
        """Return the seconds per training example of a short fit, after one that warms up."""
        from nshot.methods import build

        method = build(request.method, request.options)
        backbone = self._backbones[request.backbone.id] if request.backbone else None
        order, _ = self._setting.draws[0, 0]
        rows = self._setting.train.take(order)
        subset = rows.take(range(min(_TIMED_EXAMPLES, len(rows))))
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            method.fit(self._setting.task, subset, subset.without_targets(), backbone, self._context(0))
            seconds = time.perf_counter() - started
        return seconds / max(1, method.planned_examples(len(subset)))

    def _alone(self, method: Method, state: State, test: Dataset) -> float:
        """Return the median milliseconds for one example at a time, from raw example to answer, cache off."""
        predictor = method.restore(self._setting.task, state, lambda wanted: self._open(wanted, cached=False))
        seconds = []
        for example in list(test.examples[:_LATENCY_EXAMPLES]):
            started = time.perf_counter()
            predictor.predict([example])
            seconds.append(time.perf_counter() - started)
        return 1000 * sorted(seconds)[len(seconds) // 2] if seconds else 0.0

    def _write_predictions(self, key: str, test: Dataset, prediction: Prediction) -> str:
        """Keep the answers and each metric's per-example statistics; resampling needs nothing else."""
        import numpy as np
        from safetensors.numpy import save

        targets = test.labelled_targets()
        arrays: dict[str, np.ndarray] = {}
        for metric in self._metrics:
            if metric.unavailable(prediction) is None:
                arrays[f"metric.{metric.name}"] = metric.statistics(targets, prediction, self._setting.task)
        if prediction.labels is not None:
            index = self._setting.task.index()
            arrays["label"] = np.array([index[label] for label in prediction.labels], dtype=np.int32)
        if prediction.probabilities is not None:
            arrays["confidence"] = np.asarray(prediction.probabilities.max(axis=1), dtype=np.float32)
        file = self._setting.predictions / f"{key}.safetensors"
        _write_atomically(file, save(arrays))
        return f"{file.parent.name}/{file.name}"

    def _keep(self, key: str, predictor: Predictor, method: Method) -> None:
        """Keep a predictor's state; the bundle is made from it once it is the pick."""
        from nshot.bundle.state_files import write_state

        folder = self._setting.models / key
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            write_state(folder, predictor.state(), method.method_name())
        except OSError as error:
            raise OutputError(f"Cannot write {folder}: {error.strerror}. Make room, or choose another --out.") from None


def kept_state(folder: Path) -> State:
    """Return the state that the worker kept in `folder`."""
    from nshot.bundle.state_files import read_state, record_of

    files = {path.relative_to(folder).as_posix(): record_of(path) for path in folder.rglob("*") if path.is_file()}
    return read_state(folder, files)


def _write_atomically(file: Path, data: bytes) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"Cannot write {file}: {error.strerror}. Make room, or choose another --out.") from None


def _artefact_bytes(state: State) -> int:
    return sum(tensor.nbytes for tensor in state.tensors.values()) + sum(len(blob) for blob in state.blobs.values())


def _json_only(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short settings, and how a training went: what was chosen, not what was learnt."""
    return {
        key: value
        for key, value in settings.items()
        if value is None
        or isinstance(value, int | float | bool)
        or (isinstance(value, str) and len(value) < 200)
        or key == "training"
    }


def main() -> None:
    """Serve requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not mix with the frames
    setting: Setting = receive(requests)
    last = 0.0

    def report(done: int, total: int, doing: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2:
            last = now
            send(answers, ("progress", (done, total, doing)))

    worker: Worker | None = None
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        try:
            if worker is None:
                import torch

                torch.set_num_threads(setting.threads)
                worker = Worker(setting, report)
            carry_out: dict[type, Callable[[Any], Any]] = {
                Fit: worker.fit,
                FinalFit: worker.final,
                Prepare: worker.prepare,
                TimeTraining: worker.time_training,
            }
            send(answers, ("done", carry_out[type(request)](request)))
        except NshotError as error:
            send(answers, ("refused", error))
        except MemoryError:
            send(answers, ("refused", OutOfMemoryError("There was not enough memory for this run.")))
        except Exception as error:
            # The study goes on without this run; the traceback goes to the study's log, not to the user.
            traceback.print_exc()
            send(answers, ("failed", f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
