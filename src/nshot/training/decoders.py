"""Training a decoder to write: which tokens are learnt, what a batch is, the loss, and what is kept.

The loss is the cross-entropy of every token that is learnt, summed; the loop divides by the number of all of them in a
step, so that a step means the same however it is cut. The last layer of a language model is as wide as its
vocabulary: it is only computed where a token is learnt, and never for many of them at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from nshot.core import (
    Backbone,
    BackboneRef,
    DataError,
    FitContext,
    Generates,
    HandsOver,
    ModelError,
    OptionError,
    Scores,
    State,
    Streams,
    TokenisedText,
    TrainsToWrite,
    UnsupportedError,
)
from nshot.training import adapters, batching, distributed, loop, losses, packing
from nshot.training.averaging import drawn_back
from nshot.training.batching import Batch
from nshot.training.loop import TrainingRecord
from nshot.training.options import LoopOptions
from nshot.training.writing import Decoder, decoder

_PLACES = "places"
_MOST_SCORES = 1 << 24
"""Scores (learnt tokens x vocabulary) that are held at once: 64 MiB in float32, and as much again for the gradient."""
_GPU_TOKENS = 16_384
"""Most tokens of a micro-batch on a graphics card; where they do not fit, the loop halves it."""
_PROBE = 4
_SAME = 1e-4
_SAME_ROW = 0.999
_LOOKED_AT = 16
"""Texts that say how much a model knows before it is trained."""


class TrainableDecoder(Decoder, TrainsToWrite, Protocol):
    """A backbone that writes and trains."""

    @property
    def longest(self) -> int | None:
        """The most tokens that it takes in."""


def trainable(backbone: Backbone | None) -> TrainableDecoder:
    """Return `backbone` as one that writes and trains.

    Raises:
        UnsupportedError: It does not, or there is none.
    """
    found: object = decoder(backbone)
    if not (
        isinstance(found, Backbone)
        and isinstance(found, Generates)
        and isinstance(found, Scores)
        and isinstance(found, Streams)
        and isinstance(found, TrainsToWrite)
    ):
        name = backbone.ref.name if backbone is not None else "none"
        raise UnsupportedError(f"A backbone that generates and trains is needed; {name} does not train.")
    return found


def reopened(state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> TrainableDecoder:
    """Return the backbone that a saved `state` names."""
    return trainable(open_backbone(BackboneRef.from_json(state.settings["backbone"])))


def rewritten(source: TrainsToWrite, weights: Mapping[str, np.ndarray]) -> Decoder:
    """Return the backbone that `source` becomes with these weights."""
    return decoder(source.rewritten(weights))


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of a network, as transformers saves them.

    A weight that has two names, such as that of a head tied to the table of word vectors, is returned under the first.
    """
    kept: dict[str, np.ndarray] = {}
    seen: set[int] = set()
    for name, value in network.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            kept[name] = value.detach().cpu().numpy().copy()
    return kept


def files_of(source: Backbone) -> dict[str, bytes]:
    """Return what makes weights a folder that transformers opens, by file name; nothing where the model has none."""
    found: object = source
    return dict(found.files_for_saving()) if isinstance(found, HandsOver) else {}


def n_weights(module: nn.Module) -> int:
    """Return the number of weights of a network; those that two layers share count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def linear_layers(module: nn.Module, named: Sequence[str]) -> tuple[str, ...]:
    """Return the last parts of the names of the linear layers that get an adapter.

    Args:
        module: A language model of transformers.
        named: Those that are wanted; none: every linear layer but the head.

    Raises:
        OptionError: There is none, or none of these names.
    """
    head = cast("CausalNetwork", module).get_output_embeddings()
    found = {
        name.rsplit(".", 1)[-1]
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }
    wanted = found.intersection(named) if named else found
    if not wanted:
        listed = ", ".join(sorted(found)) or "none"
        raise OptionError(
            f"Adapters go beside linear layers{f' called {chr(44).join(named)}' if named else ''}, and this backbone "
            f"has: {listed}. {'Name one of these as target_modules.' if found else 'Use sft.'}"
        )
    return tuple(sorted(wanted))


@torch.no_grad()
def unknown_ends(module: nn.Module, texts: Sequence[TokenisedText]) -> dict[str, tuple[int, ...]]:
    """Return the tokens at the end of texts that a model cannot tell from others, by the name of their table.

    Tokens that never occurred while a model was trained end up with one and the same row in its head: no change of the
    layers below makes it write one of them and not another, so that it would never stop. These rows have to be trained.

    Returns:
        The last part of the table's name, with the tokens; empty where there are none.
    """
    head = cast("CausalNetwork", module).get_output_embeddings()
    rows = functional.normalize(cast("Tensor", head.weight), dim=1)
    ends = sorted({text.ids[-1] for text in texts})
    likeness = rows[ends] @ rows.T
    likeness[range(len(ends)), ends] = 0
    unknown = tuple(end for end, nearest in zip(ends, likeness.amax(1).tolist(), strict=True) if nearest > _SAME_ROW)
    # Of two layers with one weight the first named is the one that peft knows.
    names = [name for name, parameter in module.named_parameters() if parameter is head.weight]
    return {names[0].split(".")[-2]: unknown} if unknown else {}


def merged(
    source: TrainableDecoder,
    adapters_of: Mapping[str, np.ndarray],
    *,
    rank: int,
    alpha: float,
    tokens: Sequence[int],
) -> dict[str, np.ndarray]:
    """Return the weights of `source` that adapters change, with their changes.

    Raises:
        ModelError: The adapters were trained beside another network.
    """
    weights = source.causal_module().state_dict()
    for layer, shape in adapters.shapes(adapters_of).items():
        found = tuple(weights[layer].shape) if layer in weights else None
        if found != shape:
            raise ModelError(
                f"These adapters do not belong to {source.ref.name}: they change {layer} of shape {shape}, and the "
                f"model has {f'one of shape {found}' if found else 'none'}. Open the model that they were trained with."
            )
    return adapters.merged(weights, adapters_of, rank=rank, alpha=alpha, tokens=tokens)


def fitting(weights: Mapping[str, np.ndarray], source: TrainableDecoder) -> Mapping[str, np.ndarray]:
    """Return the weights, if a network of `source` has weights of these names and shapes.

    Raises:
        ModelError: It has not.
    """
    shapes = {name: tuple(value.shape) for name, value in source.causal_module().state_dict().items()}
    for name, value in weights.items():
        if shapes.get(name) != value.shape:
            raise ModelError(
                f"What was trained does not belong to {source.ref.name}: it has {name} of shape {value.shape}, and the "
                f"model {f'one of {shapes[name]}' if name in shapes else 'has none'}. Open the model that it was "
                "trained on."
            )
    return weights


# ------------------------------------------------------------------------------------------------------------- texts


@dataclass(frozen=True)
class Texts:
    """What is trained on.

    Attributes:
        kept: The texts that are neither too long nor without a learnt token.
        left_out: How many are.
        longest: The most tokens of a text; None: any number.
    """

    kept: Sequence[TokenisedText]
    left_out: int
    longest: int | None

    @property
    def tokens(self) -> int:
        """Return how many tokens are learnt."""
        return sum(sum(text.learnt[1:]) for text in self.kept)

    @property
    def lengths(self) -> list[int]:
        """Return the tokens of each text that pass through the network: all but the last."""
        return [len(text) - 1 for text in self.kept]

    def as_json(self) -> dict[str, Any]:
        """Return what a saved model tells of them."""
        return {
            "texts": len(self.kept),
            "left_out_as_too_long": self.left_out,
            "max_length": self.longest,
            "tokens_learnt": self.tokens,
        }


def within(texts: Sequence[TokenisedText], longest: int | None) -> Texts:
    """Return the texts of at most `longest` tokens, the others left out.

    Cutting them would teach an answer without its end, or one to a question that the network never meets in that form:
    when it writes, a conversation that is too long is refused as well.

    Raises:
        DataError: None is left.
    """
    kept = [text for text in texts if any(text.learnt[1:]) and (longest is None or len(text) <= longest)]
    if texts and not kept:
        shortest = min(map(len, texts))
        raise DataError(
            f"No example fits: the longest that the model may read are {longest} tokens, answer included, and the "
            f"shortest example has {shortest}. Shorten the texts, raise max_length, or use a model that reads more."
        )
    return Texts(kept, len(texts) - len(kept), longest)


def in_blocks(texts: Sequence[TokenisedText], longest: int) -> list[TokenisedText]:
    """Return texts cut into blocks of at most `longest` tokens; a block begins with the last token of the one before.

    So each token but the first of a text is predicted exactly once.
    """
    blocks = []
    for text in texts:
        for first in range(0, max(1, len(text) - 1), longest - 1):
            part = slice(first, first + longest)
            blocks.append(TokenisedText(text.ids[part], text.learnt[part]))
    return blocks


# -------------------------------------------------------------------------------------------------- network and loss


class CausalNetwork(Protocol):
    """What is used of a language model of transformers."""

    base_model: nn.Module

    def __call__(self, **inputs: Any) -> Any:
        """Return an object with ``logits``."""

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Compute attention in this way."""

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Mapping[str, Any]) -> None:
        """Let every layer compute its activations again on the way back."""

    def gradient_checkpointing_disable(self) -> None:
        """Let every layer keep its activations."""

    def get_output_embeddings(self) -> nn.Module:
        """Return the head: from vectors to scores of tokens."""


class Writing(nn.Module):
    """A causal language model that is asked about some places only.

    Attributes:
        module: The model, of transformers; adapters may have been put into it.
    """

    def __init__(self, module: nn.Module) -> None:
        """Wrap a language model in evaluation mode."""
        super().__init__()
        self.module = module
        self.head_is_plain = _head_is_plain(self.model)

    @property
    def model(self) -> CausalNetwork:
        """Return the model as what is used of it."""
        return cast("CausalNetwork", self.module)

    @property
    def head(self) -> nn.Module:
        """Return the layer that gives every token of the vocabulary its score."""
        return self.model.get_output_embeddings()

    def forward(self, input_ids: Tensor, places: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """Return what the model makes of some places, for `losses`.

        Args:
            input_ids: Shape (rows, length).
            places: Positions in the flattened rows, shape (places,).
            position_ids: Of the shape of `input_ids`, or None.

        Returns:
            Where nothing follows the head, what goes into it, shape (places, width); else scores, shape (places,
            vocabulary).
        """
        inputs = {"input_ids": input_ids, "use_cache": False}
        if position_ids is not None:
            inputs["position_ids"] = position_ids
        if self.head_is_plain:
            hidden: Tensor = self.model.base_model(**inputs).last_hidden_state
            return hidden.flatten(0, 1)[places]
        # The model does something to its scores (a cap, a scale). Let it, to those of these places only.
        hook = self.head.register_forward_pre_hook(lambda _, given: (given[0].flatten(0, 1)[places][None], *given[1:]))
        try:
            scores: Tensor = self.model(**inputs).logits
        finally:
            hook.remove()
        return scores[0]

    def loss(self, found: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy, summed over places.

        Args:
            found: From `forward`.
            targets: The token that follows each place, int64, shape (places,).
        """
        if not self.head_is_plain:
            return functional.cross_entropy(found.float(), targets, reduction="sum")
        head = self.head

        def of_part(part: Tensor, wanted: Tensor) -> Tensor:
            return functional.cross_entropy(head(part).float(), wanted, reduction="sum")

        size = max(1, _MOST_SCORES // n_tokens(self.module))
        if len(targets) <= size:
            return of_part(found, targets)
        # Scores are computed again on the way back: those of all places would take more memory than all layers.
        parts = zip(torch.split(found, size), torch.split(targets, size), strict=True)
        return torch.stack([checkpoint(of_part, *part, use_reentrant=False) for part in parts]).sum()


def n_tokens(module: nn.Module) -> int:
    """Return how many tokens a language model knows."""
    weight = cast("CausalNetwork", module).get_output_embeddings().weight
    return len(cast("Tensor", weight))


def next_tokens(network: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy of a `Writing`, summed over the tokens that are learnt: a `Loss`."""
    if batch.targets is None or not isinstance(network, Writing):
        raise ValueError("this loss needs targets and a Writing")
    return network.loss(network(**batch.inputs), batch.targets)


def batches(texts: Sequence[TokenisedText], *, pack: bool) -> Callable[[Sequence[int]], Batch]:
    """Return the function that builds the batch of some texts.

    Args:
        texts: Each with a learnt token behind its first.
        pack: Whether rows hold several texts.
    """
    ids = [np.array(text.ids, dtype=np.int64) for text in texts]
    # A token is predicted where the one before it stands, so the last is never read and the first never learnt.
    before = [np.flatnonzero(text.learnt[1:]) for text in texts]
    lay_out = packing.packed if pack else packing.padded

    def build(positions: Sequence[int]) -> Batch:
        rows = lay_out([ids[at][:-1] for at in positions])
        places = [start + before[at] for start, at in zip(rows.starts, positions, strict=True)]
        inputs = {"input_ids": rows.input_ids, _PLACES: torch.from_numpy(np.concatenate(places))}
        if rows.position_ids is not None:
            inputs["position_ids"] = rows.position_ids
        targets = torch.from_numpy(np.concatenate([ids[at][before[at] + 1] for at in positions]))
        return Batch(inputs, targets, len(targets))

    return build


def train(
    module: nn.Module,
    texts: Sequence[TokenisedText],
    *,
    plan: batching.Schedule,
    learning_rate: float,
    options: LoopOptions,
    checkpointing: bool,
    chance: float,
    context: FitContext,
) -> TrainingRecord:
    """Train what of a language model wants a gradient, in place.

    Args:
        module: Of transformers, adapters inside or not, training mode off; it is afterwards, too.
        texts: n texts, each with a learnt token behind its first.
        plan: How many steps, and how large.
        learning_rate: The highest rate.
        options: How the loop goes.
        checkpointing: Compute activations again on the way back instead of keeping them.
        chance: The loss of a network that has learnt nothing, see `loop.train`.
        context: Seed, device and so on.

    Raises:
        TrainingError: The training diverged.
    """
    # One that is cut is whole on the processor alone. Of several processes each has its own card.
    device = distributed.processes(context.device).device
    network = Writing(module if distributed.trains_in_shards() else module.to(device))
    pack = packing.together(network.model.base_model, n_tokens(module))
    on_gpu = torch.device(device).type == "cuda"
    if not on_gpu and context.precision == "bf16":
        # Of short texts torch's fused attention goes backward slowly on a processor: a quarter of a step's time.
        network.model.set_attn_implementation("eager")
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with _checkpointed(network.model, checkpointing), drawn_back(trained, options.keep):
        return loop.train(
            network,
            batching.shuffled_steps(
                [len(text) - 1 for text in texts],
                batch_size=plan.batch_size,
                steps=plan.steps,
                seed=context.seed,
                micro_batch_tokens=_GPU_TOKENS if on_gpu else batching.MICRO_BATCH_TOKENS,
            ),
            groups=[loop.Group(trained)],
            batch=batches(texts, pack=pack),
            loss=next_tokens,
            settings=options.settings(learning_rate),
            context=context,
            chance=chance,
        )


@contextmanager
def _checkpointed(model: CausalNetwork, wanted: bool) -> Iterator[None]:
    """Let every layer compute its activations again on the way back, if that is wanted."""
    if not wanted:
        yield
        return
    with warnings.catch_warnings():
        # The later name is unknown to earlier versions of transformers.
        warnings.filterwarnings("ignore", message="`gradient_checkpointing_", category=FutureWarning)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        yield
        model.gradient_checkpointing_disable()


def frequency_loss(texts: Sequence[TokenisedText]) -> float:
    """Return the mean loss of the answer that says the frequencies of tokens everywhere, in nats."""
    learnt = [token for text in texts for token, counts in zip(text.ids[1:], text.learnt[1:], strict=True) if counts]
    _, codes = np.unique(learnt, return_inverse=True)
    return losses.chance_loss(codes, int(codes.max()) + 1)


@torch.no_grad()
def untouched_loss(module: nn.Module, texts: Sequence[TokenisedText]) -> float:
    """Return the mean loss of a language model as it is on the first texts, in nats; no less than `frequency_loss`.

    A training that ends above it has made the model worse.
    """
    network = Writing(module)
    build = batches(texts, pack=False)
    found = [build([position]) for position in range(min(len(texts), _LOOKED_AT))]
    total = sum(float(next_tokens(network, each)) for each in found)
    return max(total / sum(each.units for each in found), frequency_loss(texts))


@torch.no_grad()
def _head_is_plain(model: CausalNetwork) -> bool:
    """Return whether the scores of a model are what its head makes of the vectors of its body."""
    head = model.get_output_embeddings()
    weight = cast("Tensor", head.weight)
    ids = torch.arange(1, 1 + _PROBE, device=weight.device)[None] % len(weight)
    found = model.base_model(input_ids=ids, use_cache=False)
    if not isinstance(vectors := found.get("last_hidden_state"), Tensor):  # the model is its own body
        return False
    wanted: Tensor = model(input_ids=ids, use_cache=False).logits
    return bool((head(vectors) - wanted).abs().max() <= _SAME * wanted.abs().max())
