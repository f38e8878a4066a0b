"""The README.md of a bundle: the manifest in words."""

from __future__ import annotations

import re

from nshot.bundle.manifest import MANIFEST, Manifest, MeasuredScore

_LABELS_SHOWN = 40
_LONGEST = 160


def model_card(name: str, manifest: Manifest) -> str:
    """Return the card in Markdown; what comes from the data is escaped.

    Args:
        name: The folder's name, as it stands in the commands shown.
        manifest: What to say.
    """
    task, method = manifest.task, manifest.method
    backbones = ", ".join(_licensed(record.id, record.licence) for record in manifest.backbones) or "none"
    data = f" of {_plain(manifest.data_name)}" if manifest.data_name else ""
    columns = ", ".join(_plain(column) for column in manifest.text_columns)
    lines = [
        f"# {_plain(name)}",
        "",
        f"Made by nshot {_plain(manifest.packages.get('nshot', ''))} on {manifest.created:%Y-%m-%d}.",
        "",
        f"- Task: {task.kind.value}",
        f"- Method: {_plain(method.name)} (version {method.version})",
        f"- Pre-trained model: {backbones}",
        f"- Trained on: {manifest.model_n_labels:,} labelled examples{data}",
        f"- Score: {_score(manifest.score, manifest.model_n_labels)}",
        *([f"- Reads the columns: {columns}"] if columns else []),
        "",
        *_labels(manifest),
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
        f"`{MANIFEST}` says the same for programs, with the hash of every file. This card may be edited.",
    ]
    return "\n".join(lines) + "\n"


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


def _plain(text: str) -> str:
    """Return `text` on one line, cut, with every character escaped that Markdown or HTML would act on."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|#~])", r"\\\1", line)
