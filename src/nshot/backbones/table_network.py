"""A small network on the features of rows: what is trained from random weights where nothing is pre-trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nshot.backbones.networks import changed
from nshot.core import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DROPOUT = 0.1
_ROWS_AT_ONCE = 4096


class RowNetwork(nn.Module):
    """Two layers with a residual connection (after Gorishniy et al. 2021, arXiv:2106.11959, section 3.2)."""

    def __init__(self, width: int, hidden: int) -> None:
        """Draw weights from torch's global generator.

        Args:
            width: Number of features of a row.
            hidden: Width of the layers.
        """
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last_norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors, shape (rows, hidden).

        Args:
            features: Shape (rows, width).
        """
        inner = self.dropout(nn.functional.gelu(self.norm(self.first(features))))
        vectors: Tensor = self.last_norm(inner + self.dropout(nn.functional.gelu(self.second(inner))))
        return vectors


def untrained(width: int, hidden: int, seed: int) -> RowNetwork:
    """Return the network with weights drawn from `seed`, float32, training mode off."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RowNetwork(width, hidden).eval()


def trained(width: int, hidden: int, weights: Mapping[str, np.ndarray]) -> RowNetwork:
    """Return the network with these weights, float64, training mode off.

    Raises:
        ModelError: A name or a shape is not one of this network, or one is missing.
    """
    network = untrained(width, hidden, seed=0)
    if absent := sorted(set(network.state_dict()) - set(weights)):
        raise ModelError(f"The trained weight '{absent[0]}' of a network on rows is missing. Fit the model anew.")
    changed(network, weights)
    return network.double()


def vectors(network: RowNetwork, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors of n rows, float32, shape (n, hidden), each as if it had been computed alone.

    A product sums in another order for one row than for many; in float64 that disappears in the rounding to float32.

    Args:
        network: Float64.
        features: Shape (n, width).
    """
    found = np.empty((len(features), network.second.out_features), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(features), _ROWS_AT_ONCE):
            part = torch.from_numpy(features[start : start + _ROWS_AT_ONCE].astype(np.float64))
            found[start : start + _ROWS_AT_ONCE] = network(part).numpy()
    return found
