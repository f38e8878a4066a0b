"""The answer of the most similar labelled input: what any model that writes has to beat."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nshot.backbones.locate import DEFAULT
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
    from nshot.training.frozen import Encoder
    from nshot.training.rowwise import Array

_FILE = "answers.json"
_BLOCK = 1_024
"""So many examples are looked up at once."""


class NearestAnswer(Method):
    """Answer what the labelled input nearest to the example was answered; nothing is written anew.

    **Idea.** ``y = y_i`` with ``i = argmax_i cos(f(x), f(x_i))``, f being a frozen text encoder; of a conversation all
    turns are read. Of equally near ones the first labelled is taken.

    **Needs** one labelled example, and no language model. A saved model holds all answers.

    **Wins** where questions come again and their answers stay the same. **Loses** wherever an answer has to say what
    stands in its own input. Its score is what that of a language model has to be read against.

    **Source.** Cover and Hart 1967, Nearest neighbor pattern classification, with answers in place of classes.

    **Example.** ``nshot compare answers.jsonl --methods nearest_answer,in_context --backbone ./model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.GENERATE}), modalities=frozenset({"text", "conversation"}))
    family: ClassVar[Family] = Family.BASELINE

    encoder: str = DEFAULT
    """The text encoder that says what is near."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the answers with the vectors of their inputs; see `Method.fit`."""
        import numpy as np

        from nshot.training import frozen
        from nshot.training.prompting import unit_vectors

        self.require(task, train, backbone)
        encoder = frozen.encoder(context.open(BackboneRef(self.encoder)))
        answers = tuple(target[0] for target in train.labelled_targets())
        return AnsweredInputs(encoder, unit_vectors(encoder, train.examples).astype(np.float32), answers)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved answers; see `Method.restore`."""
        from nshot.training import frozen

        encoder = frozen.encoder(open_backbone(BackboneRef.from_json(state.settings["encoder"])))
        return AnsweredInputs(encoder, state.tensors["vectors"], tuple(json.loads(state.blobs[_FILE])))


@dataclass(frozen=True)
class AnsweredInputs:
    """Unit vectors of the labelled inputs, float32, shape (n, width), and their answers."""

    encoder: Encoder
    vectors: Array
    answers: tuple[str, ...]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the answer of the nearest labelled input, for each example."""
        from nshot.training.prompting import unit_vectors
        from nshot.training.rowwise import products

        texts: list[str] = []
        for start in range(0, len(examples), _BLOCK):
            asked = unit_vectors(self.encoder, examples[start : start + _BLOCK])
            texts += [self.answers[i] for i in products(asked, self.vectors).argmax(axis=1)]
        return Prediction(texts=texts, stopped=[True] * len(texts))

    def state(self) -> State:
        """Return vectors, answers and the reference of the encoder."""
        answers = json.dumps(self.answers).encode()
        return State({"encoder": self.encoder.ref.as_json()}, {"vectors": self.vectors}, {_FILE: answers})
