"""`evaluate`: how a saved model does on labelled rows, or which of two does better, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from nshot import bundle, metrics
from nshot.api import against
from nshot.api.gates import Gates
from nshot.api.model import Model, load
from nshot.api.options import part_of, resolved_options
from nshot.api.scored import Scored, difference_record, ends, told_apart
from nshot.backbones.remote_options import RemoteOptions
from nshot.bundle.manifest import MANIFEST
from nshot.core import (
    DataError,
    ExampleError,
    Interval,
    OptionError,
    Prediction,
    Selection,
    Task,
    TaskKind,
    UnsupportedError,
    closest,
    listed,
)
from nshot.data.options import ReadOptions, as_names
from nshot.evaluation.by_label import LabelScore, by_entity_label, by_label, by_several_labels, confusions
from nshot.evaluation.checks.facts import labels_of
from nshot.evaluation.comparison import independent_difference, paired_difference
from nshot.evaluation.intervals import Block, Estimate, estimate
from nshot.metrics import Array, Metric
from nshot.metrics.tag import unpacked
from nshot.study.answers import numbers_record
from nshot.study.watch import Pace, Unwatched, Watch

if TYPE_CHECKING:
    from nshot.data.reading import Source

_READ = frozenset(
    {
        TaskKind.CLASSIFY,
        TaskKind.TAG,
        TaskKind.GENERATE,
        TaskKind.REGRESS,
        TaskKind.DETECT,
        TaskKind.CLUSTER,
        TaskKind.EXTRACT,
    }
)
_SEVERAL = frozenset({TaskKind.TAG, TaskKind.EXTRACT})
"""A row may have several labels, or none."""
_MOST_CONFUSIONS = 20
_MOST_NAMED = 6


class EvaluateOptions(Gates, RemoteOptions, ReadOptions):
    """Everything that `evaluate` can be told."""

    metric: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Metrics to show, separated by commas; the first one decides. All that the models allow unless named, and what
    the model was selected by decides."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads; all cores unless given."""
    against: Path | None = None
    """Earlier labelled rows: says whether the model got worse from them to DATA, by how much, and on which labels."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "evaluate"


@dataclass(frozen=True)
class Evaluation(Scored):
    """What `evaluate` found.

    Attributes:
        record: What ``nshot evaluate --json`` prints: ``n``, ``metrics`` and so on; see docs/evaluate.md.
        failures: A sentence for each limit (``fail_under``, ``fail_if_worse``) that does not hold; the command line
            then exits with code 1.
    """

    failures: tuple[str, ...]


def evaluate(
    model: Model | str | Path,
    data: Any,
    other: Model | str | Path | None = None,
    *,
    options: EvaluateOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Evaluation:
    """Score a model on labelled rows, or two models against each other on the same rows, with intervals.

    Near-duplicates, and rows of one ``group``, count as one observation in the intervals. Rows without a label are left
    out; rows whose label a model does not know count as wrong. Rows are answered in batches. Where answers are written,
    an input that has several is answered once, and all of them are accepted. Where numbers are predicted, the label
    column holds the true ones; to detect it says which rows are anomalies; groups are held against the true ones.

    Args:
        model: A fitted model, or the folder of a saved one.
        data: As in `compare`; the columns of the model's training are used where the data has them.
        other: A second model, which may replace the first: differences are its score minus the first one's.
        options: An `EvaluateOptions` or its fields.
        watch: Shown what is going on.
        more: Fields of `EvaluateOptions`, such as ``metric="accuracy"`` or ``fail_under=0.85``.

    Raises:
        NshotError: A model or the data cannot be used; the text says what has to change.
    """
    watch = watch or Unwatched()
    resolved = resolved_options(EvaluateOptions, options, more)
    for name in (*resolved.metric, *resolved.named()):
        metrics.get(name)
    given = [model] if other is None else [model, other]
    _require_order(given, data)
    watch.progress("opening the model", 0, 0)
    models = _opened(given, resolved)
    deciding = resolved.metric[0] if resolved.metric else deciding_metric(models[0].model)
    resolved.require_sense(deciding, two_models=other is not None or resolved.against is not None)
    earlier = None if resolved.against is None else _earlier(models, resolved.against, resolved, watch)
    watch.progress("reading", 0, 0)
    rows = _read(models, data, resolved)
    watch.say(rows.source.recognised)
    wanted = _wanted(resolved, rows.task, deciding)
    judged = [
        _judged(entrant, source, rows, wanted, Pace(watch))
        for entrant, source in zip(models, rows.sources, strict=True)
    ]
    return _concluded(judged, rows, resolved, deciding, earlier)


def _earlier(models: Sequence[_Entrant], data: Path, options: EvaluateOptions, watch: Watch) -> Evaluation:
    """Return the evaluation on earlier rows of the model that is judged."""
    if len(models) > 1:
        raise OptionError("--against shows how one model changed over time. Leave it out, or give one model.")
    alike = options.model_copy(update={"against": None, "fail_under": (), "fail_if_worse": (), "strict": False})
    return evaluate(models[0].model, data, options=alike, watch=watch)


# --- what is given ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entrant:
    name: str
    model: Model


def _require_order(given: Sequence[Model | str | Path], data: Any) -> None:
    """Refuse a model where the data belongs.

    Raises:
        OptionError: The arguments are in another order, or both models are one.
    """
    if isinstance(data, Model) or (isinstance(data, str | Path) and (Path(data) / MANIFEST).exists()):
        called = data.method if isinstance(data, Model) else data
        raise OptionError(
            f"Expected the data last, found a saved model there: {called}. "
            "Give models first: nshot evaluate MODEL DATA, or nshot evaluate A B DATA."
        )
    folders = [Path(entry).expanduser().resolve() for entry in given if isinstance(entry, str | Path)]
    if len(set(folders)) < len(folders):
        raise OptionError(f"Both models are {given[0]}. Name two different ones, or one alone.")


def _opened(given: Sequence[Model | str | Path], options: EvaluateOptions) -> list[_Entrant]:
    names = told_apart([entry.method if isinstance(entry, Model) else str(entry) for entry in given])
    remote = part_of(RemoteOptions, options)
    opened = [
        entry if isinstance(entry, Model) else load(entry, threads=options.threads, remote=remote) for entry in given
    ]
    return [_Entrant(name, model) for name, model in zip(names, opened, strict=True)]


def deciding_metric(model: Model) -> str:
    """Return the metric that decides unless one is named: what the model's score is in, or what it selected by.

    Raises:
        OptionError: That is somebody's own function. A saved model may come from anybody, and does not choose which
            code runs here.
    """
    name = model.about.score.metric if model.about.score else model.task.metric
    known = metrics.names(model.task.kind)
    if name in known or name.partition(":")[0] == "recall_at_far":
        return name
    raise OptionError(
        f"The model was selected by {name!r:.100}, which is no metric of nshot's. Name one: {', '.join(known)}; or, if "
        "you trust the function, name that: --metric MODULE:FUNCTION."
    )


def _wanted(options: EvaluateOptions, task: Task, deciding: str) -> dict[Metric, bool]:
    """Return the metrics to compute, and whether somebody asked for them."""
    asked = dict.fromkeys((deciding, *options.metric, *options.named()))
    known = metrics.names(task.kind)
    for name in asked:
        if task.kind not in metrics.get(name).task_kinds:
            raise OptionError(f"{name} does not judge the task '{task.kind}'. Use one of: {', '.join(known)}.")
    others = () if options.metric else known
    return {metrics.get(name): name in asked for name in dict.fromkeys((*asked, *others))}


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """The labelled rows that are answered.

    Attributes:
        sources: For each model the rows as it reads them.
        positions: Shape (n,), which of them are answered: all, or of rows with the same input the first.
        targets: Their n targets (`Dataset.targets`).
        groups: Shape (n,), which rows belong together.
        task: With every label that a model or a row has.
    """

    sources: Sequence[Source]
    positions: NDArray[np.int64]
    targets: Sequence[Any]
    groups: NDArray[np.int64]
    task: Task

    @property
    def source(self) -> Source:
        """Return the rows as the first model reads them."""
        return self.sources[0]


def _read(models: Sequence[_Entrant], data: Any, options: EvaluateOptions) -> _Rows:
    from nshot.data.duplicates import merged
    from nshot.data.reading import Trained, read
    from nshot.evaluation.checks.facts import gather

    first_task = models[0].model.task
    if len(kinds := {entrant.model.task.kind for entrant in models}) > 1:
        raise OptionError(f"The models do different things ({', '.join(sorted(kinds))}): they cannot be compared.")
    reading = _reading(options, first_task)
    abouts = [entrant.model.about for entrant in models]
    columns = models[0].model.row_columns
    learnt = Trained(abouts[0].text_columns, abouts[0].label_column, columns, separator=abouts[0].separator)
    sources = [read(data, reading, trained=learnt)]
    _require_targets(sources[0], first_task)
    groups = gather(sources[0], None).groups
    for entrant in models[1:]:
        first, about, columns = sources[0], entrant.model.about, entrant.model.row_columns
        if options.label is None and about.label_column in set(first.columns) - {first.label_column}:
            raise OptionError(
                f"The models were fitted on different columns of labels, and {first.name} has both: "
                f"'{first.label_column}' and '{about.label_column}'. Name the right one: --label COLUMN."
            )
        same = reading.model_copy(update={"label": first.label_column, "separator": first.separator})
        reads_own = bool(columns or about.text_columns) and not options.text
        own = read(data, same, trained=Trained(about.text_columns, columns=columns)) if reads_own else first
        if (own.text_columns, own.row_columns) == (first.text_columns, first.row_columns):
            own = first
        else:
            groups = merged(groups, gather(own, None).groups)
        sources.append(own)
    targets = sources[0].dataset.labelled_targets()
    if first_task.kind == TaskKind.GENERATE:
        positions = _first_of_each_input(sources[0].dataset.examples)
        return _Rows(sources, positions, [targets[at] for at in positions], groups[positions], first_task)
    if first_task.kind not in {TaskKind.CLASSIFY, *_SEVERAL}:
        return _Rows(sources, np.arange(len(targets)), targets, groups, first_task)
    known = {label for entrant in models for label in entrant.model.task.labels}
    occurring = set(_labels(targets, first_task.kind))
    _require_known(sources[0], sorted(occurring), known, models)
    task = Task(first_task.kind, tuple(sorted({*known, *occurring})), metric=first_task.metric)
    return _Rows(sources, np.arange(len(targets)), targets, groups, task)


def _labels(targets: Sequence[Any], kind: TaskKind) -> Sequence[str]:
    """Return every label of every row, one after the other."""
    return [label for target in targets for label in labels_of(kind, target)]


def _reading(options: EvaluateOptions, task: Task) -> ReadOptions:
    """Return how to read the data: as what the models do, whatever it looks like."""
    reading = part_of(ReadOptions, options)
    return reading.model_copy(update={"task": task.kind.value}) if task.kind in _READ else reading


def _require_targets(source: Source, task: Task) -> None:
    """Refuse data in which nothing says what is true.

    Raises:
        DataError: There is nothing to hold the answers against.
    """
    if not len(source.dataset):
        what = {
            TaskKind.DETECT: "which rows are anomalies",
            TaskKind.CLUSTER: "which group each row truly belongs to",
        }.get(task.kind, "the true answers")
        raise DataError(
            f"No column of {source.name} says {what}, so there is nothing to hold the answers against. "
            f"Found: {listed(source.columns)}. Name the column: --label COLUMN."
        )


def _first_of_each_input(examples: Sequence[Any]) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    for position, example in enumerate(examples):
        first.setdefault(repr(example), position)
    return np.array(list(first.values()), dtype=np.int64)


def _require_known(source: Source, found: Sequence[str], known: set[str], models: Sequence[_Entrant]) -> None:
    """Refuse rows none of whose labels any model knows: that is another column, not a weak model."""
    if known.isdisjoint(found):
        raise DataError(
            f"None of the {len(found):,} labels in the column '{source.label_column}' of {source.name} "
            f"({_quoted(found)}) is one that {models[0].name} answers ({_quoted(sorted(known))})."
            f"{closest(found[0], known)} Name the label column: --label COLUMN."
        )


def _quoted(labels: Sequence[str]) -> str:
    return listed([f"'{label}'" for label in labels], _MOST_NAMED)


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Judged:
    """One model's answers, as statistics that can be resampled.

    Attributes:
        entrant: The model.
        source: The rows as it reads them.
        codes: Shape (n, 2), index of the true and of the given label; None where answers are no labels.
        statistics: By metric, shape (n, m).
        left_out: Metrics that it cannot be judged by, and why.
        within: Of predicted numbers, how far off they are at most.
    """

    entrant: _Entrant
    source: Source
    codes: NDArray[np.int64] | None
    statistics: Mapping[str, Array]
    left_out: Mapping[str, str]
    within: Sequence[Mapping[str, Any]] = ()


def _judged(entrant: _Entrant, source: Source, rows: _Rows, wanted: Mapping[Metric, bool], pace: Pace) -> _Judged:
    """Answer all rows batch by batch; what is kept are a few numbers per row.

    Raises:
        UnsupportedError: A metric that was asked for needs what the model does not have.
    """
    model, n = entrant.model, len(rows.targets)
    examples = Selection(source.dataset.examples, rows.positions.tolist())
    coded = metrics.get("macro_f1").statistics if rows.task.kind == TaskKind.CLASSIFY else None
    # Groups are names that mean something only beside each other.
    at_once = n if rows.task.kind == TaskKind.CLUSTER else model.rows_at_once
    # Several metrics are read from the same statistics: each is computed and kept once.
    parts: dict[Callable[..., Array], list[Array]] = {}
    left_out: dict[str, str] = {}
    for start in range(0, n, at_once):
        stop = min(start + at_once, n)
        targets = rows.targets[start:stop]
        try:
            answer, refusal = _answer(model, examples[start:stop], targets, rows.task, wanted)
        except ExampleError as error:
            raise error.at(int(source.positions[rows.positions[start + error.position]])) from None
        if refusal is not None:
            refusal = refusal.at(int(source.positions[rows.positions[start + refusal.position]]))
        for metric, is_asked in wanted.items():
            reason = metric.unavailable(answer)
            if reason is None or metric.name in left_out:
                continue
            left_out[metric.name] = reason if refusal is None else str(refusal)
            if is_asked:
                raise UnsupportedError(f"{entrant.name} cannot be judged so: {left_out[metric.name]}")
        usable = [metric.statistics for metric in wanted if metric.name not in left_out]
        parts = {function: parts.get(function, []) for function in [*([coded] if coded else []), *usable]}
        for function, found in parts.items():
            found.append(function(targets, answer, rows.task))
        pace(stop, n, f"answering with {entrant.name}")
    whole = {function: np.concatenate(found) for function, found in parts.items()}
    statistics = {metric.name: whole[metric.statistics] for metric in wanted if metric.name not in left_out}
    codes = whole[coded].astype(np.int64) if coded else None
    within: Sequence[Mapping[str, Any]] = ()
    if rows.task.kind == TaskKind.REGRESS and "r2" in statistics:
        pairs = statistics["r2"]
        within = numbers_record(rows.positions, pairs[:, 0], pairs[:, 1])["within"]
    return _Judged(entrant, source, codes, statistics, left_out, within)


def _answer(
    model: Model, examples: Sequence[Any], targets: Sequence[Any], task: Task, wanted: Mapping[Metric, bool]
) -> tuple[Prediction, ExampleError | None]:
    """Return what the metrics need to know of a model's answers, and why it does not say how likely the true ones are.

    A true answer that does not fit into the model is no reason not to judge what was written.
    """
    answer = over_all_labels(model.answer(examples), model.task, task)
    if model.writes and any(metric.needs == "likelihoods" for metric in wanted):
        try:
            likely = model.likelihoods(examples, [accepted[0] for accepted in targets])
        except ExampleError as error:
            return answer, error
        return replace(answer, likelihoods=likely), None
    return answer, None


def over_all_labels(answer: Prediction, own: Task, task: Task) -> Prediction:
    """Return the answer with a probability of zero for each label that the model does not know."""
    if answer.probabilities is None or own.labels == task.labels:
        return answer
    index = task.index()
    probabilities = np.zeros((len(answer.probabilities), len(task.labels)), answer.probabilities.dtype)
    probabilities[:, [index[label] for label in own.labels]] = answer.probabilities
    return Prediction(labels=answer.labels, probabilities=probabilities)


# --- the record -------------------------------------------------------------------------------------------------------


def _concluded(
    judged: Sequence[_Judged], rows: _Rows, options: EvaluateOptions, deciding: str, earlier: Evaluation | None
) -> Evaluation:
    last = judged[-1]
    row_ids = np.arange(len(rows.targets))

    def block(entry: _Judged, name: str) -> list[Block]:
        return [Block(0, 0, row_ids, entry.statistics[name], rows.groups)]

    scores = [
        {
            name: estimate(block(entry, name), metrics.get(name), rho=None, target="this model")
            for name in entry.statistics
        }
        for entry in judged
    ]
    differences = {
        name: paired_difference(
            block(last, name), block(judged[0], name), metrics.get(name), rho=None, target="this model"
        )
        for name in last.statistics
        if len(judged) > 1 and name in judged[0].statistics
    }
    source = rows.source
    names = [entry.entrant.name for entry in judged]
    record: dict[str, Any] = {
        "schema": 1,
        "task": rows.task.kind.value,
        "data": source.name,
        "n": len(rows.targets),
        "rows": len(source.dataset),
        "independent": len(np.unique(rows.groups)),
        "unlabelled": len(source.unlabelled),
        "columns": {
            "text": list(source.text_columns),
            "row": [column.name for column in source.row_columns],
            "label": source.label_column,
        },
        "metric": deciding,
        "metrics": _scores_record(scores[-1]),
        "models": [_model_record(entry, own, rows) for entry, own in zip(judged, scores, strict=True)],
    }
    if len(judged) > 1:
        record |= difference_record(differences, metrics.get(deciding), deciding, names) | _right_alone(judged)
    if earlier is not None:
        differences, names = against.differences(scores[-1], earlier.record), [earlier.record["data"], source.name]
        record["against"] = against.record(deciding, differences, record["models"][0], earlier.record)
    unit = "inputs" if rows.task.kind == TaskKind.GENERATE else "rows"
    on = f"{len(rows.targets):,} {unit} of {source.name}"
    failures = options.failures(deciding, scores[-1], differences, on, names)
    record["failures"] = failures
    return Evaluation(record, tuple(failures))


def _scores_record(scores: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: _score(found) for name, found in scores.items()}


def _score(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else {"score": round(found.score, 6), "interval": ends(found)}


def _model_record(judged: _Judged, scores: Mapping[str, Estimate], rows: _Rows) -> dict[str, Any]:
    model = judged.entrant.model
    has_labels = judged.codes is not None or rows.task.kind in _SEVERAL
    labels = _labels(rows.targets, rows.task.kind) if has_labels else ()
    known, occurring = set(model.task.labels), set(labels)
    unknown = Counter(label for label in labels if label not in known)
    dataset = judged.source.dataset
    # A model may have been fitted with or without the groups that are named now.
    fingerprints = {dataset.fingerprint, replace(dataset, groups=None).fingerprint}
    trained_on = not fingerprints.isdisjoint(model.about.learnt_from)
    return {
        "name": judged.entrant.name,
        "method": model.method,
        "n_labels": model.about.model_n_labels,
        "trained_on": trained_on,
        "metrics": _scores_record(scores),
        "left_out": dict(judged.left_out),
        "promise": None if trained_on else _promise_record(model.about.score, scores),
        "unknown_labels": dict(unknown.most_common()),
        "absent_labels": sorted(known - occurring),
        "within": list(judged.within),
        **_labels_record(judged, rows),
    }


def _labels_record(judged: _Judged, rows: _Rows) -> dict[str, Any]:
    codes, several = judged.codes, judged.statistics.get("macro_tag_f1")
    if several is not None:
        found = by_several_labels(*unpacked(several), rows.groups, rows.task)
        return {"labels": [_label_record(one) for one in found], "confusions": []}
    entities = judged.statistics.get("macro_entity_f1")
    if entities is not None:
        found = by_entity_label(entities, rows.groups, rows.task)
        return {"labels": [_label_record(one) for one in found], "confusions": []}
    if codes is None:
        return {"labels": [], "confusions": []}
    return {
        "labels": [_label_record(found) for found in by_label(codes, rows.groups, rows.task)],
        "confusions": [
            {"label": found.label, "answer": found.answer, "rows": found.rows}
            for found in confusions(codes, rows.task, _MOST_CONFUSIONS)
        ],
    }


def _label_record(found: LabelScore) -> dict[str, Any]:
    return {
        "label": found.label,
        "rows": found.rows,
        "answers": found.answers,
        "recall": _score(found.recall),
        "precision": _score(found.precision),
    }


def _promise_record(promise: bundle.MeasuredScore | None, scores: Mapping[str, Estimate]) -> dict[str, Any] | None:
    """Return the score that came with the model beside the one found here, or None where they cannot be compared."""
    found = scores.get(promise.metric) if promise else None
    if promise is None or promise.interval is None or found is None or found.interval is None:
        return None
    metric = metrics.get(promise.metric)
    promised = Interval(*promise.interval, level=promise.level)
    difference = independent_difference(found.score, found.interval, promise.score, promised)
    is_higher, is_lower = difference.low > 0, difference.high < 0
    is_better, is_worse = (is_higher, is_lower) if metric.higher_is_better else (is_lower, is_higher)
    return {
        "metric": promise.metric,
        "score": promise.score,
        "interval": list(promise.interval),
        "n_labels": promise.n_labels,
        "n_test": promise.n_test,
        "target": promise.target,
        "difference": {
            "mean": round(found.score - promise.score, 6),
            "interval": [round(difference.low, 6), round(difference.high, 6)],
        },
        "kept": "better" if is_better else "worse" if is_worse else "as promised",
    }


def _right_alone(judged: Sequence[_Judged]) -> dict[str, int | None]:
    """Return on how many rows only one of two models is right; None where answers are no labels."""
    right = [entry.codes[:, 0] == entry.codes[:, 1] for entry in judged if entry.codes is not None]
    only = [int((one & ~other).sum()) for one, other in (right, right[::-1])] if len(right) == 2 else [None, None]
    return {"only_first_right": only[0], "only_second_right": only[1]}
