"""A network that corrects principal components, trained for the error and the bits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nshot.training.codecs.components import Components
from nshot.training.codecs.quantised import ROUNDING

if TYPE_CHECKING:
    from nshot.core import FitContext
    from nshot.training.batching import Schedule
    from nshot.training.loop import TrainingSettings
    from nshot.training.rowwise import Array

LAMBDA = float(np.log(2.0)) / 6.0
"""What a bit may cost in squared error, in steps: with a uniform quantiser D = step^2 / 12 and R = h - log2(step), so
that -dD/dR = step^2 ln(2) / 6."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """Coefficients ``z = c + V relu(U c + u)`` of the components c in steps, and back ``c = z + W relu(T z + t)``.

    Attributes:
        components: The linear part.
        step: Of the linear part: one step of a component is 1 to the network.
        weights: ``down`` U (hidden, k), ``down_bias``, ``up`` V (k, hidden), and of the way back ``back_down``,
            ``back_down_bias``, ``back_up``; float32.
    """

    components: Components
    step: float
    weights: Mapping[str, Array]

    def analyse(self, tiles: Array) -> Array:
        """Return the coefficients, float64, shape (tiles, k), in steps."""
        own = self.weights
        linear = self.components.analyse(tiles) / self.step
        return np.asarray(linear + np.maximum(linear @ own["down"].T + own["down_bias"], 0.0) @ own["up"].T)

    def synthesise(self, coefficients: Array) -> Array:
        """Return the tiles, float64, shape (tiles, size), of coefficients in steps."""
        own = self.weights
        every = np.zeros((len(coefficients), len(self.components.axes)))
        every[:, : coefficients.shape[1]] = coefficients
        hidden = np.maximum(every @ own["back_down"].T + own["back_down_bias"], 0.0)
        return self.components.synthesise((every + hidden @ own["back_up"].T) * self.step)

    def drawn_back(self, share: float) -> Corrected:
        """Return the same with only this share of what the network adds: 0 leaves the components alone."""
        less = {name: (self.weights[name] * np.float32(share)).astype(np.float32) for name in ("up", "back_up")}
        return Corrected(self.components, self.step, {**self.weights, **less})

    def tensors(self) -> Mapping[str, Array]:
        """Return the components, the step and the network's weights."""
        own = self.components
        linear = {"mean": own.mean, "scale": own.scale, "axes": own.axes, "variances": own.variances}
        return {**linear, "linear_step": np.array([self.step]), **self.weights}

    @classmethod
    def restored(cls, tensors: Mapping[str, Array]) -> Corrected:
        """Return what `tensors` returned."""
        components = Components(*(tensors[name] for name in ("mean", "scale", "axes", "variances")))
        names = ("down", "down_bias", "up", "back_down", "back_down_bias", "back_up")
        return cls(components, float(tensors["linear_step"][0]), {name: tensors[name] for name in names})


def trained(
    components: Components,
    step: float,
    tiles: Array,
    *,
    hidden: int,
    schedule: Schedule,
    settings: TrainingSettings,
    context: FitContext,
) -> tuple[Corrected, dict[str, Any]]:
    """Return the components with a network beside them, and the record of its training.

    The network starts as nothing: with its last layers at zero, the codec is that of the components. It is trained for
    the squared error plus `LAMBDA` times the bits that the coefficients take under a Laplace distribution each, whose
    width is learnt too. The error is that of the rounded coefficients, the gradient passing as if nothing had been
    rounded; for the bits, uniform noise of one step stands for rounding (Ballé, Laparra and Simoncelli 2017,
    "End-to-end optimized image compression"; both at once: Minnen and Singh 2020, "Channel-wise autoregressive entropy
    models for learned image compression"). With noise in the error too, coefficients that are going to be zero disturb
    more than they say: 0.7 dB worse than the components alone on photographs.

    Args:
        components: Those that are used at this step.
        step: That the rate asks of the components alone.
        tiles: Shape (n, size).
        hidden: Width of the hidden layers.
        schedule: How many steps of how many tiles.
        settings: How the optimiser goes.
        context: Seed, device, threads and so on.
    """
    import torch

    from nshot.training import loop
    from nshot.training.batching import Batch

    linear = torch.from_numpy((components.analyse(tiles) / step).astype(np.float32))
    network = _network(linear, hidden, context.seed)

    def batch(positions: Sequence[int]) -> Batch:
        return Batch({"linear": linear[list(positions)]}, None, len(positions))

    def loss(module: torch.nn.Module, part: Batch) -> torch.Tensor:
        total: torch.Tensor = module(**part.inputs).sum()
        return total

    plan = schedule.plan([1] * len(linear), context.seed)
    groups = [loop.Group(list(network.parameters()))]
    record = loop.train(network, plan, groups=groups, batch=batch, loss=loss, settings=settings, context=context)
    weights = {
        name: value.detach().float().cpu().numpy() for name, value in network.named_parameters() if name != "width"
    }
    return Corrected(components, step, weights), record.as_json()


def _network(linear: Any, hidden: int, seed: int) -> Any:
    """Return the network that is trained; `linear` are coefficients in steps, shape (n, k)."""
    import torch
    from torch import nn

    size = linear.shape[1]
    generator = torch.Generator().manual_seed(seed)
    spread = 1.0 / float(np.sqrt(size * float(linear.square().mean()) + 1.0))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Parameter(torch.randn(hidden, size, generator=generator) * spread)
            self.down_bias = nn.Parameter(torch.zeros(hidden))
            self.up = nn.Parameter(torch.zeros(size, hidden))
            self.back_down = nn.Parameter(torch.randn(hidden, size, generator=generator) * spread)
            self.back_down_bias = nn.Parameter(torch.zeros(hidden))
            self.back_up = nn.Parameter(torch.zeros(size, hidden))
            self.width = nn.Parameter(linear.abs().mean(dim=0).clamp(min=0.05).log())

        def forward(self, linear: torch.Tensor) -> torch.Tensor:
            """Return of each tile its squared error in steps plus the price of its bits, shape (tiles,)."""
            exact = linear + (linear @ self.down.T + self.down_bias).relu() @ self.up.T
            whole = exact.sign() * (exact.abs() + ROUNDING).floor()
            written = exact + (whole - exact).detach()
            back = written + (written @ self.back_down.T + self.back_down_bias).relu() @ self.back_up.T
            noisy = exact + torch.rand_like(exact) - 0.5
            width = self.width.exp()
            likely = _below(noisy + 0.5, width) - _below(noisy - 0.5, width)
            bits = -likely.clamp(min=1e-9).log2()
            return (back - linear).square().sum(dim=1) + LAMBDA * bits.sum(dim=1)

    def _below(values: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
        """Return how likely a Laplace distribution of this width stays below the values."""
        tail = 0.5 * (-values.abs() / width).exp()
        return torch.where(values < 0, tail, 1.0 - tail)

    return Network()
