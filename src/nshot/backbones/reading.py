"""Running a decoder over many texts at once that share beginnings, without computing anything twice.

Texts are packed behind each other into one row: every token sees the shared beginning and its own past, nothing else.
So there is no padding, keys and values of a beginning are never copied per text, and the continuations of a text share
what comes before them (a tree).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import Cache, DynamicCache

_SLICE = {"cpu": 256, "cuda": 4096}
"""Tokens of one forward pass. Fewer leave the units idle; more cost attention between texts that is thrown away."""
_MOST_LOGITS = 2**25
"""Logits that are held at once: 128 MB in float32."""
_KINDS = {"full_attention", "sliding_attention"}
# Keys of configs whose layers limit what is seen in ways of their own, which a short trial does not show.
_OTHERWISE = {"attention_types", "attention_layers", "attention_chunk_size"}
_TRIED = (6, 9)
_TRIED_SHARED = 3
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}

Layers = list[tuple[Tensor, Tensor]]
"""Keys and values by layer, each of shape (rows, heads, tokens, size)."""


@dataclass(frozen=True)
class Beginning:
    """Tokens that texts begin with, and what the network remembers of them.

    Attributes:
        size: Number of tokens.
        layers: Keys and values, one row.
    """

    size: int
    layers: Layers


NOTHING = Beginning(0, [])


@dataclass(frozen=True)
class _Segment:
    """Consecutive tokens of a pack.

    Attributes:
        start: The first one.
        end: After the last one.
        past: Ranges of the tokens that it sees before its own.
    """

    start: int
    end: int
    past: tuple[tuple[int, int], ...]


class Pack:
    """Tokens of several texts behind one beginning."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._depths: list[int] = []
        self._segments: list[_Segment] = []

    def __len__(self) -> int:
        return len(self.ids)

    def grow(self, ids: Sequence[int], after: int | None = None) -> int:
        """Add tokens behind those of segment `after`, or at the beginning of a new text; return their segment."""
        start, depth = len(self.ids), 0
        past: tuple[tuple[int, int], ...] = ()
        if after is not None:
            parent = self._segments[after]
            past = (*parent.past, (parent.start, parent.end))
            depth = self._depths[parent.end - 1] + 1
        self.ids.extend(ids)
        self._depths.extend(range(depth, depth + len(ids)))
        self._segments.append(_Segment(start, start + len(ids), past))
        return len(self._segments) - 1

    def last(self, segment: int) -> int:
        """Return the position of a segment's last token."""
        return self._segments[segment].end - 1

    def positions(self, start: int, end: int, beginning: int) -> Tensor:
        """Return where in its own text each token stands, shape (end - start,)."""
        return torch.tensor(self._depths[start:end]) + beginning

    def seen(self, start: int, end: int, beginning: int) -> Tensor:
        """Return which tokens are seen by those from `start` to `end`, bool, shape (end - start, beginning + end)."""
        mask = np.zeros((end - start, beginning + end), dtype=np.bool_)
        mask[:, :beginning] = True
        for segment in self._segments:
            first, last = max(segment.start, start), min(segment.end, end)
            if first >= last:
                continue
            rows = mask[first - start : last - start]
            for past_start, past_end in segment.past:
                rows[:, beginning + past_start : beginning + past_end] = True
            if last - first == 1:
                rows[:, beginning + segment.start : beginning + last] = True
            else:
                own = rows[:, beginning + segment.start : beginning + last]
                own[:] = np.tri(*own.shape, first - segment.start, dtype=np.bool_)
        return torch.from_numpy(mask)


class Network:
    """A causal language model of transformers on its device."""

    def __init__(self, model: transformers.PreTrainedModel, device: str) -> None:
        self.model = model.to(device)
        self.device = torch.device(device)
        self.config: Any = model.config.get_text_config(decoder=True)
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        kinds = set(vars(self.config).get("layer_types") or ())
        window = vars(self.config).get("sliding_window")
        self.usual = kinds <= _KINDS and not _OTHERWISE & set(vars(self.config))
        """Whether all layers look back without a limit, or at the last tokens of a window."""
        self._window = int(window) if window and kinds != {"full_attention"} else None
        self._by_kind = bool(kinds) and self._window is not None
        self.slice_tokens = _SLICE.get(self.device.type, _SLICE["cuda"])
        """How many tokens are best read in one forward pass."""
        self.token_bytes = _numbers(self.config) * self.model.dtype.itemsize
        """Memory of one token's keys and values."""
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    @property
    def rows_at_once(self) -> int:
        """Return of how many rows logits may be held at once."""
        return max(1, _MOST_LOGITS // self.vocabulary)

    def beginning(self, ids: Sequence[int]) -> Beginning:
        """Read tokens that texts begin with."""
        pack = Pack()
        pack.grow(ids)
        reading = Reading(self, pack, NOTHING)
        for _ in reading.logits([]):
            pass
        return Beginning(len(ids), reading.layers)

    def mask(self, seen: Tensor, queries: Tensor, keys: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the attention mask of transformers.

        Args:
            seen: Which keys each query sees, bool, shape (rows, queries, keys).
            queries: Positions of the queries in their texts, shape (rows, queries).
            keys: Positions of the keys, shape (rows, keys).
        """
        full = self._additive(seen)
        if self._window is None:
            return full
        near = self._additive(seen & (queries[:, :, None] - keys[:, None, :] < self._window))
        return {"full_attention": full, "sliding_attention": near} if self._by_kind else near

    @property
    def has_window(self) -> bool:
        """Return whether some layers see only the last tokens."""
        return self._window is not None

    def run(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor | dict[str, Tensor] | None,
        cache: Cache,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Return logits, shape (rows, kept or 1, vocabulary).

        Args:
            ids: Shape (rows, tokens).
            positions: Shape (rows, tokens).
            mask: Of `mask`; None: every token sees everything before it.
            cache: What was read before; grows.
            kept: The columns whose logits are wanted; None: the last one.
        """
        wanted: dict[str, Any] = {"logits_to_keep": 1 if kept is None else kept} if self._keeps else {}
        logits: Tensor = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **wanted,
        ).logits
        if self._keeps:
            return logits
        return logits[:, -1:] if kept is None else logits[:, kept]

    def alone(self, ids: Sequence[int]) -> Tensor:
        """Return the logits behind every token of a text that is read by itself, shape (tokens, vocabulary)."""
        logits: Tensor = self.model(input_ids=torch.tensor([list(ids)], device=self.device), use_cache=False).logits
        return logits[0]

    def _additive(self, seen: Tensor) -> Tensor:
        """Return the mask that every attention implementation takes: 0 where a key is seen."""
        hidden = torch.finfo(self.model.dtype).min
        mask = torch.zeros(seen.shape, dtype=self.model.dtype, device=self.device)
        return mask.masked_fill_(~seen.to(self.device), hidden)[:, None]


class Reading:
    """A pack on its way through the network."""

    def __init__(self, network: Network, pack: Pack, beginning: Beginning) -> None:
        self._network = network
        self._pack = pack
        self._beginning = beginning
        self._cache = DynamicCache(beginning.layers) if beginning.size else DynamicCache()

    def logits(self, wanted: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the logits behind the tokens at `wanted` (ascending positions) in portions: positions, logits."""
        network, pack, size = self._network, self._pack, self._beginning.size
        keys = torch.cat([torch.arange(size), pack.positions(0, len(pack), size)])
        start, next_wanted = 0, 0
        while start < len(pack):
            end = min(start + network.slice_tokens, len(pack))
            if next_wanted + network.rows_at_once < len(wanted):
                end = min(end, wanted[next_wanted + network.rows_at_once])
            last = next_wanted
            while last < len(wanted) and wanted[last] < end:
                last += 1
            here = list(wanted[next_wanted:last])
            positions = keys[size + start : size + end][None]
            mask = network.mask(pack.seen(start, end, size)[None], positions, keys[None, : size + end])
            made = network.run(
                torch.tensor([pack.ids[start:end]], device=network.device),
                positions.to(network.device),
                mask,
                self._cache,
                torch.tensor([position - start for position in here], device=network.device) if here else None,
            )
            if here:
                yield here, made[0]
            start, next_wanted = end, last

    @property
    def layers(self) -> Layers:
        """Return keys and values of the beginning and of all tokens that were read."""
        return [(layer.keys, layer.values) for layer in self._cache.layers]


class Tree:
    """Texts with what may follow each, and the tokens whose probability is asked for."""

    def __init__(self) -> None:
        self._pack = Pack()
        self._targets: dict[int, list[tuple[int, int]]] = {}
        self._cells: list[int] = []

    def __len__(self) -> int:
        return len(self._pack)

    def add(self, paths: Sequence[tuple[Sequence[int], int]], cell: int) -> None:
        """Add what may follow one text; what the paths begin with in common is read once.

        Args:
            paths: Tokens from the beginning of the text, and the number of the first one whose probability counts.
            cell: The log-probability of the first path belongs to this cell, of the next one to the next cell.
        """
        self._cells.extend(range(cell, cell + len(paths)))
        asked = [(cell + number, ids, max(first, 1)) for number, (ids, first) in enumerate(paths)]
        asked = [path for path in asked if len(path[1]) > path[2]]
        if not asked:
            return
        trunk = list(asked[0][1][:-1])
        for _, ids, _ in asked[1:]:
            size = min(len(trunk), len(ids) - 1)
            trunk = trunk[: next((at for at in range(size) if trunk[at] != ids[at]), size)]
        root = self._pack.grow(trunk)
        start = self._pack.last(root) + 1 - len(trunk)
        after: dict[tuple[int, int], int] = {}
        for own, ids, first in asked:
            segment = root
            for position in range(min(first, len(trunk)), len(ids)):
                if position >= first:
                    before = start + position - 1 if position < len(trunk) else self._pack.last(segment)
                    self._targets.setdefault(before, []).append((ids[position], own))
                if len(trunk) <= position < len(ids) - 1:
                    key = (segment, ids[position])
                    if key not in after:
                        after[key] = self._pack.grow(ids[position : position + 1], segment)
                    segment = after[key]

    def log_probabilities(self, network: Network, beginning: Beginning) -> dict[int, float]:
        """Return for every cell the sum of its tokens' log-probabilities (nats)."""
        sums = dict.fromkeys(self._cells, 0.0)
        for positions, logits in Reading(network, self._pack, beginning).logits(sorted(self._targets)):
            asked = [(row, *target) for row, at in enumerate(positions) for target in self._targets[at]]
            rows = torch.tensor([row for row, _, _ in asked], device=logits.device)
            tokens = torch.tensor([token for _, token, _ in asked], device=logits.device)
            logits = logits.float()
            found = logits[rows, tokens] - logits.logsumexp(dim=-1)[rows]
            for (_, _, cell), value in zip(asked, found.tolist(), strict=True):
                sums[cell] += value
        return sums


def log_probability_alone(network: Network, ids: Sequence[int], first: int) -> float:
    """Return the log-probability (nats) of a text's tokens from number `first` on, read by itself."""
    first = max(first, 1)
    logits = network.alone(ids)[first - 1 : -1].float()
    tokens = torch.tensor(list(ids[first:]), device=logits.device)
    return float(logits.log_softmax(dim=-1).gather(1, tokens[:, None]).sum())


def packs(network: Network) -> bool:
    """Return whether packed texts give the logits that they give by themselves; tried on a few tokens.

    Architectures that remember otherwise than by keys and values, or that take positions from the padding, do not.
    """
    if not network.usual:
        return False
    texts = [[(7 * position + 3 * size) % network.vocabulary for position in range(size)] for size in _TRIED]
    texts = [[*texts[0][:_TRIED_SHARED], *text[_TRIED_SHARED:]] for text in texts]
    try:
        beginning = network.beginning(texts[0][:_TRIED_SHARED])
        pack = Pack()
        lasts = [pack.last(pack.grow(text[_TRIED_SHARED:])) for text in texts]
        packed = torch.cat([logits for _, logits in Reading(network, pack, beginning).logits(lasts)])
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, NotImplementedError):
        return False
    alone = torch.stack([network.alone(text)[-1] for text in texts])
    allowed = _TOLERANCE.get(network.model.dtype, 1e-2) * float(alone.float().abs().max())
    return bool((packed.float() - alone.float()).abs().max() <= allowed)


def _numbers(config: Any) -> int:
    """Return how many numbers the keys and values of one token are."""
    stated = vars(config)
    heads = stated.get("num_key_value_heads") or config.num_attention_heads
    size = stated.get("head_dim") or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size)
