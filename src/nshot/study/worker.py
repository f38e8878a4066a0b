"""The process that fits: started once per study, fed one run at a time.

Fitting happens apart from the process that plans, so that memory is measured per run, and a crash or the system's
out-of-memory kill is a recorded result instead of the end of the study. The two talk over the worker's standard input
and output in length-prefixed frames; both are the same program of the same user, on one machine.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nshot.backbones.remote_options import RemoteAccess
from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Computes,
    Conversation,
    Cost,
    DataError,
    Dataset,
    Embeds,
    ExampleError,
    FitContext,
    Growable,
    Learns,
    NshotError,
    OutOfMemoryError,
    OutputError,
    Prediction,
    Predictor,
    Progress,
    State,
    TakesIn,
    Task,
    TaskKind,
    UnsupportedError,
    Writer,
)
from nshot.data.rows import joined
from nshot.spec import Method
from nshot.study import measuring
from nshot.study.counting import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nshot.backbones.remote_record import Spent
    from nshot.evaluation.protocol import Draw

_STEPS_TO_JUDGE = 4
_SHARE_TO_JUDGE = 0.03
"""A training is judged by so many of its steps, or by this share of them."""

_OWN_ROWS = 200
"""So many of its training rows a predictor is asked about again, to see by how much it knows them better."""
_MOST_PROBABILITIES = 2_000_000


@dataclass(frozen=True)
class Setting:
    """What stays the same over all runs of a study; sent to the worker once.

    Attributes:
        task: What is asked.
        train: All labelled rows that may be trained on or, without a given test, tested on.
        test: The given test rows, or None: the draws' test positions then refer to `train`.
        unlabelled: Rows without a label, part of every pool.
        draws: By (repeat, fold).
        pool: Which training rows the pool of a fit holds.
        backbones: The references that candidates may name.
        metric: Name of the primary metric.
        metrics: Names of all metrics to be recorded.
        cache: Folder of the feature cache, or None: no caching.
        precision: ``auto``, ``fp32`` or ``bf16``.
        device: A torch device name, or ``auto``.
        threads: Processor threads.
        predictions: Folder for the predictions of each run.
        models: Folder for predictors to be kept.
        remote: What is allowed of models behind an address.
    """

    task: Task
    train: Dataset
    test: Dataset | None
    unlabelled: Dataset | None
    draws: Mapping[tuple[int, int], Draw]
    backbones: tuple[BackboneRef, ...]
    metric: str
    metrics: tuple[str, ...]
    cache: Path | None
    precision: str
    device: str
    threads: int
    predictions: Path
    models: Path
    remote: RemoteAccess = field(default_factory=RemoteAccess)
    pool: Pool = Pool.ALL


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
        latency: Measure how fast it answers, and what it needs for that; see `nshot.study.measuring`.
        within: Seconds that the fit may take: a training that will not end by then is given up after its first steps.
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
    within: float = math.inf


@dataclass(frozen=True)
class FitWithNewLabels:
    """A request to fit while some labels are not there yet, and to take them in.

    Attributes:
        keys: By number of examples per new label, ascending: names the file with the answers.
        method: Public name of the method.
        options: Its options.
        backbone: Which backbone, or None.
        repeat: Which draw.
        fold: Which fold of it.
        seed: Seed of the fits.
        train: Positions of the training rows of the labels that are there from the start.
        examples: For each new label: positions of rows with it, the first k of which are its examples.
        again: Fit anew with the examples, instead of handing each label to what was fitted without.
        within: As in `Fit`.
    """

    keys: Mapping[int, str]
    method: str
    options: Mapping[str, Any]
    backbone: BackboneRef | None
    repeat: int
    fold: int
    seed: int
    train: NDArray[np.int64]
    examples: Mapping[str, NDArray[np.int64]]
    again: bool
    within: float = math.inf


@dataclass(frozen=True)
class Fitted:
    """What came of a `Fit`."""

    cost: Cost
    predictions: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FinalFit:
    """A request to fit on all rows and keep the predictor: the model that is handed over.

    Attributes:
        key: As in `Fit`.
        method: As in `Fit`.
        options: As in `Fit`.
        backbone: As in `Fit`.
        seed: As in `Fit`.
        labelled: Positions of the rows that it is given with their targets.
        pool: Positions of the rows in its pool.
    """

    key: str
    method: str
    options: Mapping[str, Any]
    backbone: BackboneRef | None
    seed: int
    labelled: Sequence[int]
    pool: Sequence[int]


@dataclass(frozen=True)
class Prepare:
    """A request to embed all examples with each backbone, so that every run finds them cached."""


@dataclass(frozen=True)
class Spending:
    """A request for what models behind an address took so far: `Spent.as_json` by their names."""


@dataclass(frozen=True)
class Prepared:
    """How long preparing took, by backbone id, and the precision and device that were settled on."""

    seconds: Mapping[str, float]
    precision: str
    device: str


class WouldTakeLongerError(NshotError):
    """A training was given up, because its first steps showed that it would not end in time.

    Attributes:
        before: Seconds up to its first step.
        training: Seconds that its steps would have taken in all.
    """

    def __init__(self, before: float, training: float) -> None:
        super().__init__(f"It would have taken about {before + training:.0f} s.")
        self.before = before
        self.training = training

    def __reduce__(self) -> tuple[type[WouldTakeLongerError], tuple[float, float]]:
        """Let it travel from the worker to the planner."""
        return type(self), (self.before, self.training)


class Deadline:
    """Gives a training up once its first steps show that it would take too long.

    Args:
        report: Told of the progress as well.
        within: Seconds that the fit may take.
    """

    def __init__(self, report: Progress, within: float) -> None:
        self._report = report
        self._within = within
        self._began = time.perf_counter()
        self._first_step: float | None = None

    def __call__(self, done: int, total: int, doing: str = "") -> None:
        """Take that `done` of `total` steps are finished.

        Raises:
            WouldTakeLongerError: The rest would take too long.
        """
        self._report(done, total, doing)
        if not doing.startswith("training"):
            return
        now = time.perf_counter() - self._began
        if self._first_step is None or done <= 1:
            self._first_step = now
            return
        # The first step pays for what is set up once, so it is not counted.
        steps = done - 1
        if steps >= max(_STEPS_TO_JUDGE, total * _SHARE_TO_JUDGE) and done < total / 2:
            each = (now - self._first_step) / steps
            if self._first_step + each * total > self._within:
                raise WouldTakeLongerError(self._first_step, each * total)


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
                remote=setting.remote,
            )

        self._open = opened
        self._backbones = {ref.id: self._open(ref) for ref in setting.backbones}
        self._uncached: dict[BackboneRef, Backbone] = {}
        self._learnt: dict[str, tuple[tuple[str, int, int], Backbone]] = {}
        here = [backbone for backbone in self._backbones.values() if isinstance(backbone, Computes)]
        self._device = here[0].device if here else "cpu"
        self._precision = here[0].precision if here else "fp32"
        self._metric = metrics.get(setting.metric)
        self._metrics = [metrics.get(name) for name in setting.metrics]
        self._n_train = min(len(draw.order) for draw in setting.draws.values())

    def _examples(self, request: Fit) -> tuple[Dataset, Dataset, Dataset]:
        """Return the labelled rows of a fit in order, the rows it is tested on, and its pool."""
        setting = self._setting
        draw = setting.draws[request.repeat, request.fold]
        labelled = draw.order[: request.n_labels]
        counted = {Pool.ALL: draw.order, Pool.OTHERS: draw.order[request.n_labels :], Pool.UNCOUNTED: draw.order[:0]}
        test = (setting.test or setting.train).take(draw.test)
        return setting.train.take(labelled), test, self._pool([*counted[setting.pool], *draw.rest])

    def _drawn(self, request: Fit) -> Sequence[Any]:
        """Return every example that the fits of a draw may learn from."""
        draw = self._setting.draws[request.repeat, request.fold]
        return self._pool([*draw.order, *draw.rest]).examples

    def _pool(self, positions: Sequence[int]) -> Dataset:
        """Return these training rows without their targets, then the rows that never had one."""
        known = self._setting.train.take(positions).without_targets()
        unlabelled = self._setting.unlabelled
        if unlabelled is None or not len(unlabelled) or self._setting.pool is Pool.UNCOUNTED:
            return known
        return Dataset(joined(known.examples, unlabelled.examples), known.modality, name="pool")

    def _backbone(
        self, ref: BackboneRef | None, examples: Callable[[], Sequence[Any]], which: tuple[str, int, int]
    ) -> Backbone | None:
        """Return a backbone; one that learns has seen `examples`.

        Args:
            ref: Which one, or None.
            examples: Of the pool and of the labelled rows, without targets; called if need be.
            which: Equal where the examples are: what was learnt from them last is kept.
        """
        if ref is None:
            return None
        backbone = self._backbones[ref.id]
        if not isinstance(backbone, Learns):
            return backbone
        kept = self._learnt.get(ref.id)
        if kept is None or kept[0] != which:
            kept = self._learnt[ref.id] = which, backbone.learnt_from(examples())
        return kept[1]

    def _context(self, seed: int, within: float = math.inf, task: Task | None = None) -> FitContext:
        metric, task = self._metric, task or self._setting.task

        def objective(targets: Sequence[Any], prediction: Prediction) -> float:
            score = metric.aggregate(metric.statistics(targets, prediction, task))
            return score if metric.higher_is_better else -score

        return FitContext(
            objective=objective,
            seed=seed,
            device=self._device,
            precision=self._precision,
            threads=self._setting.threads,
            progress=self._report if within == math.inf else Deadline(self._report, within),
            open=self._open,
        )

    def spending(self, request: Spending) -> dict[str, dict[str, Any]]:
        """Return what models behind an address took so far."""
        from nshot.backbones.remote_llm import RemoteLlm

        remote = [backbone for backbone in self._backbones.values() if isinstance(backbone, RemoteLlm)]
        return {backbone.ref.name: backbone.meter.spent.as_json() for backbone in remote}

    def prepare(self, request: Prepare) -> Prepared:
        """Embed everything once."""
        setting = self._setting
        seconds = {}
        parts = [setting.train, setting.test, setting.unlabelled]
        # Entities are found by the vectors of words, not by those of whole texts.
        for ref in setting.backbones if setting.task.kind is not TaskKind.EXTRACT else ():
            backbone = self._backbones[ref.id]
            if not isinstance(backbone, Embeds) or isinstance(backbone, Learns):
                continue
            examples = [example for part in parts if part is not None for example in part.examples]
            # A picture takes as long as hundreds of short texts, and whoever waits wants to see that it goes on.
            started, step = time.perf_counter(), 32 if setting.train.modality == "image" else 2_048
            for at in range(0, len(examples), step):
                self._report(at, len(examples), f"embedding with {ref.name}")
                backbone.embed(examples[at : at + step])
            seconds[ref.id] = time.perf_counter() - started
        return Prepared(seconds, self._precision, self._device)

    def _first_cost(self, backbone: Backbone | None, embeds: bool, examples: Sequence[Any]) -> float:
        """Return the seconds that the cached features of `examples` once took; cached work is not free work."""
        from nshot.backbones.cache import KeepsVectors

        if backbone is None or not embeds:
            return 0.0
        return backbone.first_cost(examples) if isinstance(backbone, KeepsVectors) else 0.0

    def fit(self, request: Fit) -> Fitted:
        """Fit, predict, measure, and write the predictions."""
        from nshot.methods import build

        method = build(request.method, request.options)
        subset, test, pool = self._examples(request)
        learning = time.perf_counter()
        backbone = self._backbone(
            request.backbone, lambda: self._drawn(request), ("draw", request.repeat, request.fold)
        )
        learning_seconds = time.perf_counter() - learning
        context = self._context(request.seed, request.within)
        embeds = _embeds(method)
        reads_pool = method.needs.pool or self._setting.task.kind is TaskKind.DETECT
        learnt_from = pool.examples if reads_pool else subset.examples
        # Asked before the fit: what the fit itself computes is in its own time already.
        embedding_seconds = self._first_cost(backbone, embeds, learnt_from)
        # A trained network has features of its own, which no cache holds.
        answers_from_cache = embeds and not method.trains_network
        embedding_test_seconds = self._first_cost(backbone, answers_from_cache, test.examples)
        asked_before = _asked(backbone)
        _forget_peak()
        started = time.perf_counter()
        predictor = method.fit(self._setting.task, subset, pool, backbone, context)
        fit_seconds = time.perf_counter() - started + embedding_seconds + learning_seconds
        _answered(predictor, test.examples[:1])  # reads the weights, which is no part of what an answer costs
        answering = time.perf_counter()
        prediction, taken_in = _answered(predictor, test.without_targets().examples)
        done = time.perf_counter()
        prediction = _with_likelihoods(prediction, predictor, test)
        memory = _peak_memory()
        state = predictor.state()
        predict_seconds = done - answering + embedding_test_seconds
        training = state.settings.get("training")
        cost = Cost(
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            milliseconds_per_example=1000 * predict_seconds / max(1, len(test)),
            peak_memory_bytes=memory,
            artefact_bytes=measuring.artefact_bytes(state),
            examples_seen=training["examples_seen"] if training else None,
        )
        if backbone is not None and backbone.ref.is_remote:
            cost = _as_asked(cost, backbone, asked_before)
        elif request.latency:
            cost = self._with_speed(cost, method, state, test.take(taken_in).examples)
        arrays = self._answers(test, prediction, whole=request.repeat == 0 and request.n_labels in (0, self._n_train))
        # Labelled anomalies alone can be ranked no better or worse.
        if request.latency and request.n_labels and self._setting.pool is Pool.ALL:
            arrays |= self._on_own_rows(predictor, subset)
        if request.latency and isinstance(predictor, Writer):
            arrays |= _on_general_text(predictor)
        file = self._write_predictions(request.key, arrays)
        if request.keep:
            self._keep(request.key, predictor, method)
        unanswered = len(test) - len(taken_in)
        settings = _json_only(state.settings)
        return Fitted(cost, file, {**settings, "unanswered": unanswered} if unanswered else settings)

    def fit_with_new_labels(self, request: FitWithNewLabels) -> list[Fitted]:
        """Take new labels in with each number of examples, predict, measure, and write the predictions.

        The fit seconds are those of taking all new labels in: of handing them over, or of the new fit.
        """
        from nshot.methods import build

        method = build(request.method, request.options)
        rows, task = self._setting.train, self._setting.task
        test = (self._setting.test or rows).take(self._setting.draws[request.repeat, request.fold].test)
        backbone = self._backbone(
            request.backbone,
            lambda: self._pool(request.train.tolist()).examples,
            ("seen labels", request.repeat, request.fold),
        )

        def fit(task: Task, positions: Sequence[int]) -> Predictor:
            context = self._context(request.seed, request.within, task)
            return method.fit(task, rows.take(positions), self._pool(positions), backbone, context)

        before = None if request.again else fit(task.without(request.examples), request.train.tolist())
        found = []
        for number, key in request.keys.items():
            handed = {label: rows.take(own[:number]).examples for label, own in request.examples.items()}
            learnt = [*request.train, *(row for own in request.examples.values() for row in own[:number])]
            read = (self._pool(learnt) if method.needs.pool else rows.take(learnt)).examples
            if before is not None:
                read = _read_to_grow(method, task, handed)
            first_cost = self._first_cost(backbone, _embeds(method), read)
            started = time.perf_counter()
            predictor = fit(task, learnt) if before is None else _grown(before, task, handed)
            seconds = time.perf_counter() - started + first_cost
            answering = time.perf_counter()
            prediction = predictor.predict(test.without_targets().examples)
            done = time.perf_counter()
            cost = Cost(seconds, done - answering, 1000 * (done - answering) / max(1, len(test)))
            file = self._write_predictions(key, self._answers(test, prediction, whole=False))
            found.append(Fitted(cost, file))
        return found

    def final(self, request: FinalFit) -> Fitted:
        """Fit on every row and keep the predictor."""
        from nshot.methods import build

        method = build(request.method, request.options)
        train = self._setting.train
        started = time.perf_counter()
        backbone = self._backbone(
            request.backbone, lambda: self._pool(range(len(train))).examples, ("everything", 0, 0)
        )
        predictor = method.fit(
            self._setting.task,
            train.take(request.labelled),
            self._pool(request.pool),
            backbone,
            self._context(request.seed),
        )
        seconds = time.perf_counter() - started
        self._keep(request.key, predictor, method)
        state = predictor.state()
        cost = Cost(seconds, 0.0, 0.0, None, _peak_memory(), measuring.artefact_bytes(state))
        return Fitted(cost, None, _json_only(state.settings))

    def _with_speed(self, cost: Cost, method: Method, state: State, examples: Sequence[Any]) -> Cost:
        """Return `cost` with how fast the predictor answers from its saved state, and what that needs."""
        needed: list[Backbone] = []
        modality = self._setting.train.modality

        def opened(wanted: BackboneRef) -> Backbone:
            needed.append(self._without_cache(wanted))
            return needed[-1]

        predictor = method.restore(self._setting.task, state, opened)
        speed = measuring.speed(predictor.predict, examples, all_at_once=cost.predict_seconds)
        if speed is None:
            return cost
        return replace(
            cost,
            milliseconds_alone=speed.milliseconds_alone,
            milliseconds_alone_p95=speed.milliseconds_alone_p95,
            examples_per_second=speed.examples_per_second,
            best_batch=speed.best_batch,
            shipped_bytes=measuring.shipped_bytes(state, [backbone.ref for backbone in needed]),
            # A method may turn examples into something else before a backbone of its own reads them.
            tokens_per_example=next(
                (measuring.tokens_per_example(one, examples) for one in needed if modality in one.modalities), None
            ),
        )

    def _without_cache(self, ref: BackboneRef) -> Backbone:
        """Return a backbone that computes every time; its weights are read once for all that are measured."""
        from nshot.backbones.cache import KeepsVectors

        if ref not in self._uncached:
            own = self._backbones.get(ref.id)
            self._uncached[ref] = own.uncached() if isinstance(own, KeepsVectors) else self._open(ref, cached=False)
        return self._uncached[ref]

    def _answers(self, test: Dataset, prediction: Prediction, *, whole: bool) -> dict[str, np.ndarray]:
        """Return the answers and each metric's per-example statistics; resampling needs nothing else.

        All probabilities are kept of a `whole` run only, one that may be the pick's: suspected label mistakes need
        them, and those of every run would fill the disk.
        """
        import numpy as np

        targets = test.labelled_targets()
        arrays: dict[str, np.ndarray] = {}
        for metric in self._metrics:
            if metric.unavailable(prediction) is None:
                arrays[f"metric.{metric.name}"] = metric.statistics(targets, prediction, self._setting.task)
        if prediction.texts is not None:
            arrays["texts"] = as_bytes(prediction.texts)
        if prediction.stopped is not None:
            arrays["stopped"] = np.array(prediction.stopped, dtype=np.uint8)
        if prediction.spans is not None and whole:
            arrays["spans"] = as_bytes([json.dumps(spans) for spans in prediction.spans])
        if prediction.scores is not None:
            arrays["score"] = np.asarray(prediction.scores, dtype=np.float64)
        if self._setting.task.kind is TaskKind.TAG:
            return arrays  # which labels were given stands in the metrics' statistics
        if prediction.labels is not None and self._setting.task.labels:
            index = self._setting.task.index()
            arrays["label"] = np.array([index[label] for label in prediction.labels], dtype=np.int32)
        if prediction.probabilities is not None:
            arrays["confidence"] = np.asarray(prediction.probabilities.max(axis=1), dtype=np.float32)
            if whole and prediction.probabilities.size <= _MOST_PROBABILITIES:
                arrays["probabilities"] = np.asarray(prediction.probabilities, dtype=np.float16)
        return arrays

    def _on_own_rows(self, predictor: Predictor, subset: Dataset) -> dict[str, np.ndarray]:
        """Return the primary metric's statistics of some rows that the predictor was fitted on, spread evenly."""
        import numpy as np

        places = np.unique(np.linspace(0, len(subset) - 1, min(_OWN_ROWS, len(subset))).astype(int))
        own = subset.take(places)
        prediction = predictor.predict(own.without_targets().examples)
        if self._metric.unavailable(prediction) is not None:
            return {}
        statistics = self._metric.statistics(own.labelled_targets(), prediction, self._setting.task)
        return {f"own.{self._metric.name}": statistics}

    def _write_predictions(self, key: str, arrays: Mapping[str, np.ndarray]) -> str:
        import numpy as np
        from safetensors.numpy import save

        file = self._setting.predictions / f"{key}.safetensors"
        # safetensors writes an array's memory as it lies: columns that were stacked would come back as rows.
        _write_atomically(file, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
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


def _asked(backbone: Backbone | None) -> Spent | None:
    """Return what a model behind an address took so far; None for what runs here."""
    from nshot.backbones.remote_llm import RemoteLlm

    return backbone.meter.spent if isinstance(backbone, RemoteLlm) else None


def _as_asked(cost: Cost, backbone: Backbone, before: Spent | None) -> Cost:
    """Return `cost` with the mean time and price of the answers that a model behind an address gave since `before`.

    They are those that were wanted anyway, because each costs money; nothing where all were in the record already.
    """
    now = _asked(backbone)
    if now is None or before is None or now.requests == before.requests:
        return cost
    requests = now.requests - before.requests
    return replace(
        cost,
        milliseconds_alone=1000 * (now.seconds - before.seconds) / requests,
        money_per_example=(now.money - before.money) / requests,
    )


def as_bytes(texts: Sequence[str]) -> np.ndarray:
    """Return texts as an array, uint8: json, in which a text that is no valid Unicode survives as well."""
    import numpy as np

    return np.frombuffer(json.dumps(list(texts)).encode(), dtype=np.uint8)


def of_bytes(array: np.ndarray) -> list[str]:
    """Return the texts that `as_bytes` wrote."""
    texts: list[str] = json.loads(array.tobytes())
    return texts


def _answered(predictor: Predictor, examples: Sequence[Any]) -> tuple[Prediction, list[int]]:
    """Return the answers, and the positions of the examples that were answered.

    A model that writes does not take in every input: those that are too long for it get an empty answer. It is as bad
    as an answer can be, and the candidate is not lost for one row.
    """
    left = list(range(len(examples)))
    while True:
        try:
            found = predictor.predict(examples if len(left) == len(examples) else [examples[at] for at in left])
        except ExampleError as error:
            if not isinstance(predictor, Writer):
                raise
            del left[error.position]
        else:
            break
    if len(left) == len(examples):
        return found, left
    texts, stopped = [""] * len(examples), [False] * len(examples)
    for at, text, ended in zip(left, found.texts or (), found.stopped or (), strict=True):
        texts[at], stopped[at] = text, ended
    return Prediction(texts=texts, stopped=stopped), left


def _with_likelihoods(prediction: Prediction, predictor: Predictor, test: Dataset) -> Prediction:
    """Return a prediction with how likely its writer takes the true answers to be; others are left as they are."""
    if not isinstance(predictor, Writer):
        return prediction
    own_answers = [target[0] for target in test.labelled_targets()]
    try:
        return replace(prediction, likelihoods=predictor.likelihoods(test.examples, own_answers))
    except DataError:
        # A reference that does not fit into the model: what was written can be judged all the same.
        traceback.print_exc()
        return prediction


def _on_general_text(predictor: Writer) -> dict[str, np.ndarray]:
    """Return how likely a writer takes answers that have nothing to do with the data: it may have forgotten them."""
    import numpy as np

    from nshot.study.general_text import pairs

    examples = [Conversation.asking(question) for question, _ in pairs()]
    found = predictor.likelihoods(examples, [answer for _, answer in pairs()])
    return {} if found is None else {"general": np.asarray(found, dtype=np.float64)}


def _embeds(method: Method) -> bool:
    return Ability.EMBEDS in (method.needs.abilities or ())


def _read_to_grow(method: Method, task: Task, handed: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return what a predictor of `method` has to read to take these labels in."""
    if method.takes_in is TakesIn.BY_NAME:
        return [task.readable(label) for label in handed]
    return [example for examples in handed.values() for example in examples]


def _grown(predictor: Predictor, task: Task, handed: Mapping[str, Sequence[Any]]) -> Predictor:
    """Return `predictor` with the labels of `handed` taken in, each with its examples."""
    for label, examples in handed.items():
        if not isinstance(predictor, Growable):
            raise UnsupportedError("It cannot take in a label without being fitted again.")
        predictor = predictor.with_label(label, task.descriptions.get(label), examples)
    return predictor


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
                FitWithNewLabels: worker.fit_with_new_labels,
                FinalFit: worker.final,
                Prepare: worker.prepare,
                Spending: worker.spending,
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
