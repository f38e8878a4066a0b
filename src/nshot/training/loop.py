"""The only training loop.

Full fine-tuning, adapters, contrastive learning, language modelling and training from scratch differ in three things
that are handed in: what is trainable (`Group`), how a batch is built, and what the loss is.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nshot.core import FitContext, OutOfMemoryError, TrainingError
from nshot.training.batching import Batch, Step
from nshot.training.losses import Loss

_STEPS_BETWEEN_CHECKS = 20
"""Looking at a number waits for the device: not at every step."""
_POINTS = 100
"""The most points of the loss curve that are kept."""
_FEWEST_STEPS_TO_JUDGE = 10
_LATE_SHARE = 0.1
_FEWEST_LATE_STEPS = 5
_AT_CHANCE = 0.98
"""A share of the chance loss that counts as having learnt nothing."""
_RESTART_FACTOR = 0.2
_DIVERGED = 1.5
"""A multiple of the chance loss that no run ends at unless its steps were far too long."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the optimiser goes.

    Attributes:
        learning_rate: The highest rate, reached at the end of the warm-up; a cosine leads from there to zero.
        weight_decay: Decoupled, on matrices only: neither on biases nor on the weights of a normalisation.
        warmup: Share of the steps in which the rate rises linearly.
        clip_norm: The longest gradient; a longer one is shortened.
    """

    learning_rate: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip_norm: float = 1.0


@dataclass(frozen=True)
class Group:
    """Parameters that are trained, and at which multiple of the learning rate."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0


@dataclass(frozen=True)
class TrainingRecord:
    """What a training took and how it went.

    Attributes:
        steps: Optimiser steps of the run that counts.
        examples_seen: Examples passed through the network, those of a run that was restarted included.
        seconds: Wall time of all steps.
        examples_per_second: `examples_seen` per second.
        losses: Mean loss per unit in at most 100 equal stretches of the run, in order.
        learning_rate: The highest rate of the run that counts.
        precision: ``fp32`` or ``bf16``: of the matrix products; weights and optimiser are always float32.
        restarts: How often the run was begun again because it had learnt nothing.
    """

    steps: int
    examples_seen: int
    seconds: float
    examples_per_second: float
    losses: tuple[float, ...]
    learning_rate: float
    precision: str
    restarts: int

    def as_json(self) -> dict[str, Any]:
        """Return the record json-able, without the two figures of the clock: a saved model is the same every time."""
        timed = {"seconds", "examples_per_second"}
        record = {name: value for name, value in asdict(self).items() if name not in timed}
        return {**record, "losses": list(self.losses)}


def train(
    network: nn.Module,
    plan: Sequence[Step],
    *,
    groups: Sequence[Group],
    batch: Callable[[Sequence[int]], Batch],
    loss: Loss,
    settings: TrainingSettings,
    context: FitContext,
    chance: float | None = None,
) -> TrainingRecord:
    """Train `network` in place; it is in evaluation mode afterwards.

    Weights and optimiser state are float32; with ``context.precision == "bf16"`` the matrix products are done in
    bf16 (autocast). The gradient of a step is that of the mean over all its units, however it is cut into
    micro-batches.

    Args:
        network: On the processor or already on ``context.device``.
        plan: The steps, from `batching`.
        groups: What is trainable; everything else keeps its value.
        batch: Builds the batch of some positions.
        loss: Sums over a batch.
        settings: How the optimiser goes.
        context: Seed, device, precision, threads and progress.
        chance: The mean loss of the best constant answer. A run whose loss stays there is begun again once, from the
            same weights at a fifth of the learning rate. None: no such answer is known, nothing is begun again.

    Raises:
        TrainingError: There is nothing to train on, or the training diverged.
        OutOfMemoryError: A micro-batch does not fit into the memory of the device.
    """
    if not plan:
        raise TrainingError("There is nothing to train on. Give at least one labelled example and one step.")
    network.to(context.device)
    with _threads(context.threads), _seeded(context), _memory_in_words():
        run = _Run(network, plan, groups, batch, loss, settings, context)
        return run.until_it_learns(chance)


def matrices_and_vectors(parameters: Sequence[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that weight decay applies to, and those (biases, scales) that it does not."""
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


@dataclass(frozen=True)
class _Run:
    network: nn.Module
    plan: Sequence[Step]
    groups: Sequence[Group]
    batch: Callable[[Sequence[int]], Batch]
    loss: Loss
    settings: TrainingSettings
    context: FitContext

    def until_it_learns(self, chance: float | None) -> TrainingRecord:
        started = time.perf_counter()
        parameters = [parameter for group in self.groups for parameter in group.parameters]
        rate = self.settings.learning_rate
        seen, restarts = 0, 0
        losses: list[float]
        before = [parameter.detach().clone() for parameter in parameters] if chance else []
        while True:
            losses, examples = self._once(rate, parameters, chance if not restarts else None)
            seen += examples
            if not chance or not _at_chance(losses, chance):
                break
            if restarts:
                if _late(losses) > _DIVERGED * chance:
                    raise TrainingError(
                        f"Training diverged: the loss ended at {_late(losses):.3g}, where a constant answer has "
                        f"{chance:.3g}. Lower learning_rate, which was {self.settings.learning_rate:g}."
                    )
                break
            restarts += 1
            rate *= _RESTART_FACTOR
            with torch.no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.copy_(value)
        seconds = time.perf_counter() - started
        return TrainingRecord(
            steps=len(losses),
            examples_seen=seen,
            seconds=seconds,
            examples_per_second=seen / seconds,
            losses=_thinned(losses),
            learning_rate=rate,
            precision=self.context.precision,
            restarts=restarts,
        )

    def _once(self, rate: float, parameters: list[nn.Parameter], chance: float | None) -> tuple[list[float], int]:
        """Return the loss of every step and the number of examples seen; half-way, a run at `chance` is left."""
        total = len(self.plan)
        optimiser, peaks = self._optimiser(rate)
        losses: list[float] = []
        unread: list[Tensor] = []
        seen = 0
        self.network.train()
        for number, step in enumerate(self.plan):
            factor = _rate_factor(number, total, self.settings.warmup)
            for options, peak in zip(optimiser.param_groups, peaks, strict=True):
                options["lr"] = peak * factor
            value = self._gradients(step)
            present = [parameter for parameter in parameters if parameter.grad is not None]
            norm = nn.utils.get_total_norm([p.grad for p in present if p.grad is not None])
            nn.utils.clip_grads_with_norm_(present, self.settings.clip_norm, norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            unread.append(torch.stack([value, norm]))
            seen += sum(map(len, step))
            if len(unread) == _STEPS_BETWEEN_CHECKS or number + 1 in (total // 2, total):
                losses += self._read(unread, len(losses), rate)
                unread = []
            self.context.progress(number + 1, total, "training")
            if chance and number + 1 == total // 2 and _at_chance(losses, chance):
                break
        self.network.eval()
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise self._diverged("a weight became infinite", total, rate)
        return losses, seen

    def _optimiser(self, rate: float) -> tuple[torch.optim.Optimizer, list[float]]:
        options: list[dict[str, Any]] = []
        for group in self.groups:
            matrices, vectors = matrices_and_vectors(group.parameters)
            for parameters, decay in ((matrices, self.settings.weight_decay), (vectors, 0.0)):
                if parameters:
                    options.append({"params": parameters, "lr": rate * group.rate, "weight_decay": decay})
        return torch.optim.AdamW(options, fused=True), [each["lr"] for each in options]

    def _gradients(self, step: Step) -> Tensor:
        """Add up the gradients of a step; return its mean loss."""
        kind = torch.device(self.context.device).type
        batches = [self.batch(positions).to(self.context.device) for positions in step]
        units = sum(each.units for each in batches)
        total = torch.zeros((), device=self.context.device)
        for each in batches:
            with torch.autocast(kind, torch.bfloat16, enabled=self.context.precision == "bf16"):
                value = self.loss(self.network, each) / units
            value.backward()  # type: ignore[no-untyped-call]
            total += value.detach()
        return total

    def _read(self, unread: list[Tensor], first: int, rate: float) -> list[float]:
        """Return the losses, or raise if a loss or the length of a gradient is not finite."""
        rows: list[list[float]] = torch.stack(unread).tolist()
        for number, (value, norm) in enumerate(rows):
            if not math.isfinite(value) or not math.isfinite(norm):
                what = f"the loss was {value}" if not math.isfinite(value) else f"the gradient was {norm}"
                raise self._diverged(what, first + number + 1, rate)
        return [value for value, _ in rows]

    def _diverged(self, what: str, step: int, rate: float) -> TrainingError:
        return TrainingError(
            f"Training diverged: {what} at step {step} of {len(self.plan)}, with learning_rate {rate:g} in "
            f"{self.context.precision}. Lower learning_rate, for example to {rate / 10:g}."
        )


def _rate_factor(step: int, steps: int, warmup: float) -> float:
    """Return the share of the highest rate at a step: a line up, then half a cosine down to almost zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (steps + 1 - rising)))


def _late(losses: Sequence[float]) -> float:
    count = max(_FEWEST_LATE_STEPS, round(_LATE_SHARE * len(losses)))
    late = losses[-count:]
    return sum(late) / len(late)


def _at_chance(losses: Sequence[float], chance: float) -> bool:
    """Return whether a run that was long enough to learn something has not."""
    return len(losses) >= _FEWEST_STEPS_TO_JUDGE and _late(losses) >= _AT_CHANCE * chance


def _thinned(losses: Sequence[float]) -> tuple[float, ...]:
    points = min(_POINTS, len(losses))
    edges = [round(i * len(losses) / points) for i in range(points + 1)]
    return tuple(sum(losses[a:b]) / (b - a) for a, b in itertools.pairwise(edges))


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """Compute with this many processor threads, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _seeded(context: FitContext) -> Iterator[None]:
    """Let the seed decide what dropout draws, and leave the global random state as it was."""
    device = torch.device(context.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        yield


@contextmanager
def _memory_in_words() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"The device has not enough memory for a training step ({str(error).splitlines()[0]}). "
            "Use a smaller backbone or a device with more memory."
        ) from None
