"""`compare`: every sensible way of adapting, measured on one data set; `plan`: what it would run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nshot import bundle
from nshot.api.options import part_of, resolved_options
from nshot.api.references import feature_spread, of_answers
from nshot.api.reporting import Comparison, write_report
from nshot.backbones import FeatureCache, open_backbone
from nshot.core import Backbone, BackboneRef, DataError, Severity, TaskKind
from nshot.data.options import ReadOptions
from nshot.study.files import StudyFolder, read_plan
from nshot.study.options import CompressionOptions, StudyOptions
from nshot.study.watch import Unwatched, Watch

if TYPE_CHECKING:
    from nshot.data.reading import Source
    from nshot.evaluation.checks import AuditReport
    from nshot.evaluation.checks.facts import TokenCounts
    from nshot.study.study import HandedOver, Result, Study, StudyData


class CompareOptions(StudyOptions, CompressionOptions, ReadOptions):
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

    own = part_of(ReadOptions, options)
    source = read(data, own)
    watch.say(source.recognised)
    test = read(options.test, own, like=source) if options.test is not None else None
    report = audit(source, test, _token_counts(source, options))
    errors = [check for check in report.checks if check.severity == Severity.ERROR]
    if errors:
        raise DataError("\n".join(f"{check.code} {check.explanation} {check.advice}" for check in errors))
    return _Inputs(source, test, report, data)


def _token_counts(source: Source, options: CompareOptions) -> TokenCounts | None:
    """Return how long answers and inputs are as the first language model reads them; None where none reads them."""
    from nshot.backbones.causal_lm import CausalLM
    from nshot.evaluation.checks.facts import count_tokens

    if source.task.kind != TaskKind.GENERATE or not len(source.dataset):
        return None
    here = [open_backbone(ref) for ref in map(BackboneRef, options.backbone) if not ref.is_remote]
    model = next((backbone for backbone in here if isinstance(backbone, CausalLM)), None)
    return count_tokens(source, model, model.ref.name) if model else None


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
    data, resolved, only = _replayed(data, resolved_options(CompareOptions, options, more))
    clock = Clock(math.inf if only is not None else resolved.budget)
    inputs = _read(data, resolved, watch)
    folder = StudyFolder(_out(data, resolved))
    if inputs.source.task.kind is TaskKind.COMPRESS:
        return _compressed(inputs, resolved, folder, watch)
    work = _study_data(inputs, resolved)
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


def _compressed(inputs: _Inputs, options: CompareOptions, folder: StudyFolder, watch: Watch) -> Comparison:
    """Compare ways to compress: what grows there is not the number of labels but that of bits."""
    from nshot.api.compressing import compress

    made_here = not folder.path.exists()
    examples = inputs.source.dataset if len(inputs.source.dataset) else inputs.source.unlabelled
    try:
        folder.open(examples.fingerprint, fresh=options.fresh)
        comparison = compress(
            inputs.source,
            part_of(StudyOptions, options),
            part_of(CompressionOptions, options),
            folder,
            test=inputs.test,
            checks=[check.as_json() for check in inputs.audit.checks],
            pictures=options.texts,
            watch=watch,
        )
        folder.keep_only_results()
    except BaseException:
        folder.abandon(made_here=made_here)
        raise
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
    data, resolved, _ = _replayed(data, resolved_options(CompareOptions, options, more))
    inputs = _read(data, resolved, watch)
    with tempfile.TemporaryDirectory(prefix="nshot-plan-") as scratch:
        folder = StudyFolder(Path(scratch))
        return _study(_study_data(inputs, resolved), resolved, folder, Clock(resolved.budget), watch).preview()


def _study(work: StudyData, options: CompareOptions, folder: StudyFolder, clock: Any, watch: Watch) -> Study:
    from nshot.study.study import Study

    return Study(work, part_of(StudyOptions, options), folder, clock, watch)


def _study_data(inputs: _Inputs, options: CompareOptions) -> StudyData:
    import numpy as np

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
        file_rows=answered.positions,
        inputs=np.array([answered.inputs[row] for row in answered.positions], dtype=np.int64)
        if answered.inputs
        else None,
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
            name: [str(Path(one).resolve()) for one in value]
            if name == "candidate"
            else str(Path(value).resolve())
            if name in {"test", "labels"}
            else value
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
    remote = study.options.access(folder.answers)

    def opened(ref: BackboneRef) -> Backbone:
        known = refs.get(ref.id, ref) if ref.learnt is None else ref
        return open_backbone(known, precision=result.precision, device=result.device, remote=remote)

    predictor = handed.method.restore(study.task, handed.state, opened)
    examples = study.data.train.examples[: bundle.READ_BACK]

    def check(written: Path) -> None:
        # What writes depends on templates, added tokens and ties of weights as well; a service costs money to ask.
        if study.task.kind == TaskKind.GENERATE and not any(ref.is_remote for ref in study.backbones):
            bundle.verify(written, predictor, examples, opened)

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
        modality=inputs.source.dataset.modality,
        text_columns=inputs.source.text_columns,
        row_columns=tuple(map(bundle.ColumnRecord.of, inputs.source.row_columns)),
        label_column=inputs.source.label_column,
        separator=inputs.source.separator,
        threshold=(pick.get("threshold") or {}).get("threshold"),
        data_name=inputs.source.name,
        data_fingerprint=inputs.source.dataset.fingerprint,
        precision=result.precision,
        reference=_reference(study, result, handed),
    )
    bundle.save(folder.model, method=handed.method, task=study.task, predictor=predictor, about=about, check=check)
    if handed.note is not None:
        result.verdict.record["because"].append(handed.note)
    return handed.n_labels


def _reference(study: Study, result: Result, handed: HandedOver) -> bundle.Reference:
    """Return what later inputs and answers of the handed-over model are held against."""
    recorded = handed.state.settings.get("backbone")
    backbone = None
    if isinstance(recorded, Mapping):
        # The comparison has just computed these features: they come from its cache.
        ref, cache = BackboneRef.from_json(recorded), FeatureCache()
        backbone = None if ref.is_remote else open_backbone(ref, cache=cache, precision=result.precision)
    spread = feature_spread(handed.method, backbone, study.data.train)
    return of_answers(study.task, study.answered(result.verdict.pick), spread)


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
        "checks": [finding.as_json() for finding in (*inputs.audit.checks, *result.findings)],
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
