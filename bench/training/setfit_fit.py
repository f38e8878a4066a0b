"""One fit of SetFit, in an environment of its own; `against_setfit.py` starts it.

    PYTHON setfit_fit.py JOB.json ANSWER.json

The job: ``model`` (folder), ``texts``, ``labels``, ``test`` (texts), ``iterations``, ``seed``, ``threads`` and
``stretch_seconds`` (leave the training after so long and answer nothing; null: train to the end). Everything else is
SetFit's default. The answer: ``labels`` of the test texts (none after a stretch), ``seconds`` (pairs, training and
head; loading left out) and ``facts``: pairs of the whole run and pairs seen, pairs per second while training, the pairs
that its own default would make of these rows, and versions.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from setfit.sampler import ContrastiveDataset
from transformers import TrainerCallback


class Stretch(TrainerCallback):
    """Notes when training begins and where it is; ends it after so many seconds."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.steps = 0
        self.first = self.last = 0.0

    def on_step_end(self, args: object, state: object, control: object, **more: object) -> None:
        """Count the step; stop after the last second."""
        self.last = time.perf_counter()
        if not self.steps:
            self.first = self.last
        self.steps += 1
        if self.seconds is not None and self.last - self.first > self.seconds:
            control.should_training_stop = True


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    model = SetFitModel.from_pretrained(job["model"])
    model.model_body.encode(["warm"], show_progress_bar=False)
    rows = Dataset.from_dict({"text": job["texts"], "label": job["labels"]})
    stretch = Stretch(job["stretch_seconds"])
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_iterations=job["iterations"],
            seed=job["seed"],
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        started = time.perf_counter()
        trainer = Trainer(model=model, args=settings, train_dataset=rows)
        trainer.add_callback(stretch)
        if stretch.seconds is None:
            trainer.train()
        else:
            trainer.train_embeddings(*trainer.dataset_to_parameters(rows), args=settings)
        seconds = time.perf_counter() - started
    facts = {
        "pairs": pairs(job, job["iterations"]),
        "pairs_seen": stretch.steps * settings.embedding_batch_size,
        "pairs_per_second": (stretch.steps - 1) * settings.embedding_batch_size / (stretch.last - stretch.first),
        "default_pairs": pairs(job, None),
        "versions": {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch")},
    }
    labels = []
    if stretch.seconds is None:
        labels = [str(label) for label in model.predict(job["test"], show_progress_bar=False)]
    answer = {"labels": labels, "seconds": seconds, "facts": facts}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def pairs(job: dict, iterations: int | None) -> int:
    """Return how many pairs SetFit makes of the rows; by its default where `iterations` is None."""
    return len(ContrastiveDataset(job["texts"], job["labels"], multilabel=False, num_iterations=iterations))


if __name__ == "__main__":
    main()
