"""A span tagger: words near the words that were marked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Embeds,
    Example,
    Family,
    FitContext,
    ModelError,
    Needs,
    Prediction,
    Span,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

_WORD = re.compile(r"\w+")


class KnownSpans(Method):
    """Mark every word whose vector is close to a word that was marked in the training data.

    **Idea.** label(w) = label of argmax_m cos(e(w), e(m)) over marked words m, where that is at least `closeness`.

    **Needs.** A backbone that embeds, one marked text.

    **Wins.** For closed lists of names; loses where context decides.

    **Source.** Nearest neighbours, Cover and Hart (1967), on words.

    **Example.** ``nshot fit spans.jsonl --method known_spans --set closeness=0.9``
    """

    needs = Needs(tasks=frozenset({TaskKind.EXTRACT}), abilities=frozenset({Ability.EMBEDS}))
    family = Family.FEW_SHOT

    closeness: float = 0.95
    """Smallest cosine at which a word counts as known."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> KnownSpansPredictor:
        """Return the marked words."""
        self.require(task, train, backbone)
        marked = {
            word: span.label
            for text, spans in zip(train.examples, train.labelled_targets(), strict=True)
            for span in spans
            for word in _WORD.findall(text[span.start : span.end])
        }
        return _predictor(backbone, marked, self.closeness)

    def restore(
        self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> KnownSpansPredictor:
        """Return the saved predictor."""
        backbone = open_backbone(BackboneRef.from_json(state.settings["backbone"]))
        return _predictor(backbone, dict(state.settings["marked"]), self.closeness)


@dataclass(frozen=True)
class KnownSpansPredictor:
    """Marked words with their labels and vectors."""

    model: Embeds
    ref: BackboneRef
    marked: dict[str, str]
    vectors: np.ndarray
    closeness: float

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the spans of each text, in order."""
        return Prediction(spans=[tuple(self._spans(text)) for text in examples])

    def _spans(self, text: str) -> list[Span]:
        found = list(_WORD.finditer(text))
        if not found or not self.marked:
            return []
        labels = list(self.marked.values())
        vectors = self.model.embed([match.group() for match in found])
        spans = []
        for match, vector in zip(found, vectors, strict=True):
            closeness = (self.vectors * vector).sum(axis=1)
            if closeness.max() >= self.closeness:
                spans.append(Span(match.start(), match.end(), labels[int(closeness.argmax())]))
        return spans

    def state(self) -> State:
        """Return the marked words; their vectors follow from the backbone."""
        return State({"backbone": self.ref.as_json(), "marked": self.marked})


def _predictor(backbone: Backbone | None, marked: dict[str, str], closeness: float) -> KnownSpansPredictor:
    if backbone is None or not isinstance(backbone, Embeds):
        raise ModelError("known_spans was saved with a backbone that embeds, and this one does not.")
    return KnownSpansPredictor(backbone, backbone.ref, marked, backbone.embed(list(marked)), closeness)
