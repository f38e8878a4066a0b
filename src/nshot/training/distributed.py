"""Several processes that train one network together, each on its share of every step.

Every process has the same plan, and holds the whole network or, with FSDP, a shard of it. It goes backward through its
share of a step's micro-batches; the gradients are added up over all processes, so that all take the same step. The
processes are those of ``accelerate launch`` or ``torchrun``; with one process nothing here costs anything, and
accelerate is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nshot.core import TrainingError, UnsupportedError
from nshot.training import sharding
from nshot.training.sharding import Sharding

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nshot.training.batching import Step

_BUCKET_ENTRIES = 1 << 23
"""Gradients are sent in pieces of about this many numbers: 32 MiB."""


def is_main_process() -> bool:
    """Return whether this process is the one that reports and writes; with one process it is."""
    return int(os.environ.get("RANK", "0")) == 0


def launched() -> int:
    """Return how many processes were launched together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def trains_in_shards() -> bool:
    """Return whether a network that is trained is cut, every process holding a part of it.

    Raises:
        UnsupportedError: It was asked for in a way that is not supported.
    """
    return launched() > 1 and sharding.asked() is not None


@dataclass(frozen=True)
class Processes:
    """The processes of a training; on its own, the only one.

    Attributes:
        device: The torch device of this process.
        count: How many there are.
        index: Which one this is, from 0.
        neighbours: How many of them share the memory that this one trains in.
        sharding: How networks are cut; None: every process holds the whole network.
    """

    device: str
    count: int = 1
    index: int = 0
    neighbours: int = 1
    sharding: Sharding | None = None

    def share(self, step: Step) -> list[Sequence[int]]:
        """Return the micro-batches of a step that this process computes; over all processes they are the step.

        Of as many micro-batches as there are processes, each gets one whole; those that are left over are dealt out
        example by example, so that lengths are even too. A process may be left with none.
        """
        if self.count == 1:
            return list(step)
        whole = len(step) - len(step) % self.count
        mine = list(step[self.index : whole : self.count])
        dealt = 0
        for part in step[whole:]:
            hand = part[(self.index - dealt) % self.count :: self.count]
            if hand:
                mine.append(hand)
            dealt += len(part)
        return mine

    def units(self, own: int) -> int | Tensor:
        """Return the units of a step over all processes, at least 1: a step without any has no gradient."""
        if self.count == 1:
            return max(1, own)
        import torch

        return self.summed(torch.tensor(float(own), device=self.device)).clamp(min=1.0)

    def idle(self, passes: int) -> int:
        """Return how many times this process has to go through the network for others alone, with nothing to learn.

        Shards are gathered by all processes at once, so all go as often as the one with the most micro-batches.

        Args:
            passes: Micro-batches of this process in a step.
        """
        if self.sharding is None:
            return 0
        import torch

        most = torch.tensor(passes, device=self.device)
        torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
        return int(most) - passes

    def summed(self, value: Tensor) -> Tensor:
        """Return the sum of `value` over all processes; `value` may be changed."""
        if self.count > 1:
            import torch.distributed

            torch.distributed.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Let every process have the sum of all processes' gradients; a missing one counts as zero.

        What has a gradient in no process keeps none: it is not trained. Those of shards are added up already.
        """
        if self.count == 1 or self.sharding:
            return
        import torch

        for bucket in _buckets(parameters):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            present = torch.tensor([float(p.grad is not None) for p in bucket], device=self.device)
            flat = self.summed(torch.cat([*(gradient.reshape(-1) for gradient in gradients), present]))
            sizes = [p.numel() for p in bucket]
            *pieces, found = torch.split(flat, [*sizes, len(bucket)])
            for parameter, piece, count in zip(bucket, pieces, found.tolist(), strict=True):
                parameter.grad = piece.view_as(parameter) if count else None

    def copy_from_main(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors by those of the main process."""
        if self.count > 1:
            import torch.distributed

            for tensor in tensors:
                sent = tensor.detach().to(self.device)
                torch.distributed.broadcast(sent, src=0)
                tensor.detach().copy_(sent)

    def main_says(self, answer: bool) -> bool:
        """Return the main process's answer."""
        if self.count == 1:
            return answer
        import torch

        said = torch.tensor(float(answer), device=self.device)
        self.copy_from_main([said])
        return bool(said)

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each process, of one shape, on the processor."""
        if self.count == 1:
            return [tensor]
        import torch

        own = tensor.to(self.device)
        every = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(every, own)
        return [each.cpu() for each in every]

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a tensor put together from all shards, for which every process has to ask."""
        return sharding.whole(tensor) if self.sharding else tensor

    def whole_in_main(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors for the main process to write: shards put together, on the processor, in it alone."""
        if self.sharding is None:
            return dict(tensors)
        together: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            value = sharding.whole(tensor)
            if self.index == 0:
                together[name] = value.cpu()
        return together

    def own(self, tensor: Tensor) -> Tensor:
        """Return what this process holds of a tensor."""
        return sharding.own(tensor) if self.sharding else tensor

    def cut_like(self, tensor: Tensor, other: Tensor) -> Tensor:
        """Return a whole tensor, which every process has, cut as `other` is."""
        return sharding.cut_like(tensor, other) if self.sharding else tensor


def processes(device: str) -> Processes:
    """Return the processes that were launched together, connected.

    Args:
        device: A torch device name; of several graphics cards, each process has its own.

    Raises:
        UnsupportedError: They were launched in a way that is not supported.
        TrainingError: They cannot be connected.
    """
    if launched() == 1:
        return Processes(device)
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in {"1", "true"}:
        raise UnsupportedError(
            "Training with DeepSpeed is not supported. Launch with accelerate launch --use_fsdp -m nshot.cli fit ... "
            "for a network in shards, or --multi_gpu where one device holds it; on processors with "
            "torchrun --nproc_per_node 2 -m nshot.cli fit ..."
        )
    cut = sharding.asked()
    import torch
    from accelerate import PartialState

    kind = torch.device(device).type
    try:
        state = PartialState(cpu=kind == "cpu")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"The processes that train together cannot be connected: {error}") from None
    if state.num_processes == 1 or state.device.type != kind:
        raise TrainingError(
            f"{launched()} processes were launched to train on {kind}, and accelerate connected "
            f"{state.num_processes} on {state.device.type}. Give --device {state.device.type}, or launch one process."
        )
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes)) if kind == "cpu" else 1
    return Processes(str(state.device), state.num_processes, state.process_index, neighbours, cut)


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    buckets: list[list[nn.Parameter]] = []
    entries = _BUCKET_ENTRIES
    for parameter in parameters:
        if entries >= _BUCKET_ENTRIES:
            buckets.append([])
            entries = 0
        buckets[-1].append(parameter)
        entries += parameter.numel()
    return buckets
