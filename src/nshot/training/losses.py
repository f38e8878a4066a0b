"""Losses, summed over a micro-batch: the loop divides by the units of the whole step.

A mean per micro-batch would weigh a term by the size of the micro-batch that it happens to be in, so that the way a
step is cut would change the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from nshot.training.batching import Batch

if TYPE_CHECKING:
    from nshot.training.rowwise import Array

Loss: TypeAlias = Callable[[torch.nn.Module, Batch], torch.Tensor]
"""``loss(network, batch)``: the sum of `Batch.units` terms, a scalar with a gradient."""


def cross_entropy(label_smoothing: float = 0.0, temperature: float = 1.0) -> Loss:
    """Return the loss of a network that answers with one score per class; targets are classes, or shares of them.

    Args:
        label_smoothing: The share e of each target that is spread evenly over all classes (Szegedy et al. 2016).
        temperature: What the scores are divided by first (Hinton et al. 2015).
    """

    def loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        scores = network(**batch.inputs).float() / temperature
        return functional.cross_entropy(scores, _targets(batch), label_smoothing=label_smoothing, reduction="sum")

    return loss


def binary_cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return the loss of a network that answers with one score per label, of which any number may apply.

    Args:
        label_smoothing: The share e of each target that is spread evenly over "applies" and "does not".
    """

    def loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        targets = _targets(batch) * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(network(**batch.inputs).float(), targets, reduction="sum")

    return loss


def squared_error(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the loss of a network that answers with one number, shape (batch, 1)."""
    return functional.mse_loss(network(**batch.inputs).float()[:, 0], _targets(batch), reduction="sum")


def chance_loss(codes: Array, n_classes: int, label_smoothing: float = 0.0) -> float:
    """Return the smallest mean loss, in nats, of an answer that is the same for every example.

    Args:
        codes: The class of each example, int64, shape (n,), n > 0; or the share that each class has in it, shape
            (n, n_classes).
        n_classes: Number of classes.
        label_smoothing: As in `cross_entropy`.
    """
    shares = np.bincount(codes, minlength=n_classes) / len(codes) if codes.ndim == 1 else codes.mean(axis=0)
    smoothed = (1 - label_smoothing) * shares + label_smoothing / n_classes
    present = smoothed[smoothed > 0]
    return float(-(present * np.log(present)).sum())


def binary_chance_loss(marks: Array, label_smoothing: float = 0.0) -> float:
    """Return the smallest mean of `binary_cross_entropy`, in nats, of an answer that is the same for every example.

    Args:
        marks: Which labels each example has, shape (n, k), n > 0.
        label_smoothing: As in `binary_cross_entropy`.
    """
    mean = marks.mean(axis=0, dtype=np.float64)
    shares = np.clip((1 - label_smoothing) * mean + label_smoothing / 2, 1e-12, 1 - 1e-12)
    return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).sum())


def unsmoothed_shares(probabilities: Array, label_smoothing: float) -> Array:
    """Return the probabilities that a network meant which was trained by a smoothed `binary_cross_entropy`."""
    if not label_smoothing:
        return probabilities
    return np.asarray(np.clip((probabilities - label_smoothing / 2) / (1 - label_smoothing), 0.0, 1.0))


def unsmoothed(probabilities: Array, label_smoothing: float) -> Array:
    """Return the probabilities that a network meant which was trained on smoothed labels, shape (n, classes).

    At its optimum such a network answers ``(1 - e) p + e / classes`` where it should say p.
    """
    if not label_smoothing:
        return probabilities
    meant = (probabilities - label_smoothing / probabilities.shape[1]) / (1 - label_smoothing)
    positive = np.clip(meant, 0.0, None)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True))


def _targets(batch: Batch) -> torch.Tensor:
    if batch.targets is None:
        raise ValueError("this loss needs targets")
    return batch.targets
