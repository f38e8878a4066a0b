"""The curve of a fine-tuning beside a loop written out here: torch's AdamW, one text at a time, no packing."""

import math

import pytest
import torch

from nshot.backbones import fake
from nshot.core import BackboneRef, Dataset, FitContext, Task, TaskKind
from nshot.methods.sft import Sft
from nshot.training import batching

STEPS = 50
RATE, WARMUP, DECAY, CLIP = 5e-3, 0.1, 0.01, 1.0
TEXTS = [f"{word} {number}" for number in range(10) for word in ("card", "rate", "the longest of the words")]
ANSWERS = [f"{text.split()[-1]}: {text.split()[0] * (1 + len(text) % 3)}." for text in TEXTS]


def curve_written_out() -> list[float]:
    source = fake.open(BackboneRef("fake/decoder"))
    module = source.causal_module().train()
    texts = source.conversations(TEXTS, ANSWERS)
    matrices = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE
    )
    rising = round(WARMUP * STEPS)
    steps = batching.shuffled_steps([len(text) - 1 for text in texts], batch_size=8, steps=STEPS, seed=7)
    losses = []
    for number, step in enumerate(steps, start=1):
        falling = (number - rising) / (STEPS + 1 - rising)
        factor = number / rising if number <= rising else 0.5 * (1 + math.cos(math.pi * falling))
        for group in optimiser.param_groups:
            group["lr"] = RATE * factor
        total, count = torch.zeros(()), 0
        for position in (at for part in step for at in part):
            ids, learnt = torch.tensor(texts[position].ids), torch.tensor(texts[position].learnt)
            scores = module(ids[None]).logits[0].log_softmax(-1)
            for place in range(1, len(ids)):
                if learnt[place]:
                    total = total - scores[place - 1, ids[place]]
                    count += 1
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(total.item() / count)
    return losses


def test_the_loss_of_each_step_is_that_of_a_loop_written_out() -> None:
    found: dict[int, float] = {}
    context = FitContext(
        lambda targets, prediction: 0.0, seed=7, track=lambda step, figures: found.update({step: figures["loss"]})
    )
    train = Dataset(TEXTS, targets=[(answer,) for answer in ANSWERS])
    method = Sft(learning_rate=RATE, batch_size=8, epochs=STEPS * 8 / len(TEXTS))

    method.fit(
        Task(TaskKind.GENERATE),
        train,
        train.without_targets(),
        fake.open(BackboneRef("fake/decoder")),
        context,
    )

    expected = curve_written_out()
    assert sorted(found) == list(range(1, STEPS + 1))
    assert expected[-1] < 0.6 * expected[0]
    assert [found[step] for step in sorted(found)] == pytest.approx(expected, rel=1e-3)
