"""`fit`: one method, on all labelled rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from nshot import bundle, metrics
from nshot.api.long_fit import long_fit
from nshot.api.model import Course, Model
from nshot.api.options import part_of, resolved_options
from nshot.api.references import of_training
from nshot.backbones import DEFAULT, default_for, open_backbone
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Computes,
    Dataset,
    Distils,
    FitContext,
    Learns,
    OptionError,
    Predictor,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.data.options import ReadOptions
from nshot.data.rows import joined
from nshot.spec import Method
from nshot.study.counting import Counts, Pool
from nshot.study.options import Bytes, ComputingOptions
from nshot.study.watch import Pace, Unwatched, Watch
from nshot.training.tracking import WISH, is_destination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nshot.data.columns import RowColumn
    from nshot.data.reading import Source

_WITHOUT_LABELS = frozenset({TaskKind.CLUSTER, TaskKind.COMPRESS})


def _destinations(entries: tuple[str, ...]) -> tuple[str, ...]:
    if not all(is_destination(entry) for entry in entries):
        raise ValueError(WISH)
    return entries


class FitOptions(ReadOptions, RemoteOptions, ComputingOptions):
    """Everything that `fit` can be told."""

    method: str
    """The method to fit."""
    set: tuple[str, ...] = ()
    """An option of the method, as OPTION=VALUE, such as learning_rate=3e-5."""
    backbone: str | None = None
    """Pre-trained model: a name, a local folder or a hub id; the usual one for such examples unless named. For answers
    that are written a language model has to be named, such as Qwen/Qwen2.5-0.5B-Instruct."""
    metric: str | None = None
    """What the method selects by; the task's own metric unless named."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""
    max_memory: Bytes | None = None
    """How much memory the training may take, such as 2GiB: it then computes its steps in smaller parts."""
    track: Annotated[tuple[str, ...], AfterValidator(_destinations)] = ()
    """Also write the figures of every training step to tensorboard (tensorboard:DIR; runs/ unless given) or mlflow
    (mlflow:URI of its server or database); repeat for both. Needs: pip install 'nshot[track]'."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "fit"


def fit(
    data: Any,
    *,
    options: FitOptions | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Model:
    """Fit one method to all rows of `data`.

    To detect, n counts labelled anomalies: these are given with their labels, to methods that learn from them, and all
    other rows are the pool. Groups are found in all rows, without a label.

    Args:
        data: As in `compare`.
        options: A `FitOptions` or its fields.
        out: Folder to save the model to; a training that was stopped then goes on where it was. None: it is not saved.
        watch: Shown what is going on.
        more: Fields of `FitOptions`, such as ``method="linear_probe"``.

    Raises:
        NshotError: The data or the options have to change; the text says how.
    """
    from nshot.data.reading import read
    from nshot.training.distributed import is_main_process

    watch = watch or Unwatched()
    resolved = resolved_options(FitOptions, options, more)
    method_to_fit(resolved)  # what cannot be meant is told before anything is read
    if out is not None and is_main_process():
        bundle.require_writable(Path(out))
    watch.progress("reading", 0, 0)
    source = read(data, part_of(ReadOptions, resolved))
    watch.say(source.recognised)
    train, pool = _parts(source, with_labels=method_to_fit(resolved).needs.fewest_labels > 0)
    return fit_dataset(
        source.task,
        train,
        pool,
        resolved,
        text_columns=source.text_columns,
        row_columns=source.row_columns,
        label_column=source.label_column,
        separator=source.separator,
        fingerprint=source.dataset.fingerprint,
        out=out,
        watch=watch,
    )


def _parts(source: Source, *, with_labels: bool) -> tuple[Dataset, Dataset]:
    """Return what a fit is given with its targets, and its pool."""
    dataset, counted = source.dataset, None
    if source.task.kind is TaskKind.DETECT:
        counted = np.array([bool(mark) for mark in dataset.labelled_targets()], dtype=bool)
    elif source.task.kind in _WITHOUT_LABELS:
        counted = np.zeros(len(dataset), dtype=bool)
    counts = Counts(None, counted, Pool.OTHERS if source.task.kind is TaskKind.DETECT else Pool.ALL)
    labelled, others = counts.everything(len(dataset), with_labels=with_labels)
    pool = joined(dataset.take(others).examples, source.unlabelled.examples)
    return dataset.take(labelled), Dataset(pool, dataset.modality, name="pool")


def fit_dataset(
    task: Task,
    train: Dataset,
    pool: Dataset,
    options: FitOptions,
    *,
    text_columns: Sequence[str] = (),
    row_columns: Sequence[RowColumn] = (),
    label_column: str | None = None,
    separator: str | None = None,
    fingerprint: str | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
    probabilities: NDArray[np.float32] | None = None,
) -> Model:
    """Fit one method to a dataset that is in memory.

    Of several processes that were launched together, the main one alone writes.

    Args:
        task: What is asked.
        train: The labelled examples.
        pool: The examples without their targets; see `Method.fit`.
        options: Which method and how.
        text_columns: Remembered, so that later files are recognised.
        row_columns: Likewise.
        label_column: Likewise.
        separator: Likewise, of the labels in a cell.
        fingerprint: Of the labelled data, where `train` is a part of it only.
        out: As in `fit`.
        watch: Shown what is going on.
        probabilities: How sure a teacher, whose answers the targets are, is of each label, shape (n, labels): learnt by
            a method that `Distils`, for nothing by others.

    Raises:
        NshotError: The method cannot do this.
    """
    from nshot.backbones.computing import chosen_device
    from nshot.backbones.precision import available_threads, measured
    from nshot.training.distributed import is_main_process, launched

    watch = watch or Unwatched()
    method = method_to_fit(options)
    metric = metrics.deciding(options.metric) if options.metric else metrics.default_metric(task, train.targets or ())
    task = replace(task, metric=metric.name)
    threads = options.threads or available_threads()
    pace = Pace(watch)
    watch.progress("opening the model", 0, 0)

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(
            ref,
            precision=options.precision,
            device=options.device,
            threads=threads,
            remote=options.access(None),
            progress=pace,
        )

    named = options.backbone or default_for(pool.modality)
    backbone = opened(BackboneRef(named)) if method.needs.abilities is not None else None
    reason = (
        _without_a_language_model(method, task, options)
        or method.supports(task, backbone)
        or _too_many_labels(method, task, train)
    )
    if reason is not None:
        raise UnsupportedError(reason)
    if isinstance(backbone, Learns):
        watch.progress("learning what the columns hold", 0, 0)
        is_apart = task.kind is TaskKind.DETECT
        backbone = backbone.learnt_from(joined(pool.examples, train.examples) if is_apart else pool.examples)
    sign = 1.0 if metric.higher_is_better else -1.0
    device = "cpu"
    if isinstance(backbone, Computes):
        device = backbone.device
    elif method.trains_network:
        device = chosen_device(options.device)
    has_network = backbone is not None or method.trains_network
    precision = measured(device, threads) if has_network and options.precision == "auto" else options.precision
    context = FitContext(
        objective=lambda targets, prediction: sign * metric.aggregate(metric.statistics(targets, prediction, task)),
        seed=options.seed,
        device=device,
        precision="fp32" if precision == "auto" else precision,
        threads=threads,
        memory_bytes=None if options.max_memory is None else int(options.max_memory),
        progress=pace,
        open=opened,
    )
    fingerprint = fingerprint or train.fingerprint
    facts = {
        "seed": context.seed,
        "precision": context.precision,
        "threads": threads,
        "device": device,
        "processes": launched(),
        "data fingerprint": fingerprint,
        "torch": version("torch"),
    }
    about = bundle.BundleInfo(
        model_n_labels=len(train) if method.needs.fewest_labels else 0,
        modality=pool.modality,
        text_columns=tuple(text_columns),
        row_columns=tuple(map(bundle.ColumnRecord.of, row_columns)),
        label_column=label_column,
        separator=separator,
        data_name=train.name,
        data_fingerprint=fingerprint,
        precision=context.precision,
        reference=None if out is None else of_training(method, backbone, train, pool),
    )
    decisive = {
        **facts,
        "nshot": version("nshot"),
        "method": [method.method_name(), method.version, method.model_dump(mode="json")],
        "backbone": backbone.ref.as_json() if backbone else None,
        "task": [task.kind, task.labels, dict(task.descriptions), task.metric, task.instruction],
        # Only a training that can be taken up again has to know its pool: a large one takes long to read through.
        "pool": pool.fingerprint if method.trains_network else None,
        "probabilities": None if probabilities is None else hashlib.sha256(probabilities.tobytes()).hexdigest(),
    }
    with long_fit(method, context, options.track, decisive, train.name, out, watch) as long:
        watch.progress(f"fitting {method.method_name()}", 0, 0)
        started = time.perf_counter()
        predictor = _fitted(method, task, train, pool, backbone, long.context, probabilities)
        seconds = time.perf_counter() - started
        course = Course(seconds, long.speed.examples_per_second, long.was_resumed, facts)
        model = Model(method, task, predictor, about, course)
        if out is not None and is_main_process():
            watch.progress("saving", 0, 0)
            # What writes depends on templates, added tokens and ties of weights as well; a service costs money to ask.
            is_checked = task.kind == TaskKind.GENERATE and (backbone is None or isinstance(backbone, Computes))
            asked = train.examples[: bundle.READ_BACK] if is_checked else ()
            agreement = model.save(out, examples=asked, opened=opened)
            model = Model(method, task, predictor, about, replace(course, agreement=agreement))
        about_fit = {"seconds": seconds, "examples_per_second": course.examples_per_second, "n_labels": len(train)}
        long.tracking.finish({**model.training, **about_fit})
    return model


def _fitted(
    method: Method,
    task: Task,
    train: Dataset,
    pool: Dataset,
    backbone: Backbone | None,
    context: FitContext,
    probabilities: NDArray[np.float32] | None,
) -> Predictor:
    if probabilities is not None and isinstance(method, Distils):
        return method.distilled(task, train, probabilities, backbone, context)
    return method.fit(task, train, pool, backbone, context)


def method_to_fit(options: FitOptions) -> Method:
    """Return the method with its options.

    Raises:
        OptionError: There is no such method or option, or there is nothing to track.
    """
    from nshot import methods

    settings = {}
    for entry in options.set:
        name, equals, value = entry.partition("=")
        if not equals:
            raise OptionError(f"--set expects OPTION=VALUE, such as learning_rate=3e-5. Got: {entry}")
        settings[name.strip()] = value
    method = methods.build(options.method, settings)
    if options.track and not method.trains_network:
        raise OptionError(f"{options.method} has no training steps, so there is nothing to track. Leave --track out.")
    return method


def _without_a_language_model(method: Method, task: Task, options: FitOptions) -> str | None:
    """Return that a language model has to be named, where the method needs one and nobody did; or None."""
    needs_one = Ability.GENERATES in (method.needs.abilities or ()) and task.kind in method.needs.tasks
    if not needs_one or options.backbone not in {None, DEFAULT}:
        return None
    return (
        f"{method.method_name()} needs a language model that writes, and {DEFAULT} only turns texts into vectors. "
        "Name one: --backbone FOLDER, or a hub id such as --backbone Qwen/Qwen2.5-0.5B-Instruct."
    )


def _too_many_labels(method: Method, task: Task, train: Dataset) -> str | None:
    """Return why no network can be trained on so few rows for so many labels, or None."""
    if not method.trains_network or method.needs.fewest_labels == 0 or len(train) >= len(task.labels):
        return None
    return (
        f"{method.method_name()} learns a label from its rows, and {train.name} has {len(train)} labelled rows for "
        f"{len(task.labels)} labels. Label at least one row of each, or use a method that needs none: label_similarity."
    )
