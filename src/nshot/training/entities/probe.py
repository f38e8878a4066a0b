"""Entities by the vectors of words of an encoder that is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nshot.core import Backbone, BackboneRef, Dataset, Example, FitContext, Prediction, State
from nshot.training.entities.head import TaggedWords, TagHead, fit_head
from nshot.training.entities.vectors import TokenEncoder, token_encoder, word_vectors
from nshot.training.entities.words import Cut, cut_of, sentences
from nshot.training.head import unit_spread


@dataclass(frozen=True)
class EntityProbe:
    """A linear model of tags on the vectors of words.

    Attributes:
        encoder: Embeds the words.
        cut: Where texts are cut into words.
        head: Scores the tags.
    """

    encoder: TokenEncoder
    cut: Cut
    head: TagHead

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the entities of each text."""
        cut = sentences(examples, self.cut)
        return self.head.answers(cut, word_vectors(self.encoder, cut))

    def state(self) -> State:
        """Return the head and the reference of the encoder."""
        head = self.head.state()
        return State({**head.settings, "cut": self.cut, "backbone": self.encoder.ref.as_json()}, head.tensors)


def fitted(train: Dataset, backbone: Backbone | None, context: FitContext, strength: float | None) -> EntityProbe:
    """Return the probe fitted to the entities of `train`.

    Raises:
        TrainingError: The vectors are too large for the arithmetic.
    """
    encoder = token_encoder(backbone)
    cut = cut_of(train.examples, train.labelled_targets())
    own = sentences(train.examples, cut)
    words = TaggedWords.of(train, own, word_vectors(encoder, own))
    head = fit_head(words, objective=context.objective, scale=unit_spread(words.features), strength=strength)
    return EntityProbe(encoder, cut, head)


def restored(state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> EntityProbe:
    """Return the probe whose `state` was saved."""
    encoder = token_encoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
    return EntityProbe(encoder, Cut(state.settings["cut"]), TagHead.restore(state))
