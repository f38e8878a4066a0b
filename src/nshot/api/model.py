"""A fitted model: to be used, saved and loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nshot import bundle
from nshot.api.options import resolved_options
from nshot.backbones import open_backbone
from nshot.backbones.remote_options import RemoteOptions
from nshot.core import (
    Backbone,
    BackboneRef,
    Codec,
    Conversation,
    DataError,
    Decoding,
    Example,
    Growable,
    ModelError,
    NshotError,
    Prediction,
    Predictor,
    Selection,
    Tabular,
    TakesIn,
    Task,
    TaskKind,
    UnsupportedError,
    Writer,
)

if TYPE_CHECKING:
    from nshot.bundle.exporting import Exported, ExportedGguf
    from nshot.bundle.onnx_folder import Written as WrittenGraph
    from nshot.data.columns import RowColumn
    from nshot.study.options import ComputingOptions


_AT_ONCE = 4096
_WRITTEN_AT_ONCE = 64
"""After so many it is told how far it is, and what is finished is kept."""


@dataclass(frozen=True)
class Course:
    """How a fit went in the process that finished it.

    Attributes:
        seconds: Wall time of the fit.
        examples_per_second: Speed of its training steps, or None where it had none.
        was_resumed: Whether it went on from where an earlier process was stopped.
        facts: What decided the weights besides the method's options, and where it ran; json-able.
        agreement: How far the saved model, opened again, answers like this one; None where that was not looked at.
    """

    seconds: float
    examples_per_second: float | None = None
    was_resumed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    agreement: bundle.Agreement | None = None


class Model:
    """A fitted method with what it needs to be used and saved.

    Attributes:
        method: Name of the method.
        task: What it answers.
        about: Where it comes from: score, data, precision.
        course: How the fit went; None for a model that was loaded.
    """

    def __init__(
        self,
        fitted: Any,
        task: Task,
        predictor: Predictor,
        about: bundle.BundleInfo,
        course: Course | None = None,
        saved_as: str | None = None,
    ) -> None:
        """Keep what was fitted.

        Args:
            fitted: The method.
            task: What it answers.
            predictor: What answers.
            about: Where it comes from.
            course: How the fit went; None for a model that was loaded.
            saved_as: Hash of the manifest that it was loaded from, or None.
        """
        self._method = fitted
        self._predictor = predictor
        self._saved_as = saved_as
        self.task = task
        self.about = about
        self.course = course

    @property
    def method(self) -> str:
        """Return the name of the method."""
        name: str = self._method.method_name()
        return name

    @property
    def training(self) -> dict[str, Any]:
        """Return what the fit recorded about itself; empty for a method that trains nothing."""
        return dict(self._predictor.state().settings.get("training") or {})

    def predict(self, examples: Any) -> list[Any]:
        """Return one answer per example.

        By what the model was fitted for: a label, a tuple of labels, a text that was written, the entities of a text
        (tuples of `nshot.core.Span`), a number, an anomaly score (higher is
        stranger, see `is_anomaly`), the name of a group, empty where an example belongs to none, or the example as it
        comes back from few bits (see `encode`).

        Args:
            examples: n texts; n rows: mappings of columns to cells, or a pandas DataFrame; n images: bytes of their
                files; `nshot.core.Conversation`, or lists of messages such as ``{"role": "user", "content": "Hello"}``.
        """
        answer = self.answer(examples)
        numbers = {TaskKind.REGRESS: answer.values, TaskKind.DETECT: answer.scores}.get(self.task.kind)
        if numbers is not None:
            found: list[Any] = numbers.tolist()
            return found
        others = {
            TaskKind.GENERATE: answer.texts,
            TaskKind.COMPRESS: answer.decoded,
            TaskKind.EXTRACT: answer.spans,
        }
        return list(others.get(self.task.kind, answer.labels) or ())

    def is_anomaly(self, examples: Any) -> list[bool]:
        """Return for each example whether its score tells an anomaly.

        Args:
            examples: As in `predict`.

        Raises:
            NshotError: It detects no anomalies, or nobody chose the score that tells them from the rest.
        """
        if self.task.kind is not TaskKind.DETECT:
            raise UnsupportedError(f"{self.method} was not fitted to detect anomalies, but to {self.task.kind}.")
        told = self.told_anomalies(self.answer(examples))
        if told is None:
            raise NshotError(
                f"{self.method} has scores, and no threshold that tells anomalies from the rest. A comparison chooses "
                "one by what a miss and a false alarm cost: nshot compare DATA --task detect."
            )
        return told

    def told_anomalies(self, answer: Prediction) -> list[bool] | None:
        """Return for each score of an answer whether it tells an anomaly, or None where there is no threshold."""
        from nshot.evaluation.thresholds import is_above

        if answer.scores is None or self.about.threshold is None:
            return None
        found: list[bool] = is_above(answer.scores, self.about.threshold).tolist()
        return found

    def predict_proba(self, examples: Sequence[Any]) -> Any:
        """Return probabilities, shape (n, labels), columns in the order of ``task.labels``.

        Raises:
            NshotError: This method has none.
        """
        found = self.answer(examples).probabilities
        if found is None:
            raise NshotError(f"{self.method} has no probabilities.")
        return found

    def encode(self, examples: Any) -> list[bytes]:
        """Return each example in few bytes.

        Args:
            examples: As in `predict`.

        Raises:
            UnsupportedError: This model does not compress.
        """
        return self._codec().encode(self._as_examples(examples))

    def decode(self, written: Sequence[bytes]) -> list[Any]:
        """Return examples as they come back from what `encode` wrote: images as uint8 arrays, vectors as float32.

        Raises:
            UnsupportedError: This model does not compress.
        """
        return list(self._codec().decode(written))

    def _codec(self) -> Codec:
        if not isinstance(self._predictor, Codec):
            raise UnsupportedError(f"{self.method} does not compress. Fit one that does: --task compress.")
        return self._predictor

    def answer(self, examples: Any) -> Prediction:
        """Return everything the model says about the examples.

        Args:
            examples: As in `predict`.

        Raises:
            DataError: One example was given instead of a list, or rows lack columns that the model reads.
            ModelError: The model is damaged.
        """
        for kind, name in ((str, "text"), (Conversation, "conversation"), (bytes, "image"), (Mapping, "row")):
            if isinstance(examples, kind):
                raise DataError(f"Expected a list of {name}s, found one {name}. Put it into a list: [{name}].")
        return bundle.answer(self._predictor, self._as_examples(examples), self.method)

    @property
    def row_columns(self) -> tuple[RowColumn, ...]:
        """Return the columns of the rows that the model reads; none where it reads something else.

        Raises:
            ModelError: A newer nshot has saved them.
        """
        try:
            return tuple(record.column() for record in self.about.row_columns)
        except ValueError as error:
            raise ModelError(
                f"The columns of {self.method} are written in a way that this nshot does not know ({error}). Install "
                "the nshot version that saved it, or a newer one."
            ) from None

    def _as_examples(self, examples: Any) -> Sequence[Example]:
        """Return examples as a predictor takes them: rows of people are read like those of a file."""
        from nshot.data.reading import stream_inputs

        source = examples.source if isinstance(examples, Selection) else examples
        if isinstance(source, Tabular) or not len(examples):
            return examples if isinstance(source, Tabular) else []
        if not self.about.row_columns:
            return [as_example(example) for example in examples]
        stream = stream_inputs(examples, row_columns=self.row_columns, batch_rows=len(examples))
        return next(stream.batches).examples

    @property
    def decoding(self) -> Decoding:
        """Return how answers are written unless told otherwise."""
        return self._predictor.decoding if isinstance(self._predictor, Writer) else Decoding()

    def stream(self, example: Any, decoding: Decoding | None = None) -> Iterator[str]:
        """Yield the answer to one example in pieces.

        Args:
            example: As one of `predict`.
            decoding: How to write; as `predict` does unless given.

        Raises:
            UnsupportedError: This model does not write.
        """
        return self._writer().stream(as_example(example), decoding or self.decoding)

    def likelihoods(self, examples: Sequence[Any], answers: Sequence[str]) -> Any:
        """Return log-probability (nats) and number of tokens of given answers, shape (n, 2); None: it does not tell.

        Raises:
            UnsupportedError: This model does not write.
        """
        return self._writer().likelihoods([as_example(example) for example in examples], answers)

    @property
    def rows_at_once(self) -> int:
        """How many examples of many are handed over together: few where answers are written, which takes long."""
        return _WRITTEN_AT_ONCE if self.task.kind is TaskKind.GENERATE else _AT_ONCE

    @property
    def writes(self) -> bool:
        """Whether answers are written by a model that can be asked how likely it takes a text for."""
        return isinstance(self._predictor, Writer)

    def _writer(self) -> Writer:
        if not isinstance(self._predictor, Writer):
            raise UnsupportedError(f"{self.method} does not write its answers with a language model.")
        return self._predictor

    def training_record(self, name: str = "model") -> dict[str, Any] | None:
        """Return what `nshot.report.training` shows of the fit, or None where nothing was trained.

        Args:
            name: What people call the model.
        """
        settings = self._predictor.state().settings
        trainings: dict[str, dict[str, Any]] = {}
        for place, training in _trainings(settings):
            # A method that wraps another one counts the other's training in its own.
            if all(training["losses"] != known["losses"] for known in trainings.values()):
                trainings[place] = training
        if not trainings:
            return None
        record: dict[str, Any] = {
            "name": name,
            "method": self.method,
            "data": self.about.data_name,
            "task": self.task.kind.value,
            "n_labels": self.about.model_n_labels,
            "options": self._method.model_dump(mode="json"),
            "trainings": trainings,
            "facts": {"precision": self.about.precision, "data fingerprint": self.about.data_fingerprint},
            "nshot": version("nshot"),
        }
        if isinstance(settings.get("backbone"), Mapping):
            record["backbone"] = BackboneRef.from_json(settings["backbone"]).name
        if self.course is not None:
            record["facts"] |= self.course.facts
            record |= {
                "seconds": self.course.seconds,
                "examples_per_second": self.course.examples_per_second,
                "was_resumed": self.course.was_resumed,
            }
        return record

    def save(
        self,
        folder: str | Path,
        *,
        examples: Sequence[Example] = (),
        opened: Callable[[BackboneRef], Backbone] = open_backbone,
    ) -> bundle.Agreement | None:
        """Write the model to a folder.

        Args:
            folder: Where.
            examples: A few. What was written is opened again and has to answer them like this model, before it is put
                in place; none: it is not opened.
            opened: Opens the pre-trained model for that.

        Returns:
            How far the two agree, or None without examples.

        Raises:
            OutputError: The disk refuses, or there is something else in the folder.
            ModelError: What was written answers otherwise.
        """
        from nshot.report import training

        folder = Path(folder)
        record = self.training_record(folder.expanduser().resolve().name)
        found: list[bundle.Agreement] = []

        def check(written: Path) -> None:
            if examples:
                found.append(bundle.verify(written, self._predictor, list(examples), opened))

        bundle.save(
            folder,
            method=self._method,
            task=self.task,
            predictor=self._predictor,
            about=self.about,
            training_page=None if record is None else training.render(record),
            check=check,
        )
        return found[0] if found else None

    def export_folder(self, folder: Path, *, merged: bool, examples: Sequence[Example]) -> Exported:
        """Write the language model as other programs expect it; see `nshot.api.export`.

        Args:
            folder: Where.
            merged: Whether an adapter is merged into its base.
            examples: What to ask for the check.
        """
        from nshot.bundle.exporting import write_model_folder

        return write_model_folder(
            folder,
            method=self.method,
            task=self.task,
            predictor=self._predictor,
            about=self.about,
            merged=merged,
            examples=examples,
        )

    def export_gguf(self, folder: Path, *, kind: str, examples: Sequence[Example]) -> ExportedGguf:
        """Write the language model as one file of GGUF; see `nshot.api.export`.

        Args:
            folder: Where.
            kind: Number format of the matrices.
            examples: What to ask for the check.
        """
        from nshot.bundle.exporting import write_gguf_folder

        return write_gguf_folder(
            folder,
            method=self.method,
            task=self.task,
            predictor=self._predictor,
            about=self.about,
            kind=kind,
            examples=examples,
        )

    def write_onnx(self, folder: Path, *, int8: bool) -> WrittenGraph:
        """Write the model as a graph of ONNX into an existing, empty folder; see `nshot.bundle.onnx_folder.write`."""
        from nshot.bundle.onnx_folder import write

        return write(folder, self.task, self._predictor, self.method, int8=int8)

    def grow(
        self,
        label: str,
        description: str | None = None,
        examples: Any = (),
        *,
        data_fingerprint: str | None = None,
    ) -> Model:
        """Return a model that also answers `label`, or knows more of it, without a fit; this one stays as it is.

        It has no score until it is measured. A file with several labels: `nshot.grow`.

        Args:
            label: A new one, or one that it answers already.
            description: What it means, for a method that knows labels by their names.
            examples: Inputs with this label, as in `predict`; a method that knows labels by their names needs none.
            data_fingerprint: `Dataset.fingerprint` of the data that they stand in.

        Raises:
            UnsupportedError: The method has to be fitted again for a new label.
            NshotError: Something else about the label or its examples has to change; the text says what.
        """
        self.require_growable()
        given = bundle.LabelGiven(label, description, self._as_examples(examples), data_fingerprint)
        found = bundle.grow(self._method, self.task, self._predictor, self.about, given, self._saved_as)
        return Model(self._method, found.task, found.predictor, found.about, saved_as=self._saved_as)

    def require_growable(self) -> None:
        """Refuse a model that has to be fitted again for a new label.

        Raises:
            UnsupportedError: It has to; the text says how.
        """
        bundle.require_growable(self._method, self.task, self._predictor)

    @property
    def takes_in(self) -> TakesIn:
        """Return what the model needs to answer a further label: its name, examples of it, or a new fit."""
        return self._method.takes_in if isinstance(self._predictor, Growable) else TakesIn.BY_TRAINING

    def described(self, about: bundle.BundleInfo) -> Model:
        """Return the same model with other facts about where it comes from, such as a score measured since."""
        return Model(self._method, self.task, self._predictor, about, self.course, self._saved_as)

    @property
    def saved_as(self) -> str | None:
        """Return the hash of the manifest that it was loaded from, or None."""
        return self._saved_as

    @property
    def shipped_bytes(self) -> int | None:
        """Return the size of all that has to be there to answer; None where a model behind an address does."""
        from nshot.bundle.saving import references
        from nshot.study.measuring import shipped_bytes

        state = self._predictor.state()
        backbones = set(references(state.settings))
        return None if any(ref.is_remote for ref in backbones) else shipped_bytes(state, backbones)

    def answered_by(self, predictor: Predictor) -> Model:
        """Return the same model with its answers computed by something else, such as an export of it."""
        return Model(self._method, self.task, predictor, self.about)


def as_example(value: Any) -> Example:
    """Return what a person hands over as one example: a list of messages becomes a conversation.

    Raises:
        DataError: A message has no role or text, or the conversation ends with an answer.
    """
    from nshot.data.conversations import asked_in

    if not isinstance(value, list | tuple) or not value or not all(isinstance(part, Mapping) for part in value):
        return value
    return asked_in(value)


def _trainings(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the records of trainings by their form: a method may train twice, or wrap a method that trains."""
    for name, value in settings.items():
        if not isinstance(value, Mapping):
            continue
        if {"losses", "steps"} <= set(value):
            yield within + name, dict(value)
        else:
            yield from _trainings(value, f"{within}{name}.")


def opened_model(model: Model | str | Path, computing: ComputingOptions, remote: RemoteOptions) -> Model:
    """Return a fitted model as it is, or the saved one of a folder, ready to predict.

    Args:
        model: A fitted model, or the folder of a saved one.
        computing: How a saved one computes.
        remote: As in `load`.

    Raises:
        ModelError: As `load`.
        OptionError: As `load`.
    """
    if isinstance(model, Model):
        return model
    return load(model, precision=computing.precision, device=computing.device, threads=computing.threads, remote=remote)


def load(
    folder: str | Path,
    *,
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    remote: RemoteOptions | Mapping[str, Any] | None = None,
) -> Model:
    """Return a saved model, ready to predict.

    Args:
        folder: What `compare` (``<out>/model``) or `Model.save` wrote.
        precision: Number format of the network.
        device: Where the network runs.
        threads: Processor threads; all cores unless given.
        remote: What is allowed of a model that asks one behind an address, such as ``{"allow_remote": True}``.

    Raises:
        ModelError: It is no saved model, or not whole.
        OptionError: It asks a model behind an address, and that is not allowed.
    """
    access = resolved_options(RemoteOptions, remote, {}).access(None)

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(ref, precision=precision, device=device, threads=threads, remote=access)

    found = bundle.load(Path(folder), opened)
    return Model(found.method, found.task, found.predictor, found.manifest.about(), saved_as=found.sha256)
