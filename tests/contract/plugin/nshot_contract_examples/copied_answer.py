"""A generator: worked examples in the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    Dataset,
    Decoding,
    Example,
    Family,
    FitContext,
    Message,
    Needs,
    Prediction,
    State,
    Task,
    TaskKind,
    as_conversation,
)
from nshot.spec import Method
from nshot.training.writing import Decoder, decoder


class CopiedAnswer(Method):
    """Show the first labelled examples to a language model and let it answer the next input.

    **Idea.** y = LM(x_1 y_1 ... x_k y_k x).

    **Needs.** A backbone that generates; no label.

    **Wins.** With few examples and a strong model; loses on speed.

    **Source.** Brown et al. (2020), Language Models are Few-Shot Learners, section 2.

    **Example.** ``nshot fit answers.csv --method copied_answer --set shots=4``
    """

    needs = Needs(tasks=frozenset({TaskKind.GENERATE}), abilities=frozenset({Ability.GENERATES}), fewest_labels=0)
    family = Family.FEW_SHOT
    uses_seed = True

    shots: int = 4
    """How many worked examples stand in the prompt."""
    max_new_tokens: int = 16
    """The longest answer."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> CopiedAnswerPredictor:
        """Return the worked examples."""
        self.require(task, train, backbone)
        pairs = zip(train.examples, train.targets or (), strict=True)
        worked = [turn for example, target in islice(pairs, self.shots) for turn in _turns(example, target[0])]
        return CopiedAnswerPredictor(decoder(backbone), Decoding(self.max_new_tokens, seed=context.seed), worked)

    def restore(
        self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]
    ) -> CopiedAnswerPredictor:
        """Return the saved predictor."""
        model = decoder(open_backbone(BackboneRef.from_json(state.settings["backbone"])))
        worked = [Message.from_json(turn) for turn in state.settings["worked"]]
        return CopiedAnswerPredictor(model, Decoding(self.max_new_tokens, seed=state.settings["seed"]), worked)


@dataclass(frozen=True)
class CopiedAnswerPredictor:
    """Worked examples and the model that reads them."""

    model: Decoder
    decoding: Decoding
    worked: Sequence[Message]

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return one text per example."""
        written = self.model.generate(examples, self.decoding, before=self.worked)
        return Prediction(texts=[answer.text for answer in written], stopped=[answer.stopped for answer in written])

    def likelihoods(self, examples: Sequence[Example], answers: Sequence[str]) -> np.ndarray:
        """Return log-probability and number of tokens of each answer."""
        return self.model.likelihoods(examples, answers, before=self.worked)

    def stream(self, example: Example, decoding: Decoding) -> Iterator[str]:
        """Yield the answer to one example in pieces."""
        return self.model.stream(example, decoding, before=self.worked)

    def state(self) -> State:
        """Return the worked examples."""
        worked = [turn.as_json() for turn in self.worked]
        return State({"backbone": self.model.ref.as_json(), "worked": worked, "seed": self.decoding.seed})


def _turns(example: Example, answer: str) -> tuple[Message, ...]:
    return as_conversation(example).answered(answer).messages
