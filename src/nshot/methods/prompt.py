"""Zero-shot: the model as it is, told what is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from nshot.core import (
    Ability,
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
    TakesIn,
    Task,
    TaskKind,
)
from nshot.spec import Method
from nshot.training.writing import WritingOptions

if TYPE_CHECKING:
    from nshot.training.prompting import LabelReader
    from nshot.training.rowwise import Array


class Prompt(WritingOptions, Method):
    """Ask the language model as it is, with an instruction and no example.

    **Idea.** An answer is what the model writes after the task's instruction (a system message) and the input. A label
    is answered by how likely its text is after the instruction, the list of labels and the input, against how likely it
    is where the input says nothing: ``softmax_c(log p(c | x) - log p(c))``, with log-probabilities over the root of the
    text's length. A model that tells no probabilities writes the label instead.

    **Needs** a backbone that writes. No labels; to classify, label names or descriptions that say something. New labels
    can be added by their names.

    **Wins** where the model knows the task from its training: a large chat model, a common question. **Loses** to
    examples and to training wherever the answers have a form or a content of the user's own. It shows what the
    untouched model can do, so that a training that made it worse is seen.

    **Source.** Radford et al. 2019, Language Models are Unsupervised Multitask Learners; calibration: Zhao et al. 2021,
    https://arxiv.org/abs/2102.09690, section 5.

    **Example.** ``nshot fit answers.jsonl --method prompt --backbone Qwen/Qwen2.5-0.5B-Instruct --out model``
    """

    needs: ClassVar[Needs] = Needs(
        tasks=frozenset({TaskKind.GENERATE, TaskKind.CLASSIFY}),
        abilities=frozenset({Ability.GENERATES}),
        fewest_labels=0,
        label_names=True,
    )
    family: ClassVar[Family] = Family.ZERO_SHOT
    takes_in: ClassVar[TakesIn] = TakesIn.BY_NAME

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the model with its prompt; of `train` only the length of its answers is looked at."""
        from nshot.training.prompting import LabelReader
        from nshot.training.writing import decoder, longest_answer

        self.require(task, train, backbone)
        model = decoder(backbone)
        if task.kind is TaskKind.CLASSIFY:
            return _prompted(LabelReader(model, task))
        settings = {
            "backbone": model.ref.as_json(),
            "longest_answer": longest_answer(model, train),
            "seed": context.seed,
        }
        return self.restore(task, State(settings), lambda ref: model)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved prompt; see `Method.restore`."""
        from nshot.training.prompting import LabelReader
        from nshot.training.writing import ModelWriter, decoder, instructed

        settings = state.settings
        model = decoder(open_backbone(BackboneRef.from_json(settings["backbone"])))
        if task.kind is TaskKind.CLASSIFY:
            return PromptedLabels(LabelReader(model, task), state.tensors.get("log_prior"))
        decoding = self.decoding(settings["seed"], settings["longest_answer"])
        return ModelWriter(model, decoding, state, instructed(task))


@dataclass(frozen=True)
class PromptedLabels:
    """The labels, and what the model answers where the input says nothing: shape (labels,); None: it writes them."""

    reader: LabelReader
    log_prior: Array | None

    @property
    def task(self) -> Task:
        """Whose labels are answered."""
        return self.reader.task

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return the likeliest label, and the probability of each where the model tells, for each example."""
        reader, question = self.reader, self.reader.question()
        texts = reader.cut(examples, question)
        if self.log_prior is None:
            return reader.written(texts, question)
        return reader.answers(reader.log_shares(texts, question) - self.log_prior)

    def state(self) -> State:
        """Return the reference of the backbone and the answers to nothing."""
        tensors = {} if self.log_prior is None else {"log_prior": self.log_prior}
        return State({"backbone": self.reader.model.ref.as_json()}, tensors)

    def with_label(
        self, label: str, description: str | None = None, examples: Sequence[Example] = ()
    ) -> PromptedLabels:
        """Return a predictor that also answers `label`, by its description or name; `examples` are not looked at."""
        from nshot.training.prompting import LabelReader

        return _prompted(LabelReader(self.reader.model, self.task.with_label(label, description)))


def _prompted(reader: LabelReader) -> PromptedLabels:
    return PromptedLabels(reader, reader.log_prior(reader.question()) if reader.scores else None)
