"""`explore_data`: what can be said of data before anybody has labelled it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nshot import bundle, methods
from nshot.api.explored import ExploreFolder, label_column, thumbnails, write_rows, write_to_label
from nshot.api.model import Model, load
from nshot.api.options import part_of, resolved_options
from nshot.backbones import FeatureCache, default_for, open_backbone
from nshot.core import Computes, DataError, Dataset, Learns, OptionError, Task, TaskKind, counted
from nshot.data.options import ReadOptions
from nshot.data.rows import joined
from nshot.study.options import ComputingOptions
from nshot.study.watch import Pace, Unwatched, Watch

if TYPE_CHECKING:
    import numpy as np

    from nshot.data.reading import Source
    from nshot.explore.survey import Survey
    from nshot.training.frozen import Encoder

_MOST_EMBEDDED = 20_000
_MOST_FEATURES = 60_000_000
_SLOW = ", because turning all of them into vectors takes long (--rows N looks at another number)"
_LARGE = ", because all of them need more memory (--rows N looks at another number)"


class ExploreOptions(ReadOptions, ComputingOptions):
    """Everything that `explore_data` can be told."""

    out: Path | None = None
    """Folder for the results; <name of the data>.explore unless given."""
    backbone: str | None = None
    """Pre-trained model: a name, a local folder or a hub id; chosen by what the examples are unless named."""
    groups: int | None = Field(default=None, ge=2, le=200)
    """How many groups; found by how stable they are unless given."""
    label_next: int = Field(default=50, ge=0, le=10_000)
    """How many rows to choose that are to be labelled first."""
    rows: int | None = Field(default=None, ge=1)
    """The most rows that are looked at, drawn at random; 20,000 texts or images unless given, and of a table as many as
    fit into memory."""
    seed: int = Field(default=0, ge=0)
    """The source of every random choice."""
    texts: bool = Field(default=True)
    """Show the data's rows in the report; --no-texts leaves them out."""

    @classmethod
    def called(cls) -> str:
        """Return what messages call these options."""
        return "explore"


@dataclass(frozen=True)
class Exploration:
    """What `explore_data` found.

    Attributes:
        record: What ``nshot explore --json`` prints.
        folder: Where everything lies.
    """

    record: dict[str, Any]
    folder: Path

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Return the groups, the largest first: ``size``, ``words``, ``typical`` rows; none where there are none."""
        groups: list[dict[str, Any]] = self.record["groups"]
        return groups

    @property
    def outliers(self) -> list[dict[str, Any]]:
        """Return the rows that are most unlike the others."""
        rows: list[dict[str, Any]] = self.record["outliers"]["rows"]
        return rows

    @property
    def duplicates(self) -> list[dict[str, Any]]:
        """Return the largest groups of rows that are the same or nearly."""
        largest: list[dict[str, Any]] = self.record["duplicates"]["largest"]
        return largest

    @property
    def label_next(self) -> list[int]:
        """Return the rows to label first, in this order: 0-based positions in the file."""
        return [choice["row"] for choice in self.record["label_next"]]

    @property
    def report(self) -> Path:
        """Return the report to look at."""
        return ExploreFolder(self.folder).report

    def load(self) -> Model:
        """Return the model that says to which group a new row belongs.

        Raises:
            OptionError: There are no groups, so there is no model.
        """
        if not self.groups:
            raise OptionError(f"There is no model of groups: {self.record['reason']}")
        return load(ExploreFolder(self.folder).model)


@dataclass(frozen=True)
class _Looked:
    """The rows that are looked at.

    Attributes:
        examples: Without targets.
        rows: Shape (n,), int64: the place of each in the file.
        unlabelled: Shape (n,), bool: whether it has no label yet.
        notes: What is to be said about the choice, in sentences.
    """

    examples: Dataset
    rows: np.ndarray
    unlabelled: np.ndarray
    notes: tuple[str, ...] = ()

    def take(self, kept: np.ndarray, note: str) -> _Looked:
        """Return some of them, and why not all."""
        examples = self.examples.take(kept.tolist())
        return _Looked(examples, self.rows[kept], self.unlabelled[kept], (*self.notes, note))

    def at_most(self, n: int, seed: int, why: str) -> _Looked:
        """Return at most n of them, drawn at random."""
        import numpy as np

        if len(self.rows) <= n:
            return self
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:n])
        return self.take(kept, f"{n:,} of {len(self.rows):,} rows were looked at, drawn at random{why}.")


def explore_data(
    data: Any,
    *,
    options: ExploreOptions | Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Exploration:
    """Find groups, outliers, near-duplicates and the rows to label first, without any label.

    Args:
        data: As in `compare`. No label is needed; where a column of labels is named, it is not looked at, but for
            choosing rows to label among those that have none.
        options: An `ExploreOptions` or its fields.
        watch: Shown what is going on.
        more: Fields of `ExploreOptions`, such as ``label_next=100``.

    Raises:
        NshotError: Something has to change first; the text says what.
    """
    watch = watch or Unwatched()
    resolved = resolved_options(ExploreOptions, options, more)
    folder = ExploreFolder(_out(data, resolved))
    made_here = not folder.path.exists()
    folder.open()
    try:
        return _explored(data, resolved, folder, watch)
    finally:
        folder.abandon(made_here=made_here)


def _explored(data: Any, options: ExploreOptions, folder: ExploreFolder, watch: Watch) -> Exploration:
    from nshot.data.reading import read
    from nshot.explore.record import record_of, shown
    from nshot.explore.survey import survey

    began = time.perf_counter()
    watch.progress("reading", 0, 0)
    source = read(data, part_of(ReadOptions, options).model_copy(update={"task": "cluster"}))
    watch.say(source.recognised)
    looked = _looked(source, options)
    encoder, looked, vectors = _embedded(looked, options, watch)
    found = survey(
        looked.examples,
        vectors,
        unlabelled=looked.unlabelled,
        n_label=options.label_next,
        n_groups=options.groups,
        seed=options.seed,
        threads=_threads(options),
        progress=Pace(watch),
    )
    watch.progress("writing", 0, 0)
    words = shown(found, looked.examples.examples)
    record = {
        "data": source.name,
        "modality": looked.examples.modality,
        "recognised": source.recognised,
        "rows": source.rows,
        "looked_at": len(looked.rows),
        "backbone": encoder.ref.name,
        **record_of(found, words, looked.rows),
        "notes": list(looked.notes),
        "seed": options.seed,
    }
    record["files"] = _files(folder, source, looked, found, record, options)
    if found.described:
        _save(folder.model, source, found, encoder)
        record["files"]["model"] = str(folder.model)
    else:
        folder.remove_model()
    record["seconds"] = round(time.perf_counter() - began, 2)
    folder.record(record)
    folder.draw(_page(record, looked, found, words if options.texts else None))
    return Exploration(record, folder.path)


def _out(data: Any, options: ExploreOptions) -> Path:
    if options.out is not None:
        return options.out
    return Path(f"{Path(data).stem}.explore") if isinstance(data, str | Path) else Path("exploration.explore")


def _threads(options: ExploreOptions) -> int:
    from nshot.backbones.precision import available_threads

    return options.threads or available_threads()


# --- what is looked at ------------------------------------------------------------------------------------------------


def _looked(source: Source, options: ExploreOptions) -> _Looked:
    """Return the rows that have content, as many as are to be looked at."""
    import numpy as np

    labelled, blank = source.dataset, source.unlabelled
    rows = np.concatenate(
        [np.asarray(places, dtype=np.int64) for places in (source.positions, source.unlabelled_positions)]
    )
    # A column of labels that nobody named is one that was recognised: it says nothing about what is still to be done.
    unlabelled = np.full(len(rows), options.label is None)
    unlabelled[len(labelled) :] = True
    modality = labelled.modality if len(labelled) else blank.modality
    examples = Dataset(joined(labelled.examples, blank.examples), modality, name=source.name)
    looked = _Looked(examples, rows, unlabelled)
    empty = np.isin(rows, np.asarray(source.empty_texts, dtype=np.int64))
    if empty.all():
        raise DataError(f"{source.name} has no row with any content. Name its columns: --text COLUMN or --columns A,B.")
    if empty.any():
        n = int(empty.sum())
        is_one = n == 1
        looked = looked.take(
            np.flatnonzero(~empty), f"{counted(n, 'row')} without any text {'is' if is_one else 'are'} left out."
        )
    if options.rows is not None:
        return looked.at_most(options.rows, options.seed, "")
    return looked if modality == "row" else looked.at_most(_MOST_EMBEDDED, options.seed, _SLOW)


def _embedded(looked: _Looked, options: ExploreOptions, watch: Watch) -> tuple[Encoder, _Looked, np.ndarray]:
    """Return what makes vectors of examples, the rows of which it made some, and these, shape (n, width)."""
    from nshot.training import frozen

    watch.progress("opening the model", 0, 0)
    backbone = open_backbone(
        options.backbone or default_for(looked.examples.modality),
        cache=FeatureCache(),
        precision=options.precision,
        device=options.device,
        threads=_threads(options),
        progress=Pace(watch),
    )
    if looked.examples.modality not in backbone.modalities:
        raise OptionError(
            f"{backbone.ref.name} reads {' and '.join(sorted(backbone.modalities))} examples, and "
            f"{looked.examples.name} holds {looked.examples.modality} examples. Leave --backbone out, or name a model "
            "for these."
        )
    if isinstance(backbone, Learns):
        backbone = backbone.learnt_from(looked.examples.examples)
    encoder = frozen.encoder(backbone)
    if options.rows is None:
        looked = looked.at_most(max(1, _MOST_FEATURES // encoder.width), options.seed, _LARGE)
    return encoder, looked, frozen.embed(encoder, looked.examples.examples)


# --- what is written --------------------------------------------------------------------------------------------------


def _files(
    folder: ExploreFolder,
    source: Source,
    looked: _Looked,
    found: Survey,
    record: Mapping[str, Any],
    options: ExploreOptions,
) -> dict[str, Any]:
    """Write the tables, and return where everything lies."""
    write_rows(folder.rows, source, looked.rows, found)
    files: dict[str, Any] = {"report": str(folder.report), "rows": str(folder.rows)}
    chosen = [choice["row"] for choice in record["label_next"]]
    folder.to_label.unlink(missing_ok=True)
    if chosen:
        column = label_column(source, options.label)
        pool = write_to_label(folder.to_label, source, chosen, column, options.seed)
        files["to_label"] = {
            "file": str(folder.to_label),
            "rows": len(chosen),
            "pool": pool,
            "column": column,
            "then": _compare(folder.to_label, source, column, options.columns),
        }
    return files


def _save(folder: Path, source: Source, found: Survey, encoder: Encoder) -> None:
    """Write the model that puts further rows into these groups."""
    from nshot.training.clustering.predictor import FoundGroups

    task = Task(TaskKind.CLUSTER, metric="nmi")
    groups = found.groups
    bundle.save(
        folder,
        method=methods.build(groups.algorithm, {}),
        task=task,
        predictor=FoundGroups(task, encoder, groups.space, groups.rule, groups.reason),
        about=bundle.BundleInfo(
            model_n_labels=0,
            modality=source.unlabelled.modality,
            text_columns=source.text_columns,
            row_columns=tuple(map(bundle.ColumnRecord.of, source.row_columns)),
            data_name=source.name,
            precision=encoder.precision if isinstance(encoder, Computes) else "fp32",
        ),
    )


def _compare(file: Path, source: Source, column: str, columns: Sequence[str]) -> str:
    """Return the command that compares methods on the rows that were labelled; by these columns, if any are named."""
    if source.unlabelled.modality == "image":
        return "nshot compare FOLDER"
    inputs = f" --text {shlex.quote(','.join(source.text_columns))}" if source.text_columns else ""
    inputs += f" --columns {shlex.quote(','.join(columns))}" if columns else ""
    return f"nshot compare {shlex.quote(str(file))}{inputs} --label {shlex.quote(column)}"


def _page(record: Mapping[str, Any], looked: _Looked, found: Survey, words: Mapping[int, str] | None) -> str:
    """Return the report; without words, no row of the data is shown in it."""
    from nshot.report import exploring

    rows = found.plane.rows.tolist()
    groups = found.groups.labels[found.plane.rows].tolist()
    points = [
        exploring.Point(
            row=int(looked.rows[row]), x=float(x), y=float(y), group=group + 1, words=words[row] if words else ""
        )
        for row, (x, y), group in zip(rows, found.plane.points, groups, strict=True)
    ]
    pictures: dict[int, str] = {}
    if words is not None and looked.examples.modality == "image":
        pictures = {int(looked.rows[row]): picture for row, picture in thumbnails(looked.examples, rows).items()}
    return exploring.render(record, points, pictures, texts=words is not None)
