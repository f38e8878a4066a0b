"""Which examples go into which optimiser step, and how a step is cut so that it fits into memory.

Steps hold a fixed number of examples; only how they are cut into micro-batches depends on their lengths, so that the
lengths of texts never change what a step averages over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import torch

MICRO_BATCH_TOKENS = 4096
"""Most tokens of a micro-batch, padding included: enough for the matrix units. In less memory the loop cuts further."""

_WINDOW_STEPS = 8
"""Steps among which examples are sorted by length."""
_FEWEST_WINDOWS = 4
"""Windows there must be in an epoch before anything is sorted: in fewer, the same examples would meet every time."""

_FEWEST_STEPS = 30

Step: TypeAlias = Sequence[Sequence[int]]
"""The micro-batches of one optimiser step, each a list of positions, the longest example last."""


@dataclass(frozen=True)
class Batch:
    """What one micro-batch hands to the loss.

    Attributes:
        inputs: Keyword arguments of the network.
        targets: Whatever the loss compares with; None where the inputs hold it.
        units: How many terms the loss sums: examples, or tokens that are predicted.
    """

    inputs: Mapping[str, torch.Tensor]
    targets: torch.Tensor | None
    units: int

    @property
    def entries(self) -> int:
        """Return how many numbers the largest input holds: with token ids the tokens, padding included.

        The largest and not all of them: a network that is given a batch in parts holds one part at a time.
        """
        return max((value.numel() for value in self.inputs.values()), default=self.units)

    def to(self, device: str) -> Batch:
        """Return the batch on a device; the same batch where it lies there already."""
        if device == "cpu":
            return self
        targets = None if self.targets is None else _moved(self.targets, device)
        return Batch({name: _moved(value, device) for name, value in self.inputs.items()}, targets, self.units)


@dataclass(frozen=True)
class Schedule:
    """How many examples a fit passes through the network; follows from the number of labels alone.

    Attributes:
        batch_size: Examples in a step.
        steps: Number of steps.
    """

    batch_size: int
    steps: int

    @property
    def examples(self) -> int:
        """Return the examples of all steps."""
        return self.batch_size * self.steps

    def plan(self, lengths: Sequence[int], seed: int) -> list[Step]:
        """Return the steps for examples of these lengths, shape (n,)."""
        return shuffled_steps(lengths, batch_size=self.batch_size, steps=self.steps, seed=seed)


def schedule(n: int, *, epochs: float | None, batch_size: int, epochs_at_64: float = 15) -> Schedule:
    """Return the steps for n examples; a batch is never larger than n.

    Args:
        n: Number of examples.
        epochs: Passes over them; None: `epochs_at_64` at 64 examples, half as many for every 16 times more (of 15: 8 at
            770, 4 at 10,000), and never fewer than 30 steps.
        batch_size: Examples in a step, where there are as many.
        epochs_at_64: See `epochs`.
    """
    if n == 0:
        return Schedule(batch_size, 0)
    batch = min(batch_size, n)
    if epochs is not None:
        return Schedule(batch, max(1, math.ceil(epochs * n / batch)))
    usual = epochs_at_64 * (64 / n) ** 0.25
    return Schedule(batch, max(_FEWEST_STEPS, math.ceil(usual * n / batch)))


def shuffled_steps(
    lengths: Sequence[int],
    *,
    batch_size: int,
    steps: int,
    seed: int,
    micro_batch_tokens: int = MICRO_BATCH_TOKENS,
) -> list[Step]:
    """Return `steps` steps of `batch_size` examples: every example once in a random order, then again, ....

    Where there are many examples, they are sorted by length inside windows of a few steps, and the steps of a window
    are shuffled: texts of one length need no padding. What meets what changes from epoch to epoch.

    Args:
        lengths: The cost of each example in tokens, shape (n,), n > 0.
        batch_size: Examples in a step; may be larger than n.
        steps: How many steps.
        seed: The only source of chance.
        micro_batch_tokens: The most tokens in a micro-batch, padding included; one example may be longer.
    """
    generator = np.random.default_rng(seed)
    costs = np.asarray(lengths, dtype=np.int64)
    n, wanted = len(costs), steps * batch_size
    epochs = [generator.permutation(n) for _ in range(-(-wanted // n))]
    order = np.concatenate(epochs)[:wanted] if epochs else np.zeros(0, dtype=np.int64)
    window = batch_size * _WINDOW_STEPS
    by_step = order.reshape(steps, batch_size)
    if n >= _FEWEST_WINDOWS * window:
        for first in range(0, steps, _WINDOW_STEPS):
            part = by_step[first : first + _WINDOW_STEPS]
            flat = part.reshape(-1)
            by_length = flat[np.argsort(costs[flat], kind="stable")].reshape(part.shape)
            by_step[first : first + _WINDOW_STEPS] = by_length[generator.permutation(len(part))]
    return [micro_batches(step.tolist(), costs, micro_batch_tokens) for step in by_step]


def micro_batches(positions: Sequence[int], lengths: Any, most_tokens: int) -> list[list[int]]:
    """Return the positions sorted by length and cut so that each part, padded, has at most `most_tokens` tokens."""
    parts: list[list[int]] = []
    for position in sorted(positions, key=lambda at: int(lengths[at])):
        # Sorted upwards, the newcomer is the longest: it decides how far all of its part would be padded.
        if parts and (len(parts[-1]) + 1) * int(lengths[position]) <= most_tokens:
            parts[-1].append(position)
        else:
            parts.append([position])
    return parts


def labelled_batches(
    collate: Callable[[Sequence[Any]], Mapping[str, torch.Tensor]], prepared: Sequence[Any], codes: Any
) -> Callable[[Sequence[int]], Batch]:
    """Return the function that builds a batch of examples with their classes.

    Args:
        collate: `Trains.collate` of the backbone.
        prepared: What `Trains.tokenize` returned, n items.
        codes: The class of each example, int64, shape (n,).
    """
    import torch

    targets = torch.as_tensor(codes)

    def build(positions: Sequence[int]) -> Batch:
        return Batch(collate([prepared[at] for at in positions]), targets[list(positions)], len(positions))

    return build


def _moved(value: torch.Tensor, device: str) -> torch.Tensor:
    if device.startswith("cuda"):
        # From pinned memory the copy runs beside what the device still computes; from other memory it would wait.
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)
