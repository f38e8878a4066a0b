"""Low-rank adapters in a decoder, trained on answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from nshot.core import Backbone, BackboneRef, Dataset, Family, FitContext, Needs, Predictor, State, Task
from nshot.spec import Method
from nshot.training.sft import NEEDS, SftOptions

if TYPE_CHECKING:
    from nshot.training.decoders import TrainableDecoder


class SftLora(SftOptions, Method):
    """Train low-rank changes of a decoder's matrices to write the answers.

    **Idea.** As `sft`, but of each linear layer ``W x`` only A and B in ``W x + alpha / rank * B A x`` are trained, A
    of shape (rank, in) and B of shape (out, rank). Merged into W, it writes as fast as the original network. A token
    that is to end answers and that the model has never met is learnt as well: it would never stop otherwise. With
    `quantise` W is held in 4 bits while A and B are trained (QLoRA); they are merged into the original W afterwards.

    **Needs** a backbone that generates and trains, and one example with its answer; 4 bits need a graphics card.
    Chooses nothing: rate and number of passes follow from the sizes of network and data.

    **Wins** where the network is too large to train in full, where many models are to be kept, and where it should
    forget little. **Loses** to `sft` with many examples of a kind that the network has never seen.

    **Source.** Hu et al. 2021, https://arxiv.org/abs/2106.09685; 4 bits: Dettmers et al. 2023,
    https://arxiv.org/abs/2305.14314; `dora`: Liu et al. 2024, https://arxiv.org/abs/2402.09353.

    **Example.** ``nshot fit answers.csv --method sft_lora --set rank=32 --backbone ./my-decoder --out model``
    """

    needs: ClassVar[Needs] = NEEDS
    family: ClassVar[Family] = Family.FINE_TUNING
    uses_seed: ClassVar[bool] = True
    trains_network: ClassVar[bool] = True

    rank: int = Field(default=16, ge=1)
    """Rows of A: how many directions of a matrix can change."""
    alpha: float = Field(default=32.0, gt=0)
    """Scale of the adapters; what is added is ``alpha / rank * B A``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of an adapter's input dropped while training."""
    target_modules: tuple[str, ...] = ()
    """Last parts of the names of the layers that get an adapter; none named: every linear layer but the head."""
    dora: bool = False
    """Train the length of each row of a matrix apart from its direction (DoRA): slower steps, the same file format."""
    quantise: Literal["none", "4bit"] = "none"
    """How the weights that are not trained are held while training."""
    learning_rate: float | None = Field(default=None, gt=0)
    """The highest learning rate; left out: ten times that of `sft`, and 3e-3 at most."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices that are trained."""

    def fit(
        self, task: Task, train: Dataset, pool: Dataset, backbone: Backbone | None, context: FitContext
    ) -> Predictor:
        """Return the trained writer; see `Method.fit`.

        Raises:
            DataError: No example is short enough for the model.
            MissingExtraError: 4 bits are asked for where there is no graphics card, or no bitsandbytes.
            OptionError: The network has no layer of these names.
            TrainingError: The training diverged.
        """
        self.require(task, train, backbone)
        from nshot.training import adapters, classifier, decoders, quantised, sft

        source = decoders.trainable(backbone)
        module = source.causal_module()
        classifier.set_dropout(module, 0.0)
        rate = self.learning_rate or sft.usual_rate(decoders.n_weights(module), adapters=True)
        targets = decoders.linear_layers(module, self.target_modules)
        texts = sft.learnable(self, task, train, source)
        ends = decoders.unknown_ends(module, texts.kept)
        if self.quantise == "4bit":
            quantised.hold_in_4_bits(module, targets, context.device)
        wrapped = adapters.with_adapters(
            module,
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            target_modules=targets,
            seed=context.seed,
            dora=self.dora,
            tokens=ends,
        )
        tuned = sft.fit(self, train, texts, source, module, rate, context)
        config, tensors = adapters.adapter_state(wrapped)
        tokens = [token for rows in ends.values() for token in rows]
        settings = {**tuned.settings(source, context.seed), "ends_learnt": tokens}
        state = State(settings, tensors, adapters.files_of(config, source))
        return self._predictor(task, source, state)

    def restore(self, task: Task, state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> Predictor:
        """Return the saved writer; see `Method.restore`."""
        from nshot.training import decoders

        return self._predictor(task, decoders.reopened(state, open_backbone), state)

    def _predictor(self, task: Task, source: TrainableDecoder, state: State) -> Predictor:
        """Return the writer with the adapters merged into the network, so that none of them is seen again."""
        from nshot.training import decoders, sft

        weights = decoders.merged(
            source, state.tensors, rank=self.rank, alpha=self.alpha, tokens=state.settings["ends_learnt"]
        )
        return sft.writer(self, task, source, weights, state)
