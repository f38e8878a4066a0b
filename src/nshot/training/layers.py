"""Where the layers of a network are."""

from __future__ import annotations

from torch import nn


def layers(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a network, which are those of its longest list of modules; none where it has no list."""
    stacks = [list(module) for module in network.modules() if isinstance(module, nn.ModuleList)]
    return max(stacks, key=len) if stacks else []
