"""From the vectors of tokens to one vector per text, on texts packed one after the other without padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nshot.backbones.settings import Dense, EncoderSettings, Normalise
from nshot.core import ModelError

Groups = Sequence[tuple[int, int]]
"""Runs of texts of equal length: (number of texts, tokens of each), in the order in which they are packed."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Sigmoid": nn.Sigmoid,
    "SiLU": nn.SiLU,
}


def runs(lengths: Tensor) -> Groups:
    """Return the runs of equal values in `lengths`, shape (texts,)."""
    values, counts = torch.unique_consecutive(lengths, return_counts=True)
    return list(zip(counts.tolist(), values.tolist(), strict=True))


class DenseLayer(nn.Module):
    """A linear layer with its activation."""

    def __init__(self, settings: Dense) -> None:
        super().__init__()
        if settings.activation not in _ACTIVATIONS:
            raise ModelError(
                f"{settings.folder / 'config.json'} asks for the activation '{settings.activation}'. "
                f"nshot knows: {', '.join(_ACTIVATIONS)}."
            )
        self.linear = nn.Linear(settings.in_features, settings.out_features, settings.bias)
        self.activation = _ACTIVATIONS[settings.activation]()

    def forward(self, vectors: Tensor) -> Tensor:
        """Return shape (texts, out_features)."""
        dense: Tensor = self.activation(self.linear(vectors))
        return dense


class UnitLength(nn.Module):
    """Scales every vector to length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the same shape."""
        return nn.functional.normalize(vectors.float(), dim=-1)


class Head(nn.Module):
    """Pooling and what follows it."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.pooling = settings.pooling
        self.after = nn.Sequential(
            *(UnitLength() if isinstance(step, Normalise) else DenseLayer(step) for step in settings.after)
        )

    def forward(self, hidden: Tensor, groups: Groups) -> Tensor:
        """Return float32 vectors, shape (texts, width).

        Args:
            hidden: Vectors of all tokens, shape (tokens, hidden size).
            groups: How the tokens are divided into texts.
        """
        pieces = torch.split(hidden, [count * length for count, length in groups])
        pooled = [
            self._pooled(piece.view(count, length, -1)) for piece, (count, length) in zip(pieces, groups, strict=True)
        ]
        vectors: Tensor = self.after(torch.cat(pooled))
        return vectors

    def _pooled(self, hidden: Tensor) -> Tensor:
        parts = [_pool(hidden, mode).float() for mode in self.pooling]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _pool(hidden: Tensor, mode: str) -> Tensor:
    """Return one vector per text; `hidden` has shape (texts, tokens of each, hidden size)."""
    length = hidden.shape[1]
    pooled: Tensor
    match mode:
        case "cls":
            pooled = hidden[:, 0]
        case "lasttoken":
            pooled = hidden[:, -1]
        case "max":
            pooled = hidden.amax(dim=1)
        case "mean":
            pooled = hidden.mean(dim=1, dtype=torch.float32)
        case "mean_sqrt_len_tokens":
            pooled = hidden.sum(dim=1, dtype=torch.float32) / length**0.5
        case "weightedmean":
            weights = torch.arange(1, length + 1, dtype=torch.float32, device=hidden.device)
            pooled = torch.tensordot(hidden.float(), weights / weights.sum(), dims=([1], [0]))
        case _:
            raise ValueError(f"unknown pooling {mode!r}")
    return pooled
