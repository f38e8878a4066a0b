"""How far two openings of one model agree, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from nshot.core import Computes, Conversation, Decoding, Example, ModelError, shortened

SHORT = Decoding(max_new_tokens=32)
"""How answers are written to compare them: a wrong weight or template shows in the first words."""
READ_BACK = 3
"""So many examples are asked of a saved model that is opened again, to see that it answers like the fitted one."""
_MOST_DIFFERENCE = {"fp32": 1e-3, "bf16": 0.1}
_SHOWN = 60


@dataclass(frozen=True)
class Agreement:
    """How far a saved model, opened again, answers like the one that was fitted.

    Attributes:
        examples: How many examples were answered.
        same: How many answers are the same; the others differ by a tie that rounding decided.
        largest_difference: Of a probability, score or value; of written answers of their log-probability, in nats per
            token.
        readers: What opened the saved model: ``nshot``, and for a folder of theirs also ``transformers``.
        left_out: Why it was not opened by all that could, or None.
    """

    examples: int = 0
    same: int = 0
    largest_difference: float = 0.0
    readers: tuple[str, ...] = ()
    left_out: str | None = None

    @classmethod
    def over(cls, examples: Sequence[Example]) -> Self:
        """Return the agreement of nobody yet on these examples."""
        return cls(len(examples), len(examples))

    def and_by(self, reader: str, same: int, largest_difference: float) -> Agreement:
        """Return the agreement with one more reader, on the same examples."""
        worst = max(self.largest_difference, largest_difference)
        return replace(
            self, same=min(self.same, same), largest_difference=worst, readers=(*self.readers, reader), left_out=None
        )

    def as_json(self) -> dict[str, object]:
        """Return the record."""
        return {
            "examples": self.examples,
            "same": self.same,
            "largest_difference": self.largest_difference,
            "readers": list(self.readers),
            "left_out": self.left_out,
        }

    def by_transformers(self) -> str:
        """Return in words how transformers, opening what was written for it, agrees."""
        if not self.readers:
            return f"It was not opened for a check: {self.left_out}."
        return (
            f"Opened by transformers: {self.same} of {self.examples} answers are the same word for word, and the "
            f"log-probabilities of all differ by {self.largest_difference:.1g} nats a token at most."
        )

    def sentence(self) -> str:
        """Return the agreement in words."""
        if not self.readers:
            return f"The saved model was not opened again for a check: {self.left_out}."
        ties = "" if self.same == self.examples else " (the others are decided by ties)"
        rest = f" Not opened by others: {self.left_out}." if self.left_out else ""
        readers = " and by ".join(self.readers)
        return f"Opened again by {readers}: {self.same} of {self.examples} answers are the same{ties}.{rest}"


def most_difference(model: object) -> float:
    """Return by how much two computations of one model may differ, in nats per token and in logits.

    Args:
        model: A backbone; one that does not say how it computes is taken to be exact.
    """
    return _MOST_DIFFERENCE[model.precision if isinstance(model, Computes) else "fp32"]


def unlike(reader: str, example: Example, expected: str, found: str) -> ModelError:
    """Return the error of a written answer that is another one than that of the fitted model."""
    return ModelError(
        f"{refusal(reader)} To {_short(_asked(example))} the model that was fitted answers {_short(expected)}, "
        f"and the saved one {_short(found)}."
    )


def unlikely(reader: str, example: Example, difference: float) -> ModelError:
    """Return the error of an answer that is given another probability than by the fitted model."""
    return ModelError(
        f"{refusal(reader)} The log-probabilities of its answer to {_short(_asked(example))} differ by "
        f"{difference:.3g} nats per token."
    )


def refusal(reader: str) -> str:
    """Return the beginning of every such message."""
    return (
        f"The model is not put in place: {reader} opened what was written, and it does not answer like the model that "
        "was fitted. Please report this with the command and the name of the pre-trained model."
    )


def _asked(example: Example) -> str:
    return example.last if isinstance(example, Conversation) else str(example)


def _short(text: str) -> str:
    return repr(shortened(text, _SHOWN))
