"""The forward pass of BERT as fast as this machine does it: prepacked weights, fused steps, no padding, no graph.

The numbers are those of `BertEncoder` up to rounding. What it saves, measured on one core with AVX512-BF16 at 16 tokens
a text: prepacked weights 11 % of the matrix products, GELU and residual inside them 10 %, attention without
a row-wise maximum 70 % of attention (most of the time of a softmax over 16 numbers goes into its start).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from nshot.backbones.bert import BertEncoder, KeysAndValues, behind
from nshot.backbones.pooling import Groups, runs

# exp of a score within these bounds neither overflows in a sum over a text nor vanishes: softmax needs no maximum.
_SAFE_SCORE = 60.0
# Only a hint for the layout of prepacked weights; every batch size computes the same.
_TYPICAL_TOKENS = 2048
# oneDNN compiles a product anew for every size, which takes about a millisecond: for 16 texts of 14 tokens that was a
# third of the time. So sizes are rounded up to a few, and what is smaller than this (texts by the square of their
# length) is multiplied in float32, which nothing is compiled for.
_WORTH_COMPILING = 8192
_FEWEST_TOKENS = 16


def _usual_size(tokens: int) -> int:
    """Return `tokens` rounded up to one of the 16 sizes that there are between a power of two and the next."""
    step = max(_FEWEST_TOKENS, 1 << max(0, tokens.bit_length() - 5))
    return -(-tokens // step) * step


def _in_float32(left: Tensor, right: Tensor) -> Tensor:
    """Return the products of two stacks of matrices in their own format, rounded once, as `torch.bmm` does."""
    return torch.bmm(left.float(), right.float()).to(left.dtype)


class Linear(Protocol):
    """A linear layer with what may follow it."""

    def plain(self, hidden: Tensor) -> Tensor:
        """Return x W + b."""

    def gelu(self, hidden: Tensor) -> Tensor:
        """Return the GELU of x W + b."""

    def plus(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """Return x W + b + residual."""


class _Prepacked:
    """Weights in the blocked layout of oneDNN, with the next step fused into the product."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_TOKENS)
        self._bias = bias

    def plain(self, hidden: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self._weight, self._bias, "none", [], "")
        return out

    def gelu(self, hidden: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self._weight, self._bias, "gelu", [], "none")
        return out

    def plus(self, hidden: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(hidden, residual, self._weight, self._bias, "add")
        return out


class _Plain:
    """Weights as they are."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    def plain(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self._weight, self._bias)

    def gelu(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.plain(hidden))

    def plus(self, hidden: Tensor, residual: Tensor) -> Tensor:
        return self.plain(hidden) + residual


def _prepacks(kind: torch.dtype) -> bool:
    """Return whether this build of torch and this processor have the prepacked products in this format."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return kind == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Norm:
    def __init__(self, weights: Mapping[str, Tensor], name: str, eps: float) -> None:
        self._weight, self._bias, self._eps = weights[f"{name}.weight"], weights[f"{name}.bias"], eps

    def __call__(self, hidden: Tensor) -> Tensor:
        return functional.layer_norm(hidden, self._weight.shape, self._weight, self._bias, self._eps)


class _Layer:
    """One layer, on the packed tokens of a batch."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        name: str,
        heads: int,
        eps: float,
        kind: torch.dtype,
        prefix: KeysAndValues | None,
    ) -> None:
        linear = _Prepacked if _prepacks(kind) else _Plain
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = torch.cat([weights[f"{part}.weight"] for part in parts])
        bias = torch.cat([weights[f"{part}.bias"] for part in parts])
        self._prefix = prefix
        # The scale of attention goes into the query, where it costs nothing.
        self._heads, self._hidden = heads, weight.shape[1]
        scale = (self._hidden // heads) ** -0.5
        weight[: self._hidden] *= scale
        bias[: self._hidden] *= scale

        def of(part: str) -> Linear:
            return linear(weights[f"{part}.weight"].to(kind), weights[f"{part}.bias"].to(kind))

        self._into: Linear = linear(weight.to(kind), bias.to(kind))
        self._attended = of(f"{name}.attention.output.dense")
        self._first_norm = _Norm(weights, f"{name}.attention.output.LayerNorm", eps)
        self._wide = of(f"{name}.intermediate.dense")
        self._narrow = of(f"{name}.output.dense")
        self._last_norm = _Norm(weights, f"{name}.output.LayerNorm", eps)

    def __call__(self, hidden: Tensor, groups: Groups) -> Tensor:
        mixed = self._mixed(self._into.plain(hidden), groups)
        hidden = self._first_norm(self._attended.plus(mixed, hidden))
        return self._last_norm(self._narrow.plus(self._wide.gelu(hidden), hidden))

    def _mixed(self, projected: Tensor, groups: Groups) -> Tensor:
        """Return the values mixed by attention, shape (tokens, hidden); `projected` holds query, key and value."""
        mixed = projected.new_empty(len(projected), self._hidden)
        quick = projected.dtype == torch.bfloat16 and self._prefix is None
        attend = self._attend_quickly if quick else self._attend
        start = 0
        for count, length in groups:
            stop = start + count * length
            parts = projected[start:stop].view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            attend(parts, mixed[start:stop].view(count, length, self._heads, -1).transpose(1, 2))
            start = stop
        mixed[start:] = 0
        return mixed

    def _attend(self, parts: Tensor, out: Tensor) -> None:
        """Write attention into `out`, shape (texts, heads, length, width of a head); `parts` has 3 of it."""
        query, key, value = parts
        if self._prefix is not None:
            key, value = behind(self._prefix, key, value)
        out.copy_(functional.scaled_dot_product_attention(query, key, value, scale=1.0))

    def _attend_quickly(self, parts: Tensor, out: Tensor) -> None:
        """As `_attend`, with sums of plain exponentials where no score is large, as is usual."""
        _, count, heads, length, width = parts.shape
        query, key, value = parts.reshape(3, count * heads, length, width)
        multiply = torch.bmm if count * length**2 > _WORTH_COMPILING else _in_float32
        scores = multiply(query, key.transpose(1, 2))
        least, most = scores.aminmax()
        if least < -_SAFE_SCORE or most > _SAFE_SCORE:
            self._attend(parts, out)
            return
        raised = scores.exp_()
        total = raised.sum(dim=-1, keepdim=True).view(count, heads, length, 1)
        torch.div(multiply(raised, value).view(count, heads, length, width), total, out=out)


class PackedBert:
    """A trained `BertEncoder` for inference on the processor."""

    def __init__(self, network: BertEncoder, kind: torch.dtype) -> None:
        """Take over the weights of `network`, which is left unchanged, in this format."""
        shape = network.shape
        with torch.no_grad():
            weights = {name: value.detach() for name, value in network.state_dict().items()}
            self._words = weights["embeddings.word_embeddings.weight"].to(kind)
            places = weights["embeddings.position_embeddings.weight"]
            prefixes: Sequence[KeysAndValues | None] = [None] * len(network.encoder.layer)
            if network.prefix is not None:
                length = len(network.prefix.vectors)
                prefixes = [
                    (key.to(kind), value.to(kind)) for key, value in network.prefix.per_layer(shape.hidden_size)
                ]
                places = torch.cat([places[length:], places[-1:].expand(length, -1)])
            self._places = (places + weights["embeddings.token_type_embeddings.weight"][0]).to(kind)
            eps = shape.layer_norm_eps
            self._norm = _Norm(weights, "embeddings.LayerNorm", eps)
            self._layers = [
                _Layer(weights, f"encoder.layer.{number}", shape.num_attention_heads, eps, kind, prefix)
                for number, prefix in enumerate(prefixes)
            ]
        self._head = network.head

    def __call__(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return float32 vectors, shape (texts, width), for the arguments of `BertEncoder.forward`."""
        groups = runs(batch["lengths"])
        return torch.as_tensor(self._head(self._hidden(batch, groups), groups))[batch["rows"]]

    def hidden(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the vector of every token, shape (tokens, hidden), as `BertEncoder.hidden` does."""
        return self._hidden(batch, runs(batch["lengths"]))

    def _hidden(self, batch: Mapping[str, Tensor], groups: Groups) -> Tensor:
        hidden = self._norm(self._words[batch["input_ids"]] + self._places[batch["position_ids"]])
        tokens = len(hidden)
        hidden = functional.pad(hidden, (0, 0, 0, _usual_size(tokens) - tokens))
        for layer in self._layers:
            hidden = layer(hidden, groups)
        return hidden[:tokens]
