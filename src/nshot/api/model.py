"""A fitted model: to be used, saved and loaded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nshot import bundle
from nshot.backbones import open_backbone
from nshot.core import BackboneRef, DataError, NshotError, Prediction, Predictor, Task


@dataclass(frozen=True)
class Course:
    """How a fit went in the process that finished it.

    Attributes:
        seconds: Wall time of the fit.
        examples_per_second: Speed of its training steps, or None where it had none.
        was_resumed: Whether it went on from where an earlier process was stopped.
        facts: What decided the weights besides the method's options, and where it ran; json-able.
    """

    seconds: float
    examples_per_second: float | None = None
    was_resumed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class Model:
    """A fitted method with what it needs to be used and saved.

    Attributes:
        method: Name of the method.
        task: What it answers.
        about: Where it comes from: score, data, precision.
        course: How the fit went; None for a model that was loaded.
    """

    def __init__(
        self, fitted: Any, task: Task, predictor: Predictor, about: bundle.BundleInfo, course: Course | None = None
    ) -> None:
        self._method = fitted
        self._predictor = predictor
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

    def predict(self, examples: Sequence[Any]) -> list[str]:
        """Return one label per example."""
        return list(self.answer(examples).labels or ())

    def predict_proba(self, examples: Sequence[Any]) -> Any:
        """Return probabilities, shape (n, labels), columns in the order of ``task.labels``.

        Raises:
            NshotError: This method has none.
        """
        found = self.answer(examples).probabilities
        if found is None:
            raise NshotError(f"{self.method} has no probabilities.")
        return found

    def answer(self, examples: Sequence[Any]) -> Prediction:
        """Return everything the model says about the examples.

        Raises:
            DataError: One text was given instead of a list of texts.
        """
        if isinstance(examples, str):
            raise DataError("Expected a list of texts, found one text. Put it into a list: [text].")
        return self._predictor.predict(list(examples))

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

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder."""
        from nshot.report import training

        folder = Path(folder)
        record = self.training_record(folder.expanduser().resolve().name)
        bundle.save(
            folder,
            method=self._method,
            task=self.task,
            predictor=self._predictor,
            about=self.about,
            training_page=None if record is None else training.render(record),
        )


def _trainings(settings: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the records of trainings by their form: a method may train twice, or wrap a method that trains."""
    for name, value in settings.items():
        if not isinstance(value, Mapping):
            continue
        if {"losses", "steps"} <= set(value):
            yield within + name, dict(value)
        else:
            yield from _trainings(value, f"{within}{name}.")


def load(folder: str | Path, *, precision: str = "auto", device: str = "auto", threads: int | None = None) -> Model:
    """Return a saved model, ready to predict.

    Args:
        folder: What `compare` (``<out>/model``) or `Model.save` wrote.
        precision: Number format of the network.
        device: Where the network runs.
        threads: Processor threads; all cores unless given.

    Raises:
        ModelError: It is no saved model, or not whole.
    """

    def opened(ref: BackboneRef) -> Any:
        return open_backbone(ref, precision=precision, device=device, threads=threads)

    found = bundle.load(Path(folder), opened)
    return Model(found.method, found.task, found.predictor, found.manifest.about())
