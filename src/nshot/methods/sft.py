"""All weights of a decoder, trained on answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from nshot.core import Backbone, BackboneRef, Dataset, Family, FitContext, Needs, Predictor, State, Task
from nshot.spec import Method
from nshot.training.sft import NEEDS, SftOptions


class Sft(SftOptions, Method):
    """Train the whole decoder to write the answers (supervised fine-tuning).

    **Idea.** Minimise the cross-entropy of the tokens of each answer, and of the one that ends it, given the example in
    the model's own chat format; nothing of the example itself is learnt. AdamW with a short warm-up and a cosine down
    to zero, the mean over all answer tokens of a step. Afterwards the model writes as it would by a prompt.

    **Needs** a backbone that generates and trains, and one example with its answer. Chooses nothing: rate and number of
    passes follow from the sizes of network and data.

    **Wins** where answers have a form of their own that a prompt does not convey, and with many examples. **Loses**
    with few, and where what the model could do besides is to be kept: `sft_lora` forgets less and stores far less.

    **Source.** Ouyang et al. 2022, https://arxiv.org/abs/2203.02155, section 3.5.

    **Example.** ``nshot fit answers.csv --method sft --backbone ./my-decoder --out model``
    """

    needs: ClassVar[Needs] = NEEDS
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    learning_rate: float | None = Field(default=None, gt=0)
    """The highest learning rate; left out: from the size of the network (3e-3 at 260 thousand, 3e-5 at a billion)."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained writer; see `Method.fit`.

        Raises:
            DataError: No example is short enough for the model.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import classifier, decoders, sft

        source = decoders.trainable(backbone)
        module = source.causal_module()
        classifier.set_dropout(module, self.dropout)
        rate = self.learning_rate or sft.usual_rate(decoders.n_weights(module))
        texts = sft.learnable(self, task, train, source)
        tuned = sft.fit(self, train, texts, source, module, rate, context)
        state = State(tuned.settings(source, context.seed), decoders.weights_of(module), decoders.files_of(source))
        return sft.writer(self, task, source, state.tensors, state)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved writer; see `Method.restore`."""
        from nshot.training import decoders, sft

        source = decoders.reopened(state, open_backbone)
        return sft.writer(self, task, source, decoders.fitting(state.tensors, source), state)
