"""A small network that learns to fill in hidden values of usual rows: what it draws badly is strange.

Without hidden values a network that is wide enough learns to copy everything, what is strange too.

Source: Vincent, Larochelle, Bengio and Manzagol 2008, Extracting and Composing Robust Features with Denoising
Autoencoders; the error of reconstruction as a score is that of Hawkins et al. 2002, Outlier Detection Using Replicator
Neural Networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nshot.training.outliers.detector import Detector
from nshot.training.outliers.scaling import Scaling
from nshot.training.rowwise import products

if TYPE_CHECKING:
    import torch

    from nshot.core import FitContext
    from nshot.training.batching import Batch, Schedule
    from nshot.training.loop import TrainingRecord, TrainingSettings
    from nshot.training.rowwise import Array

_FURTHEST = 10.0
"""Spreads from the centre at which a value is cut before it is read: a single row must not decide the weights."""


@dataclass(frozen=True)
class Autoencoder(Detector):
    """Four layers ``x -> W x + b`` with negative results cut to 0 in between, which give back scaled columns.

    Attributes:
        centre: Of the columns, shape (width,), float64.
        spread: Shape (width,), float64.
        weights_1: W of the first layer, float32, shape (outputs, inputs); those of the others follow.
        offsets_1: b of the first layer, float32, shape (outputs,); those of the others follow.
    """

    centre: Array
    spread: Array
    weights_1: Array
    offsets_1: Array
    weights_2: Array
    offsets_2: Array
    weights_3: Array
    offsets_3: Array
    weights_4: Array
    offsets_4: Array

    def scores(self, vectors: Array) -> Array:
        """Return the mean squared difference between a row and what is drawn of it; see `Detector.scores`."""
        scaled = Scaling(self.centre, self.spread).applied(vectors)
        one = products(np.clip(scaled, -_FURTHEST, _FURTHEST), self.weights_1, self.offsets_1)
        two = products(np.maximum(one, 0.0), self.weights_2, self.offsets_2)
        three = products(np.maximum(two, 0.0), self.weights_3, self.offsets_3)
        drawn = products(np.maximum(three, 0.0), self.weights_4, self.offsets_4)
        return np.asarray(np.square(scaled - drawn).mean(axis=1))


def trained(
    vectors: Array,
    *,
    widths: tuple[int, int],
    hidden: float,
    schedule: Schedule,
    settings: TrainingSettings,
    context: FitContext,
) -> tuple[Autoencoder, TrainingRecord]:
    """Return an autoencoder for vectors of shape (n, width), n > 0, and how its training went.

    Args:
        vectors: What is usual, for the most part.
        widths: Of the first layer and of the bottleneck.
        hidden: The share of values that is hidden from it at each step.
        schedule: How many rows are learnt from in a step, and how many steps there are.
        settings: How the optimiser goes.
        context: As in `FitContext`.
    """
    import torch

    from nshot.training.batching import Batch
    from nshot.training.loop import Group, train

    scaling = Scaling.of(vectors)
    rows = torch.as_tensor(np.clip(scaling.applied(vectors), -_FURTHEST, _FURTHEST).astype(np.float32))
    network = _network(rows.shape[1], widths, hidden, context.seed)

    def batch(positions: Sequence[int]) -> Batch:
        part = rows[list(positions)]
        return Batch({"rows": part}, part, len(part))

    record = train(
        network,
        schedule.plan([1] * len(rows), context.seed),
        groups=[Group(list(network.parameters()))],
        batch=batch,
        loss=_difference,
        settings=settings,
        context=context,
    )
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    learnt = {}
    for number, layer in enumerate(layers, start=1):
        learnt[f"weights_{number}"] = layer.weight.detach().cpu().numpy()
        learnt[f"offsets_{number}"] = layer.bias.detach().cpu().numpy()
    return Autoencoder(scaling.centre, scaling.spread, **learnt), record


def _network(width: int, widths: tuple[int, int], hidden: float, seed: int) -> torch.nn.Module:
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first, narrow = widths
            sizes = (width, first, narrow, first, width)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            drawn = rows * (torch.rand_like(rows) >= hidden) if self.training else rows
            for number, layer in enumerate(self.layers):
                drawn = layer(drawn.relu() if number else drawn)
            return drawn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network()


def _difference(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    drawn: torch.Tensor = network(**batch.inputs).float()
    return (drawn - batch.inputs["rows"]).square().mean(dim=1).sum()
