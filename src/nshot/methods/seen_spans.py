"""The baseline for entities: mark what was marked in the training texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nshot.core import (
    Backbone,
    BackboneRef,
    Dataset,
    Example,
    Family,
    FitContext,
    Needs,
    Prediction,
    Predictor,
    Span,
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.entities.words import Cut, Sentence

Words = tuple[str, ...]
"""The words of an entity, without regard to case."""


class SeenSpans(Method):
    """Mark every run of words that was an entity in the training texts, with the label that it had most often.

    **Idea.** From left to right, the longest run of words that was marked at least half of the times that it occurs in
    the training texts; upper and lower case are the same.

    **Needs** no model, and one labelled text.

    **Wins** where the same names come again and again, and against anything else that has learnt nothing: what does not
    beat this list has not understood where names stand. **Loses** on names that it has not seen.

    **Source.** The baseline of the CoNLL-2003 shared task (Tjong Kim Sang and De Meulder 2003,
    https://aclanthology.org/W03-0419, section 5), which takes entities with one label in the training data only.

    **Example.** ``nshot fit entities.jsonl --method seen_spans --out model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.EXTRACT}))
    family: ClassVar[Family] = Family.BASELINE

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the list of what was marked; see `Method.fit`."""
        from nshot.training.entities.words import cut_of, sentences

        self.require(task, train, backbone)
        cut = cut_of(train.examples, train.labelled_targets())
        return SeenSpansPredictor(cut, _known(sentences(train.examples, cut), train.labelled_targets()))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved list; see `Method.restore`."""
        from nshot.training.entities.words import Cut

        settings = state.settings
        known = {tuple(words): label for words, label in settings["known"]}
        return SeenSpansPredictor(Cut(settings["cut"]), known)


@dataclass(frozen=True)
class SeenSpansPredictor:
    """What was marked.

    Attributes:
        cut: Where texts are cut into words.
        known: The label of each run of words.
    """

    cut: Cut
    known: Mapping[Words, str]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the known entities of each text, the longest from left to right."""
        from nshot.training.entities.words import sentences

        longest = max(map(len, self.known), default=0)
        return Prediction(spans=[tuple(self._found(text, longest)) for text in sentences(examples, self.cut)])

    def _found(self, sentence: Sentence, longest: int) -> list[Span]:
        words, places = _folded(sentence), sentence.places
        found, at = [], 0
        while at < len(words):
            sizes = range(min(longest, len(words) - at), 0, -1)
            size = next((size for size in sizes if words[at : at + size] in self.known), 0)
            if size:
                label = self.known[words[at : at + size]]
                found.append(Span(places[at][0], places[at + size - 1][1], label))
            at += max(1, size)
        return found

    def state(self) -> State:
        """Return the list."""
        return State({"cut": self.cut, "known": [[list(words), label] for words, label in self.known.items()]})


def _folded(sentence: Sentence) -> Words:
    return tuple(word.casefold() for word in sentence.words)


def _known(sentences: Sequence[Sentence], targets: Sequence[Sequence[Span]]) -> dict[Words, str]:
    """Return the label of each run of words that was an entity at least half of the times that it occurs."""
    marked: dict[Words, Counter[str]] = {}
    texts = [_folded(sentence) for sentence in sentences]
    for sentence, words, spans in zip(sentences, texts, targets, strict=True):
        for span in spans:
            inside = [i for i, (start, end) in enumerate(sentence.places) if start < span.end and end > span.start]
            if inside:
                marked.setdefault(words[inside[0] : inside[-1] + 1], Counter())[span.label] += 1
    sizes = sorted({len(words) for words in marked})
    occurring = Counter(
        run
        for words in texts
        for size in sizes
        for at in range(len(words) - size + 1)
        if (run := words[at : at + size]) in marked
    )
    return {run: labels.most_common(1)[0][0] for run, labels in marked.items() if 2 * labels.total() >= occurring[run]}
