"""`distill`: a slow model becomes a fast one that learnt its answers, and both are held against each other."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nshot import bundle, methods, metrics
from nshot.api.evaluating import deciding_metric, over_all_labels
from nshot.api.fitting import FitOptions, fit_dataset, method_to_fit
from nshot.api.model import Model, opened_model
from nshot.api.options import part_of, resolved_options
from nshot.api.scored import difference_record, ends
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import (
    DataError,
    Dataset,
    Distils,
    ExampleError,
    OptionError,
    Prediction,
    Selection,
    Task,
    TaskKind,
    UnsupportedError,
    closest,
    listed,
)
from nshot.data.options import ReadOptions
from nshot.evaluation.comparison import paired_difference
from nshot.evaluation.intervals import Block, Estimate, estimate
from nshot.evaluation.protocol import hold_out
from nshot.study.measuring import Speed, speed
from nshot.study.options import ComputingOptions
from nshot.study.watch import Pace, Unwatched, Watch

if TYPE_CHECKING:
    from nshot.core import Example
    from nshot.metrics import Metric
    from nshot.spec import Method

FEW_ROWS = 200
"""With fewer answers of the teacher a student has hardly anything to learn from."""
_LEARNABLE = (TaskKind.CLASSIFY, TaskKind.TAG, TaskKind.REGRESS, TaskKind.GENERATE)
_AGREEMENT = {TaskKind.CLASSIFY: ("accuracy", "macro_f1"), TaskKind.TAG: ("subset_accuracy", "macro_tag_f1")}
"""By what a student is held against its teacher; by what decides, where the task is none of these."""
_STUDENTS = {"text": ("full_finetune", "layers=3")}
_OTHERWISE = ("linear_probe",)
"""Method and options of the student where nobody names one, by modality. Half of the embedded encoder's layers, trained
on probabilities, kept most of what a teacher of all layers knew; see docs/experiments.md."""
_TIMED = 256


class DistillOptions(ReadOptions, RemoteOptions, ComputingOptions):
    """Everything that `distill` can be told."""

    into: str | None = None
    """The student, as METHOD or METHOD:BACKBONE, such as tfidf_linear or linear_probe. Unless named, of texts the first
    three layers of the usual pre-trained model (full_finetune with layers=3), and else linear_probe; where answers are
    written it has to be named."""
    set: tuple[str, ...] = ()
    """An option of the student's method, as OPTION=VALUE, such as layers=3."""
    held_out: float = Field(default=0.2, gt=0)
    """The rows that are not learnt from, on which teacher and student are compared: a share below 1, or a number."""
    metric: str | None = None
    """What teacher and student are scored by, where the rows have labels; what the teacher was selected by unless
    named."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "distill"

    def share(self, n: int) -> float:
        """Return the share of n rows that is held out.

        Raises:
            OptionError: More than half of them would be.
        """
        found = self.held_out if self.held_out < 1 else self.held_out / max(1, n)
        if found > 0.5:
            raise OptionError(
                f"--held-out {self.held_out:g} would hold out more than half of {n:,} rows. Expected a share up to "
                f"0.5, or at most {n // 2:,} rows: the student learns from the others."
            )
        return found


@dataclass(frozen=True)
class Distillation:
    """What `distill` made.

    Attributes:
        model: The student.
        record: What ``nshot distill --json`` prints; see docs/distill.md.
    """

    model: Model
    record: dict[str, Any]


def distill(
    model: Model | str | Path,
    data: Any,
    *,
    options: DistillOptions | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Distillation:
    """Teach a fast model the answers of a slow one, on rows that need no label.

    The teacher answers every row once. The student learns from most of them, from how sure the teacher is of each label
    where both know such a thing, and else from its answers. On the others the two are compared; a label of a row is
    looked at for that alone.

    Args:
        model: The teacher: a fitted model, or the folder of a saved one.
        data: As in `compare`, with or without a column of labels.
        options: A `DistillOptions` or its fields.
        out: Folder to save the student to; None: it is not saved.
        watch: Shown what is going on.
        more: Fields of `DistillOptions`, such as ``into="tfidf_linear"``.

    Raises:
        NshotError: The model, the data or the options have to change; the text says how.
    """
    from nshot.report import distilling

    watch = watch or Unwatched()
    resolved = resolved_options(DistillOptions, options, more)
    if out is not None:
        _require_another_place(model, Path(out))
        bundle.require_writable(Path(out))
    watch.progress("opening the teacher", 0, 0)
    teacher = _opened(model, resolved)
    fitting, student_method = _student(teacher, resolved)
    deciding = metrics.get(resolved.metric or deciding_metric(teacher))
    watch.progress("reading", 0, 0)
    rows = _read(data, teacher, resolved)
    share = resolved.share(len(rows.examples))
    answered = _answered(teacher, rows, Pace(watch))
    taught = _targets(answered.prediction, teacher.task)
    _require_variety(taught, teacher)
    codes = [str(label) for label in taught] if teacher.task.kind is TaskKind.CLASSIFY else None
    strata = taught if teacher.task.kind is TaskKind.TAG else codes
    learnt, held = hold_out(strata, rows.groups, share=share, seed=resolved.seed)
    train = Dataset(
        Selection(rows.examples, learnt.tolist()),
        rows.modality,
        targets=[taught[at] for at in learnt],
        groups=rows.groups[learnt].tolist(),
        name=rows.name,
    )
    probabilities = answered.prediction.probabilities
    is_soft = probabilities is not None and codes is not None and isinstance(student_method, Distils)
    student = fit_dataset(
        teacher.task,
        train,
        train.without_targets(),
        fitting,
        text_columns=teacher.about.text_columns,
        row_columns=teacher.row_columns,
        label_column=teacher.about.label_column,
        separator=teacher.about.separator,
        fingerprint=rows.fingerprint,
        out=out,
        watch=watch,
        probabilities=np.ascontiguousarray(probabilities[learnt]) if probabilities is not None and is_soft else None,
    )
    watch.progress("comparing the two", 0, 0)
    examples = Selection(rows.examples, held.tolist())
    began = time.perf_counter()
    found = student.answer(examples)
    student_seconds = time.perf_counter() - began
    timed = [examples[at] for at in range(min(_TIMED, len(examples)))]
    pair = _Compared(
        teacher=_Entrant(
            teacher,
            _part(answered.prediction, held),
            speed(teacher.answer, timed, all_at_once=answered.seconds * len(timed) / len(rows.examples)),
        ),
        student=_Entrant(
            student, found, speed(student.answer, timed, all_at_once=student_seconds * len(timed) / len(held))
        ),
        groups=rows.groups[held],
        true=None if rows.targets is None else [rows.targets[at] for at in held],
    )
    record: dict[str, Any] = {
        "schema": 1,
        "task": teacher.task.kind.value,
        "data": rows.name,
        "model": teacher.method if isinstance(model, Model) else str(model),
        "out": None if out is None else str(out),
        "n_rows": len(rows.examples),
        "n_learnt": len(learnt),
        "n_held_out": len(held),
        "independent": len(np.unique(pair.groups)),
        "empty": rows.empty,
        "learnt": "probabilities" if is_soft else "answers",
        "metric": deciding.name,
        "trained_on": rows.fingerprint in teacher.about.learnt_from,
        "few_rows": FEW_ROWS,
        "never_answered": sorted(set(teacher.task.labels) - {*map(str, taught)}) if codes is not None else [],
        **pair.record(deciding, rows.name),
    }
    record["warnings"] = distilling.warnings(record)
    record["found"] = distilling.sentences(record)
    about = _about(student, teacher, record, pair)
    finished = student.described(about)
    if out is not None:
        watch.progress("saving", 0, 0)
        finished.save(out)
    return Distillation(finished, record)


# --- what is given ----------------------------------------------------------------------------------------------------


def _require_another_place(model: Model | str | Path, out: Path) -> None:
    if not isinstance(model, Model) and Path(model).expanduser().resolve() == out.expanduser().resolve():
        raise OptionError(f"--out {out} is the teacher itself, which would be lost. Name another folder.")


def _opened(model: Model | str | Path, options: DistillOptions) -> Model:
    """Return the teacher.

    Raises:
        UnsupportedError: A model of its kind teaches nothing.
    """
    found = opened_model(model, options, part_of(RemoteOptions, options))
    if found.task.kind not in _LEARNABLE:
        raise UnsupportedError(
            f"{found.method} was fitted for the task '{found.task.kind}'. A student learns answers that are labels, "
            "numbers or texts: give a model that was fitted to classify, regress or generate."
        )
    return found


def _student(teacher: Model, options: DistillOptions) -> tuple[FitOptions, Method]:
    """Return how the student is to be fitted, and its method.

    Raises:
        OptionError: There is no such method or option, or the teacher writes and nobody named a student.
        UnsupportedError: The method cannot do what the teacher does; the text names those that can.
    """
    kind = teacher.task.kind
    able = [name for name in methods.names() if kind in methods.get(name).needs.tasks]
    if options.into is None and kind is TaskKind.GENERATE:
        raise OptionError(
            "The teacher writes texts, and which language model is to learn them has to be named: --into "
            f"METHOD:MODEL, such as --into sft_lora:FOLDER. Methods that write: {', '.join(able)}."
        )
    usual = _STUDENTS.get(teacher.about.modality, _OTHERWISE)
    name, _, backbone = (options.into or usual[0]).partition(":")
    shared = options.model_fields_set & set(FitOptions.model_fields)
    asked = {field: getattr(options, field) for field in shared} | {
        "method": name,
        "set": options.set if options.into else (*usual[1:], *options.set),
        "backbone": backbone or None,
        "metric": options.metric or deciding_metric(teacher),
    }
    fitting = FitOptions.parse(asked)
    method = method_to_fit(fitting)
    if kind not in method.needs.tasks:
        raise UnsupportedError(f"{name} cannot {kind}, as the teacher does. Methods that can: {', '.join(able)}.")
    if method.needs.fewest_labels == 0:
        raise UnsupportedError(
            f"{name} learns nothing from examples, so it would not become like the teacher. Methods that can: "
            f"{', '.join(each for each in able if methods.get(each).needs.fewest_labels)}."
        )
    return fitting, method


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the teacher is asked.

    Attributes:
        examples: n inputs; empty texts are left out.
        modality: As in `Dataset`.
        name: What people call the data.
        positions: Shape (n,): the place of each in the file.
        groups: Shape (n,): equal where inputs are the same, or nearly.
        targets: The true answer of each, None where nobody knows it; None where there is no column of them.
        fingerprint: `Dataset.fingerprint` of the labelled rows, or None.
        empty: How many rows have no text.
    """

    examples: Sequence[Example]
    modality: str
    name: str
    positions: NDArray[np.int64]
    groups: NDArray[np.int64]
    targets: Sequence[Any] | None
    fingerprint: str | None
    empty: int


def _read(data: Any, teacher: Model, options: DistillOptions) -> _Rows:
    """Return the rows of `data` as the teacher reads them.

    Raises:
        DataError: There is nothing that it can read, or the labels are those of another question.
    """
    from nshot.data.reading import Trained, read, stream_inputs
    from nshot.data.rows import joined

    kind, about = teacher.task.kind, teacher.about
    reading = part_of(ReadOptions, options).model_copy(update={"task": kind.value})
    stream = stream_inputs(data, about.text_columns, reading, row_columns=teacher.row_columns)
    if options.label is None and about.label_column not in stream.columns:
        parts = [batch.examples for batch in stream.batches]
        examples: Sequence[Any] = functools.reduce(joined, parts)
        return _kept(examples, np.arange(len(examples)), None, None, teacher, stream.name)
    trained = Trained(about.text_columns, about.label_column, teacher.row_columns, separator=about.separator)
    source = read(data, reading, trained=trained)
    _require_known(source.dataset.labelled_targets(), teacher, source.label_column, source.name)
    positions = np.array([*source.positions, *source.unlabelled_positions], dtype=np.int64)
    targets = [*source.dataset.labelled_targets(), *[None] * len(source.unlabelled)]
    order = np.argsort(positions, kind="stable")
    examples = Selection(joined(source.dataset.examples, source.unlabelled.examples), order.tolist())
    known = [targets[at] for at in order]
    return _kept(examples, positions[order], known, source.dataset.fingerprint, teacher, source.name)


def _kept(
    examples: Sequence[Any],
    positions: NDArray[np.int64],
    targets: Sequence[Any] | None,
    fingerprint: str | None,
    teacher: Model,
    name: str,
) -> _Rows:
    """Return the rows that say anything, with what belongs together."""
    kept = [at for at, example in enumerate(examples) if not isinstance(example, str) or example.strip()]
    if len(kept) < 2:
        raise DataError(
            f"{name} has {len(kept)} rows that are not empty. Expected many: a student learns from answers."
        )
    some = examples if len(kept) == len(examples) else Selection(examples, kept)
    return _Rows(
        some,
        teacher.about.modality,
        name,
        positions[kept],
        _groups(some, teacher.about.modality),
        None if targets is None else [targets[at] for at in kept],
        fingerprint,
        len(examples) - len(kept),
    )


def _groups(examples: Sequence[Any], modality: str) -> NDArray[np.int64]:
    """Return which inputs are the same, of texts also nearly, shape (n,)."""
    from nshot.data import duplicates, equal
    from nshot.data.rows import gathered

    if modality == "text":
        return duplicates.near_duplicate_groups(examples)
    if modality == "image":
        return equal.equal_images(examples)
    if modality != "row":
        # Prompts often come from one template: many of them are nearly the same without being copies.
        return duplicates.exact_groups([repr(example) for example in examples])
    found = equal.equal_rows([gathered(examples)])
    # Columns with few different values make rows equal that are no copies of each other.
    return np.arange(len(found)) if 2 * len(np.unique(found)) < len(found) else found


def _require_known(targets: Sequence[Any], teacher: Model, column: str | None, name: str) -> None:
    found = sorted(set(targets)) if teacher.task.kind is TaskKind.CLASSIFY else []
    known = teacher.task.labels
    if found and set(known).isdisjoint(found):
        raise DataError(
            f"None of the {len(found):,} labels in the column '{column}' of {name} ({listed(found, 4)}) is one that "
            f"the teacher answers ({listed(known, 4)}).{closest(found[0], known)} Name the label column: --label "
            "COLUMN. Labels are not needed: without the column, teacher and student are compared with each other alone."
        )


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answered:
    prediction: Prediction
    seconds: float


def _answered(teacher: Model, rows: _Rows, pace: Pace) -> _Answered:
    """Return the teacher's answers to all rows."""
    parts: list[Prediction] = []
    n, began = len(rows.examples), time.perf_counter()
    for start in range(0, n, teacher.rows_at_once):
        stop = min(start + teacher.rows_at_once, n)
        try:
            parts.append(teacher.answer(rows.examples[start:stop]))
        except ExampleError as error:
            raise error.at(int(rows.positions[start + error.position])) from None
        pace(stop, n, "asking the teacher")
    return _Answered(_joined(parts), time.perf_counter() - began)


def _joined(parts: Sequence[Prediction]) -> Prediction:
    """Return answers one after the other: what they have of labels, probabilities, values and texts."""
    labels = [part.labels for part in parts if part.labels is not None]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    values = [part.values for part in parts if part.values is not None]
    texts = [part.texts for part in parts if part.texts is not None]
    return Prediction(
        labels=[label for part in labels for label in part] if labels else None,
        probabilities=np.concatenate(probabilities) if probabilities else None,
        values=np.concatenate(values) if values else None,
        texts=[text for part in texts for text in part] if texts else None,
    )


def _part(answers: Prediction, rows: NDArray[np.int64]) -> Prediction:
    return Prediction(
        labels=None if answers.labels is None else [answers.labels[at] for at in rows],
        probabilities=None if answers.probabilities is None else answers.probabilities[rows],
        values=None if answers.values is None else answers.values[rows],
        texts=None if answers.texts is None else [answers.texts[at] for at in rows],
    )


def _targets(answers: Prediction, task: Task) -> list[Any]:
    """Return answers as a fit, or a metric, takes targets."""
    if task.kind is TaskKind.REGRESS and answers.values is not None:
        return list(answers.values.tolist())
    if task.kind is TaskKind.GENERATE:
        return [(text,) for text in answers.texts or ()]
    return list(answers.labels or ())


def _require_variety(taught: Sequence[Any], teacher: Model) -> None:
    if len(set(taught)) < 2:
        only = f"'{taught[0]}'" if teacher.task.kind is TaskKind.CLASSIFY else str(taught[0])
        raise DataError(
            f"The teacher gives all {len(taught):,} rows the same answer, {only}: there is nothing to learn. Are these "
            "rows such as it was made for? Name the text column if another one was read: --text COLUMN."
        )


# --- what is said of both ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entrant:
    model: Model
    answers: Prediction
    speed: Speed | None


@dataclass(frozen=True, eq=False)
class _Compared:
    """Teacher and student on the same held-out rows; `true` is None where there is no column of labels."""

    teacher: _Entrant
    student: _Entrant
    groups: NDArray[np.int64]
    true: Sequence[Any] | None

    def record(self, deciding: Metric, data: str) -> dict[str, Any]:
        """Return what is recorded of both: score, cost, difference and agreement."""
        task = self.teacher.model.task
        labelled = np.array([at for at, target in enumerate(self.true or ()) if target is not None], dtype=np.int64)
        unknown: list[str] = []
        scores: list[Estimate | None] = [None, None]
        difference: dict[str, Any] = {"difference": None, "better": None}
        if len(labelled) and self.true is not None:
            true = [self.true[at] for at in labelled]
            whole = task
            if task.kind in {TaskKind.CLASSIFY, TaskKind.TAG}:
                there = set(chain.from_iterable(true) if task.kind is TaskKind.TAG else true)
                unknown = sorted(there - set(task.labels))
                whole = Task(task.kind, tuple(sorted({*task.labels, *there})), metric=task.metric)
            blocks = [
                self._blocks(entrant, true, labelled, deciding, whole) for entrant in (self.teacher, self.student)
            ]
            scores = [estimate(each, deciding, rho=None, target="this model") for each in blocks]
            apart = paired_difference(blocks[1], blocks[0], deciding, rho=None, target="this model")
            told = difference_record({deciding.name: apart}, deciding, deciding.name, ("original", "student"))
            difference = {"difference": told["difference"][deciding.name], "better": told["better"]}
        return {
            "n_scored": len(labelled),
            "unknown_labels": unknown,
            "original": _entrant_record(self.teacher, scores[0]),
            "student": _entrant_record(self.student, scores[1]),
            **difference,
            "agreement": self._agreement(task, deciding),
        }

    def _blocks(
        self, entrant: _Entrant, true: Sequence[Any], rows: NDArray[np.int64], metric: Metric, task: Task
    ) -> list[Block]:
        answers = over_all_labels(_part(entrant.answers, rows), entrant.model.task, task)
        reason = metric.unavailable(answers)
        if reason is not None:
            raise UnsupportedError(f"{entrant.model.method} cannot be judged by {metric.name}: {reason}")
        return [Block(0, 0, rows, metric.statistics(true, answers, task), self.groups[rows])]

    def _agreement(self, task: Task, deciding: Metric) -> dict[str, Any]:
        """Return how like the teacher's the student's answers are: the teacher's are taken for the truth."""
        names = _AGREEMENT.get(task.kind, (deciding.name,))
        wanted = [metrics.get(name) for name in names]
        rows = np.arange(len(self.groups))
        taught = _targets(self.teacher.answers, task)
        found = [
            estimate(self._blocks(self.student, taught, rows, metric, task), metric, rho=None, target="this model")
            for metric in wanted
        ]
        first, *others = (
            {"metric": metric.name, "score": round(one.score, 6), "interval": ends(one)}
            for metric, one in zip(wanted, found, strict=True)
        )
        return {**first, "macro": others[0] if others else None}


def _entrant_record(entrant: _Entrant, score: Estimate | None) -> dict[str, Any]:
    timed = entrant.speed
    return {
        "method": entrant.model.method,
        "score": None if score is None else round(score.score, 6),
        "interval": None if score is None else ends(score),
        "milliseconds_per_example": None if timed is None else round(1000 / timed.examples_per_second, 4),
        "milliseconds_alone": None if timed is None else round(timed.milliseconds_alone, 4),
        "best_batch": None if timed is None else timed.best_batch,
        "bytes": entrant.model.shipped_bytes,
    }


def _about(student: Model, teacher: Model, record: Mapping[str, Any], pair: _Compared) -> bundle.BundleInfo:
    """Return what the student says about itself."""
    n_labels, agreed, own = teacher.about.model_n_labels, record["agreement"], record["student"]

    def measured(metric: str, found: Mapping[str, Any], n_test: int) -> bundle.MeasuredScore:
        return bundle.MeasuredScore(
            metric=metric,
            score=found["score"],
            interval=found["interval"],
            n_labels=n_labels,
            n_test=n_test,
            target="this model",
        )

    taught = bundle.DistillationRecord(
        method=teacher.method,
        sha256=teacher.saved_as,
        data_fingerprint=teacher.about.data_fingerprint,
        learnt=record["learnt"],
        n_examples=record["n_learnt"],
        agreement=measured(agreed["metric"], agreed, record["n_held_out"]),
    )
    score = None
    # On the teacher's own training rows both look better than they are: that is no score to hand on.
    if own["score"] is not None and not record["trained_on"]:
        score = measured(record["metric"], own, record["n_scored"])
    changes: dict[str, Any] = {"model_n_labels": n_labels, "score": score, "distilled_from": taught}
    about = student.about
    if about.reference is not None and student.task.kind is not TaskKind.TAG:
        numbers = pair.student.answers.values
        if pair.student.answers.probabilities is not None:
            numbers = pair.student.answers.probabilities.max(axis=1)
        labels = [str(label) for label in pair.student.answers.labels or ()]
        changes["reference"] = bundle.Reference.of_answers(labels, numbers, about.reference.features)
    return about.model_copy(update=changes)
