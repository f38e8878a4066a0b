"""The gradient of one step, added up over micro-batches that fit into the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from nshot.core import FitContext
from nshot.training.batching import Batch, Step
from nshot.training.distributed import Processes
from nshot.training.losses import Loss

_Part: TypeAlias = tuple[Sequence[int], Batch]


@dataclass
class Cut:
    """How far micro-batches are cut.

    Attributes:
        most_entries: What a micro-batch may have (`Batch.entries`), unless it is one example; None: as in the plan.
        halvings: How often that was halved because the device had not enough memory.
    """

    most_entries: int | None = None
    halvings: int = 0


class StepGradients:
    """Goes backward through the micro-batches of a step.

    Attributes:
        cut: May become finer on the way, never coarser.
    """

    def __init__(
        self,
        network: nn.Module,
        batch: Callable[[Sequence[int]], Batch],
        loss: Loss,
        trained: Sequence[nn.Parameter],
        context: FitContext,
        processes: Processes,
    ) -> None:
        self.network = network
        self.trained = trained
        self.batch = batch
        self.loss = loss
        self.context = context
        self.processes = processes
        self.cut = Cut()

    def add_up(self, step: Step) -> Tensor:
        """Leave the step's gradient in what is trained, which has none before; return the step's mean loss.

        With several processes both are this process's part, to be summed. The mean is over the units of the whole step,
        however it is cut.

        Raises:
            torch.OutOfMemoryError: A single example does not fit into the device's memory; in shards, a micro-batch.
        """
        parts = [part for positions in self.processes.share(step) for part in self._fitting(positions)]
        units = self.processes.units(sum(each.units for _, each in parts))
        idle = self.processes.idle(len(parts))
        while (value := self._backward(parts, units)) is None:
            parts = [part for positions, _ in parts for part in self._fitting(positions)]
        for _ in range(idle):
            (0.0 * self.loss_of(self.batch(step[0][:1]))).backward()  # type: ignore[no-untyped-call]
        return value

    def loss_of(self, batch: Batch) -> Tensor:
        """Return the sum of a batch's losses, in the precision of the training."""
        kind = torch.device(self.context.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.context.precision == "bf16"):
            return self.loss(self.network, batch.to(self.context.device))

    def _backward(self, parts: Sequence[_Part], units: int | Tensor) -> Tensor | None:
        """Return the loss, or None with no gradient where the memory did not hold a part: it has to be cut further."""
        total = torch.zeros((), device=self.context.device)
        for positions, each in parts:
            try:
                value = self.loss_of(each) / units
                value.backward()  # type: ignore[no-untyped-call]
            except torch.OutOfMemoryError:
                # The others cannot be told in the middle of a pass that all of them compute together.
                if len(positions) == 1 or self.processes.sharding:
                    raise
                self.cut.most_entries = (each.entries + 1) // 2
                self.cut.halvings += 1
                break
            total += value.detach()
        else:
            return total
        for parameter in self.trained:
            parameter.grad = None
        if total.is_cuda:
            torch.cuda.empty_cache()
        return None

    def _fitting(self, positions: Sequence[int]) -> list[_Part]:
        """Return the positions with their batch, in halves of halves as far as the cut asks for it."""
        each = self.batch(positions)
        if self.cut.most_entries is None or each.entries <= self.cut.most_entries or len(positions) == 1:
            return [(positions, each)]
        middle = len(positions) // 2
        return self._fitting(positions[:middle]) + self._fitting(positions[middle:])
