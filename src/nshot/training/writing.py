"""A decoder that writes answers: what prompting, in-context and fine-tuning methods have in common besides the loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from nshot.core import (
    SYSTEM,
    Ability,
    Backbone,
    Dataset,
    Decoding,
    Example,
    Generates,
    Message,
    Prediction,
    Scores,
    State,
    Streams,
    Task,
    UnsupportedError,
)
from nshot.spec import Spec

if TYPE_CHECKING:
    import numpy as np

_LONGEST_ANSWER = 256
"""Tokens of an answer where no labelled answer says how long they are."""
_SLACK = 1.5
"""How many times the longest labelled answer an answer may have."""
_FEWEST_TOKENS = 16


class WritingOptions(Spec):
    """How answers are written."""

    max_new_tokens: int | None = Field(default=None, ge=1)
    """The longest answer in tokens; left out: one and a half times the longest labelled answer, 256 without any."""
    temperature: float = Field(default=0.0, ge=0)
    """0 writes the likeliest token every time; higher values draw."""

    def decoding(self, seed: int, longest_answer: int | None) -> Decoding:
        """Return how answers are written.

        Args:
            seed: Of the fit.
            longest_answer: Tokens of the longest labelled answer; None: there is none.
        """
        usual = _LONGEST_ANSWER if longest_answer is None else max(_FEWEST_TOKENS, int(_SLACK * longest_answer))
        return Decoding(self.max_new_tokens or usual, self.temperature, seed=seed)


class Decoder(Backbone, Generates, Scores, Streams, Protocol):
    """A backbone that writes, and says how likely an answer is."""


def decoder(backbone: Backbone | None) -> Decoder:
    """Return `backbone` as one that writes.

    Raises:
        UnsupportedError: It does not, or there is none.
    """
    found: object = backbone
    if not (
        isinstance(found, Backbone)
        and isinstance(found, Generates)
        and isinstance(found, Scores)
        and isinstance(found, Streams)
    ):
        name = backbone.ref.name if backbone is not None else "none"
        raise UnsupportedError(f"A backbone that generates is needed; found {name}.")
    return found


def instructed(task: Task) -> tuple[Message, ...]:
    """Return the turns that tell a model what is asked: a system message, or none where nobody said."""
    return (Message(SYSTEM, task.instruction),) if task.instruction else ()


def longest_answer(model: Generates, train: Dataset) -> int | None:
    """Return the tokens of the longest answer that a fit may learn from; None where it has none."""
    answers = [target[0] for target in train.targets or ()]
    return max(model.prompt_tokens(answers)) if answers else None


@dataclass(frozen=True)
class ModelWriter:
    """A predictor that lets a decoder write, always after the same turns.

    Attributes:
        model: Writes.
        decoding: How.
        saved: Its state.
        before: Turns that stand before every example.
    """

    model: Decoder
    decoding: Decoding
    saved: State
    before: tuple[Message, ...] = ()

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return a text per example, and whether it ended by itself."""
        written = self.model.generate(examples, self.decoding, before=self.before)
        return Prediction(texts=[answer.text for answer in written], stopped=[answer.stopped for answer in written])

    def likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> np.ndarray | None:
        """Return log-probability and number of tokens of each answer; None: the model does not tell."""
        if Ability.SCORES not in self.model.abilities:
            return None
        return self.model.likelihoods(examples, answers, before=self.before)

    def stream(self, example: Example, decoding: Decoding) -> Iterator[str]:
        """Yield the answer to one example in pieces."""
        return self.model.stream(example, decoding, before=self.before)

    def state(self) -> State:
        """Return what `Method.restore` needs."""
        return self.saved
