"""How large a micro-batch may be where it is too late to cut smaller once the memory is full.

A graphics card says when it is full, and the loop then cuts smaller. Linux grants all memory that is asked for and
kills the process later, and of processes that hold shards of one network none can go back alone. There the need is
measured beforehand: what one example keeps for the backward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from nshot.core import OutOfMemoryError
from nshot.training.batching import Batch, Step

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_PEAK = 1.5
"""Peak of a micro-batch over what it keeps: measured 1.15 to 1.4 on a small BERT in fp32 and bf16, 16 to 250 tokens."""
_SCRATCH_BYTES = 200 << 20
"""What matrix libraries and the allocator take besides, whatever the micro-batch: measured 150 to 220 MB."""
_USABLE = 0.8
"""Share of the free memory that is counted on."""


def free_bytes(device: str = "cpu") -> int:
    """Return how much more memory this process can take on a device.

    On the processor it is that of the machine, or of the process's control group if less.
    """
    if torch.device(device).type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    free: int = psutil.virtual_memory().available
    return max(0, min([free, *_left_in_groups()]))


def most_entries(
    network: nn.Module,
    loss: Callable[[Batch], Tensor],
    batch: Callable[[Sequence[int]], Batch],
    longest: int,
    *,
    copies: int,
    trained: Sequence[Tensor],
    weights: Sequence[Tensor],
    device: str,
    neighbours: int,
    memory_bytes: int | None,
) -> int | None:
    """Return how many `Batch.entries` a micro-batch may have: a power of two; None: any number.

    What the network keeps for the backward pass is counted while it reads the longest example once and twice; the
    difference is what one more example costs, whatever a step costs anyway.

    Args:
        network: In training mode; buffers that a forward pass changes are put back.
        loss: Of `network`, in the precision of the training.
        batch: Builds the batch of some positions.
        longest: The position of the longest example: in attention a token costs the more, the longer its text is.
        copies: How many more times the memory of the trained parameters will be taken: gradients, optimiser, ....
        trained: What this process holds of what is trained.
        weights: What it holds of all weights.
        device: Where `network` is.
        neighbours: How many processes share what is free there, this one included.
        memory_bytes: How much memory the training may take in all, weights included; None: what is free now.

    Raises:
        OutOfMemoryError: There is not enough for the training, or for one example.
    """
    state = _SCRATCH_BYTES + copies * sum(parameter.nbytes for parameter in trained)
    if memory_bytes is None:
        room = _USABLE * free_bytes(device) / neighbours - state
    else:
        room = memory_bytes - state - sum(tensor.nbytes for tensor in weights)
    once, twice = batch([longest]), batch([longest, longest])
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    kept = [kept_for_backward(partial(loss, each)) for each in (once, twice)]
    for buffer, before in buffers:
        buffer.copy_(before)
    example = _PEAK * (kept[1] - kept[0])
    if room < max(0.0, example):
        raise OutOfMemoryError(
            f"Training needs about {_gigabytes(state + example)} besides the weights of the network, and there are "
            f"{_gigabytes(max(0.0, room + state))}. Use a smaller backbone, shorter texts, or lora."
        )
    if example <= 0:
        return None
    fitting = int(once.entries * room / example)
    return 1 << (max(1, fitting).bit_length() - 1)


def longest_example(plan: Sequence[Step], batch: Callable[[Sequence[int]], Batch]) -> int:
    """Return the position of the longest example of a plan."""
    last = {positions[-1]: None for step in plan for positions in step}
    return max(last, key=lambda position: batch([position]).entries)


def kept_for_backward(compute: Callable[[], Tensor]) -> int:
    """Return the bytes that `compute` keeps for its backward pass; what is kept several times counts once."""
    alive: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> None:
        # Alive until all is counted, so that no address is used twice; but never by the graph itself: a graph that
        # holds its own tensors is freed by nobody.
        alive[tensor.untyped_storage().data_ptr()] = tensor.detach()

    with saved_tensors_hooks(pack, _nothing_is_read_back):
        compute()
    return sum(tensor.untyped_storage().nbytes() for tensor in alive.values())


def _nothing_is_read_back(_: None) -> Tensor:
    raise RuntimeError("what was counted cannot be trained on")


def _left_in_groups() -> list[int]:
    """Return what the memory limits of this process's control groups leave, version 2 and version 1."""
    left = []
    with contextlib.suppress(OSError, ValueError):
        for line in _GROUPS.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if not controllers:
                root, limit, used = _MOUNT, "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root, limit, used = _MOUNT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            group = root / name.lstrip("/")
            # The limit of a group is also one for the groups below it; inside a container only the root is seen.
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    with contextlib.suppress(OSError, ValueError):  # "max", or not visible
                        reclaimable = _reclaimable(folder / "memory.stat")
                        left.append(int((folder / limit).read_text()) - int((folder / used).read_text()) + reclaimable)
    return left


def _reclaimable(statistics: Path) -> int:
    """Return the bytes of files that the system drops when memory is needed; they count as used."""
    for line in statistics.read_text().splitlines():
        name, value = line.split()
        if name == "inactive_file":
            return int(value)
    return 0


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
