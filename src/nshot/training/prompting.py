"""Prompts: what a decoder reads before an input, and what it makes of the texts of labels.

A label is answered by how likely its text is after the prompt. Two things besides the input make a text likely: its
length (every further token costs probability) and how common it is. Both are there as well when the input says
nothing, so they are measured on inputs that say nothing and taken off (contextual calibration):

``q(c | x) = softmax_c(log p(c | x) - log p(c))``, ``p(c | x) = softmax_c(s_c(x) / sqrt(length_c))``

s_c is the log-probability of c's text, length_c its number of bytes over that of the average label, and p(c) the mean
of ``p(c | x)`` over the inputs "N/A", "[MASK]" and none. Calibrating takes off what a long text costs on average; what
is left of each token's chance grows with the root of their number, hence the root. Bytes, because their number does
not depend on how a tokenizer cuts. On four sets of texts with stories260K and 8 examples calibrating raised macro F1
from 0.15 to 0.23 and lowered the log-loss from 8.5 to 1.7; undivided, by the root and by the length in full, the
calibrated scores came to the same macro F1 within 0.02, and by the root to the lowest or second lowest log-loss.

Source: Zhao et al. 2021, Calibrate Before Use, https://arxiv.org/abs/2102.09690, section 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nshot.core import (
    SYSTEM,
    USER,
    Ability,
    Conversation,
    DataError,
    Decoding,
    Example,
    Generates,
    Message,
    Prediction,
    Task,
    as_conversation,
)

if TYPE_CHECKING:
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array
    from nshot.training.writing import Decoder

_SAYS_NOTHING = ("N/A", "[MASK]", "")
_MOST_LISTED = 100
_LISTED_SHARE = 4
"""Labels are listed where their list takes at most one part in so many of what the model takes in."""
_LEAST = -1e6
"""Stands for the logarithm of a probability of zero, so that differences stay finite."""
_USUAL_SHARE = 0.95
_MOST_COUNTED = 1_000
_SPARE_TOKENS = 8
_SHRINK = 0.9
_WORD = re.compile(r"\w+")


# ------------------------------------------------------------------------------------------------- texts of examples


def unit_vectors(encoder: Encoder, examples: Sequence[Example]) -> Array:
    """Return the vectors of texts or conversations, each of length 1, shape (n, width).

    Of a conversation the turns are read the newest first: what an encoder cuts off of a long text is then what lies
    furthest back. The system message, which is the same for many conversations, is left out.
    """
    from nshot.training import frozen
    from nshot.training.rowwise import normalised

    turns = (as_conversation(example).without_system().messages for example in examples)
    return normalised(frozen.embed(encoder, ["\n".join(turn.content for turn in reversed(each)) for each in turns]))


def one_text(example: Example) -> str:
    """Return a text or conversation as one text that is to be classified.

    Raises:
        DataError: It is neither.
    """
    if isinstance(example, str):
        return example
    if not isinstance(example, Conversation):
        raise DataError(f"A text or a conversation was expected, {type(example).__name__} was found.")
    return example.without_system().as_text()


# -------------------------------------------------------------------------------------------------- worked examples


@dataclass(frozen=True)
class Worked:
    """An example with its answer, as a model is shown it.

    Attributes:
        turns: Without a system message: there is one, and it is the task's or the input's.
        tokens: How much longer it makes a prompt.
    """

    turns: tuple[Message, ...]
    tokens: int


def worked(model: Generates, examples: Sequence[Example], answers: Sequence[str]) -> list[Worked]:
    """Return each example with its answer as turns, and their lengths."""
    shown = [
        as_conversation(example).without_system().answered(answer).messages
        for example, answer in zip(examples, answers, strict=True)
    ]
    alone = Message(USER, "?")
    (least,) = model.prompt_tokens([Conversation((alone,))])
    sizes = model.prompt_tokens([Conversation((*turns, alone)) for turns in shown]) if shown else []
    return [Worked(turns, max(0, size - least)) for turns, size in zip(shown, sizes, strict=True)]


def turns_of(shown: Iterable[Worked]) -> tuple[Message, ...]:
    """Return the turns of worked examples one after the other."""
    return tuple(turn for each in shown for turn in each.turns)


def room_beside(
    model: Generates, inputs: Sequence[Example], before: Sequence[Message], answers: Sequence[int]
) -> list[int] | None:
    """Return how many tokens of worked examples fit beside each input and its answer; None: any number.

    Args:
        model: Reads them.
        inputs: n texts or conversations.
        before: Turns that stand before the worked examples.
        answers: For each input, how many tokens are kept free for its answer.
    """
    if model.longest is None:
        return None
    sizes = model.prompt_tokens(inputs, before=before) if len(inputs) else []
    return [max(0, model.longest - size - answer) for size, answer in zip(sizes, answers, strict=True)]


def kept_free(model: Generates, answer_tokens: int) -> int:
    """Return how many tokens are kept free for an answer of at most `answer_tokens`: half the room, if need be."""
    return answer_tokens if model.longest is None else min(answer_tokens, model.longest // 2)


def usual_room(
    model: Generates, inputs: Sequence[Example], before: Sequence[Message], answer_tokens: int
) -> int | None:
    """Return how many tokens of worked examples fit beside 95 in 100 of at least one input; None: any number.

    Args:
        model: Reads them.
        inputs: Examples like those that will be asked; at most 1,000 are looked at.
        before: Turns that stand before the worked examples.
        answer_tokens: The longest answer.
    """
    looked_at = inputs[:_MOST_COUNTED]
    rooms = room_beside(model, looked_at, before, [kept_free(model, answer_tokens)] * len(looked_at))
    return None if rooms is None else sorted(rooms, reverse=True)[int(_USUAL_SHARE * (len(rooms) - 1))]


def as_many_as_fit(order: Iterable[int], shown: Sequence[Worked], most: int, room: int | None) -> list[int]:
    """Return the first of `order`, at most `most`, that fit together; what alone is too long is passed over.

    Args:
        order: Positions, the most wanted first.
        shown: The worked examples at these positions.
        most: How many are wanted.
        room: Tokens that they may have together, or None.
    """
    chosen: list[int] = []
    left = room
    for position in order:
        if len(chosen) == most:
            break
        if left is not None:
            if shown[position].tokens > left:
                continue
            left -= shown[position].tokens
        chosen.append(position)
    return chosen


# ------------------------------------------------------------------------------------------------------------ labels


@dataclass(frozen=True)
class LabelReader:
    """Answers labels by what a decoder makes of their texts.

    Attributes:
        model: The decoder.
        task: Whose labels.
    """

    model: Decoder
    task: Task

    @property
    def scores(self) -> bool:
        """Whether the model says how likely a text is; where it does not, it writes a label."""
        return Ability.SCORES in self.model.abilities

    def texts(self) -> tuple[str, ...]:
        """Return the text that stands for each label, in the order of the task."""
        return tuple(text_of_label(self.task, label) for label in self.task.labels)

    def question(self) -> tuple[Message, ...]:
        """Return the system message: the task's instruction, and the labels where they are not too many.

        They are listed in the order of their texts, so that nothing depends on how the task orders its labels.
        """
        texts = sorted(set(self.texts()))
        asked = self.task.instruction or "Say which label fits the text."
        listed = "\n".join(f"- {text}" for text in texts)
        long = (Message(SYSTEM, f"{asked}\nAnswer with one of these labels and nothing else:\n{listed}"),)
        short = (Message(SYSTEM, f"{asked}\nAnswer with the label and nothing else."),)
        if len(texts) > _MOST_LISTED:
            return short
        longest = self.model.longest
        (size,) = self.model.prompt_tokens([""], before=long)
        return long if longest is None or size * _LISTED_SHARE <= longest else short

    def answer_tokens(self) -> int:
        """Return the most tokens that a label has, with some to spare."""
        return max(self.model.prompt_tokens(self.texts())) + _SPARE_TOKENS

    def cut(self, examples: Sequence[Example], before: Sequence[Message], reserved: int = 0) -> list[str]:
        """Return the examples as texts, cut at the end where they would not fit.

        Args:
            examples: Texts or conversations.
            before: Turns that stand before each.
            reserved: Tokens that are kept free for further turns.

        Raises:
            DataError: There is no room for any text.
        """
        texts = [one_text(example) for example in examples]
        longest = self.model.longest
        if longest is None or not texts:
            return texts
        (empty,) = self.model.prompt_tokens([""])
        (taken,) = self.model.prompt_tokens([""], before=before)
        room = longest - taken - reserved - self.answer_tokens()
        if room <= 0:
            raise DataError(
                f"{self.model.ref.name} takes {longest} tokens, and what stands around a text takes {longest - room}. "
                "Use a model that takes more, or shorter descriptions of the labels."
            )
        sizes = self.model.prompt_tokens(texts)
        return [self._shortened(text, size, room + empty) for text, size in zip(texts, sizes, strict=True)]

    def _shortened(self, text: str, size: int, room: int) -> str:
        while size > room and text:
            text = text[: min(len(text) - 1, int(len(text) * _SHRINK * room / size))]
            (size,) = self.model.prompt_tokens([text])
        return text

    def log_shares(self, examples: Sequence[Example], before: Sequence[Message]) -> Array:
        """Return ``log p(c | x)``, float64, shape (n, labels).

        Raises:
            DataError: The model returned what is no number.
        """
        import numpy as np

        texts = self.texts()
        if not len(examples):
            return np.zeros((0, len(texts)))
        found = np.asarray(self.model.score(examples, texts, before=before), dtype=np.float64)
        if np.isnan(found).any():
            row = int(np.flatnonzero(np.isnan(found).any(axis=1))[0])
            raise DataError(
                f"{self.model.ref.name} gave no number for example {row}. Look at that example, or use another model."
            )
        lengths = np.array([max(1, len(text.encode("utf-8", "surrogatepass"))) for text in texts])
        return log_softmax(np.maximum(found, _LEAST) * np.sqrt(lengths.mean() / lengths))

    def log_prior(self, before: Sequence[Message]) -> Array:
        """Return ``log p(c)``: what the model answers where the input says nothing, float64, shape (labels,)."""
        return mean_log(self.log_shares(_SAYS_NOTHING, before))

    def of_its_own(self, example: Example, before: Sequence[Message]) -> Array:
        """Return ``log p(c | x) - log p(c)`` after turns that stand before this example only; shape (labels,)."""
        shares = self.log_shares([example, *_SAYS_NOTHING], before)
        own: Array = shares[0] - mean_log(shares[1:])
        return own

    def answers(self, evidence: Array) -> Prediction:
        """Return the answers of which these are the log-probabilities up to a constant per row, shape (n, labels)."""
        from nshot.training import frozen
        from nshot.training.rowwise import softmax

        return frozen.answers(self.task, self.task.labels, softmax(evidence))

    def written(self, examples: Sequence[Example], before: Sequence[Message]) -> Prediction:
        """Return the labels that the model writes, for a model that says no probabilities."""
        decoding = Decoding(self.answer_tokens())
        answers = self.model.generate(examples, decoding, before=before) if len(examples) else []
        texts = self.texts()
        return Prediction(labels=[self.task.labels[_nearest_text(answer.text, texts)] for answer in answers])


def text_of_label(task: Task, label: str) -> str:
    """Return the text that stands for a label; never an empty one."""
    return task.readable(label) or label.strip() or "empty"


def mean_log(log_shares: Array) -> Array:
    """Return the logarithm of the mean of shares, shape (labels,), given their logarithms, shape (n, labels)."""
    import numpy as np

    mean: Array = np.exp(log_shares).mean(axis=0)
    return np.asarray(np.log(np.maximum(mean, np.finfo(np.float64).tiny)))


def log_softmax(scores: Array) -> Array:
    """Return ``s_j - log sum_k exp(s_k)`` per row, float64."""
    import numpy as np

    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _nearest_text(answer: str, texts: Sequence[str]) -> int:
    """Return which text an answer means: the one it is, the longest it contains, or that with most words of it."""
    said = " ".join(_WORD.findall(answer.casefold()))
    words = set(said.split())

    def likeness(position: int) -> tuple[bool, int, float]:
        text = " ".join(_WORD.findall(texts[position].casefold()))
        own = set(text.split())
        contained = len(text) if text and f" {text} " in f" {said} " else 0
        return said == text, contained, len(own & words) / max(1, len(own | words))

    return max(range(len(texts)), key=lambda position: (likeness(position), -position))
