"""What each of several processes does in the test of training together: ``python together.py FOLDER``."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rings import CONTEXT, SETTINGS, Net, ring, run, weights

from nshot.training import checkpoints
from nshot.training.losses import chance_loss, cross_entropy


class Killed(BaseException):
    pass


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    found = {}
    told: list[tuple[str, int]] = []
    context = replace(
        CONTEXT,
        progress=lambda done, total, doing="": told.append(("progress", done)),
        track=lambda step, figures: told.append(("track", step)),
    )

    for name, micro_batch_tokens in (("one part a step", 4096), ("six parts a step", 3)):
        network, record = run(steps=45, context=context, micro_batch_tokens=micro_batch_tokens)
        found[name] = weights(network), record.as_json()
    found["told"] = list(told)

    # More processes than examples in a step: one of them has nothing to do, and takes the step all the same.
    points, codes = ring()
    network, record = run(steps=4, context=context, data=(points[:1], codes[:1]), batch_size=1)
    found["one example a step"] = weights(network), record.as_json()

    settings = replace(SETTINGS, learning_rate=30.0)
    network, record = run(steps=40, context=context, settings=settings, chance=chance_loss(codes, 2))
    found["begun again"] = weights(network), record.as_json()

    options = {"steps": 50, "settings": replace(SETTINGS, average=0.4)}
    network, record = run(Net(0.5), **options)
    found["whole"] = weights(network), record.as_json()
    kept = replace(CONTEXT, checkpoints=folder / "checkpoints")

    calls = []

    def stops(network, batch):
        calls.append(batch.units)
        if calls.count(8) == 35:  # its half of the 35th step
            raise Killed
        return cross_entropy()(network, batch)

    with contextlib.suppress(Killed):
        run(Net(0.5), context=kept, loss=stops, **options)
    done = []
    again = replace(kept, progress=lambda at, total, doing="": done.append(at))
    network, record = run(Net(0.5), context=again, **options)
    found["resumed"] = weights(network), record.as_json()
    found["done"] = done
    torch.save(found, folder / f"found-{os.environ['RANK']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
