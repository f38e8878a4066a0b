"""A training small enough for any test; as a program: ``python rings.py OUT CHECKPOINTS STEPS DROPOUT``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nshot.core import FitContext
from nshot.training import checkpoints
from nshot.training.batching import labelled_batches, shuffled_steps
from nshot.training.loop import Group, TrainingSettings, train
from nshot.training.losses import cross_entropy

CONTEXT = FitContext(objective=lambda targets, prediction: 0.0, seed=3)
SETTINGS = TrainingSettings(learning_rate=0.05)


class Net(nn.Module):
    """Two layers on two numbers; the middle has a normalisation, so that there are weights of every kind."""

    def __init__(self, dropout=0.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(2, 16)
            self.norm = nn.LayerNorm(16)
            self.drop = nn.Dropout(dropout)
            self.last = nn.Linear(16, 2)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.norm(self.first(x)))))


def ring(n=64):
    """Points inside a circle against points outside: no line parts them."""
    points = np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)
    return points, (np.square(points).sum(1) > 1.4).astype(np.int64)


def run(
    network=None,
    *,
    steps=60,
    settings=SETTINGS,
    context=CONTEXT,
    data=None,
    micro_batch_tokens=4096,
    loss=None,
    chance=None,
    rates=(1.0,),
    watch=None,
    batch_size=16,
):
    network = network or Net()
    points, codes = data or ring()
    plan = shuffled_steps(
        [1] * len(points), batch_size=batch_size, steps=steps, seed=context.seed, micro_batch_tokens=micro_batch_tokens
    )
    batch = labelled_batches(lambda items: {"x": torch.from_numpy(np.stack(items))}, list(points), codes)
    groups = [Group(list(network.parameters()), rate) for rate in rates]
    record = train(
        network,
        plan,
        groups=groups,
        batch=batch,
        loss=loss or cross_entropy(),
        settings=settings,
        context=context,
        chance=chance,
        watch=watch,
    )
    return network, record


def is_whole(batch):
    """Return whether this is a step, and not one of the examples on which the need of memory is measured."""
    return batch.units == 16


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def main(out: str, folder: str, steps: str, dropout: str) -> None:
    """Train with checkpoints all the time; print every step that is done, and write weights and losses."""
    torch.set_num_threads(1)
    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.02
    context = replace(
        CONTEXT,
        checkpoints=Path(folder),
        progress=lambda done, total, doing="": print(done, flush=True),
    )
    settings = replace(SETTINGS, average=0.5)
    network, record = run(
        Net(float(dropout)), steps=int(steps), context=context, settings=settings, micro_batch_tokens=5
    )
    torch.save([weights(network), record.losses], out)


if __name__ == "__main__":
    main(*sys.argv[1:])
