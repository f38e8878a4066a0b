"""Learning by comparison: texts of one label are drawn together, all others in the step are pushed apart.

Every pair inside a step counts and none is written down, so that memory grows with the examples and not with their
pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from nshot.core import Embeds, Prediction, State, Task, UnsupportedError
from nshot.training import batching, distributed
from nshot.training.batching import MICRO_BATCH_TOKENS, Batch, Schedule, micro_batches
from nshot.training.head import LinearHead
from nshot.training.losses import Loss
from nshot.training.readout import Readout

if TYPE_CHECKING:
    from nshot.core import Example
    from nshot.training.rowwise import Array

_EPOCHS_AT_64 = 7.5
_FEWEST_PER_CLASS = 4
"""Examples of a class in a step, where the class has as many."""
_PART = "part{number}."


def schedule(n: int, *, epochs: float | None, batch_size: int) -> Schedule:
    """Return the steps for n examples; a step never has more than n.

    Args:
        n: Number of examples.
        epochs: About how often each is seen; None: 7.5 times at 64 examples, half as often for every 16 times more
            (4 at 770, 2 at 10,000), and never fewer than 30 steps.
        batch_size: The most examples in a step.
    """
    return batching.schedule(n, epochs=epochs, batch_size=batch_size, epochs_at_64=_EPOCHS_AT_64)


def balanced_steps(codes: Array, lengths: Sequence[int], *, plan: Schedule, seed: int) -> list[list[list[int]]]:
    """Return steps with the same number of examples of each of several classes, each step one micro-batch.

    Four of each class, or more where classes are few; fewer of a class that has no more. Classes and the examples of a
    class come in random order, all of them once before any comes again. Every step has at least two classes, one of
    them with two examples or more, whatever its size is to be.

    Args:
        codes: The class of each example, int64, shape (n,); at least two classes, one with two examples.
        lengths: The cost of each example in tokens, shape (n,).
        plan: How many steps, and how large.
        seed: The only source of chance.

    Returns:
        For every step its one micro-batch: positions in ascending order of length, no position twice.
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    paired = [code for code, rows in enumerate(members) if len(rows) > 1]
    each = max(_FEWEST_PER_CLASS, plan.batch_size // len(members))
    takes = [min(each, len(rows)) for rows in members]
    pairs, classes = _endless(paired, generator), _endless(range(len(members)), generator)
    examples = [_endless(rows.tolist(), generator) for rows in members]
    steps = []
    for _ in range(plan.steps):
        chosen = {first := next(pairs)}
        taken = takes[first]
        # With one class alone there would be nothing to push apart.
        while len(chosen) < 2 or (len(chosen) < len(members) and taken + max(takes) <= plan.batch_size):
            code = next(classes)
            taken += takes[code] if code not in chosen else 0
            chosen.add(code)
        # Sorted: the order in which a set hands out its members is nobody's promise.
        positions = [at for code in sorted(chosen) for at in _different(examples[code], takes[code])]
        steps.append([sorted(positions, key=lambda at: int(lengths[at]))])
    return steps


def comparable(codes: Array) -> bool:
    """Return whether there is anything to draw together and anything to push apart."""
    counts = np.bincount(codes)
    return len(counts) > 1 and bool((counts > 1).any())


def compared_batches(
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]], prepared: Sequence[Any], codes: Array
) -> Callable[[Sequence[int]], Batch]:
    """Return the function that builds a batch of examples for `InParts`.

    Args:
        collate: `Trains.collate` of the backbone.
        prepared: What `Trains.tokenize` returned, n items.
        codes: Examples with the same code belong together, int64, shape (n,).
    """
    targets = torch.as_tensor(codes)
    lengths = [len(item) for item in prepared]

    def build(positions: Sequence[int]) -> Batch:
        parts = micro_batches(positions, lengths, MICRO_BATCH_TOKENS)
        inputs = in_parts([collate([prepared[at] for at in part]) for part in parts])
        order = [at for part in parts for at in part]
        _, counts = np.unique(codes[order], return_counts=True)
        # Who has nobody to go with has no term of its own: the others are pushed away from it.
        return Batch(inputs, targets[order], int(counts[counts > 1].sum()))

    return build


def in_parts(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the keyword arguments of `InParts` for these batches of its encoder."""
    return {
        _PART.format(number=number) + name: value for number, part in enumerate(parts) for name, value in part.items()
    }


class InParts(nn.Module):
    """An encoder that reads a batch part by part, holding what the backward pass needs of one part at a time.

    The loss compares all examples of a step, so the step cannot be cut into micro-batches: instead all parts but the
    last are computed once more on the way back (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
    """

    def __init__(self, encoder: nn.Module) -> None:
        """Wrap an encoder that returns vectors, shape (batch, width).

        Raises:
            UnsupportedError: Networks are to be trained in shards: processes read in different numbers of parts, and
                the weights of a layer are gathered by all at once.
        """
        super().__init__()
        if distributed.trains_in_shards():
            raise UnsupportedError(
                "Training that compares all texts of a step does not work with FSDP. "
                "Launch without it: accelerate launch --multi_gpu -m nshot.cli fit ..., or choose another method."
            )
        self.encoder = encoder

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return the vectors of all parts one after the other, shape (batch, width); `inputs` are of `in_parts`."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in inputs.items():
            part, _, argument = name.partition(".")
            parts.setdefault(part, {})[argument] = value
        if len(parts) == 1:
            return torch.as_tensor(self.encoder(**next(iter(parts.values()))))
        return torch.cat([checkpoint(partial(self.encoder, **part), use_reentrant=False) for part in parts.values()])


def attraction(temperature: float) -> Loss:
    """Return the supervised contrastive loss of a network that answers with vectors.

    With unit vectors z, P(i) the others of i's label in the batch, A(i) all others:
    ``sum_i -1/|P(i)| sum_{p in P(i)} log(exp(z_i z_p / t) / sum_{a in A(i)} exp(z_i z_a / t))``.

    Source: Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2.

    Args:
        temperature: t: the smaller, the more the nearest others count.
    """

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        if batch.targets is None:
            raise ValueError("this loss needs targets")
        vectors = network(**batch.inputs).float()
        # Logarithms of sums of a few vectors: nothing to save with bf16, and its three digits would be too few.
        with torch.autocast(vectors.device.type, enabled=False):
            unit = functional.normalize(vectors, dim=-1)
            itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
            scores = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
            others = (batch.targets[:, None] == batch.targets[None, :]) & ~itself
            logarithms = torch.where(others, scores - scores.logsumexp(dim=1, keepdim=True), 0.0)
            return -(logarithms.sum(dim=1) / others.sum(dim=1).clamp(min=1)).sum()

    return loss


@dataclass(frozen=True)
class TunedProbe:
    """A linear head on an encoder that was trained by comparison.

    Attributes:
        task: What is asked.
        encoder: With the trained weights.
        head: Scores the classes.
        saved: Its state.
    """

    task: Task
    encoder: Embeds
    head: LinearHead
    saved: State

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label and probabilities of each example."""
        vectors = self.encoder.embed(examples) if len(examples) else np.zeros((0, self.encoder.width), np.float32)
        return self.head.answers(self.task, vectors)

    def readout(self) -> Readout:
        """Return the head as plain numbers."""
        head = self.head
        return Readout(self.encoder, head.coefficients, head.offsets, unit_length=False, classes=head.classes)

    def state(self) -> State:
        """Return what was trained."""
        return self.saved


def _endless(items: Sequence[int], generator: np.random.Generator) -> Iterator[int]:
    """Yield all items in a random order, then all in another, and so on."""
    while True:
        for at in generator.permutation(len(items)):
            yield items[at]


def _different(source: Iterator[int], count: int) -> list[int]:
    """Return the next `count` items that differ from each other."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[next(source)] = None
    return list(found)
