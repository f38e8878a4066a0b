"""What Python users call; the command line calls the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field

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
    UnsupportedError,
)
from nshot.data.options import ReadOptions
from nshot.spec import Spec
from nshot.study.files import StudyFolder, read_plan
from nshot.study.options import Device, StudyOptions
from nshot.study.watch import Unwatched, Watch

if TYPE_CHECKING:
    from nshot.data.reading import Source
    from nshot.evaluation.checks import AuditReport
    from nshot.study.study import Result, Study, StudyData


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
    clock = Clock(resolved.budget)
    inputs = _read(data, resolved, watch)
    work = _study_data(inputs, resolved)
    folder = StudyFolder(_out(data, resolved))
    made_here = not folder.path.exists()
    study: Study | None = None
    try:
        folder.open(work.fingerprint, fresh=resolved.fresh)
        study = _study(work, resolved, folder, None if only is not None else clock, watch)
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


class Model:
    """A fitted method with what it needs to be used and saved.

    Attributes:
        method: Name of the method.
        task: What it answers.
        about: Where it comes from: score, data, precision.
    """

    def __init__(self, fitted: Any, task: Task, predictor: Predictor, about: bundle.BundleInfo) -> None:
        self._method = fitted
        self._predictor = predictor
        self.task = task
        self.about = about

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

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder."""
        bundle.save(Path(folder), method=self._method, task=self.task, predictor=self._predictor, about=self.about)


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

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "fit"


def fit(data: Any, *, options: FitOptions | Mapping[str, Any] | None = None, **more: Any) -> Model:
    """Fit one method to all labelled rows of `data`.

    Args:
        data: As in `compare`.
        options: A `FitOptions` or its fields.
        more: Fields of `FitOptions`, such as ``method="linear_probe"``.

    Raises:
        NshotError: The data or the options have to change; the text says how.
    """
    from nshot.data.reading import read

    resolved = _resolved(FitOptions, options, more)
    source = read(data, _part(ReadOptions, resolved))
    pool = Dataset([*source.dataset.examples, *source.unlabelled.examples], source.dataset.modality, name="pool")
    return fit_dataset(
        source.task, source.dataset, pool, resolved, text_columns=source.text_columns, label_column=source.label_column
    )


def fit_dataset(
    task: Task,
    train: Dataset,
    pool: Dataset,
    options: FitOptions,
    *,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
) -> Model:
    """Fit one method to a dataset that is in memory.

    Args:
        task: What is asked.
        train: The labelled examples.
        pool: All examples, without their targets.
        options: Which method and how.
        text_columns: Remembered, so that later files are recognised.
        label_column: Likewise.

    Raises:
        NshotError: The method cannot do this.
    """
    from nshot import methods
    from nshot.backbones.precision import available_threads, measured

    settings = {}
    for entry in options.set:
        name, equals, value = entry.partition("=")
        if not equals:
            raise OptionError(f"--set expects OPTION=VALUE, such as learning_rate=3e-5. Got: {entry}")
        settings[name.strip()] = value
    method = methods.build(options.method, settings)
    metric = metrics.get(options.metric) if options.metric else metrics.default_metric(task)
    threads = options.threads or available_threads()

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(ref, precision=options.precision, device=options.device, threads=threads)

    backbone = opened(BackboneRef(options.backbone)) if method.needs.abilities is not None else None
    reason = method.supports(task, backbone)
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
        open=opened,
    )
    predictor = method.fit(replace(task, metric=metric.name), train, pool, backbone, context)
    about = bundle.BundleInfo(
        model_n_labels=len(train) if method.needs.fewest_labels else 0,
        modality=train.modality,
        text_columns=tuple(text_columns),
        label_column=label_column,
        data_name=train.name,
        data_fingerprint=train.fingerprint,
        precision=context.precision,
    )
    return Model(method, task, predictor, about)


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
