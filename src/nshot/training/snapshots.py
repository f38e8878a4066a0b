"""Everything of a training that is a tensor, under names that a checkpoint keeps it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nshot.training.averaging import RunningAverage
from nshot.training.distributed import Processes


def weights(network: nn.Module, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """Return what a step changes in the network: what is trained, and what a forward pass counts."""
    trained = {f"parameter.{i}": parameter.detach() for i, parameter in enumerate(parameters)}
    return trained | {f"buffer.{name}": buffer.clone() for name, buffer in network.named_buffers()}


@torch.no_grad()
def take_weights(
    tensors: Mapping[str, Tensor], network: nn.Module, parameters: Sequence[nn.Parameter], processes: Processes
) -> None:
    """Put what `weights` returned, whole, back in its place."""
    for i, parameter in enumerate(parameters):
        parameter.copy_(processes.cut_like(tensors[f"parameter.{i}"], parameter))
    for name, buffer in network.named_buffers():
        buffer.copy_(tensors[f"buffer.{name}"])


def moments(
    optimiser: torch.optim.Optimizer, average: RunningAverage, parameters: Sequence[nn.Parameter]
) -> dict[str, Tensor]:
    """Return what the optimiser and the running average have gathered."""
    gathered = {f"average.{i}": mean for i, mean in enumerate(average.means)}
    for i, parameter in enumerate(parameters):
        state = optimiser.state.get(parameter, {})
        gathered |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
    return gathered


def take_moments(
    tensors: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    average: RunningAverage,
    parameters: Sequence[nn.Parameter],
    processes: Processes,
) -> None:
    """Give what `moments` returned, whole, to a new optimiser and a new average; its count is not among it."""
    means = []
    for i, parameter in enumerate(parameters):
        prefix = f"optimiser.{i}."
        own = {
            name: processes.cut_like(value, parameter).to(parameter.device)
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        if own:
            optimiser.state[parameter] = {name.removeprefix(prefix): value for name, value in own.items()}
        if f"average.{i}" in tensors:
            means.append(processes.cut_like(tensors[f"average.{i}"], parameter).to(parameter.device))
    average.means = means


def random_states(processes: Processes) -> dict[str, Tensor]:
    """Return the states of torch's random generators of every process."""
    own = {"cpu": torch.get_rng_state()}
    if torch.device(processes.device).type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(processes.device)
    return {
        f"random.{kind}.{index}": state
        for kind, each in own.items()
        for index, state in enumerate(processes.gathered(each))
    }


def take_random_states(tensors: Mapping[str, Tensor], processes: Processes) -> None:
    """Let this process draw on from where `random_states` found it."""
    torch.set_rng_state(tensors[f"random.cpu.{processes.index}"])
    if torch.device(processes.device).type == "cuda":
        torch.cuda.set_rng_state(tensors[f"random.cuda.{processes.index}"], processes.device)
