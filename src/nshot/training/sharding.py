"""A network in shards: every process holds its part of the weights, of their gradients and of the optimiser's state.

PyTorch's FSDP gathers the weights of a layer where the layer is computed and lets go of them behind it. So a network
can be trained that does not fit into one device beside the state of its optimiser. What trains is a copy of the
network's structure; the network itself is empty meanwhile, and whole and ordinary again afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nshot.core import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor, nn

_SETTINGS = {
    "FSDP_SHARDING_STRATEGY": ("full_shard", "1", "shard_grad_op", "2"),
    "FSDP_RESHARD_AFTER_FORWARD": ("true", "full_shard", "1", "false", "shard_grad_op", "2"),
    "FSDP_OFFLOAD_PARAMS": ("false",),
    "FSDP_ACTIVATION_CHECKPOINTING": ("false",),
    "FSDP_AUTO_WRAP_POLICY": ("transformer_based_wrap",),
}
"""The values that are taken of what accelerate passes on in the environment, the usual ones first. Settings that it
passes on beside these decide how wide FSDP's own loading, saving and prefetching go, and are not read."""
_KEPT = ("false", "shard_grad_op", "2")


@dataclass(frozen=True)
class Sharding:
    """How networks are cut: the weights of each layer, and of all that is in no layer, dealt to all processes.

    Attributes:
        regathered: Whether the weights of a layer are gathered once more for the backward pass instead of being kept.
    """

    regathered: bool = True

    @contextmanager
    def shards(
        self, network: nn.Module, device: str, count: int
    ) -> Iterator[tuple[nn.Module, dict[int, nn.Parameter]]]:
        """Yield what computes like `network` from shards on `device`, and its parameters by the id of `network`'s.

        Gradients are those of the sum of all processes' losses. They are added up in every backward pass: adding them
        in the last one of a step would be quicker, and would keep the gradients of all weights whole until then.

        Args:
            network: The same in every process. Its tensors are empty meanwhile, and afterwards where they were before,
                with the values that the shards ended with.
            device: Of this process.
            count: Of the processes.

        Raises:
            UnsupportedError: It has weights that cannot be cut.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.tensor import DTensor

        from nshot.training.layers import layers

        if any(not parameter.is_floating_point() or not parameter.ndim for parameter in network.parameters()):
            raise UnsupportedError(
                "FSDP cuts tensors of floating-point numbers, and this network has others: single numbers, or weights "
                "held in fewer bits. Launch without --use_fsdp: accelerate launch --multi_gpu -m nshot.cli fit ..."
            )
        tensors = [*network.parameters(), *network.buffers()]
        homes = [tensor.device for tensor in tensors]
        # A copy of the structure alone: it has the same tensors.
        copied = deepcopy(network, {id(tensor): tensor for tensor in tensors})
        mesh = init_device_mesh(device.partition(":")[0], (count,))
        for unit in [*dict.fromkeys(layers(copied)), copied]:
            uncut = [parameter for parameter in unit.parameters() if not isinstance(parameter, DTensor)]
            # What is in no layer is needed on both sides of all layers.
            cut = fully_shard(unit, mesh=mesh, reshard_after_forward=self.regathered and unit is not copied)
            cut.set_gradient_divide_factor(1.0)
            cut.set_force_sum_reduction_for_comms(True)  # gloo knows no other
            for parameter in uncut:
                parameter.data = parameter.data.new_empty(0)
        copied.register_forward_hook(_let_go)
        parts = [*copied.parameters(), *copied.buffers()]
        yield copied, dict(zip(map(id, network.parameters()), copied.parameters(), strict=True))
        for tensor, home, part in zip(tensors, homes, parts, strict=True):
            tensor.data = whole(part).to(home)


def asked() -> Sharding | None:
    """Return how ``accelerate launch --use_fsdp`` asked for shards, None where it did not.

    Raises:
        UnsupportedError: It asked for something that is not supported.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() not in {"1", "true"}:
        return None
    for name, taken in _SETTINGS.items():
        value = os.environ.get(name, taken[0])
        if value.lower() not in taken:
            raise UnsupportedError(f"--{name.lower()} {value} is not supported. Known: {', '.join(taken)}.")
    first = os.environ.get("FSDP_VERSION", "1") == "1"
    deciding = os.environ.get("FSDP_SHARDING_STRATEGY" if first else "FSDP_RESHARD_AFTER_FORWARD", "true")
    return Sharding(regathered=deciding.lower() not in _KEPT)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from the shards of all processes, each of which has to ask."""
    from torch.distributed.tensor import DTensor

    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def own(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor."""
    from torch.distributed.tensor import DTensor

    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


def cut_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor, which every process has, cut as `other` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def _let_go(network: nn.Module, inputs: object, output: object) -> None:
    """Let go of what was gathered for a look: no backward pass follows that would, and the shards may change."""
    import torch
    from torch.distributed.fsdp import FSDPModule

    if not torch.is_grad_enabled():
        for module in network.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
