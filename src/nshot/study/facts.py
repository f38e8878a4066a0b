"""What the report shows beyond the verdict: the data, the protocol in words, how to reproduce it."""

from __future__ import annotations

import platform
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nshot import metrics
from nshot.core import Dataset, Span, TaskKind
from nshot.data.reading import Source
from nshot.data.showing import shown, thumbnail
from nshot.study.counting import unit
from nshot.study.files import StudyFolder
from nshot.study.study import Result, Study

_LONGEST_TEXT = 2_000
_PACKAGES = ("nshot", "torch", "scikit-learn", "numpy", "peft", "transformers")
_GIVEN = {"row": "NEW.csv", "image": "FOLDER"}
"""What is handed to a model where it is no text that can be typed."""
_EXPLAINED = {
    "macro_f1": "The F1 score of each label (the harmonic mean of precision and recall), averaged so that a rare label "
    "counts as much as a frequent one.",
    "macro_tag_f1": "The F1 score of each label (the harmonic mean of precision and recall), averaged so that a rare "
    "label counts as much as a frequent one; a row may have several labels, or none.",
    "micro_tag_f1": "The F1 score (the harmonic mean of precision and recall) of all labels of all rows together.",
    "subset_accuracy": "The share of the rows whose labels are all right, none missing and none too many.",
    "accuracy": "The share of right answers.",
    "entity_f1": "The harmonic mean of precision (how many of the entities that were answered are right) and recall "
    "(how many of the true ones were found). Right is only what has the same first and last character and the same "
    "label.",
    "bleu": "The share of words and of runs of two to four words that stand in an accepted answer as well, from 0 to "
    "100, less for answers that are too short.",
    "chrf": "How many runs of one to six characters an answer shares with an accepted one, from 0 to 100.",
    "mcc": "The correlation between answers and truth: 0 is chance, 1 is perfect.",
    "mae": "How far the answers are off on average, in the unit of what is predicted.",
    "rmse": "How far the answers are off, large misses counting more than in proportion, in the unit of what is "
    "predicted.",
    "r2": "The share of the differences between rows that the answers explain: 0 is always answering the mean, 1 is "
    "perfect, below 0 is worse than the mean.",
    "average_precision": "The mean share of true anomalies among the strangest rows, as one goes down the list: chance "
    "reaches the share of anomalies, 1 is every anomaly before every normal row.",
    "auroc": "The probability that an anomaly gets a higher score than a normal row: 0.5 is chance, 1 is perfect.",
    "nmi": "How much the found groups say of the true ones: 0 is nothing, 1 is the same groups.",
    "ari": "How far pairs of rows that are together in the found groups are so in the true ones too: 0 is chance, 1 is "
    "the same groups.",
}


def facts(
    study: Study,
    result: Result,
    source: Source,
    test: Source | None,
    changed: Mapping[str, Any],
    folder: StudyFolder,
    *,
    named: Any,
) -> dict[str, Any]:
    """Return ``details.json``.

    Args:
        study: What was run.
        result: What it came to.
        source: The data.
        test: The given test, or None.
        changed: The options that were not left at their defaults.
        folder: Where the results lie.
        named: What the user called the data.
    """
    details = dict(result.verdict.details)
    tested = test or source
    detection = details.get("detection", {})
    for missed in (
        *details.get("mistakes", []),
        *details.get("regression", {}).get("worst", []),
        *detection.get("strangest_normal", []),
        *detection.get("least_strange", []),
    ):
        position = missed["row"]
        missed.update(_as_shown(tested.dataset.examples[position]))
        missed["row"] = int(tested.positions[position])
    for written in details.get("texts", {}).get("rows", []):
        position = written["row"]
        written["input"] = shown(tested.dataset.examples[position])
        written["references"] = [text[:_LONGEST_TEXT] for text in tested.dataset.labelled_targets()[position]]
        written["row"] = int(tested.positions[position])
    for marked in details.get("entities", {}).get("texts", []):
        position = marked["row"]
        text, wanted = tested.dataset.examples[position], tested.dataset.labelled_targets()[position]
        marked["wanted"] = _stretches(text, wanted)
        marked["answered"] = _stretches(text, [Span(*span) for span in marked["answered"]])
        marked["row"] = int(tested.positions[position])
    details["suspected_labels"] = _suspected_labels(result, tested)
    counts = _label_counts(study.task.kind, source.dataset) if study.task.labels else Counter()
    design = study.design
    details["data"] = {
        "name": source.name,
        "modality": source.dataset.modality,
        "rows": source.rows,
        "text": ", ".join(source.text_columns),
        "columns": [column.name for column in source.row_columns],
        "label": source.label_column,
        **_targets(study.task.kind, source.dataset),
        "n_train": design.n_train,
        "n_test": design.n_test,
        "recognised": source.recognised,
        "labels": [
            {"label": label, "count": counts[label], "description": study.task.descriptions.get(label)}
            for label in study.task.labels
        ],
        "protocol": _protocol(study, has_groups="group" in changed),
        "metric_explained": _EXPLAINED.get(study.metric.name, f"Signature: {study.metric.signature}."),
    }
    details["signatures"] = {name: metrics.get(name).signature for name in study.metric_names}
    details["reproduce"] = {
        "command": _command(named, changed, folder),
        "replay": f"nshot compare {shlex.quote(str(folder.plan))} --out again.nshot",
        "seed": study.options.seed,
        "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "machine": {
            "system": platform.platform(),
            "threads": study.threads,
            "device": result.device,
            "precision": result.precision,
        },
        "data_fingerprint": study.data.fingerprint,
        "metric": study.metric.signature,
        "backbones": [ref.as_json() for ref in study.backbones],
    }
    details["timeline"] = result.timeline
    model = result.verdict.record["pick"]["method"] != "given"
    given = _GIVEN.get(study.data.train.modality, "-")
    details["outputs"] = {
        "report": str(folder.report),
        "model": str(folder.model) if model else None,
        "predict": f"nshot predict {shlex.quote(str(folder.model))} {given}" if model else None,
    }
    return details


def _suspected_labels(result: Result, tested: Source) -> list[dict[str, Any]]:
    """Return the rows whose labels a check suspects, with their texts."""
    position = {row: i for i, row in enumerate(tested.positions)}
    return [
        {
            "row": found["row"],
            **_as_shown(tested.dataset.examples[position[found["row"]]]),
            "label": found["label"],
            "predicted": found["suggested"],
            "probability": found["probability"],
        }
        for check in result.findings
        for found in check.details.get("suspected", ())
    ]


def _as_shown(example: Any) -> dict[str, str]:
    """Return an example as a person reads it: its words, or a small picture."""
    return {"text": shown(example), "picture": thumbnail(example)}


def _label_counts(kind: TaskKind, data: Dataset) -> Counter[str]:
    """Return in how many rows each label stands."""
    targets = data.labelled_targets()
    if kind is TaskKind.EXTRACT:
        return Counter(label for spans in targets for label in {span.label for span in spans})
    return Counter(chain.from_iterable(targets)) if kind is TaskKind.TAG else Counter(targets)


def _stretches(text: str, spans: Sequence[Span]) -> list[dict[str, str]]:
    """Return the beginning of a text in stretches, each with the label of its entity; empty where it is none."""
    found, at = [], 0
    for span in spans:
        if span.start >= _LONGEST_TEXT:
            break
        found += [
            {"text": text[at : span.start], "label": ""},
            {"text": text[span.start : span.end], "label": span.label},
        ]
        at = span.end
    return [part for part in [*found, {"text": text[at:_LONGEST_TEXT], "label": ""}] if part["text"].strip()]


def _targets(kind: TaskKind, data: Dataset) -> dict[str, Any]:
    """Return what there is to be predicted, where that is no label."""
    targets = data.labelled_targets()
    if kind is TaskKind.DETECT:
        return {"anomalies": sum(map(bool, targets))}
    if kind is not TaskKind.REGRESS or not len(targets):
        return {}
    low, median, high = np.quantile(np.asarray(targets, dtype=np.float64), [0.0, 0.5, 1.0]).tolist()
    return {"target": {"low": low, "median": median, "high": high}}


def _protocol(study: Study, *, has_groups: bool) -> str:
    design = study.design
    grouped = "rows of one group and near-duplicates kept together" if has_groups else "near-duplicates kept together"
    draws, rounds = ("random draw", "round") if design.repeats == 1 else ("random draws", "rounds")
    of_all = len(study.data.tested)
    if design.kind == "given":
        left_out = len(study.data.leaked)
        leak = f" {left_out:,} of its training rows also stand in the test and were left out." if left_out else ""
        which = (
            f"the {design.n_test:,} rows" if design.n_test == of_all else f"{design.n_test:,} of the {of_all:,} rows"
        )
        once = "" if study.data.inputs is None else " (an input is tested once, against all of its answers)"
        return f"Tested on {which} of the given test{once}; {design.repeats} {draws} of the training rows.{leak}"
    if design.kind == "holdout":
        in_proportion = ", labels in proportion" if study.task.labels else ""
        return (
            f"{design.n_test:,} rows held out as test, {grouped}{in_proportion}; "
            f"{design.repeats} {draws} of the training rows."
        )
    which = "every row is" if design.n_test == of_all else f"{design.n_test:,} of the {of_all:,} rows are"
    others = unit(study.task).many if study.task.kind is TaskKind.DETECT else "others"
    seen = f"up to {design.n_train:,} {others}" if design.n_train else "the others"
    return (
        f"{design.repeats} {rounds} of {design.folds}-fold cross-validation, {grouped}: {which} tested once a round, "
        f"by a model that has seen {seen}."
    )


def _plain(value: object) -> str:
    """Return an option's value as a person writes it: ``60``, not ``60.0``."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _command(named: Any, changed: Mapping[str, Any], folder: StudyFolder) -> str:
    if not isinstance(named, str | Path):
        return "nshot.compare(...) from Python"
    parts = ["nshot", "compare", str(named)]
    for name, value in changed.items():
        flag = "--" + name.replace("_", "-")
        if name == "texts":
            parts.append("--no-texts")
        elif value is True:
            parts.append(flag)
        elif isinstance(value, list | tuple):
            for item in value:
                parts += [flag, str(item)]
        else:
            parts += [flag, _plain(value)]
    return shlex.join(parts)
