"""The README.md of a bundle, or of a model that was exported from one: the manifest in words.

A folder that transformers or peft opens begins with the facts that the Hugging Face hub reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from nshot import metrics
from nshot.bundle.manifest import (
    ADAPTER_CONFIG,
    MANIFEST,
    MODEL_CONFIG,
    BackboneRecord,
    BundleInfo,
    Manifest,
    MeasuredScore,
)
from nshot.core import BackboneRef, Task, TaskKind, counted, listed

_LABELS_SHOWN = 40
_COLUMNS_SHOWN = 40
_NEW_SHOWN = 6
_NOT_PRETRAINED = frozenset({"pixels"})
_FROM_UNLABELLED = frozenset({TaskKind.DETECT, TaskKind.CLUSTER, TaskKind.COMPRESS})
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LONGEST = 160
_PIPELINES = {TaskKind.GENERATE: "text-generation", TaskKind.CLASSIFY: "text-classification"}


def model_card(name: str, manifest: Manifest) -> str:
    """Return the card in Markdown; what comes from the data is escaped.

    Args:
        name: The folder's name, as it stands in the commands shown.
        manifest: What to say.
    """
    task, method = manifest.task, manifest.method
    pretrained = [record for record in manifest.backbones if _is_pretrained(record)]
    backbones = ", ".join(_licensed(record) for record in pretrained) or "none"
    columns = ", ".join(_columns(manifest))
    lines = [
        *_hub_facts(manifest.files, manifest.backbones),
        f"# {_plain(name)}",
        "",
        f"Made by nshot {_plain(manifest.packages.get('nshot', ''))} on {manifest.created:%Y-%m-%d}.",
        "",
        f"- Task: {task.kind.value}",
        f"- Method: {_plain(method.name)} (version {method.version})",
        f"- Pre-trained model: {backbones}",
        f"- Trained on: {_learnt(manifest, task.kind)}",
        f"- Answers: {_answers(manifest)}",
        f"- Score: {_score(manifest.score, manifest.model_n_labels, task.kind)}",
        *_distilled(manifest),
        *_grown(manifest),
        *([f"- Reads the columns: {columns}"] if columns else []),
        "",
        *_labels(manifest),
        *_asked(manifest.task.task(), manifest.files),
        "## Use",
        "",
        "```bash",
        "nshot predict PATH/TO/THIS/FOLDER new.csv",
        "```",
        "",
        "```python",
        "import nshot",
        "",
        'model = nshot.load("PATH/TO/THIS/FOLDER")',
        "```",
        "",
        *_opened_by_others(manifest.files),
        f"`{MANIFEST}` says the same for programs, with the hash of every file. This card may be edited.",
    ]
    return "\n".join(lines) + "\n"


def export_card(
    name: str, method: str, task: Task, about: BundleInfo, backbones: Iterable[BackboneRef], files: Iterable[str]
) -> str:
    """Return the card of a model that was written for other programs, in Markdown.

    Args:
        name: The folder's name.
        method: What made the model.
        task: With what is said before every prompt.
        about: Score and data.
        backbones: What the model was before.
        files: What is in the folder.
    """
    records = [BackboneRecord.of(ref, about.licences) for ref in backbones]
    began = ", ".join(_licensed(record) for record in records) or "random weights"
    lines = [
        *_hub_facts(files, records),
        f"# {_plain(name)}",
        "",
        f"- Method: {_plain(method)}, by nshot",
        f"- Began as: {began}",
        f"- Trained on: {_learnt(about, task.kind)}",
        f"- Score: {_score(about.score, about.model_n_labels, task.kind)}",
        "",
        *_asked(task, files),
        *_opened_by_others(files),
    ]
    return "\n".join(lines).rstrip() + "\n"


def graph_card(
    name: str,
    method: str,
    task: Task,
    about: BundleInfo,
    backbones: Iterable[BackboneRef],
    *,
    library: str,
    use: Iterable[str],
    found: Iterable[str],
) -> str:
    """Return the card of a model that was written as one file for another runtime, in Markdown.

    Args:
        name: The folder's name.
        method: What made the model.
        task: What it answers.
        about: Score and data.
        backbones: What the model was before.
        library: What the hub calls the runtime.
        use: Lines on how it is used.
        found: What the check of the file found, a sentence each.
    """
    records = [BackboneRecord.of(ref, about.licences) for ref in backbones]
    began = ", ".join(_licensed(record) for record in records) or "random weights"
    lines = [
        *_facts(library, _PIPELINES.get(task.kind), records),
        f"# {_plain(name)}",
        "",
        f"- Method: {_plain(method)}, by nshot",
        f"- Began as: {began}",
        f"- Trained on: {_learnt(about, task.kind)}",
        f"- Score before the export: {_score(about.score, about.model_n_labels, task.kind)}",
        "",
        "## Use",
        "",
        *use,
        "",
        "## What the check found",
        "",
        *(f"- {_plain(sentence, longest=None)}" for sentence in found),
    ]
    return "\n".join(lines) + "\n"


def _learnt(about: BundleInfo, kind: TaskKind) -> str:
    data = f" of {_plain(about.data_name)}" if about.data_name else ""
    taught = about.distilled_from
    if taught is not None:
        return f"the {taught.learnt} of {_plain(taught.method)} to {taught.n_examples:,} examples{data}, without labels"
    fitted_on = about.model_n_labels - sum(growth.n_examples for growth in about.grown)
    if not fitted_on and kind in _FROM_UNLABELLED:
        return f"examples{data} without labels"
    if not fitted_on and kind == TaskKind.GENERATE:
        return "no example"
    examples = {
        TaskKind.GENERATE: "examples with their answers",
        TaskKind.REGRESS: "examples with known values",
        TaskKind.DETECT: "labelled anomalies among the examples",
        TaskKind.EXTRACT: "texts with their entities",
    }.get(kind, "labelled examples")
    return f"{fitted_on:,} {examples}{data}"


def _answers(manifest: Manifest) -> str:
    """Return what the model says of an example."""
    kind, label = manifest.task.kind, manifest.label_column
    asked = f" ({_plain(label)})" if label else ""
    if kind == TaskKind.REGRESS:
        return f"a number{asked}"
    if kind == TaskKind.DETECT:
        told = "" if manifest.threshold is None else f"; anomalies are told from the rest at {manifest.threshold:.6g}"
        return f"a score, higher for stranger examples{told}"
    known = {
        TaskKind.CLASSIFY: f"one of {len(manifest.task.labels)} labels{asked}",
        TaskKind.TAG: f"any number of {counted(len(manifest.task.labels), 'label')}{asked}, or none",
        TaskKind.GENERATE: "a text",
        TaskKind.EXTRACT: f"where entities begin and end, with one of {len(manifest.task.labels)} labels",
        TaskKind.CLUSTER: "the name of a group, empty where an example belongs to none",
        TaskKind.COMPRESS: "the example in fewer bits, and back",
    }
    return known.get(kind, kind.value)


def _columns(manifest: Manifest) -> list[str]:
    """Return the columns that the model reads; of rows with what they hold."""
    rows = [f"{_plain(column.name)} ({column.kind.value})" for column in manifest.row_columns]
    more = [f"and {len(rows) - _COLUMNS_SHOWN:,} more, in `{MANIFEST}`"] if len(rows) > _COLUMNS_SHOWN else []
    return [_plain(column) for column in manifest.text_columns] or [*rows[:_COLUMNS_SHOWN], *more]


def _hub_facts(files: Iterable[str], backbones: Iterable[BackboneRecord]) -> list[str]:
    """Return the head of the card that the hub reads (https://huggingface.co/docs/hub/model-cards)."""
    library = _library(files)
    return [] if library is None else _facts(library, _PIPELINES[TaskKind.GENERATE], backbones)


def _facts(library: str, pipeline: str | None, backbones: Iterable[BackboneRecord]) -> list[str]:
    backbones = tuple(backbones)
    began = [record for record in backbones if _HUB_ID.fullmatch(record.id)]
    # A model that was trained further is under the licence of what it was; where that is not stated, or there are
    # several, whoever publishes it has to look it up.
    licences = {record.licence for record in backbones if _is_pretrained(record)}
    licence = (licences.pop() if len(licences) == 1 else None) or "unknown"
    return [
        "---",
        f"library_name: {library}",
        *([f"pipeline_tag: {pipeline}"] if pipeline else []),
        f"license: {json.dumps(licence)}",
        *(["base_model:", *(f"- {record.id}" for record in began)] if began else []),
        "tags:",
        "- nshot",
        "---",
        "",
    ]


def _library(files: Iterable[str]) -> str | None:
    names = set(files)
    if ADAPTER_CONFIG in names:
        return "peft"
    return "transformers" if MODEL_CONFIG in names else None


def _asked(task: Task, files: Iterable[str]) -> list[str]:
    """Return how the model is to be asked."""
    if task.kind != TaskKind.GENERATE:
        return []
    lines = ["## How it is asked", ""]
    if task.instruction:
        lines += ["What the system message says:", "", f"> {_plain(task.instruction, longest=None)}", ""]
    else:
        lines += ["There is no system message: what is asked is what the user says.", ""]
    if _library(files) is not None:
        lines += ["`chat_template.jinja`, or `tokenizer_config.json`, makes the prompt of a conversation.", ""]
    return lines


def _opened_by_others(files: Iterable[str]) -> list[str]:
    if _library(files) is None:
        return []
    return [
        "Without nshot:",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")',
        'model = AutoModelForCausalLM.from_pretrained("PATH/TO/THIS/FOLDER")',
        "```",
        "",
    ]


def _score(score: MeasuredScore | None, model_n_labels: int, kind: TaskKind) -> str:
    if score is None:
        return "not measured"
    in_units = score.metric in metrics.names() and metrics.get(score.metric).in_units
    form = ",.4g" if in_units and abs(score.score) < 1000 else ",.0f" if in_units else ".3f"
    words = f"{_plain(score.metric)} {score.score:{form}}"
    if score.interval is not None:
        words += f" [{score.interval[0]:{form}}, {score.interval[1]:{form}}] ({score.level:.0%} interval)"
    counted = "labelled anomalies" if kind == TaskKind.DETECT else "labels"
    at = f"at {score.n_labels:,} {counted}" if score.n_labels or kind not in _FROM_UNLABELLED else "without labels"
    words += f", measured {at}, for {_plain(score.target)}"
    if score.n_test is not None:
        words += f", on {score.n_test:,} test examples"
    if score.n_labels != model_n_labels:
        words += f"; this model saw {model_n_labels:,}"
    return words


def _distilled(manifest: Manifest) -> list[str]:
    """Return how far a student agrees with its teacher."""
    taught = manifest.distilled_from
    if taught is None:
        return []
    found = taught.agreement
    ends = "" if found.interval is None else f" [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"
    return [
        f"- Agrees with its teacher: {_plain(found.metric)} {found.score:.3f}{ends}, the teacher's answers to "
        f"{found.n_test or 0:,} other examples taken for the truth; agreement is not accuracy"
    ]


def _grown(manifest: Manifest) -> list[str]:
    """Return what the model was taught since its fit, and how to measure it anew."""
    if not manifest.grown:
        return []
    new = list(dict.fromkeys(record.label for record in manifest.grown if record.is_new))
    learnt = sum(record.n_examples for record in manifest.grown)
    labels = [f"{counted(len(new), 'new label')} ({listed([_plain(name) for name in new], _NEW_SHOWN)})"] if new else []
    examples = [counted(learnt, "further example")] if learnt else []
    taught = " and ".join([*labels, *examples]) or "other descriptions"
    last = max(record.at for record in manifest.grown)
    anew = "" if manifest.score else ". No score holds until it is measured: `nshot evaluate PATH/TO/THIS/FOLDER DATA`"
    return [f"- Grown since it was fitted: {taught}, last on {last:%Y-%m-%d}{anew}"]


def _labels(manifest: Manifest) -> list[str]:
    labels = manifest.task.labels
    if not labels:
        return []
    lines = [f"## {len(labels)} labels", ""]
    for label in labels[:_LABELS_SHOWN]:
        described = manifest.task.descriptions.get(label)
        lines.append(f"- {_plain(label)}" + (f": {_plain(described)}" if described else ""))
    if len(labels) > _LABELS_SHOWN:
        lines.append(f"- and {len(labels) - _LABELS_SHOWN:,} more, in `{MANIFEST}`")
    return [*lines, ""]


def _is_pretrained(record: BackboneRecord) -> bool:
    return not (record.ref.is_table or record.id in _NOT_PRETRAINED)


def _licensed(record: BackboneRecord) -> str:
    """Return the name of a model with its licence, or that its files do not state one."""
    if record.licence is not None:
        return f"{_plain(record.id)} ({_plain(record.licence)})"
    if record.ref.is_remote:
        return f"{_plain(record.id)} (asked at its address)"
    beside = f"; the text of one is in {_plain(record.licence_file)} beside it" if record.licence_file else ""
    return f"{_plain(record.id)} (its files do not state a licence{beside})"


def _plain(text: str, longest: int | None = _LONGEST) -> str:
    """Return `text` on one line, cut, with every character escaped that Markdown, HTML or a terminal would act on."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    line = line if longest is None or len(line) <= longest else line[: longest - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|#~])", r"\\\1", line)
