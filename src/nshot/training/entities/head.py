"""A linear model of the tags of words, on given features, and what is chosen for it inside the labels.

Two numbers are chosen by the objective that the protocol hands in, on held-out sentences, after the best possible
sequence of tags was taken: C, and what is added to the score of the tag outside of all entities. Most words are outside
of all entities, so that a model of single words finds too few of them for a metric that counts entities.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.core import Dataset, Prediction, Span, State
from nshot.training import logistic, selection
from nshot.training.entities.tags import OUTSIDE, Tags, answered
from nshot.training.entities.words import Sentence
from nshot.training.rowwise import products

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

SHIFTS = tuple(0.0 - 0.5 * step for step in range(9))
"""What is added to the score outside of entities: from nothing to -4 nats."""
_FEW_SHIFTS = (0.0, -1.5, -3.0)
"""Of these the best is taken to judge a C by."""
_CHOSEN_ON = 600
"""So many sentences are enough to choose by."""

Objective = Callable[[Sequence[Any], Prediction], float]


@dataclass(frozen=True)
class TagHead:
    """A score for each tag: ``features @ coefficients.T + offsets``.

    Attributes:
        tags: The tags.
        coefficients: Shape (tags, d), float32.
        offsets: Shape (tags,), float32.
        chosen: Json-able: what was chosen, and what it was chosen by.
    """

    tags: Tags
    coefficients: Array
    offsets: Array
    chosen: dict[str, Any]

    def answers(self, sentences: Sequence[Sentence], features: Any) -> Prediction:
        """Return the entities of texts.

        Args:
            sentences: n texts in words.
            features: Of all their words, shape (words, d), dense or SciPy CSR.
        """
        scores = products(features, self.coefficients, self.offsets)
        return Prediction(spans=answered(self.tags, sentences, scores))

    def state(self) -> State:
        """Return the head as settings and tensors."""
        tensors = {"coefficients": self.coefficients, "offsets": self.offsets}
        return State({"labels": list(self.tags.labels), "chosen": self.chosen}, tensors)

    @classmethod
    def restore(cls, state: State) -> TagHead:
        """Return the head whose `state` was saved."""
        settings, tensors = state.settings, state.tensors
        tags = Tags(tuple(settings["labels"]))
        return cls(tags, tensors["coefficients"], tensors["offsets"], dict(settings["chosen"]))


@dataclass(frozen=True)
class TaggedWords:
    """Training texts as words with features and tags.

    Attributes:
        sentences: n texts in words.
        targets: The entities of each.
        groups: n group keys, or None.
        features: Of all words, shape (words, d), dense or SciPy CSR.
        tags: The tags.
    """

    sentences: Sequence[Sentence]
    targets: Sequence[Sequence[Span]]
    groups: Sequence[Hashable] | None
    features: Any
    tags: Tags

    @classmethod
    def of(cls, train: Dataset, sentences: Sequence[Sentence], features: Any) -> TaggedWords:
        """Return the words of `train`."""
        targets = list(train.labelled_targets())
        return cls(sentences, targets, train.groups, features, Tags.of(targets))

    @property
    def sizes(self) -> Array:
        """Return the number of words of each text, int64, shape (n,)."""
        return np.array([len(sentence.places) for sentence in self.sentences], dtype=np.int64)

    @property
    def codes(self) -> Array:
        """Return the tag of each word, int64, shape (words,)."""
        parts = [
            self.tags.codes(sentence.places, spans)
            for sentence, spans in zip(self.sentences, self.targets, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def first(self, n: int) -> TaggedWords:
        """Return the first n texts, the tags staying all."""
        if n >= len(self.sentences):
            return self
        words = int(self.sizes[:n].sum())
        return replace(
            self,
            sentences=self.sentences[:n],
            targets=self.targets[:n],
            groups=None if self.groups is None else self.groups[:n],
            features=self.features[:words],
        )


def fit_head(words: TaggedWords, *, objective: Objective, scale: float, strength: float | None = None) -> TagHead:
    """Return the head fitted to all words.

    Args:
        words: What to learn from.
        objective: As in `FitContext`.
        scale: Factor on the features, by which one C means the same for all of them.
        strength: C, or None to choose it.

    Raises:
        TrainingError: The features are too large for the arithmetic.
    """
    codes, tags = words.codes, words.tags
    if not len(np.unique(codes)) > 1:
        offsets = np.where(np.arange(len(tags)) == (codes[0] if len(codes) else OUTSIDE), 0.0, -100.0)
        return TagHead(tags, np.zeros((len(tags), words.features.shape[1]), np.float32), offsets.astype(np.float32), {})
    some = words.first(_CHOSEN_ON)
    folds = selection.value_folds(len(some.sentences), some.groups)
    chosen, shift = _choose(some, folds, objective, scale, strength)
    model = logistic.fit(words.features * scale, codes, len(tags), strength=chosen["strength"])
    offsets = np.maximum(model.offsets, -100.0)  # of a tag without a word it is nearly minus infinity
    offsets[OUTSIDE] += shift
    return TagHead(tags, (model.coefficients * scale).astype(np.float32), offsets.astype(np.float32), chosen)


def _choose(
    words: TaggedWords, folds: Array, objective: Objective, scale: float, strength: float | None
) -> tuple[dict[str, Any], float]:
    """Return C and what it was chosen by, and what to add to the score outside of entities."""
    held = np.flatnonzero(folds != selection.NEVER).tolist()
    sentences, targets = [words.sentences[row] for row in held], [words.targets[row] for row in held]
    of_words = np.repeat(folds, words.sizes)
    codes = words.codes
    if not len(held) or len(np.unique(codes[of_words != 0])) < 2:
        return {"strength": strength or logistic.USUAL_STRENGTH}, 0.0

    def judge(scores: Array, shift: float) -> float:
        found = objective(targets, Prediction(spans=answered(words.tags, sentences, _shifted(scores, shift))))
        return found if np.isfinite(found) else 0.0

    selected = logistic.select_and_fit(
        words.features * scale,
        codes,
        len(words.tags),
        folds=of_words,
        judge=lambda scores: max(judge(scores, shift) for shift in _FEW_SHIFTS),
        strengths=logistic.STRENGTHS if strength is None else (strength,),
    )
    judged = {shift: judge(selected.scores, shift) for shift in SHIFTS}
    shift = max(SHIFTS, key=lambda shift: (judged[shift], shift))
    chosen = {
        "strength": selected.model.strength,
        "outside_shift": shift,
        "held_out": len(held),
        "judged": {f"{c:g}": round(score, 6) for c, score in selected.judged.items()},
    }
    return chosen, shift


def _shifted(scores: Array, shift: float) -> Array:
    shifted = scores.copy()
    shifted[:, OUTSIDE] += shift
    return shifted
