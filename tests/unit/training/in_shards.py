"""What each of several processes does in the test of training in shards: ``python in_shards.py FOLDER``."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import nshot
from nshot.training import checkpoints
from nshot.training.loop import Watch
from nshot.training.losses import chance_loss, cross_entropy
from nshot.training.sharding import own
from unit.training.rings import CONTEXT, SETTINGS, ring, run, weights

ROUNDS = {
    "one part a step": {"micro_batch_tokens": 4096},
    "six parts a step": {"micro_batch_tokens": 3},
    "uneven parts": {"micro_batch_tokens": 2, "batch_size": 5},
    "one example a step": {"data": tuple(each[:1] for each in ring()), "batch_size": 1},
    "averaged": {"settings": replace(SETTINGS, average=0.5)},
    "on a frozen layer": {"frozen": True},
}
"""Trainings by name: what each is told, apart from the steps."""
STEPS = 8
METHODS = {
    "fine-tuned": {
        "method": "full_finetune",
        "set": ("epochs=1", "layer_decay=0.8", "early_stopping=true", "keep=0.2"),
    },
    "lora": {"method": "lora", "set": ("epochs=2",)},
}
"""Fits by name.

The first looks at the network on its way, trains each layer at its own rate and draws the weights back; the second
leaves most of the network as it is.
"""


class Layered(nn.Module):
    """Three layers between two that are none, sizes that two processes cannot halve among them."""

    def __init__(self, dropout=0.0, frozen=False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(2, 15)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(15), nn.Linear(15, 15), nn.Tanh(), nn.Dropout(dropout)) for _ in range(3)
            )
            self.last = nn.Linear(15, 2)
        self.register_buffer("seen", torch.zeros(()))
        if frozen:
            self.layers[0].requires_grad_(False)

    def forward(self, x):
        if self.training:
            self.seen.add_(1)
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.last(x)


class Killed(BaseException):
    pass


def trained(frozen=False, **told):
    """Train a network of layers as `ROUNDS` says."""
    return run(Layered(frozen=frozen), steps=STEPS, **told)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    found = {}
    held = {}

    def count(optimiser, *_):
        trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        moments = [value for state in optimiser.state.values() for value in state.values() if value.ndim]
        held["weights"] = sum(own(parameter).nbytes for parameter in trained)
        held["moments"] = sum(own(value).nbytes for value in moments)

    hook = register_optimizer_step_post_hook(count)
    for name, told in ROUNDS.items():
        network, record = trained(**told)
        found[name] = weights(network), record.as_json()
        if name == "one part a step":
            found["held"] = dict(held)
            found["afterwards"] = {type(module).__name__ for module in network.modules()}, network.training
            found["state"] = {key: value.clone() for key, value in network.state_dict().items()}
    hook.remove()

    settings = replace(SETTINGS, learning_rate=1.0)
    network, record = run(Layered(), steps=20, settings=settings, chance=chance_loss(ring()[1], 2))
    found["begun again"] = weights(network), record.as_json()

    points = torch.from_numpy(ring()[0])

    def looking():
        seen = []
        watch = Watch(frozenset({3, 7, 16}), lambda network, step: seen.append((step, network(points).clone())))
        return {"steps": 16, "settings": replace(SETTINGS, average=0.4), "watch": watch}, seen

    options, found["seen whole"] = looking()
    network, record = run(Layered(0.5), **options)
    found["whole"] = weights(network), record.as_json()
    kept = replace(CONTEXT, checkpoints=folder / "checkpoints")
    calls = []

    def stops(network, batch):
        calls.append(batch.units)
        if calls.count(8) == 12:  # its half of the 12th step
            raise Killed
        return cross_entropy()(network, batch)

    # What is kept between forward and backward pass changes nothing of what comes out.
    os.environ["FSDP_SHARDING_STRATEGY"] = "SHARD_GRAD_OP"
    with contextlib.suppress(Killed):
        run(Layered(0.5), context=kept, loss=stops, **looking()[0])
    options, found["seen resumed"] = looking()
    found["done"] = done = []
    again = replace(kept, progress=lambda at, total, doing="": done.append(at))
    network, record = run(Layered(0.5), context=again, **options)
    found["resumed"] = weights(network), record.as_json()
    del os.environ["FSDP_SHARDING_STRATEGY"]
    for name in METHODS:
        fitted(folder, name, folder / name)
    torch.save(found, folder / f"found-{os.environ['RANK']}")


def fitted(folder, name, out):
    """Fit a method of `METHODS` to the rows in `folder`, with the encoder there."""
    given = {"backbone": str(folder / "tiny"), "precision": "fp32", "threads": 1}
    return nshot.fit(folder / "tickets.csv", out=out, **given, **METHODS[name])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
