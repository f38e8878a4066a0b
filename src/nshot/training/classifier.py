"""A head that is trained together with its encoder: what fine-tuning methods have in common besides the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nshot.core import (
    Backbone,
    BackboneRef,
    Embeds,
    Example,
    Prediction,
    Starts,
    State,
    Task,
    TaskKind,
    Trains,
    UnsupportedError,
)
from nshot.training import goals
from nshot.training.frozen import Encoder, encoder
from nshot.training.logistic import Logistic
from nshot.training.readout import Readout
from nshot.training.rowwise import normalised, products
from nshot.training.tag_head import NO_READOUT
from nshot.training.values import Scale

_ENTRY_SIZE = 0.5
"""Root mean square of the entries of a vector before the head: with it one rate suits every backbone and width."""


class Classifier(nn.Module):
    """An encoder and a linear head on its vectors, which are first scaled to one length."""

    def __init__(self, encoder: nn.Module, start: Logistic) -> None:
        """Put the head that `start` is onto `encoder`.

        Args:
            encoder: Returns vectors, shape (batch, width).
            start: Fitted to vectors of length one; coefficients of shape (classes, width).
        """
        super().__init__()
        n_classes, width = start.coefficients.shape
        self.encoder = encoder
        self.head = nn.Linear(width, n_classes)
        self.length = _ENTRY_SIZE * math.sqrt(width)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(start.coefficients / self.length))
            self.head.bias.copy_(torch.from_numpy(start.offsets))

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return scores, float32, shape (batch, classes)."""
        vectors = self.encoder(**inputs).float()
        # Pooling, length and head are a thousandth of the work: not worth the precision of bf16.
        with torch.autocast(vectors.device.type, enabled=False):
            return torch.as_tensor(self.head(functional.normalize(vectors, dim=-1) * self.length))

    def head_for_unit_vectors(self) -> dict[str, np.ndarray]:
        """Return the head as it applies to vectors of length one: shapes (classes, width) and (classes,)."""
        weight = self.head.weight.detach().cpu().numpy() * np.float32(self.length)
        return {"head.weight": weight, "head.bias": self.head.bias.detach().cpu().numpy().copy()}


def set_dropout(network: nn.Module, share: float) -> None:
    """Let every dropout of the network drop this share of its input."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def without_tables(network: nn.Module) -> list[nn.Parameter]:
    """Let no gradient reach the tables of word vectors and the like; return all other parameters.

    A step of the optimiser goes through every row of a table, even though most rows have no gradient: in a small
    encoder that is half of all weights.
    """
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            module.weight.requires_grad_(False)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def changed(source: Trains, network: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights of `network`, once ``source.module()``, that are not those of `source` any more."""
    original = source.module().state_dict()
    now = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    return {name: value.numpy().copy() for name, value in now.items() if not torch.equal(value, original[name])}


class TrainableEncoder(Encoder, Trains, Protocol):
    """A backbone that embeds and trains."""


def trainable(backbone: Backbone | None) -> TrainableEncoder:
    """Return `backbone` as one that embeds and trains.

    Raises:
        UnsupportedError: It does not, or there is none.
    """
    found = encoder(backbone)
    if not isinstance(found, Trains):
        raise UnsupportedError(f"A backbone that trains is needed; {found.ref.name} does not.")
    return found


class StartableEncoder(Encoder, Starts, Protocol):
    """A backbone that embeds, and whose architecture can be trained from random weights."""


def startable(backbone: Backbone | None) -> StartableEncoder:
    """Return `backbone` as one that embeds and starts.

    Raises:
        UnsupportedError: It does not, or there is none.
    """
    found = encoder(backbone)
    if not isinstance(found, Starts):
        raise UnsupportedError(f"A backbone that can be trained from scratch is needed; {found.ref.name} cannot.")
    return found


def reopened(state: State, open_backbone: Callable[[BackboneRef], Backbone]) -> TrainableEncoder:
    """Return the backbone that a saved `state` names."""
    return trainable(open_backbone(BackboneRef.from_json(state.settings["backbone"])))


@dataclass(frozen=True)
class FineTuned:
    """A trained encoder with its head.

    Attributes:
        task: What is asked.
        encoder: With the trained weights.
        label_smoothing: What it was trained with.
        saved: Its state: settings of the goal and ``backbone``, tensors with ``head.weight`` and ``head.bias``.
    """

    task: Task
    encoder: Embeds
    label_smoothing: float
    saved: State

    def predict(self, examples: Sequence[Example]) -> Prediction:
        """Return label (or labels) and probabilities, or the value, of each example."""
        weight, bias = self.saved.tensors["head.weight"], self.saved.tensors["head.bias"]
        scores = np.zeros((0, len(weight)), dtype=np.float32)
        if len(examples):
            scores = products(normalised(self.encoder.embed(examples)), weight, bias)
        return goals.said(self.task, self.saved.settings, scores, self.label_smoothing)

    def readout(self) -> Readout:
        """Return the head as plain numbers.

        Raises:
            UnsupportedError: It gives several labels, each from a probability of its own on.
        """
        if self.task.kind is TaskKind.TAG:
            raise UnsupportedError(NO_READOUT)
        settings, tensors = self.saved.settings, self.saved.tensors
        scale = Scale.from_json(settings["scale"]) if self.task.kind is TaskKind.REGRESS else None
        return Readout(
            self.encoder,
            tensors["head.weight"],
            tensors["head.bias"],
            unit_length=True,
            classes=() if scale else tuple(settings["classes"]),
            label_smoothing=0.0 if scale else self.label_smoothing,
            scale=scale,
        )

    def state(self) -> State:
        """Return what was trained."""
        return self.saved
