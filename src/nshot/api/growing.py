"""`grow`: new labels, or further examples of known ones, for a fitted model, without a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot import bundle
from nshot.api.model import Model, opened_model
from nshot.api.options import part_of, resolved_options
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import DataError, Dataset, Example, OptionError, Selection, TakesIn, TaskKind, counted, listed
from nshot.data.options import ReadOptions
from nshot.study.options import ComputingOptions
from nshot.study.watch import Unwatched, Watch

if TYPE_CHECKING:
    from nshot.data.reading import Source

_MOST_ASKED = 200
"""So many of the examples, evenly spaced, are answered before and after: each answer costs as much as a prediction."""
_MOST_NAMED = 6


class GrowOptions(ReadOptions, RemoteOptions, ComputingOptions):
    """Everything that `grow` can be told."""

    new_label: str | None = None
    """A label: all EXAMPLES have it, and no column with labels is looked for. A method that knows labels by their names
    needs no EXAMPLES."""
    description: str | None = None
    """What --new-label means, in a sentence, for a method that knows labels by their names."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "grow"


@dataclass(frozen=True)
class Growth:
    """What `grow` returns.

    Attributes:
        model: The grown model, without a score.
        record: What ``nshot grow --json`` prints; ``found`` has a sentence for each thing that is worth knowing.
    """

    model: Model
    record: dict[str, Any]


def grow(
    model: Model | str | Path,
    data: Any = None,
    *,
    options: GrowOptions | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Growth:
    """Teach a fitted model new labels, or further examples of known ones, without a fit.

    Methods that can are those that keep examples or their means, and those that know labels by their names. The model
    handed over stays as it is. The grown one has no score until it is measured: ``nshot evaluate``.

    Args:
        model: A fitted model, or the folder of a saved one.
        data: As in `compare`, with a column of labels; with ``new_label`` the examples alone, or None for a method that
            knows labels by their names.
        options: A `GrowOptions` or its fields.
        out: Folder to save the grown model to; a saved model there is replaced in one step. None: it is not saved.
        watch: Shown what is going on.
        more: Fields of `GrowOptions`, such as ``new_label="refund"``.

    Raises:
        UnsupportedError: The method has to be fitted again for a new label.
        NshotError: Something else about the model, the data or the options has to change; the text says what.
    """
    watch = watch or Unwatched()
    resolved = resolved_options(GrowOptions, options, more)
    _require_sense(resolved, data)
    if out is not None:
        bundle.require_writable(Path(out))
    watch.progress("opening the model", 0, 0)
    before = opened_model(model, resolved, part_of(RemoteOptions, resolved))
    before.require_growable()
    watch.progress("reading", 0, 0)
    given = _given(before, data, resolved, watch)
    taught = _worth_teaching(before, given)
    asked = _asked(given)
    known = asked.where(lambda label: label in before.task.labels)
    right_before = _right(before, known)
    grown = before
    for done, entry in enumerate(taught):
        watch.progress("growing", done, len(taught))
        grown = grown.grow(entry.label, entry.description, entry.examples, data_fingerprint=entry.data_fingerprint)
    watch.progress("answering the examples", 0, 0)
    record: dict[str, Any] = {
        "schema": 1,
        "method": grown.method,
        "labels": list(grown.task.labels),
        "added": [growth.model_dump(mode="json") for growth in grown.about.grown[len(before.about.grown) :]],
        "model_n_labels": grown.about.model_n_labels,
        "score": None,
        "asked": {"examples": len(asked), "right": _right(grown, asked), "learnt_from": not _reads_names(before)},
        "known": {"examples": len(known), "right_before": right_before, "right_after": _right(grown, known)},
        "model": None if out is None else str(out),
    }
    if out is not None:
        watch.progress("saving", 0, 0)
        grown.save(out)
    return Growth(grown, {**record, "found": _sentences(record)})


def _require_sense(options: GrowOptions, data: Any) -> None:
    if options.description is not None and options.new_label is None:
        raise OptionError("--description says what a new label means. Name the label: --new-label NAME.")
    if options.new_label is not None and options.label is not None:
        raise OptionError(
            "--label names a column with labels, and with --new-label all examples have that one. Leave one out."
        )
    if data is None and options.new_label is None:
        raise OptionError(
            "Nothing was given to learn. Expected a file with examples and their labels, or --new-label NAME."
        )


def _reads_names(model: Model) -> bool:
    return model.takes_in is TakesIn.BY_NAME


# --- what is given ----------------------------------------------------------------------------------------------------


def _given(model: Model, data: Any, options: GrowOptions, watch: Watch) -> list[bundle.LabelGiven]:
    """Return what is said of each label, in their order."""
    if options.new_label is not None:
        examples = () if data is None else _unlabelled(model, data, options)
        return [bundle.LabelGiven(options.new_label, options.description, examples)]
    source = _labelled(model, data, options)
    watch.say(source.recognised)
    dataset, by_label = source.dataset, dict[str, list[int]]()
    for position, label in enumerate(dataset.labelled_targets()):
        by_label.setdefault(label, []).append(position)
    return [
        bundle.LabelGiven(label, None, Selection(dataset.examples, by_label[label]), dataset.fingerprint)
        for label in sorted(by_label)
    ]


def _labelled(model: Model, data: Any, options: GrowOptions) -> Source:
    from nshot.data.reading import Trained, read

    about = model.about
    if model.task.kind is TaskKind.TAG:
        raise OptionError(
            f"{model.method} gives several labels, and takes in one at a time: name it, and give examples of it alone. "
            "--new-label LABEL."
        )
    reading = part_of(ReadOptions, options).model_copy(update={"task": "classify"})
    trained = Trained(about.text_columns, about.label_column, model.row_columns, fewest_labels=1)
    source = read(data, reading, trained=trained)
    if source.label_column in source.text_columns:
        raise OptionError(
            f"Column '{source.label_column}' of {source.name} is both the text and its label. Name the column with the "
            f"labels, --label COLUMN, out of: {listed(source.columns)}."
        )
    return source


def _unlabelled(model: Model, data: Any, options: GrowOptions) -> Sequence[Example]:
    """Return all examples of a file; what else holds examples is read as by `Model.predict`."""
    if not isinstance(data, str | Path):
        return data if isinstance(data, Sequence) or model.row_columns else list(data)
    from nshot.data.reading import stream_inputs

    reading = part_of(ReadOptions, options)
    stream = stream_inputs(data, model.about.text_columns, reading, row_columns=model.row_columns)
    return [example for batch in stream.batches for example in batch.examples]


def _worth_teaching(model: Model, given: Sequence[bundle.LabelGiven]) -> Sequence[bundle.LabelGiven]:
    """Return what a model can learn: examples of a label that it knows by its name teach it nothing."""
    if not _reads_names(model) or len(given) == 1:
        return given
    new = [entry for entry in given if entry.label not in model.task.labels]
    if not new:
        raise DataError(
            f"{model.method} answers all {len(given):,} labels of these examples already. It knows a label by its name "
            "or description, so that examples teach it nothing: name a new one, --new-label NAME."
        )
    return new


# --- what came of it --------------------------------------------------------------------------------------------------


def _asked(given: Sequence[bundle.LabelGiven]) -> Dataset:
    """Return the examples that are answered before and after, with their labels."""
    pairs = [
        (example, entry.label)
        for entry in given
        for example in entry.examples
        if not isinstance(example, str) or example.strip()
    ]
    places = np.unique(np.linspace(0, len(pairs) - 1, min(_MOST_ASKED, len(pairs))).astype(int))
    return Dataset([pairs[at][0] for at in places], targets=[pairs[at][1] for at in places])


def _right(model: Model, asked: Dataset) -> int:
    """Return how many of the examples are answered with their label."""
    if not len(asked):
        return 0
    answered = model.answer(asked.examples).labels or ()
    is_tag = model.task.kind is TaskKind.TAG
    pairs = zip(asked.labelled_targets(), answered, strict=True)
    return sum(label in answer if is_tag else label == answer for label, answer in pairs)


def _sentences(record: Mapping[str, Any]) -> list[str]:
    new = [f"'{growth['label']}'" for growth in record["added"] if growth["is_new"]]
    learnt = sum(growth["n_examples"] for growth in record["added"])
    more = [f"'{growth['label']}'" for growth in record["added"] if not growth["is_new"]]
    found = [
        f"{record['method']} answers {counted(len(record['labels']), 'label')} now"
        + (f"; new: {listed(new, _MOST_NAMED)}" if new else "")
        + (f"; it knows more of {listed(more, _MOST_NAMED)}" if more else "")
        + (f". It learnt from {counted(learnt, 'example')}." if learnt else ". It knows them by their names.")
    ]
    asked, known = record["asked"], record["known"]
    if asked["examples"]:
        seen = (
            "It has learnt from them, so it will do worse on others."
            if asked["learnt_from"]
            else "It has not learnt from them."
        )
        found.append(f"Of {counted(asked['examples'], 'example')} given, {asked['right']:,} get their label. {seen}")
    if known["examples"]:
        found.append(
            f"Of the {known['examples']:,} among them whose label it knew before, {known['right_before']:,} got it "
            f"before and {known['right_after']:,} get it now."
        )
    place = record["model"] or "MODEL"
    found.append(f"It has no score until it is measured on labelled rows: nshot evaluate {place} LABELLED.csv")
    return found
