"""A text encoder and its head as one network with padded inputs, as ONNX wants it.

nshot itself computes texts without padding, by their lengths; a graph of ONNX has no lengths, but a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nshot.backbones.bert import BertEncoder, behind
from nshot.backbones.networks import PaddedEncoder
from nshot.backbones.pooling import Head
from nshot.core import UnsupportedError
from nshot.training.readout import Readout

_TINY = float(np.finfo(np.float64).tiny)


class OnnxNetwork(nn.Module):
    """Token ids and their mask to the answer of a head, and to the vector that it reads."""

    def __init__(self, encoder: nn.Module, answer: nn.Module) -> None:
        """Take the parts of `encoder`, which is not to be used any more.

        Args:
            encoder: A network of a text encoder.
            answer: What follows from the vectors.

        Raises:
            UnsupportedError: It is another network.
        """
        super().__init__()
        if isinstance(encoder, BertEncoder):
            self.states: nn.Module = _Bert(encoder)
        elif isinstance(encoder, PaddedEncoder):
            # The products of attention as plain steps: the fused kernel of torch has no counterpart in ONNX.
            encoder.model.set_attn_implementation("eager")
            self.states = _Theirs(encoder.model)
        else:
            raise UnsupportedError(f"Only text encoders can be written as ONNX, not a {type(encoder).__name__}.")
        self.pooling = _Pooling(encoder.head)
        self.answer = answer

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the answers, and the vectors of shape (texts, width).

        Args:
            input_ids: Shape (texts, tokens), padding behind the text.
            attention_mask: 1 for every token, 0 for padding, the same shape.
        """
        vectors = self.pooling(self.states(input_ids, attention_mask), attention_mask)
        return self.answer(vectors), vectors


class Answer(nn.Module):
    """What a `Readout` says, as a network."""

    def __init__(self, readout: Readout, labels: Sequence[str]) -> None:
        """Copy the numbers.

        Args:
            readout: Of a fitted model.
            labels: All labels of its task, in the order of the answer's columns; none where it is a number.
        """
        super().__init__()
        coefficients, offsets = readout.coefficients, readout.offsets
        if readout.classes:
            coefficients, offsets = readout.over(labels)
        self.linear = nn.Linear(coefficients.shape[1], len(coefficients))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(np.asarray(coefficients, dtype=np.float32)))
            self.linear.bias.copy_(torch.from_numpy(np.asarray(offsets, dtype=np.float32)))
        self.unit_length = readout.unit_length
        self.scale = readout.scale
        self.log_odds = readout.log_odds
        self.smoothing = readout.label_smoothing
        self.floor = readout.label_smoothing / max(1, len(readout.classes))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return probabilities, shape (texts, labels), float32; or values or scores, shape (texts,), float64."""
        scores: Tensor = self.linear(functional.normalize(vectors, dim=-1) if self.unit_length else vectors)
        if self.scale is not None:
            return scores[:, 0].double() * self.scale.spread + self.scale.centre
        shares = scores.softmax(dim=-1)
        if self.log_odds:
            logs = shares.double().clamp(min=_TINY).log()
            return logs[:, 0] - logs[:, 1]
        if not self.smoothing:
            return shares
        # The inverse of label smoothing; see `losses.unsmoothed`.
        positive = ((shares - self.floor) / (1 - self.smoothing)).clamp(min=0.0)
        return positive / positive.sum(dim=-1, keepdim=True)


class _Bert(nn.Module):
    """The layers of a `BertEncoder` on a padded batch."""

    def __init__(self, network: BertEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        network = self.network
        shape = network.shape
        texts, tokens = input_ids.shape
        positions = torch.arange(tokens, device=input_ids.device)
        hidden_from = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        prefix = None
        if network.prefix is not None:
            length = len(network.prefix.vectors)
            positions = (positions + length).clamp(max=shape.max_position_embeddings - 1)
            hidden_from = functional.pad(hidden_from, (length, 0))
            prefix = network.prefix.per_layer(shape.hidden_size)
        states: Tensor = network.embeddings(input_ids, positions)
        layers: list[Any] = list(network.encoder.layer)
        for number, layer in enumerate(layers):
            attention = layer.attention.self
            query, key, value = (
                part(states).view(texts, tokens, attention.heads, -1).transpose(1, 2)
                for part in (attention.query, attention.key, attention.value)
            )
            if prefix is not None:
                key, value = behind(prefix[number], key, value)
            scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + hidden_from
            mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(texts, tokens, -1)
            attended = layer.attention.output(mixed, states)
            states = layer.output(layer.intermediate(attended), attended)
        return states


class _Theirs(nn.Module):
    """An encoder of transformers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


class _Pooling(nn.Module):
    """Pooling as `pooling.Head` does it, by a mask."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.modes = head.pooling
        self.after = head.after

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        pooled = [_pooled(states, attention_mask, mode) for mode in self.modes]
        vectors: Tensor = self.after(torch.cat(pooled, dim=-1))
        return vectors


def _pooled(states: Tensor, attention_mask: Tensor, mode: str) -> Tensor:
    """Return one vector per text; shapes (texts, tokens, hidden) and (texts, tokens)."""
    mask = attention_mask[:, :, None].float()
    lengths = mask.sum(dim=1)
    pooled: Tensor
    match mode:
        case "cls":
            pooled = states[:, 0]
        case "lasttoken":
            positions = torch.arange(states.shape[1], device=states.device)[None, :, None].float()
            pooled = (states * (positions == lengths[:, None] - 1).float()).sum(dim=1)
        case "max":
            pooled = (states + (1.0 - mask) * torch.finfo(torch.float32).min).amax(dim=1)
        case "mean":
            pooled = (states * mask).sum(dim=1) / lengths
        case "mean_sqrt_len_tokens":
            pooled = (states * mask).sum(dim=1) / lengths.sqrt()
        case "weightedmean":
            weights = torch.arange(1, states.shape[1] + 1, device=states.device)[None, :, None].float() * mask
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        case _:
            raise ValueError(f"unknown pooling {mode!r}")
    return pooled
