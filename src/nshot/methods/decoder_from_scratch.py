"""A small decoder with a tokenizer of its own, trained on the examples and their answers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nshot.core import Backbone, BackboneRef, Dataset, Family, FitContext, Needs, Predictor, State, Task, TaskKind
from nshot.spec import Method
from nshot.training.sft import SftOptions

if TYPE_CHECKING:
    from nshot.backbones.new_decoder import NewDecoder
    from nshot.training.batching import Schedule
    from nshot.training.renaming import Pair

_EPOCHS_AT_64 = 34.0
_FEWEST_STEPS = 300
_MOST_TEXTS = 200_000
"""Examples with their answers, those with other names included, that are prepared before the training."""
_SHORTEST = 256
_LONGEST = 2_048


class DecoderFromScratch(SftOptions, Method):
    """Train a small decoder from random weights to write the answers.

    **Idea.** A network of the Llama architecture and a byte-pair tokenizer are made for the examples at hand, and the
    network is trained as in `sft`. Names that stand in an example and in its answer are replaced in both by invented
    ones, others in each pass (`invented_names`): so the network learns to copy names and not the few it has seen. It is
    a control: what a pre-trained model does better than this is what its pre-training is worth.

    **Needs** examples with answers; no backbone. Chooses nothing.

    **Wins** with thousands of examples of one narrow kind: sentences from records, answers from templates. **Loses**
    where an answer needs any knowledge that is not in the examples.

    **Source.** Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; the architecture: Touvron et al. 2023,
    https://arxiv.org/abs/2302.13971, section 2.2.

    **Example.** ``nshot fit answers.csv --method decoder_from_scratch --out model``
    """

    needs: ClassVar[Needs] = Needs(tasks=frozenset({TaskKind.GENERATE}), modalities=frozenset({"text", "conversation"}))
    family: ClassVar[Family] = Family.FROM_SCRATCH
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True
    relative_cost: ClassVar[float] = 0.5

    width: int = Field(default=128, ge=32, multiple_of=32)
    """Length of the vectors between layers."""
    layers: int = Field(default=4, ge=1)
    """Number of layers."""
    batch_size: int = Field(default=16, ge=1)
    """Examples in a step."""
    vocabulary: int = Field(default=1_024, ge=300)
    """The most tokens of the tokenizer; fewer where the texts have fewer pieces that occur twice."""
    invented_names: float = Field(default=0.5, ge=0, le=1)
    """The share of names standing in an example and in its answer that are replaced, in both, by invented ones."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; left out: from their number (34 at 64, 12 at 4,299), 300 steps at least."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """The highest learning rate of all weights."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay of the matrices."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of the weights of attention dropped while training."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        return self._schedule(n_labels).examples

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained writer; see `Method.fit`.

        Raises:
            DataError: No example is short enough for the network.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        import numpy as np

        from nshot.training import decoders, sft
        from nshot.training.renaming import Pair, Renaming
        from nshot.training.writing import longest_answer

        own = [target[0] for target in train.labelled_targets()]
        pairs = [Pair(example, answer) for example, answer in zip(train.examples, own, strict=True)]
        source = self._new(task, pairs, context)
        plan = self._schedule(len(pairs))
        passes = max(1, min(-(-plan.examples // len(pairs)), _MOST_TEXTS // len(pairs)))
        renaming, generator = Renaming(pairs), np.random.default_rng(context.seed)
        renamed = [renaming.pair(at, self.invented_names, generator) for _ in range(passes) for at in range(len(pairs))]
        examples, answers = [pair.example for pair in renamed], [(pair.answer,) for pair in renamed]
        texts = sft.learnable(self, task, Dataset(examples, train.modality, targets=answers, name=train.name), source)
        module = source.random_causal_module(context.seed)
        record = decoders.train(
            module,
            texts.kept,
            plan=plan,
            learning_rate=self.learning_rate,
            options=self,
            checkpointing=self.gradient_checkpointing,
            chance=decoders.frequency_loss(texts.kept),
            context=context,
        )
        told = sft.learnable(self, task, train, source)
        tuned = sft.Tuned(told, record, longest_answer(source, train))
        # It began as no model that could be opened again.
        settings = {key: value for key, value in tuned.settings(source, context.seed).items() if key != "backbone"}
        state = State(settings, decoders.weights_of(module), decoders.files_of(source))
        return sft.writer(self, task, source, state.tensors, state)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved writer; see `Method.restore`."""
        from nshot.backbones.new_decoder import NewDecoder
        from nshot.training import decoders, sft

        source = NewDecoder(state.blobs)
        return sft.writer(self, task, source, decoders.fitting(state.tensors, source), state)

    def _new(self, task: Task, pairs: Sequence[Pair], context: FitContext) -> NewDecoder:
        """Return a decoder for texts like these, its weights drawn at random."""
        from nshot.backbones import new_decoder
        from nshot.training.renaming import said

        texts = [task.instruction, *(text for pair in pairs for text in (*said(pair.example), pair.answer))]
        tokenizer = new_decoder.tokenizer_of(texts, self.vocabulary)
        shape = new_decoder.Shape(self.width, self.layers, self.dropout)
        wide = new_decoder.NewDecoder(new_decoder.files_of(tokenizer, shape, _LONGEST))
        sizes = [len(text) for text in wide.conversations([pair.example for pair in pairs], [p.answer for p in pairs])]
        # Twice the longest: those that are answered later may be longer.
        longest = self.max_length or min(_LONGEST, max(_SHORTEST, 2 * max(sizes)))
        files = new_decoder.files_of(tokenizer, shape, longest)
        return new_decoder.NewDecoder(files, device=context.device, threads=context.threads)

    def _schedule(self, n: int) -> Schedule:
        from nshot.training import batching

        usual = batching.schedule(n, epochs=self.epochs, batch_size=self.batch_size, epochs_at_64=_EPOCHS_AT_64)
        if self.epochs is not None or not n:
            return usual
        return batching.Schedule(usual.batch_size, max(_FEWEST_STEPS, usual.steps))
