"""Entities by how words and their neighbours are written: the classic that needs no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

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
    State,
    Task,
    TaskKind,
)
from nshot.spec import Method

if TYPE_CHECKING:
    from nshot.training.entities.head import TagHead
    from nshot.training.entities.words import Cut


class WordFeatures(Method):
    """Learn a linear model of a word's tag from how it and its neighbours are written.

    **Idea.** A word's features are itself, its first and last one to four letters, its form (``Xx`` for Berlin), the
    two words on either side and their forms. ``p(tag | features) = softmax(W f + b)`` with a tag for the first and
    each further word of an entity of each label; the best possible sequence of tags is answered. C, and what is added
    outside of entities, are chosen by cross-validation inside the n labels, by the study's metric.

    **Needs** no model, and one labelled text.

    **Wins** against the list of seen names as soon as forms and contexts repeat, and everywhere where an encoder's
    language is not the texts'. **Loses** to encoders that know the words already, with few labels above all.

    **Source.** The features of Ratinov and Roth 2009, Design Challenges and Misconceptions in Named Entity Recognition,
    https://aclanthology.org/W09-1119, section 3, without lists of names.

    **Example.** ``nshot fit entities.jsonl --method word_features --out model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.EXTRACT}))
    family: ClassVar[Family] = Family.BASELINE

    strength: float | None = Field(default=None, gt=0)
    """C, the inverse of the regularisation; left out: chosen inside the labels."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the fitted model; see `Method.fit`."""
        from nshot.training.entities.head import TaggedWords, fit_head
        from nshot.training.entities.spelling import matrix, vocabulary
        from nshot.training.entities.words import cut_of, sentences
        from nshot.training.head import unit_spread

        self.require(task, train, backbone)
        cut = cut_of(train.examples, train.labelled_targets())
        own = sentences(train.examples, cut)
        columns = vocabulary(own)
        words = TaggedWords.of(train, own, matrix(own, columns))
        scale = unit_spread(words.features)
        return Spelling(cut, columns, fit_head(words, objective=context.objective, scale=scale, strength=self.strength))

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved model; see `Method.restore`."""
        from nshot.training.entities.head import TagHead
        from nshot.training.entities.words import Cut

        settings = state.settings
        columns = {name: column for column, name in enumerate(settings["features"])}
        return Spelling(Cut(settings["cut"]), columns, TagHead.restore(state))


@dataclass(frozen=True)
class Spelling:
    """A linear model of tags on how words are written.

    Attributes:
        cut: Where texts are cut into words.
        columns: The column of each feature.
        head: Scores the tags.
    """

    cut: Cut
    columns: Mapping[str, int]
    head: TagHead

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the entities of each text."""
        from nshot.training.entities.spelling import matrix
        from nshot.training.entities.words import sentences

        own = sentences(examples, self.cut)
        return self.head.answers(own, matrix(own, self.columns))

    def state(self) -> State:
        """Return the features and the head."""
        head = self.head.state()
        return State({**head.settings, "cut": self.cut, "features": list(self.columns)}, head.tensors)
