"""What Python users call; the command line calls the same."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from nshot import bundle, metrics
from nshot.backbones import DEFAULT, open_backbone
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import (
    BackboneRef,
    Check,
    DataError,
    Dataset,
    FitContext,
    NshotError,
    OptionError,
    Prediction,
    Predictor,
    Severity,
    Task,
    Track,
    UnsupportedError,
)
from nshot.data.options import ReadOptions
from nshot.spec import Method, Spec
from nshot.study.files import StudyFolder, read_plan
from nshot.study.options import Bytes, Device, StudyOptions
from nshot.study.watch import Pace, Unwatched, Watch
from nshot.training.tracking import WISH, is_destination

if TYPE_CHECKING:
    from nshot.data.reading import Source
    from nshot.evaluation.checks import AuditReport
    from nshot.study.study import Result, Study, StudyData
    from nshot.training.tracking import Tracking


class CompareOptions(StudyOptions, ReadOptions):
    """Everything that `compare` can be told."""

    test: Path | None = None
    """A test of your own: its rows are never trained on. Without one, nshot holds rows back by itself."""
    out: Path | None = None
    """Folder for the results; <name of the data>.nshot unless given. The same command goes on where it stopped."""
    fresh: bool = False
    """Throw away what the folder holds and start over."""
    texts: bool = Field(default=True)
    """Show the data's texts in the report; --no-texts leaves them out."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "compare"


# ---------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Inputs:
    """The data as it was read and audited; `named` is what the user called it by."""

    source: Source
    test: Source | None
    audit: AuditReport
    named: Any


def _read(data: Any, options: CompareOptions, watch: Watch) -> _Inputs:
    """Read and audit; an audit that finds an error ends here.

    Raises:
        DataError: The data cannot be used.
    """
    from nshot.data.reading import read
    from nshot.evaluation.checks import audit

    own = _part(ReadOptions, options)
    source = read(data, own)
    watch.say(source.recognised)
    test = read(options.test, own, like=source) if options.test is not None else None
    report = audit(source, test)
    errors = [check for check in report.checks if check.severity == Severity.ERROR]
    if errors:
        raise DataError("\n".join(f"{check.code} {check.explanation} {check.advice}" for check in errors))
    return _Inputs(source, test, report, data)


def check(
    data: Any, test: Any = None, *, options: ReadOptions | Mapping[str, Any] | None = None, **more: Any
) -> CheckedData:
    """Audit data without comparing anything.

    Args:
        data: As in `compare`.
        test: A test of the same form, or None.
        options: A `ReadOptions` or its fields.
        more: Fields of `ReadOptions`, such as ``label="queue"``.

    Raises:
        DataError: The data cannot be read.
    """
    from nshot.data.reading import read
    from nshot.evaluation.checks import audit

    resolved = _resolved(ReadOptions, options, more)
    source = read(data, resolved)
    held = read(test, resolved, like=source) if test is not None else None
    return CheckedData(source.rows, source.task, tuple(audit(source, held).checks), source.recognised)


@dataclass(frozen=True)
class CheckedData:
    """What an audit found.

    Attributes:
        rows: Number of rows.
        task: What was recognised as the task.
        checks: The findings.
        recognised: A sentence about what was recognised.
    """

    rows: int
    task: Task
    checks: tuple[Check, ...]
    recognised: str

    def as_json(self) -> dict[str, Any]:
        """Return the record that ``nshot check --json`` prints."""
        return {
            "rows": self.rows,
            "task": self.task.kind.value,
            "labels": list(self.task.labels),
            "checks": [finding.as_json() for finding in self.checks],
        }


# ---------------------------------------------------------------------------------------------- compare


@dataclass(frozen=True)
class Comparison:
    """What `compare` came to.

    Attributes:
        verdict: The content of ``verdict.json``.
        details: What the report shows beyond it.
        folder: Where everything lies.
    """

    verdict: dict[str, Any]
    details: dict[str, Any]
    folder: Path

    @property
    def pick(self) -> dict[str, Any]:
        """Return which candidate was picked, its score and its interval."""
        pick: dict[str, Any] = self.verdict["pick"]
        return pick

    @property
    def record(self) -> dict[str, Any]:
        """Return the record that the reports are made of."""
        return {"verdict": self.verdict, "details": self.details}

    def load(self) -> Model:
        """Return the model that was handed over."""
        return load(StudyFolder(self.folder).model)


def compare(
    data: Any,
    *,
    options: CompareOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Comparison:
    """Adapt models to `data` in every sensible way, compare the ways, and hand over the best one's model.

    Args:
        data: A file (csv, tsv, jsonl, json, parquet), a folder with one folder of text files per label, a pandas
            DataFrame, a pair (texts, labels), a list of dicts, or the ``study.toml`` of an earlier comparison to repeat
            exactly the runs that are listed there.
        options: A `CompareOptions` or its fields.
        watch: Shown what is going on.
        more: Fields of `CompareOptions`, such as ``budget="2m"`` or ``test="test.csv"``.

    Raises:
        NshotError: Something has to change first; the text says what.
    """
    from nshot.study.execute import Clock
    from nshot.study.process import RunFailedError

    watch = watch or Unwatched()
    data, resolved, only = _replayed(data, _resolved(CompareOptions, options, more))
    clock = Clock(math.inf if only is not None else resolved.budget)
    inputs = _read(data, resolved, watch)
    work = _study_data(inputs, resolved)
    folder = StudyFolder(_out(data, resolved))
    made_here = not folder.path.exists()
    study: Study | None = None
    try:
        folder.open(work.fingerprint, fresh=resolved.fresh)
        study = _study(work, resolved, folder, clock, watch)
        folder.record(_plan_record(inputs, resolved, work, study))
        result = study.run(only)
        watch.say("Fitting the model to hand over")
        model_n_labels = _hand_over(study, result, inputs, folder)
        comparison = _reported(study, result, inputs, resolved, folder, model_n_labels, clock.spent)
        folder.record({**_plan_record(inputs, resolved, work, study), **_executed_record(result)})
        folder.keep_only_results()
    except RunFailedError:
        raise  # its message names the log in the folder
    except BaseException:
        folder.abandon(made_here=made_here)
        raise
    finally:
        if study is not None:
            study.close()
    return comparison


def plan(
    data: Any,
    *,
    options: CompareOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """Return what `compare` would run, with the time that each run is expected to take; writes nothing.

    Args:
        data: As in `compare`.
        options: As in `compare`.
        watch: Shown what is going on.
        more: As in `compare`.

    Returns:
        One record per candidate and number of labels: ``candidate``, ``n_labels``, ``runs``, and ``seconds`` of one
        run, None for those that are cheap enough to run always.

    Raises:
        NshotError: As `compare`.
    """
    import tempfile

    from nshot.study.execute import Clock

    watch = watch or Unwatched()
    data, resolved, _ = _replayed(data, _resolved(CompareOptions, options, more))
    inputs = _read(data, resolved, watch)
    with tempfile.TemporaryDirectory(prefix="nshot-plan-") as scratch:
        folder = StudyFolder(Path(scratch))
        return _study(_study_data(inputs, resolved), resolved, folder, Clock(resolved.budget), watch).preview()


def _study(work: StudyData, options: CompareOptions, folder: StudyFolder, clock: Any, watch: Watch) -> Study:
    from nshot.study.study import Study

    return Study(work, _part(StudyOptions, options), folder, clock, watch)


def _study_data(inputs: _Inputs, options: CompareOptions) -> StudyData:
    from nshot.data.answers import read_answers
    from nshot.study.study import Given, StudyData

    source, test, report = inputs.source, inputs.test, inputs.audit
    answered = test or source
    return StudyData(
        task=source.task,
        train=source.dataset,
        test=test.dataset if test else None,
        unlabelled=source.unlabelled if len(source.unlabelled) else None,
        groups=report.groups,
        test_groups=report.test_groups if test else None,
        leaked=report.leaked.tolist(),
        given=tuple(Given(path.stem, read_answers(path, answered, source.task)) for path in options.candidate),
    )


def _replayed(data: Any, options: CompareOptions) -> tuple[Any, CompareOptions, list[str] | None]:
    """Return data, options and run list of a recorded plan, or what was given."""
    if not isinstance(data, str | Path) or Path(data).suffix != ".toml":
        return data, options, None
    record = read_plan(Path(data))
    recorded = CompareOptions.parse(record.get("options", {}))
    own = {name: getattr(options, name) for name in options.model_fields_set}
    return record["data"]["train"], recorded.model_copy(update=own), [run["key"] for run in record.get("runs", [])]


def _out(data: Any, options: CompareOptions) -> Path:
    if options.out is not None:
        return options.out
    return Path(f"{Path(data).stem}.nshot") if isinstance(data, str | Path) else Path("comparison.nshot")


def _plan_record(inputs: _Inputs, options: CompareOptions, work: StudyData, study: Study) -> dict[str, Any]:
    """Return the resolved plan for ``study.toml``."""
    named = inputs.named
    return {
        "schema": 1,
        "nshot": version("nshot"),
        "data": {
            "train": str(Path(named).resolve()) if isinstance(named, str | Path) else inputs.source.name,
            "fingerprint": work.fingerprint,
            "text": list(inputs.source.text_columns),
            "label": inputs.source.label_column,
        },
        "options": {
            name: str(Path(value).resolve()) if name in {"test", "labels"} else value
            for name, value in options.changed().items()
            if name not in {"out", "fresh"}
        },
        "design": {
            "kind": study.design.kind,
            "repeats": study.design.repeats,
            "folds": study.design.folds,
            "ladder": list(study.design.ladder),
            "n_test": study.design.n_test,
        },
    }


def _executed_record(result: Result) -> dict[str, Any]:
    return {
        "settled": {"precision": result.precision, "device": result.device},
        "notes": result.notes,
        "runs": [
            {name: run[name] for name in ("candidate", "n_labels", "repeat", "fold", "key")} for run in result.timeline
        ],
    }


def _hand_over(study: Study, result: Result, inputs: _Inputs, folder: StudyFolder) -> int | None:
    """Write the pick's bundle; return how many labels it saw, or None where the pick is not ours to write."""
    pick = result.verdict.record["pick"]
    if pick["method"] == "given":
        return None
    handed = study.hand_over(result.verdict.pick)
    refs = {ref.id: ref for ref in study.backbones}
    predictor = handed.method.restore(study.task, handed.state, lambda ref: open_backbone(refs.get(ref.id, ref)))
    about = bundle.BundleInfo(
        model_n_labels=handed.n_labels,
        score=bundle.MeasuredScore(
            metric=study.metric.name,
            score=pick["score"],
            interval=pick["interval"],
            n_labels=pick["n_labels"],
            n_test=study.design.n_test,
            target=pick["target"],
        ),
        text_columns=inputs.source.text_columns,
        label_column=inputs.source.label_column,
        data_name=inputs.source.name,
        data_fingerprint=inputs.source.dataset.fingerprint,
        precision=result.precision,
    )
    bundle.save(folder.model, method=handed.method, task=study.task, predictor=predictor, about=about)
    return handed.n_labels


def _reported(
    study: Study,
    result: Result,
    inputs: _Inputs,
    options: CompareOptions,
    folder: StudyFolder,
    model_n_labels: int | None,
    seconds: float,
) -> Comparison:
    """Write verdict and reports."""
    from nshot.study.facts import facts

    verdict = {
        **result.verdict.record,
        "model_n_labels": model_n_labels,
        "checks": [finding.as_json() for finding in inputs.audit.checks],
        "skipped": [item.as_json() for item in result.skipped],
        "notes": result.notes,
        "seconds": round(seconds, 2),
    }
    details = facts(study, result, inputs.source, inputs.test, options.changed(), folder, named=inputs.named)
    comparison = Comparison(verdict, details, folder.path)
    folder.write(folder.verdict, json.dumps(verdict, ensure_ascii=False, indent=1))
    folder.write(folder.details, json.dumps(details, ensure_ascii=False))
    write_report(folder.path, texts=options.texts)
    return comparison


def write_report(folder: str | Path, *, texts: bool = True) -> Comparison:
    """Write ``report.html`` and ``report.md`` of a comparison anew.

    Args:
        folder: What `compare` wrote.
        texts: Whether texts of the data are shown.

    Raises:
        OptionError: There is no finished comparison in `folder`.
    """
    from nshot.report import html, markdown

    study = StudyFolder(Path(folder))
    if not study.verdict.exists():
        unfinished = " It was not finished: run the same compare again." if study.plan.exists() else ""
        raise OptionError(f"{folder} holds no finished comparison (no verdict.json).{unfinished}")
    try:
        verdict, details = (json.loads(path.read_text(encoding="utf-8")) for path in (study.verdict, study.details))
    except (OSError, ValueError) as error:
        raise OptionError(f"{folder} is damaged: {error}. Run the compare again with --fresh.") from None
    found = Comparison(verdict, details, study.path)
    study.write(study.report, html.render(found.record, texts=texts))
    study.write(study.markdown, markdown.render(found.record, texts=texts))
    return found


# ---------------------------------------------------------------------------------------------- one model


@dataclass(frozen=True)
class Course:
    """How a fit went in the process that finished it.

    Attributes:
        seconds: Wall time of the fit.
        examples_per_second: Speed of its training steps, or None where it had none.
        was_resumed: Whether it went on from where an earlier process was stopped.
        facts: What decided the weights besides the method's options, and where it ran; json-able.
    """

    seconds: float
    examples_per_second: float | None = None
    was_resumed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class Model:
    """A fitted method with what it needs to be used and saved.

    Attributes:
        method: Name of the method.
        task: What it answers.
        about: Where it comes from: score, data, precision.
        course: How the fit went; None for a model that was loaded.
    """

    def __init__(
        self, fitted: Any, task: Task, predictor: Predictor, about: bundle.BundleInfo, course: Course | None = None
    ) -> None:
        self._method = fitted
        self._predictor = predictor
        self.task = task
        self.about = about
        self.course = course

    @property
    def method(self) -> str:
        """Return the name of the method."""
        name: str = self._method.method_name()
        return name

    @property
    def training(self) -> dict[str, Any]:
        """Return what the fit recorded about itself; empty for a method that trains nothing."""
        return dict(self._predictor.state().settings.get("training") or {})

    def predict(self, examples: Sequence[Any]) -> list[str]:
        """Return one label per example."""
        return list(self.answer(examples).labels or ())

    def predict_proba(self, examples: Sequence[Any]) -> Any:
        """Return probabilities, shape (n, labels), columns in the order of ``task.labels``.

        Raises:
            NshotError: This method has none.
        """
        found = self.answer(examples).probabilities
        if found is None:
            raise NshotError(f"{self.method} has no probabilities.")
        return found

    def answer(self, examples: Sequence[Any]) -> Prediction:
        """Return everything the model says about the examples.

        Raises:
            DataError: One text was given instead of a list of texts.
        """
        if isinstance(examples, str):
            raise DataError("Expected a list of texts, found one text. Put it into a list: [text].")
        return self._predictor.predict(list(examples))

    def training_record(self, name: str = "model") -> dict[str, Any] | None:
        """Return what `nshot.report.training` shows of the fit, or None where nothing was trained.

        Args:
            name: What people call the model.
        """
        settings = self._predictor.state().settings
        trainings: dict[str, dict[str, Any]] = {}
        for place, training in _trainings(settings):
            # A method that wraps another one counts the other's training in its own.
            if all(training["losses"] != known["losses"] for known in trainings.values()):
                trainings[place] = training
        if not trainings:
            return None
        record: dict[str, Any] = {
            "name": name,
            "method": self.method,
            "data": self.about.data_name,
            "n_labels": self.about.model_n_labels,
            "options": self._method.model_dump(mode="json"),
            "trainings": trainings,
            "facts": {"precision": self.about.precision, "data fingerprint": self.about.data_fingerprint},
            "nshot": version("nshot"),
        }
        if isinstance(settings.get("backbone"), Mapping):
            record["backbone"] = BackboneRef.from_json(settings["backbone"]).name
        if self.course is not None:
            record["facts"] |= self.course.facts
            record |= {
                "seconds": self.course.seconds,
                "examples_per_second": self.course.examples_per_second,
                "was_resumed": self.course.was_resumed,
            }
        return record

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder."""
        from nshot.report import training

        folder = Path(folder)
        record = self.training_record(folder.expanduser().resolve().name)
        bundle.save(
            folder,
            method=self._method,
            task=self.task,
            predictor=self._predictor,
            about=self.about,
            training_page=None if record is None else training.render(record),
        )


def _trainings(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the records of trainings by their form: a method may train twice, or wrap a method that trains."""
    for name, value in settings.items():
        if not isinstance(value, Mapping):
            continue
        if {"losses", "steps"} <= set(value):
            yield within + name, dict(value)
        else:
            yield from _trainings(value, f"{within}{name}.")


def load(folder: str | Path, *, precision: str = "auto", device: str = "auto", threads: int | None = None) -> Model:
    """Return a saved model, ready to predict.

    Args:
        folder: What `compare` (``<out>/model``) or `Model.save` wrote.
        precision: Number format of the network.
        device: Where the network runs.
        threads: Processor threads; all cores unless given.

    Raises:
        ModelError: It is no saved model, or not whole.
    """

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(ref, precision=precision, device=device, threads=threads)

    found = bundle.load(Path(folder), opened)
    return Model(found.method, found.task, found.predictor, found.manifest.about())


def _destinations(entries: tuple[str, ...]) -> tuple[str, ...]:
    if not all(is_destination(entry) for entry in entries):
        raise ValueError(WISH)
    return entries


class FitOptions(ReadOptions):
    """Everything that `fit` can be told."""

    method: str
    """The method to fit."""
    set: tuple[str, ...] = ()
    """An option of the method, as OPTION=VALUE, such as learning_rate=3e-5."""
    backbone: str = DEFAULT
    """Pre-trained model: a name, a local folder or a hub id."""
    metric: str | None = None
    """What the method selects by; the task's own metric unless named."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the network."""
    device: Device = "auto"
    """Where the network runs: auto, cpu, cuda or cuda:1."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads; all cores unless given."""
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
    """Fit one method to all labelled rows of `data`.

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
    resolved = _resolved(FitOptions, options, more)
    _method_to_fit(resolved)  # what cannot be meant is told before anything is read
    if out is not None and is_main_process():
        bundle.require_writable(Path(out))
    watch.progress("reading", 0, 0)
    source = read(data, _part(ReadOptions, resolved))
    watch.say(source.recognised)
    pool = Dataset([*source.dataset.examples, *source.unlabelled.examples], source.dataset.modality, name="pool")
    return fit_dataset(
        source.task,
        source.dataset,
        pool,
        resolved,
        text_columns=source.text_columns,
        label_column=source.label_column,
        out=out,
        watch=watch,
    )


def fit_dataset(
    task: Task,
    train: Dataset,
    pool: Dataset,
    options: FitOptions,
    *,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
) -> Model:
    """Fit one method to a dataset that is in memory.

    Of several processes that were launched together, the main one alone writes.

    Args:
        task: What is asked.
        train: The labelled examples.
        pool: All examples, without their targets.
        options: Which method and how.
        text_columns: Remembered, so that later files are recognised.
        label_column: Likewise.
        out: As in `fit`.
        watch: Shown what is going on.

    Raises:
        NshotError: The method cannot do this.
    """
    from nshot.backbones.precision import available_threads, measured
    from nshot.training.distributed import is_main_process, launched

    watch = watch or Unwatched()
    method = _method_to_fit(options)
    metric = metrics.get(options.metric) if options.metric else metrics.default_metric(task)
    task = replace(task, metric=metric.name)
    threads = options.threads or available_threads()
    pace = Pace(watch)
    watch.progress("opening the model", 0, 0)

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(ref, precision=options.precision, device=options.device, threads=threads, progress=pace)

    backbone = opened(BackboneRef(options.backbone)) if method.needs.abilities is not None else None
    reason = method.supports(task, backbone) or _too_many_labels(method, task, train)
    if reason is not None:
        raise UnsupportedError(reason)
    sign = 1.0 if metric.higher_is_better else -1.0
    device = backbone.device if isinstance(backbone, TextEncoder) else "cpu"
    precision = measured(device, threads) if backbone and options.precision == "auto" else options.precision
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
    facts = {
        "seed": context.seed,
        "precision": context.precision,
        "threads": threads,
        "device": device,
        "processes": launched(),
        "data fingerprint": train.fingerprint,
        "torch": version("torch"),
    }
    about = bundle.BundleInfo(
        model_n_labels=len(train) if method.needs.fewest_labels else 0,
        modality=train.modality,
        text_columns=tuple(text_columns),
        label_column=label_column,
        data_name=train.name,
        data_fingerprint=train.fingerprint,
        precision=context.precision,
    )
    decisive = {
        **facts,
        "nshot": version("nshot"),
        "method": [method.method_name(), method.version, method.model_dump(mode="json")],
        "backbone": backbone.ref.as_json() if backbone else None,
        "task": [task.kind, task.labels, dict(task.descriptions), task.metric],
        "pool": pool.fingerprint,
    }
    with _long_fit(method, context, options, decisive, train.name, out, watch) as long:
        watch.progress(f"fitting {method.method_name()}", 0, 0)
        started = time.perf_counter()
        predictor = method.fit(task, train, pool, backbone, long.context)
        seconds = time.perf_counter() - started
        course = Course(seconds, long.speed.examples_per_second, long.was_resumed, facts)
        model = Model(method, task, predictor, about, course)
        if out is not None and is_main_process():
            watch.progress("saving", 0, 0)
            model.save(out)
        about_fit = {"seconds": seconds, "examples_per_second": course.examples_per_second, "n_labels": len(train)}
        long.tracking.finish({**model.training, **about_fit})
    return model


def _method_to_fit(options: FitOptions) -> Method:
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


def _too_many_labels(method: Method, task: Task, train: Dataset) -> str | None:
    """Return why no network can be trained on so few rows for so many labels, or None."""
    if not method.trains_network or method.needs.fewest_labels == 0 or len(train) >= len(task.labels):
        return None
    return (
        f"{method.method_name()} learns a label from its rows, and {train.name} has {len(train)} labelled rows for "
        f"{len(task.labels)} labels. Label at least one row of each, or use a method that needs none: label_similarity."
    )


class _Speed:
    """Adds up how fast the steps of a training were; hands their figures on."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._steps = 0
        self._seconds_per_example = 0.0

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        speed = figures.get("examples_per_second", 0.0)
        if speed > 0:
            self._steps += 1
            self._seconds_per_example += 1 / speed
        self._track(step, figures)

    @property
    def examples_per_second(self) -> float | None:
        """Return the speed over all steps, which are of one size."""
        return self._steps / self._seconds_per_example if self._steps else None


@dataclass(frozen=True)
class _LongFit:
    context: FitContext
    speed: _Speed
    tracking: Tracking
    was_resumed: bool


@contextmanager
def _long_fit(
    method: Method,
    context: FitContext,
    options: FitOptions,
    decisive: Mapping[str, Any],
    data_name: str,
    out: str | Path | None,
    watch: Watch,
) -> Iterator[_LongFit]:
    """Let a training be tracked, and go on where an earlier process was stopped.

    Args:
        method: What is fitted.
        context: What it is handed, but for checkpoints and track.
        options: Where to track.
        decisive: Everything that decides the weights.
        data_name: What people call the data.
        out: Where the model goes, or None: nothing is kept on the way.
        watch: Shown what is going on.
    """
    from nshot.training import tracking, unfinished
    from nshot.training.distributed import is_main_process

    key = unfinished.key_of(decisive)
    name = f"{method.method_name()}-{Path(data_name).stem}"
    chosen = method.model_dump(mode="json")
    facts = {"method": method.method_name(), "version": method.version, **chosen, "data": data_name}
    facts |= {name: value for name, value in decisive.items() if not isinstance(value, list | Mapping)}
    entries = options.track if is_main_process() else ()
    keeps = out is not None and method.trains_network
    place = Path(out).expanduser().resolve() if out is not None else Path()
    with (
        unfinished.kept_beside(place, key) if keeps and is_main_process() else nullcontext() as kept,
        tracking.tracked(entries, tracking.TrackedFit(name, key, facts), watch.say) as tracked,
    ):
        was_resumed = kept is not None and kept.has_begun
        if kept is not None and kept.has_begun:
            watch.say(f"Going on where the same command was stopped before; what it had done lies in {kept.folder}.")
        speed = _Speed(tracked)
        folder = unfinished.folder_beside(place, key) if keeps else None
        yield _LongFit(replace(context, track=speed, checkpoints=folder), speed, tracked, was_resumed)


# ---------------------------------------------------------------------------------------------- options

SomeSpec = TypeVar("SomeSpec", bound=Spec)


def _resolved(kind: type[SomeSpec], options: SomeSpec | Mapping[str, Any] | None, more: Mapping[str, Any]) -> SomeSpec:
    """Return the options given as a spec, as a mapping, by keyword, or mixed; later ones count."""
    given = dict(options or {}) if isinstance(options, Mapping | None) else options.model_dump(exclude_unset=True)
    return kind.parse({**given, **more})


def _part(kind: type[SomeSpec], options: Spec) -> SomeSpec:
    """Return the fields of `options` that `kind` has."""
    shared = options.model_fields_set & set(kind.model_fields)
    return kind.parse({name: getattr(options, name) for name in shared})
