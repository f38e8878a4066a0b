"""`score`: outputs from anywhere against references, by any metric of texts, with intervals; two systems compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from nshot import metrics
from nshot.api.judging import INSTRUCTION, Pair, judge
from nshot.api.options import part_of, resolved_options
from nshot.api.scored import Scored, difference_record, ends, number, told_apart
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import (
    BackboneRef,
    DataError,
    Generates,
    OptionError,
    Prediction,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.data.options import as_names
from nshot.data.outputs import Given, OutputOptions, Outputs, read_outputs
from nshot.data.references import References, read_references, require_one_each
from nshot.evaluation.comparison import paired_difference
from nshot.evaluation.intervals import Block, estimate
from nshot.metrics import Array, Metric
from nshot.study.watch import Pace, Unwatched, Watch

_BATCH_ROWS = 2048
_NUMBERS = "number_match"
_TASK = Task(TaskKind.GENERATE)


class ScoreOptions(RemoteOptions, OutputOptions):
    """Everything that `score` can be told."""

    metric: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Metrics, separated by commas; the first one decides which of two is better. Left out: all that fit the
    references. A scoring function of your own is MODULE:FUNCTION or FILE.py:FUNCTION, and is run."""
    pattern: str | None = None
    """Regular expression for number_match: its first group (or all of it), where it last matches, is compared. Left
    out: the number after ####, otherwise the last number."""
    judge: str | None = None
    """Model that also judges: a folder, a hub id, or openai:MODEL with --allow-remote. Each pair is shown twice, with
    the places swapped; one file of outputs is held against the references, two against each other."""
    judge_instruction: str = INSTRUCTION
    """What makes an answer better, told to the judge."""
    judge_rows: int = Field(default=200, ge=10)
    """How many rows a judge behind an address is shown at most, drawn at random."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "score"


class Scores(Scored):
    """What `score` found: scores with signatures; the record is what ``nshot score --json`` prints, docs/metrics.md."""

    @property
    def judgement(self) -> dict[str, Any] | None:
        """Return what the judge said, or None where none was asked."""
        found: dict[str, Any] | None = self.record.get("judge")
        return found


def score(
    predictions: Given,
    references: Given,
    other: Given | None = None,
    *,
    options: ScoreOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Scores:
    """Score outputs against references with intervals, or two systems' outputs against each other on the same inputs.

    Args:
        predictions: A file with one output per line, or jsonl, json, csv or parquet with a column of outputs (texts,
            chat messages, records of OpenAI's interface); or a list of texts. An empty line is an empty answer.
        references: The same with one reference per line or row, or several: a list, several columns, or several rows
            with the same input.
        other: A second system's outputs: differences are its score minus the first one's.
        options: A `ScoreOptions` or its fields.
        watch: Shown what is going on.
        more: Fields of `ScoreOptions`, such as ``metric="bleu,rougeL"``.

    Raises:
        NshotError: A file cannot be read, does not fit the other, or a metric cannot be computed; the text says what
            has to change.
    """
    watch = watch or Unwatched()
    resolved = resolved_options(ScoreOptions, options, more)
    named = dict(_metric(name, resolved) for name in resolved.metric)
    _require_use_of(resolved)
    watch.progress("reading", 0, 0)
    reading = part_of(OutputOptions, resolved)
    systems = [read_outputs(given, reading) for given in ([predictions] if other is None else [predictions, other])]
    held = read_references(references, reading, systems[0])
    for outputs in systems[1:]:
        require_one_each(outputs, held)
    for words in (*(outputs.recognised for outputs in systems), held.recognised):
        watch.say(words)
    names = told_apart([outputs.name for outputs in systems])
    asked = None if resolved.judge is None else _asked(resolved, systems, held)
    wanted = named or _usual(held, resolved)
    pace = Pace(watch)
    judged = [_statistics(outputs, held, wanted, pace, name) for outputs, name in zip(systems, names, strict=True)]
    record = _record(systems, names, held, wanted, judged)
    if asked is not None:
        record["judge"] = _judge_record(asked, names, resolved.judge_instruction, pace)
    return Scores(record)


# --- metrics ----------------------------------------------------------------------------------------------------------


def _metric(name: str, options: ScoreOptions) -> tuple[str, Metric]:
    """Return a metric of texts, and what the record calls it.

    Raises:
        OptionError: There is none, or it is no metric of texts.
    """
    metric = metrics.get(f"{_NUMBERS}:{options.pattern}" if name == _NUMBERS and options.pattern else name)
    if TaskKind.GENERATE not in metric.task_kinds:
        raise OptionError(f"{name} does not judge texts. Use one of: {', '.join(_of_texts())}.")
    if metric.needs != "texts":
        raise OptionError(
            f"{name} is about the model that wrote, and a file of outputs does not tell it. Use nshot evaluate with "
            f"the model, or one of: {', '.join(_of_texts())}."
        )
    return (name if name == _NUMBERS else metric.name), metric


def _of_texts() -> list[str]:
    return [name for name in metrics.names(TaskKind.GENERATE) if metrics.get(name).needs == "texts"]


def _require_use_of(options: ScoreOptions) -> None:
    """Refuse options that would change nothing.

    Raises:
        OptionError: A pattern without the metric that it is for, or a judge's options without a judge.
    """
    if options.pattern is not None and options.metric and _NUMBERS not in options.metric:
        raise OptionError(f"--pattern is for number_match. Add it: --metric {','.join((*options.metric, _NUMBERS))}.")
    judging = {"judge_instruction", *RemoteOptions.model_fields} & options.model_fields_set
    if options.judge is None and judging:
        flag = sorted(judging)[0].replace("_", "-")
        raise OptionError(f"--{flag} is for a judge, and none is named: --judge MODEL.")


def _usual(references: References, options: ScoreOptions) -> dict[str, Metric]:
    """Return the metrics that fit the references, the one that decides first."""
    first = metrics.default_metric(_TASK, references.targets)
    names = [name for name in _of_texts() if name != _NUMBERS or options.pattern is not None]
    return dict(_metric(name, options) for name in dict.fromkeys((first.name, *names)))


def _statistics(
    outputs: Outputs, references: References, wanted: Mapping[str, Metric], pace: Pace, name: str
) -> dict[str, Array]:
    """Return what each metric makes of each row, shape (n, m); a batch of texts is in memory at a time."""
    n = len(outputs.texts)
    parts: dict[str, list[Array]] = {key: [] for key in wanted}
    for start in range(0, n, _BATCH_ROWS):
        stop = min(start + _BATCH_ROWS, n)
        batch = Prediction(texts=list(outputs.texts[start:stop]))
        targets = list(references.targets[start:stop])
        for key, metric in wanted.items():
            parts[key].append(metric.statistics(targets, batch, _TASK))
        pace(stop, n, f"scoring {name}")
    return {key: np.concatenate(found) for key, found in parts.items()}


# --- the record -------------------------------------------------------------------------------------------------------


def _record(
    systems: Sequence[Outputs],
    names: Sequence[str],
    references: References,
    wanted: Mapping[str, Metric],
    judged: Sequence[Mapping[str, Array]],
) -> dict[str, Any]:
    n = len(references.targets)
    rows = np.arange(n)
    groups = _groups(references)
    signatures = {key: metric.signature_on(references.targets) for key, metric in wanted.items()}

    def block(statistics: Mapping[str, Array], key: str) -> list[Block]:
        return [Block(0, 0, rows, statistics[key], groups)]

    def scored(statistics: Mapping[str, Array]) -> dict[str, Any]:
        found = {}
        for key, metric in wanted.items():
            estimated = estimate(block(statistics, key), metric, rho=None, target="this model")
            # A single row has a score, and nothing that an interval could be taken from.
            score = number(metric.aggregate(statistics[key]))
            found[key] = {"score": score, "interval": ends(estimated), "signature": signatures[key]}
        return found

    deciding = next(iter(wanted))
    found = [scored(statistics) for statistics in judged]
    record: dict[str, Any] = {
        "schema": 1,
        "references": references.name,
        "n": n,
        "n_references": references.total,
        "independent": n if groups is None else len(np.unique(groups)),
        "metric": deciding,
        "metrics": found[-1],
        "systems": [
            {"name": name, "empty": outputs.empty, "metrics": own}
            for outputs, name, own in zip(systems, names, found, strict=True)
        ],
        "notes": _notes(systems, names, references, wanted),
    }
    if len(judged) > 1:
        differences = {
            key: paired_difference(block(judged[1], key), block(judged[0], key), metric, rho=None, target="this model")
            for key, metric in wanted.items()
        }
        record |= difference_record(differences, wanted[deciding], deciding, names)
    return record


def _groups(references: References) -> NDArray[np.int64] | None:
    return None if references.groups is None else np.asarray(references.groups, dtype=np.int64)


def _notes(
    systems: Sequence[Outputs], names: Sequence[str], references: References, wanted: Mapping[str, Metric]
) -> list[str]:
    """Return what makes a score mean something else than it seems to.

    Raises:
        DataError: No reference has a number.
    """
    found = []
    n = len(references.targets)
    for outputs, name in zip(systems, names, strict=True):
        if outputs.empty:
            few = outputs.empty == 1
            found.append(
                f"{outputs.empty:,} of {n:,} outputs of {name} {'is' if few else 'are'} empty, and "
                f"{'counts as an answer' if few else 'count as answers'}."
            )
        apart = sum(text.endswith(" .") for text in outputs.texts)
        if "bleu" in wanted and 2 * apart > n:
            found.append(
                f"{name} looks tokenised (texts end in ' .'). BLEU splits texts itself: give them as people write."
            )
    if _NUMBERS in wanted:
        without = _withoutnumber(references, wanted[_NUMBERS])
        if without == n:
            raise DataError(
                f"number_match finds nothing to compare in any reference of {references.name}. "
                "Name what it should find, such as: --pattern 'Answer: (.+)'"
            )
        if without:
            found.append(
                f"number_match finds nothing in the references of {without:,} of {n:,} rows, which count as wrong."
            )
    if any(name.startswith("rouge") for name in wanted):
        silent = sum(not any(map(_has_rouge_words, target)) for target in references.targets)
        if silent:
            found.append(
                f"ROUGE reads the letters a to z and digits only, and {silent:,} of {n:,} rows have none in their "
                "references, which scores 0. chrF reads every script."
            )
    return found


def _withoutnumber(references: References, metric: Metric) -> int:
    """Return how many rows have no reference in which the metric finds anything: such a reference misses itself."""
    return sum(
        not any(metric.statistics([text], Prediction(texts=[text]), _TASK)[0, 0] for text in target)
        for target in references.targets
    )


def _has_rouge_words(text: str) -> bool:
    return any(letter.isascii() and letter.isalnum() for letter in text)


# --- the judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a judge is asked.

    Attributes:
        ref: Which model it is.
        model: The judge.
        pairs: The answers.
        groups: Shape (n,), which pairs belong together, or None.
    """

    ref: BackboneRef
    model: Generates
    pairs: Sequence[Pair]
    groups: NDArray[np.int64] | None


def _asked(options: ScoreOptions, systems: Sequence[Outputs], references: References) -> _Asked:
    """Return the judge and its pairs; nothing is asked yet.

    Raises:
        UnsupportedError: The model does not write.
    """
    from nshot.backbones import cache_folder, open_backbone

    ref = BackboneRef(options.judge or "")
    rows = np.arange(len(references.targets))
    if ref.is_remote and len(rows) > options.judge_rows:
        rows = np.sort(np.random.default_rng(0).choice(rows, options.judge_rows, replace=False))
    pairs = [_pair(int(row), systems, references) for row in rows]
    groups = _groups(references)
    asked = hashlib.sha256(repr((ref.id, options.judge_instruction, pairs)).encode("utf-8", "replace")).hexdigest()
    # Kept, so that a judge that was interrupted is not paid twice; of these pairs alone, so that the limit is for them.
    record = cache_folder() / "judged" / f"{asked[:16]}.jsonl"
    remote = part_of(RemoteOptions, options).access(record) if ref.is_remote else None
    model: object = open_backbone(ref, remote=remote)
    if not isinstance(model, Generates):
        raise UnsupportedError(f"{ref.name} does not write, so it cannot judge. Name a language model: --judge MODEL.")
    return _Asked(ref, model, pairs, None if groups is None else groups[rows])


def _pair(row: int, systems: Sequence[Outputs], references: References) -> Pair:
    accepted = references.targets[row][0]
    asked = references.inputs[row] if references.inputs is not None else ""
    if len(systems) == 1:
        return Pair(accepted, systems[0].texts[row], asked)
    return Pair(systems[0].texts[row], systems[1].texts[row], asked, accepted)


def _judge_record(asked: _Asked, names: Sequence[str], instruction: str, pace: Pace) -> dict[str, Any]:
    found = judge(asked.pairs, asked.model, instruction, groups=asked.groups, pace=pace)
    against = names[0] if len(names) > 1 else "the reference"
    interval = found.win_rate.interval
    is_shown = interval is not None and 0.5 not in interval
    return {
        "model": asked.ref.name,
        "instruction": instruction,
        "n": len(asked.pairs),
        "candidate": names[-1],
        "against": against,
        **found.as_json(),
        "better": (names[-1] if found.win_rate.score > 0.5 else against) if is_shown else None,
    }
