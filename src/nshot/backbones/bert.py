"""BERT without padding: the texts of a batch lie one after the other in one matrix of tokens.

Every linear layer sees real tokens only; attention runs per group of texts of equal length, which needs no mask. The
parameters have the names and the meaning of the BERT in transformers (Devlin et al. 2019), whose import would take
seconds and whose padded batches waste work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nshot.backbones.pooling import Groups, Head, runs

KeysAndValues = tuple[Tensor, Tensor]
"""Keys and values, each of shape (heads, tokens, width of a head)."""

# Up to this length the processor's fused attention trains slower than plain products: measured at 16 tokens a text
# without dropout, 104 texts/s against 171. Beyond it the matrix of scores would cost too much memory.
_SHORT = 128


@dataclass(frozen=True)
class BertShape:
    """The sizes in a BERT ``config.json``."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    initializer_range: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertShape | None:
        """Return the sizes, or None where the config asks for something that this file does not do."""
        plain = (
            config.get("model_type") == "bert"
            and config.get("hidden_act", "gelu") == "gelu"
            and config.get("position_embedding_type", "absolute") == "absolute"
            and not config.get("is_decoder", False)
        )
        if not plain:
            return None
        # The defaults are those of the original release, which configs may leave out.
        return cls(
            vocab_size=config.get("vocab_size", 30522),
            hidden_size=config.get("hidden_size", 768),
            num_hidden_layers=config.get("num_hidden_layers", 12),
            num_attention_heads=config.get("num_attention_heads", 12),
            intermediate_size=config.get("intermediate_size", 3072),
            max_position_embeddings=config.get("max_position_embeddings", 512),
            type_vocab_size=config.get("type_vocab_size", 2),
            layer_norm_eps=config.get("layer_norm_eps", 1e-12),
            hidden_dropout_prob=config.get("hidden_dropout_prob", 0.1),
            attention_probs_dropout_prob=config.get("attention_probs_dropout_prob", 0.1),
            initializer_range=config.get("initializer_range", 0.02),
        )


class _Linear(nn.Linear):
    """A linear layer whose weights are filled in by whoever builds the network; drawing them first would be wasted."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class _Embedding(nn.Embedding):
    """As `_Linear`, for embeddings."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class _Embeddings(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = _Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = _Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = _Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        # One text alone is always segment 0.
        words = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        return _in_autocast(self.dropout(self.LayerNorm(words + self.position_embeddings(position_ids))))


def _in_autocast(vectors: Tensor) -> Tensor:
    """Return the vectors in the format that autocast multiplies in, where it is on."""
    kind = vectors.device.type
    return vectors.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else vectors


class _SelfAttention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        self.query = _Linear(shape.hidden_size, shape.hidden_size)
        self.key = _Linear(shape.hidden_size, shape.hidden_size)
        self.value = _Linear(shape.hidden_size, shape.hidden_size)
        self.dropout = nn.Dropout(shape.attention_probs_dropout_prob)

    def forward(self, hidden: Tensor, groups: Groups, prefix: KeysAndValues | None) -> Tensor:
        sizes = [count * length for count, length in groups]
        # On the processor the small products of attention are quicker in float32 than in bf16, casts included; cast
        # as a whole, because a group's part of a matrix is slow to cast.
        kind = hidden.dtype if hidden.is_cuda else torch.float32
        projected = (torch.split(part(hidden).to(kind), sizes) for part in (self.query, self.key, self.value))
        dropout = self.dropout.p if self.training else 0.0
        attended = []
        for (count, length), parts in zip(groups, zip(*projected, strict=True), strict=True):
            query, key, value = (part.view(count, length, self.heads, -1).transpose(1, 2) for part in parts)
            if prefix is not None:
                key, value = behind(prefix, key, value)
            if length > _SHORT or hidden.is_cuda:
                mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
            else:
                mixed = _attend_short(query, key, value, dropout)
            attended.append(mixed.transpose(1, 2).reshape(count * length, -1))
        return torch.cat(attended)


def behind(prefix: KeysAndValues, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values with the same prefix before those of every text.

    Args:
        prefix: Keys and values, each of shape (heads, prefix, width of a head).
        key: Shape (texts, heads, length, width of a head).
        value: The same shape.
    """
    before = (part.to(key.dtype).expand(len(key), *part.shape) for part in prefix)
    with_key, with_value = (torch.cat(pair, dim=2) for pair in zip(before, (key, value), strict=True))
    return with_key, with_value


def _attend_short(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Return attention as three plain steps; all shapes are (texts, heads, length, width of a head), float32."""
    shape = query.shape
    with torch.autocast("cpu", enabled=False):
        query, key, value = (part.flatten(0, 1) for part in (query, key, value))
        scores = torch.bmm(query * shape[-1] ** -0.5, key.transpose(1, 2))
        mixture = functional.dropout(scores.softmax(dim=-1), dropout)
        return torch.bmm(mixture, value).view(shape)


class _Output(nn.Module):
    def __init__(self, in_features: int, shape: BertShape) -> None:
        super().__init__()
        self.dense = _Linear(in_features, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        vectors: Tensor = self.LayerNorm(self.dropout(self.dense(hidden)) + residual)
        return vectors


class _Attention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.self = _SelfAttention(shape)
        self.output = _Output(shape.hidden_size, shape)

    def forward(self, hidden: Tensor, groups: Groups, prefix: KeysAndValues | None) -> Tensor:
        vectors: Tensor = self.output(self.self(hidden, groups, prefix), hidden)
        return vectors


class _Intermediate(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.dense = _Linear(shape.hidden_size, shape.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.dense(hidden))


class _Layer(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.attention = _Attention(shape)
        self.intermediate = _Intermediate(shape)
        self.output = _Output(shape.intermediate_size, shape)

    def forward(self, hidden: Tensor, groups: Groups, prefix: KeysAndValues | None = None) -> Tensor:
        attended = self.attention(hidden, groups, prefix)
        vectors: Tensor = self.output(self.intermediate(attended), attended)
        return vectors


class _Layers(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(shape) for _ in range(shape.num_hidden_layers))

    def forward(self, hidden: Tensor, groups: Groups, prefix: Sequence[KeysAndValues] | None = None) -> Tensor:
        for number, layer in enumerate(self.layer):
            hidden = layer(hidden, groups, None if prefix is None else prefix[number])
        return hidden


class Prefix(nn.Module):
    """Keys and values that stand before every text in every layer (Li and Liang 2021, https://arxiv.org/abs/2101.00190).

    They take the first positions: those of a text begin behind them, as in transformers and peft.
    """

    def __init__(self, vectors: Tensor, heads: int) -> None:
        """Take `vectors` of shape (prefix, layers * 2 * hidden): of each layer the keys, then the values."""
        super().__init__()
        self.vectors = nn.Parameter(vectors)
        self.heads = heads

    def per_layer(self, hidden_size: int) -> list[KeysAndValues]:
        """Return keys and values of each layer, of shape (heads, prefix, width of a head)."""
        length = len(self.vectors)
        parts = self.vectors.view(length, -1, self.heads, hidden_size // self.heads).permute(1, 2, 0, 3)
        return list(zip(parts[::2], parts[1::2], strict=True))


class _UpperLayers(nn.Module):
    """The last layers, under the numbers that they have in the whole network."""

    def __init__(self, layers: nn.ModuleList, top: int) -> None:
        super().__init__()
        numbered = list(enumerate(layers))[len(layers) - top :]
        self.layer = nn.ModuleDict({str(number): layer for number, layer in numbered})

    def forward(self, hidden: Tensor, groups: Groups) -> Tensor:
        for layer in self.layer.values():
            hidden = layer(hidden, groups)
        return hidden


class BertEncoder(nn.Module):
    """The trainable network: tokens of a packed batch to one vector per text.

    A new one has no weights yet: they are copied into it, or `initialise` draws them.
    """

    def __init__(self, shape: BertShape, head: Head) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = _Embeddings(shape)
        self.encoder = _Layers(shape)
        self.head = head
        self.prefix: Prefix | None = None

    def forward(self, input_ids: Tensor, position_ids: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """Return float32 vectors, shape (texts, width).

        Args:
            input_ids: All tokens of all texts, shape (tokens,), shorter texts first.
            position_ids: The place of each token in its text, shape (tokens,).
            lengths: Tokens of each text, shape (texts,), ascending.
            rows: For every text of the answer, its place in the packed order, shape (texts,).
        """
        groups = runs(lengths)
        vectors: Tensor = self.head(self._hidden(input_ids, position_ids, groups), groups)[rows]
        return vectors

    def hidden(self, input_ids: Tensor, position_ids: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """Return the vector of every token in the order of `input_ids`, shape (tokens, hidden); see `forward`."""
        return self._hidden(input_ids, position_ids, runs(lengths))

    def word_table(self) -> Tensor:
        """Return the vectors of the vocabulary, shape (vocabulary, hidden)."""
        return self.embeddings.word_embeddings.weight

    def _hidden(self, input_ids: Tensor, position_ids: Tensor, groups: Groups) -> Tensor:
        keys_and_values = None
        if self.prefix is not None:
            keys_and_values = self.prefix.per_layer(self.shape.hidden_size)
            # A text that needs all positions has the last one for all of its last tokens.
            position_ids = (position_ids + len(self.prefix.vectors)).clamp(max=self.shape.max_position_embeddings - 1)
        hidden: Tensor = self.encoder(self.embeddings(input_ids, position_ids), groups, keys_and_values)
        return hidden

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights as BERT does before its pre-training: normal weights, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.shape.initializer_range, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()


class UpperBert(nn.Module):
    """The last layers of a `BertEncoder` and its head, with the same names."""

    def __init__(self, network: BertEncoder, top: int) -> None:
        """Take over the last `top` layers of `network`, which is not to be used any more.

        Raises:
            ValueError: It has a prefix.
        """
        super().__init__()
        if network.prefix is not None:
            raise ValueError("a network with a prefix cannot be cut")
        self.encoder = _UpperLayers(network.encoder.layer, top)
        self.head = network.head

    def forward(self, states: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """Return float32 vectors, shape (texts, width).

        Args:
            states: What the layers below make of all tokens, shape (tokens, hidden), shorter texts first.
            lengths: As for `BertEncoder.forward`.
            rows: As for `BertEncoder.forward`.
        """
        groups = runs(lengths)
        vectors: Tensor = self.head(self.encoder(_in_autocast(states.float()), groups), groups)[rows]
        return vectors
