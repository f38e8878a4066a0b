"""The README.md of a bundle, or of a model that was exported from one: the manifest in words.

A folder that transformers or peft opens begins with the facts that the Hugging Face hub reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from nshot.bundle.manifest import (
    ADAPTER_CONFIG,
    MANIFEST,
    MODEL_CONFIG,
    BackboneRecord,
    BundleInfo,
    Manifest,
    MeasuredScore,
)
from nshot.core import BackboneRef, Task, TaskKind

_LABELS_SHOWN = 40
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LONGEST = 160


def model_card(name: str, manifest: Manifest) -> str:
    """Return the card in Markdown; what comes from the data is escaped.

    Args:
        name: The folder's name, as it stands in the commands shown.
        manifest: What to say.
    """
    task, method = manifest.task, manifest.method
    backbones = ", ".join(_licensed(record.id, record.licence) for record in manifest.backbones) or "none"
    columns = ", ".join(_plain(column) for column in manifest.text_columns)
    lines = [
        *_hub_facts(manifest.files, manifest.backbones),
        f"# {_plain(name)}",
        "",
        f"Made by nshot {_plain(manifest.packages.get('nshot', ''))} on {manifest.created:%Y-%m-%d}.",
        "",
        f"- Task: {task.kind.value}",
        f"- Method: {_plain(method.name)} (version {method.version})",
        f"- Pre-trained model: {backbones}",
        f"- Trained on: {_learnt(manifest, is_written=task.kind == TaskKind.GENERATE)}",
        f"- Score: {_score(manifest.score, manifest.model_n_labels)}",
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
    records = [BackboneRecord(**ref.as_json(), licence=about.licences.get(ref.id)) for ref in backbones]
    began = ", ".join(_licensed(record.id, record.licence) for record in records) or "random weights"
    lines = [
        *_hub_facts(files, records),
        f"# {_plain(name)}",
        "",
        f"- Method: {_plain(method)}, by nshot",
        f"- Began as: {began}",
        f"- Trained on: {_learnt(about, is_written=True)}",
        f"- Score: {_score(about.score, about.model_n_labels)}",
        "",
        *_asked(task, files),
        *_opened_by_others(files),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _learnt(about: BundleInfo, *, is_written: bool) -> str:
    data = f" of {_plain(about.data_name)}" if about.data_name else ""
    if is_written and not about.model_n_labels:
        return "no example"
    return f"{about.model_n_labels:,} {'examples with their answers' if is_written else 'labelled examples'}{data}"


def _hub_facts(files: Iterable[str], backbones: Iterable[BackboneRecord]) -> list[str]:
    """Return the head of the card that the hub reads (https://huggingface.co/docs/hub/model-cards)."""
    library = _library(files)
    if library is None:
        return []
    began = [record for record in backbones if _HUB_ID.fullmatch(record.id)]
    licences = {record.licence for record in backbones if record.licence}
    # A model that was trained further is under the licence of what it was; whoever publishes it has to look it up.
    licence = licences.pop() if len(licences) == 1 else "unknown"
    return [
        "---",
        f"library_name: {library}",
        "pipeline_tag: text-generation",
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


def _score(score: MeasuredScore | None, model_n_labels: int) -> str:
    if score is None:
        return "not measured"
    words = f"{_plain(score.metric)} {score.score:.3f}"
    if score.interval is not None:
        words += f" [{score.interval[0]:.3f}, {score.interval[1]:.3f}] ({score.level:.0%} interval)"
    words += f", measured at {score.n_labels:,} labels, for {_plain(score.target)}"
    if score.n_test is not None:
        words += f", on {score.n_test:,} test examples"
    if score.n_labels != model_n_labels:
        words += f"; this model saw {model_n_labels:,}"
    return words


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


def _licensed(name: str, licence: str | None) -> str:
    return f"{_plain(name)} ({_plain(licence)})" if licence else f"{_plain(name)} (licence not known)"


def _plain(text: str, longest: int | None = _LONGEST) -> str:
    """Return `text` on one line, cut, with every character escaped that Markdown or HTML would act on."""
    line = " ".join(text.split())
    line = line if longest is None or len(line) <= longest else line[: longest - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|#~])", r"\\\1", line)
