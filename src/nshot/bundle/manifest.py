"""What a saved model says about itself; a stable, versioned contract."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from nshot.backbones.licence import licence_of
from nshot.bundle.reference import Reference
from nshot.core import BackboneRef, ColumnKind, Task, TaskKind
from nshot.spec import Spec

if TYPE_CHECKING:
    from nshot.data.columns import RowColumn

SCHEMA = 1
FORMAT = "nshot-bundle"
MANIFEST = "manifest.json"
SETTINGS = "settings.json"
TENSORS = "tensors.safetensors"
BLOBS = "blobs"
CARD = "README.md"
TRAINING = "training.html"
BLOB_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"

MODEL_CONFIG = "config.json"
MODEL_WEIGHTS = "model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
MODEL_FILES = frozenset(
    {
        MODEL_CONFIG,
        ADAPTER_CONFIG,
        "generation_config.json",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "tokenizer.model",
        "sentencepiece.bpe.model",
        "spiece.model",
    }
)
"""The blobs that transformers and peft look for at the top of a model's folder."""
WEIGHTS = frozenset({TENSORS, MODEL_WEIGHTS, ADAPTER_WEIGHTS})
"""What the file with the tensors is called; a saved model has one of them."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# The only files that are ever opened: no name in a stranger's manifest can lead out of the folder.
_TOP = "|".join(name.replace(".", r"\.") for name in sorted({SETTINGS, *WEIGHTS, *MODEL_FILES}))
FileName = Annotated[str, StringConstraints(pattern=rf"^({_TOP}|{BLOBS}/{BLOB_NAME})$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class FileRecord(Spec):
    """One file of the bundle."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: Sha256
    """Hash of the content."""


class MethodRecord(Spec):
    """The method with all its options, the defaults of its day included."""

    name: str
    version: int
    options: dict[str, Any] = Field(default_factory=dict)


class TaskRecord(Spec):
    """The task, field by field as in `Task`."""

    kind: TaskKind
    labels: tuple[str, ...] = ()
    descriptions: dict[str, str] = Field(default_factory=dict)
    metric: str
    unit: str = "rows"
    names_say_something: bool = True
    instruction: str = ""

    @model_validator(mode="after")
    def _labels_are_consistent(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a task whose labels are all different")
        if unknown := sorted(set(self.descriptions) - set(self.labels)):
            raise ValueError(f"a task that describes its own labels only, not {unknown[0]!r}")
        return self

    @classmethod
    def of(cls, task: Task) -> Self:
        """Return the record of `task`."""
        return cls.parse(
            {
                "kind": task.kind,
                "labels": task.labels,
                "descriptions": dict(task.descriptions),
                "metric": task.metric,
                "unit": task.unit,
                "names_say_something": task.names_say_something,
                "instruction": task.instruction,
            }
        )

    def task(self) -> Task:
        """Return the task that was recorded."""
        return Task(
            self.kind,
            self.labels,
            self.descriptions,
            self.metric,
            self.unit,
            self.names_say_something,
            self.instruction,
        )


class BackboneRecord(Spec):
    """A pre-trained model that the predictor opens."""

    id: str
    revision: str | None = None
    sha256: str | None = None
    """Hash of the weights, verified when it is opened; None for a remote service."""
    licence: str | None = None
    """Licence of the pre-trained model as its own files state it, such as ``apache-2.0``; None: they do not."""
    licence_file: str | None = None
    """A file beside its weights that holds the text of a licence; None: there was none."""

    @classmethod
    def of(cls, ref: BackboneRef, licences: Mapping[str, str]) -> Self:
        """Return the record of `ref`, without what it has learnt: that stands in the settings, and has the hash.

        Args:
            ref: Which model.
            licences: By id, what counts where the model's own files are not on this machine or do not say.
        """
        stated = licence_of(ref)
        return cls(
            id=ref.id,
            revision=ref.revision,
            sha256=ref.sha256,
            licence=stated.name or licences.get(ref.id),
            licence_file=stated.file,
        )

    @property
    def ref(self) -> BackboneRef:
        """Return the reference, equal to the one that is opened."""
        return BackboneRef(self.id, self.revision, self.sha256)


class MeasuredScore(Spec):
    """A score exactly as it was measured: nothing is extrapolated to the model that is shipped."""

    metric: str
    score: Finite
    interval: tuple[Finite, Finite] | None = None
    """Both ends of the confidence interval."""
    level: float = Field(0.95, gt=0, lt=1)
    """Confidence level of the interval."""
    n_labels: int = Field(ge=0)
    """Number of labels of the runs that were scored; the shipped model may have seen more (`model_n_labels`)."""
    n_test: int | None = Field(None, ge=0)
    """Number of examples it was scored on."""
    target: str
    """What the number is about: ``this model``, ``a fresh draw`` or ``the next labels``."""
    measured_for: Sha256 | None = None
    """Hash of method, task and files of the saved model that carries the score; filled by `save`. A model that has
    changed since, such as by a label that it learnt, is saved without the score."""


class GrowthRecord(Spec):
    """A label that a fitted model was given later, or further examples of one, without being fitted again."""

    label: str
    is_new: bool
    """Whether it was not answered before."""
    n_examples: int = Field(ge=0)
    """How many examples of it the model learnt from; 0 where it reads names."""
    at: datetime
    """When."""
    grown_from: Sha256 | None = None
    """Hash of the ``manifest.json`` of the saved model that it grew out of; None: that was never saved."""
    data_fingerprint: str | None = None
    """`Dataset.fingerprint` of the data with the examples; None where they came one by one."""


class ColumnRecord(Spec):
    """A column of the rows that a model reads, field by field as in `RowColumn`."""

    name: str
    kind: ColumnKind
    written: str = "plain"

    @classmethod
    def of(cls, column: RowColumn) -> Self:
        """Return the record of `column`."""
        return cls.parse(column.as_json())

    def column(self) -> RowColumn:
        """Return the column that was recorded.

        Raises:
            ValueError: It is written in a way that this nshot does not know.
        """
        from nshot.data.columns import RowColumn

        return RowColumn.from_json(self.model_dump(mode="json"))


class DistillationRecord(Spec):
    """The model whose answers a smaller one learnt, and how far the two agree on examples that it did not learn."""

    method: str
    """Of the teacher."""
    sha256: Sha256 | None = None
    """Hash of the teacher's ``manifest.json``; None: it was never saved."""
    data_fingerprint: str | None = None
    """`Dataset.fingerprint` of what the teacher was trained on."""
    learnt: Literal["probabilities", "answers"]
    """Of the teacher: how sure it was of each label, or what it answered."""
    n_examples: int = Field(ge=0)
    """How many of its answers were learnt; no label of these examples was looked at."""
    agreement: MeasuredScore
    """The teacher's answers to held-out examples taken for the truth."""


class BundleInfo(Spec):
    """What only the one who fitted the model knows about it."""

    model_n_labels: int = Field(ge=0)
    """Number of labels that the saved model saw."""
    score: MeasuredScore | None = None
    modality: str = "text"
    """Modality of the examples it takes."""
    text_columns: tuple[str, ...] = ()
    """Columns of a table whose texts form one example together, in order."""
    row_columns: tuple[ColumnRecord, ...] = ()
    """Columns of the rows that it reads, in order."""
    label_column: str | None = None
    """Column that held the labels, or what else is to be answered."""
    separator: str | None = None
    """What stood between several labels of a cell; None where nothing did, or cells were lists."""
    threshold: Finite | None = None
    """Of an anomaly detector: the score that tells anomalies from the rest; None where nobody chose one."""
    data_name: str | None = None
    """What people call the data, usually the file name."""
    data_fingerprint: str | None = None
    """`Dataset.fingerprint` of the training data."""
    precision: str = "fp32"
    """Precision of the backbone and the fit."""
    licences: dict[str, str] = Field(default_factory=dict)
    """Licence of a pre-trained model by its id, where it is known."""
    reference: Reference | None = None
    """What later inputs and answers are held against; None where nobody measured it."""
    distilled_from: DistillationRecord | None = None
    """The model that taught it; `model_n_labels` then counts the labels which that one saw."""
    grown: tuple[GrowthRecord, ...] = ()
    """What it was taught since the fit, the earliest first."""

    @property
    def learnt_from(self) -> frozenset[str]:
        """Return the fingerprints of all data that it was trained on, its teacher's and those it grew by included."""
        known = [self.data_fingerprint, *(record.data_fingerprint for record in self.grown)]
        known += [self.distilled_from.data_fingerprint] if self.distilled_from else []
        return frozenset(found for found in known if found is not None)


class Manifest(BundleInfo):
    """Everything in ``manifest.json``."""

    # A field called "schema" would hide a method of pydantic's.
    model_config = ConfigDict(populate_by_name=True)

    format: Literal["nshot-bundle"] = "nshot-bundle"
    schema_version: Literal[1] = Field(1, alias="schema")
    created: datetime
    method: MethodRecord
    task: TaskRecord
    backbones: tuple[BackboneRecord, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of Python and of the packages that decide the numbers."""
    files: dict[FileName, FileRecord]
    """Every file that is read back, with its size and hash."""

    def about(self) -> BundleInfo:
        """Return what is needed to save the model again, wherever its pre-trained model's own files are by then."""
        stated = {record.id: record.licence for record in self.backbones if record.licence is not None}
        known = self.model_dump(include=set(BundleInfo.model_fields))
        return BundleInfo.model_validate({**known, "licences": {**self.licences, **stated}})
