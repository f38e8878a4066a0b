"""What a fit returns, and what that returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from nshot.core.backbone import Decoding
from nshot.core.dataset import Example

if TYPE_CHECKING:
    import numpy as np


class Span(NamedTuple):
    """A labelled stretch of a text: characters ``start`` to ``end`` (exclusive)."""

    start: int
    end: int
    label: str

    def as_json(self, text: str) -> dict[str, Any]:
        """Return the span as a json-able record, with what it marks in its text."""
        return {**self._asdict(), "text": text[self.start : self.end]}


@dataclass(frozen=True)
class Prediction:
    """The answers for n examples; what a task does not ask for stays None.

    Attributes:
        labels: n labels (`classify`), n tuples of labels (`tag`), or n names of groups (`cluster`): ``1``, ``2`` ...
            from the largest group on, empty for an example that belongs to none.
        probabilities: Shape (n, number of labels), float32, columns in the order of `Task.labels`,
            rows summing to one for `classify`; None where the method has none.
        spans: n tuples of `Span` (`extract`).
        texts: n texts (`generate`).
        scores: Shape (n,), float: an anomaly score, higher is stranger (`detect`).
        values: Shape (n,), float (`regress`).
        stopped: n truths: the text ended by itself, not at the longest length (`generate`).
        decoded: n examples as they come back from `bits`: uint8 arrays of images, float32 vectors (`compress`).
        bits: Shape (n,), float: how many bits each example was written in, without what all share (`compress`).
        likelihoods: Shape (n, 2), float: the log-probability in nats of the target's first text with its end, and its
            number of tokens (`generate`); filled in by whoever knows the targets, see `Writer`.
    """

    labels: Sequence[Any] | None = None
    probabilities: np.ndarray | None = None
    spans: Sequence[tuple[Span, ...]] | None = None
    texts: Sequence[str] | None = None
    scores: np.ndarray | None = None
    values: np.ndarray | None = None
    stopped: Sequence[bool] | None = None
    decoded: Sequence[np.ndarray] | None = None
    bits: np.ndarray | None = None
    likelihoods: np.ndarray | None = None

    def __len__(self) -> int:
        for answers in (self.labels, self.probabilities, self.spans, self.texts, self.scores, self.values, self.bits):
            if answers is not None:
                return len(answers)
        return 0


@dataclass(frozen=True)
class State:
    """Everything that is needed to build a predictor again, in data formats only.

    Attributes:
        settings: Json-able values: what was learnt that is no array, and what was chosen during the fit.
        tensors: Named arrays.
        blobs: Named bytes in a documented data format (UBJSON, ONNX ...); never pickle. Blobs under the file names of
            transformers and peft make the saved model a folder that these open: with ``config.json`` (and tokenizer,
            chat template, generation settings: `HandsOver.files_for_saving`) the tensors must be the whole model's
            weights, with ``adapter_config.json`` an adapter's, both under the names that those libraries use.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)


@runtime_checkable
class Predictor(Protocol):
    """A fitted method."""

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the answers for n examples; each answer depends on its own example only."""

    def state(self) -> State:
        """Return what `Method.restore` needs to build this predictor again."""


@runtime_checkable
class Writer(Predictor, Protocol):
    """A predictor that writes texts with a model, and can be talked to."""

    @property
    def decoding(self) -> Decoding:
        """How it writes its answers unless told otherwise."""

    def likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> np.ndarray | None:
        """Return log-probability (nats) and number of tokens of each example's answer with its end, shape (n, 2).

        None: the model does not tell.
        """

    def stream(self, example: Example, decoding: Decoding) -> Iterator[str]:
        """Yield the answer to one example in pieces."""


@runtime_checkable
class Codec(Predictor, Protocol):
    """A predictor that compresses: what it writes of an example is all that is needed to read it back."""

    def encode(self, examples: Sequence[Example]) -> list[bytes]:
        """Return each example in few bytes; `Prediction.bits` are theirs.

        Raises:
            ExampleError: An example is not of the kind that was fitted on.
        """

    def decode(self, written: Sequence[bytes]) -> list[np.ndarray]:
        """Return the examples as they come back: uint8 arrays of images, float32 vectors.

        Raises:
            ExampleError: One of them is not what `encode` writes.
        """


@runtime_checkable
class Growable(Predictor, Protocol):
    """A predictor that takes in a new label without being fitted again; its method says so by `Method.takes_in`."""

    def with_label(self, label: str, description: str | None = None, examples: Sequence[Example] = ()) -> Growable:
        """Return a new predictor that also answers `label`; this one stays as it is.

        Args:
            label: A label that it did not answer so far, or one of which there are further examples.
            description: A sentence about it, for predictors that read names.
            examples: Inputs with this label.

        Raises:
            DataError: It learns labels from examples, and there is none.
        """
