"""The options that every method has which trains a network, each stated once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from nshot.spec import Spec

if TYPE_CHECKING:
    from nshot.training.loop import TrainingSettings


class LoopOptions(Spec):
    """How the loop goes, whatever the loss is."""

    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; left out: from their number (15 at 64, 8 at 770, 4 at 10,000)."""
    batch_size: int = Field(default=32, ge=1)
    """Examples in a step."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; after that a cosine leads it to zero."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay, not on biases and normalisations."""
    clip_norm: float = Field(default=1.0, gt=0)
    """The longest gradient; a longer one is shortened."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of activations dropped while training."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps, at the end, over whose weights the final weights are averaged."""
    keep: float = Field(default=0.0, ge=0, lt=1)
    """How far the final weights are drawn back to those that training started from."""

    def settings(self, learning_rate: float, *, stop_after: int | None = None) -> TrainingSettings:
        """Return what the loop is told of these options; drawing back is left to `averaging.drawn_back`."""
        from nshot.training.loop import TrainingSettings

        return TrainingSettings(
            learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            clip_norm=self.clip_norm,
            average=self.average,
            stop_after=stop_after,
        )


class TrainingOptions(LoopOptions):
    """How the loop goes for a classifier; a method adds its learning rate and what is trained."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of each target that is spread over all classes."""
    early_stopping: bool = False
    """Cross-validate inside the labels after how many steps to stop; costs up to five more trainings."""

    def planned_examples(self, n_labels: int) -> int:
        """Return how many training examples a fit on `n_labels` passes through the network."""
        from nshot.training.batching import schedule
        from nshot.training.selection import n_inner_folds

        once = schedule(n_labels, epochs=self.epochs, batch_size=self.batch_size).examples
        return once * (1 + n_inner_folds(n_labels)) if self.early_stopping else once
