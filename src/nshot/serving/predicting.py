"""A saved model that answers examples with labels, spans, numbers, scores or groups, as it is offered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nshot import bundle
from nshot.core import Backbone, BackboneRef, Example, ModelError, Task, Writer
from nshot.data.columns import RowColumn
from nshot.serving.drift import Drift
from nshot.serving.inputs import examples_of
from nshot.serving.limits import InputLimits
from nshot.serving.served import Served, served
from nshot.serving.sharing import SharedBackbones

_ROW_CHARACTERS = 64
"""What a row or an image counts as, beside the characters of texts."""


@dataclass(frozen=True)
class ServedPredictor:
    """A model that is offered under ``/v1/predict``.

    Attributes:
        name: What requests call it.
        opened: The saved model.
        base: Which pre-trained model it computes with; models of one base compute one after the other.
        drift: Holds what it is asked and answers against its training; None where the saved model has no figures of it.
        created: When it was loaded, in seconds since 1970.
    """

    name: str
    opened: bundle.Bundle
    base: str
    drift: Drift | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def task(self) -> Task:
        """Return what it answers."""
        return self.opened.task

    @property
    def manifest(self) -> bundle.Manifest:
        """Return what it says about itself."""
        return self.opened.manifest

    @cached_property
    def columns(self) -> dict[str, int]:
        """Return the column of each label."""
        return self.task.index()

    @cached_property
    def row_columns(self) -> tuple[RowColumn, ...]:
        """Return the columns of the rows that it reads; none where it reads something else.

        Raises:
            ModelError: A newer nshot has saved them.
        """
        try:
            return tuple(record.column() for record in self.manifest.row_columns)
        except ValueError as error:
            raise ModelError(
                f"The columns of {self.name} are written in a way that this nshot does not know ({error}). Install the "
                "nshot version that saved it, or a newer one."
            ) from None

    def examples(self, inputs: Any, limits: InputLimits) -> list[Example]:
        """Return the inputs of a request as examples.

        Raises:
            DataError: They are not what it reads, or too many or too long.
        """
        return examples_of(self.manifest, self.row_columns, inputs, limits)

    def warm_up(self) -> None:
        """Answer an example of nothing, so that weights are read and refused now and not at the first request.

        Raises:
            NshotError: It cannot answer.
        """
        example = self._smallest_example()
        if example is not None:
            self.opened.predictor.predict([example])

    def describe(self) -> dict[str, Any]:
        """Return what is said about it in the list of models."""
        manifest = self.manifest
        found: dict[str, Any] = {
            "task": self.task.kind.value,
            "method": manifest.method.name,
            "modality": manifest.modality,
            "labels": list(self.task.labels),
            "backbone": _shown(manifest.backbones[0].id) if manifest.backbones else None,
            "n_labels": manifest.model_n_labels,
            "score": None,
        }
        if self.row_columns:
            found["columns"] = [{"name": column.name, "kind": column.kind.value} for column in self.row_columns]
        if manifest.score is not None:
            score = manifest.score
            found["score"] = score.model_dump(include={"metric", "score", "interval", "n_labels", "n_test", "target"})
        return found

    def _smallest_example(self) -> Example | None:
        """Return an example with as little as possible in it; None where nobody knows how long it has to be."""
        if self.manifest.modality == "image":
            import numpy as np

            return np.zeros((32, 32, 3), dtype=np.uint8)
        if self.row_columns:
            return {column.name: None for column in self.row_columns}
        return None if self.manifest.modality == "row" else "warm-up"


def _shown(backbone: str) -> str:
    """Return the name of a pre-trained model; where its folder lies is nobody's business."""
    return Path(backbone).name if Path(backbone).is_absolute() else backbone


def open_saved(name: str, folder: Path, backbones: SharedBackbones) -> Served | ServedPredictor:
    """Return a saved model as it is offered, ready to answer.

    Args:
        name: What requests call it.
        folder: Where it lies.
        backbones: Opens what it was made of.

    Raises:
        ModelError: It is no saved model, or not whole.
    """
    asked: list[Backbone] = []

    def opened(ref: BackboneRef) -> Backbone:
        asked.append(backbones.opened(ref))
        return asked[-1]

    found = bundle.load(folder, opened)
    if isinstance(found.predictor, Writer):
        return served(name, found.predictor)
    base = asked[0].ref.sha256 or asked[0].ref.id if asked else f"without a base: {name}"
    reference = found.manifest.reference
    offered = ServedPredictor(name, found, base, None if reference is None else Drift(reference, asked))
    offered.warm_up()
    return offered


def weight_of(example: Example) -> int:
    """Return about how much work an example is, in characters."""
    return len(example) if isinstance(example, str) else _ROW_CHARACTERS
