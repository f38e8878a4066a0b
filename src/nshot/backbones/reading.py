"""Running a decoder over many texts at once that share beginnings, without computing anything twice.

Texts are packed behind each other into one row: every token sees the shared beginning and its own past, nothing else.
So there is no padding, keys and values of a beginning are never copied per text, and the continuations of a text share
what comes before them (a tree).
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import Cache, DynamicCache

_SLICE = {"cpu": 256, "cuda": 4096}
"""Tokens of a pack. Fewer leave the units idle; more cost attention between texts that is thrown away."""
_NARROW = 256
# A narrow network's attention costs more than its products, and calling it more than both.
_NARROW_SLICE, _NARROW_PACKS = 128, 8
_MOST_LOGITS = 2**25
"""Logits that are held at once: 128 MB in float32."""
_CACHE_BYTES = 2**29
_CACHE_SHARE = 0.25
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

    def positions(self, size: int) -> list[int]:
        """Return where in its own text each token stands, and zeros behind them, `size` numbers in all."""
        return [*self._depths, *[0] * (size - len(self._depths))]

    def seen(self, start: int, end: int, beginning: int) -> np.ndarray:
        """Return which tokens are seen by those from `start` to `end`.

        A place behind the last token sees itself, so that what is computed there is a number.

        Returns:
            Shape (end - start, beginning + end), bool; the beginning's tokens come first.
        """
        mask = np.zeros((end - start, beginning + end), dtype=np.bool_)
        np.fill_diagonal(mask[:, beginning + start :], True)
        mask[: max(0, len(self) - start), :beginning] = True
        for segment in self._segments:
            first, last = max(segment.start, start), min(segment.end, end)
            if first >= last:
                continue
            rows = mask[first - start : last - start]
            for past_start, past_end in segment.past:
                rows[:, beginning + past_start : beginning + past_end] = True
            if last - first > 1 or first > segment.start:
                own = rows[:, beginning + segment.start : beginning + last]
                own[:] = np.tri(own.shape[0], own.shape[1], first - segment.start, dtype=np.bool_)
        return mask


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
        narrow = self.device.type == "cpu" and model.get_input_embeddings().weight.shape[-1] <= _NARROW
        self.pack_tokens = _NARROW_SLICE if narrow else _SLICE.get(self.device.type, _SLICE["cuda"])
        """How many tokens are best packed behind each other."""
        self.packs_at_once = _NARROW_PACKS if narrow else 1
        """How many packs are best read side by side."""
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    @cached_property
    def token_bytes(self) -> int:
        """Return the memory of one token's keys and values."""
        return sum(part.nbytes for layer in self.beginning([0]).layers for part in layer)

    @cached_property
    def cache_bytes(self) -> int:
        """Return the memory that keys and values of rows that are written at once may take."""
        if self.device.type != "cuda":
            return _CACHE_BYTES
        return max(_CACHE_BYTES, int(_CACHE_SHARE * torch.cuda.mem_get_info(self.device)[0]))

    @property
    def rows_at_once(self) -> int:
        """Return of how many rows logits may be held at once."""
        return max(1, _MOST_LOGITS // self.vocabulary)

    def beginning(self, ids: Sequence[int]) -> Beginning:
        """Read tokens that texts begin with."""
        pack = Pack()
        pack.grow(ids)
        reading = Reading(self, [pack], NOTHING)
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


Place = tuple[int, int]
"""A token: which pack, and where in it."""


class Reading:
    """Packs on their way through the network, side by side."""

    def __init__(self, network: Network, packs: Sequence[Pack], beginning: Beginning) -> None:
        self._network = network
        self._packs = packs
        self._beginning = beginning
        layers = [
            (keys.expand(len(packs), -1, -1, -1), values.expand(len(packs), -1, -1, -1))
            for keys, values in beginning.layers
        ]
        self._cache = DynamicCache(layers) if layers else DynamicCache()

    def logits(self, wanted: Sequence[Place]) -> Iterator[tuple[list[Place], Tensor]]:
        """Yield the logits behind the tokens at `wanted` in portions: places, logits of shape (places, vocabulary)."""
        network, packs, before = self._network, self._packs, self._beginning.size
        size = max(map(len, packs))
        ids = torch.tensor([[*pack.ids, *[0] * (size - len(pack))] for pack in packs], device=network.device)
        own = torch.tensor([pack.positions(size) for pack in packs], device=network.device) + before
        keys = torch.cat([torch.arange(before, device=network.device).expand(len(packs), -1), own], dim=1)
        packs_at: dict[int, list[int]] = {}
        for number, position in wanted:
            packs_at.setdefault(position, []).append(number)
        columns = deque(sorted(packs_at))
        most = max(1, network.rows_at_once // len(packs))
        start = 0
        while start < size:
            end = min(start + network.pack_tokens, size)
            here: list[int] = []
            while columns and columns[0] < end and len(here) < most:
                here.append(columns.popleft())
            end = min(end, columns[0]) if columns else end
            seen = torch.from_numpy(np.stack([pack.seen(start, end, before) for pack in packs])).to(network.device)
            made = network.run(
                ids[:, start:end],
                own[:, start:end],
                network.mask(seen, own[:, start:end], keys[:, : before + end]),
                self._cache,
                torch.tensor([position - start for position in here], device=network.device) if here else None,
            )
            if here:
                chosen = [(number, at) for at, position in enumerate(here) for number in packs_at[position]]
                places = [(number, here[at]) for number, at in chosen]
                numbers, rows = torch.tensor(chosen, device=network.device).T
                yield places, made[0] if len(packs) == 1 else made[numbers, rows]
            start = end

    @property
    def layers(self) -> Layers:
        """Return keys and values of the beginning and of all tokens that were read, a row per pack."""
        return [(layer.keys, layer.values) for layer in self._cache.layers]


class Tree:
    """Texts with what may follow each, and the tokens whose probability is asked for."""

    def __init__(self, network: Network, beginning: Beginning) -> None:
        self._network = network
        self._beginning = beginning
        self._packs = [Pack()]
        self._targets: dict[Place, list[tuple[int, int]]] = {}

    @property
    def is_full(self) -> bool:
        """Return whether reading it now is better than adding to it."""
        return len(self._packs) > self._network.packs_at_once

    def add(self, paths: Sequence[tuple[Sequence[int], int]], cell: int) -> None:
        """Add what may follow one text; what the paths begin with in common is read once.

        Args:
            paths: Tokens from the beginning of the text, and the number of the first one whose probability counts.
            cell: The log-probability of the first path belongs to this cell, of the next one to the next cell.
        """
        asked = [(cell + number, ids, max(first, 1)) for number, (ids, first) in enumerate(paths)]
        asked = [path for path in asked if len(path[1]) > path[2]]
        if not asked:
            return
        trunk = list(asked[0][1][:-1])
        for _, ids, _ in asked[1:]:
            size = min(len(trunk), len(ids) - 1)
            trunk = trunk[: next((at for at in range(size) if trunk[at] != ids[at]), size)]
        number, pack = len(self._packs) - 1, self._packs[-1]
        root = pack.grow(trunk)
        start = pack.last(root) + 1 - len(trunk)
        after: dict[tuple[int, int], int] = {}
        for own, ids, first in asked:
            segment = root
            for position in range(min(first, len(trunk)), len(ids)):
                if position >= first:
                    before = start + position - 1 if position < len(trunk) else pack.last(segment)
                    self._targets.setdefault((number, before), []).append((ids[position], own))
                if len(trunk) <= position < len(ids) - 1:
                    key = (segment, ids[position])
                    if key not in after:
                        after[key] = pack.grow(ids[position : position + 1], segment)
                    segment = after[key]
        if len(pack) >= self._network.pack_tokens:
            self._packs.append(Pack())

    def log_probabilities(self) -> dict[int, float]:
        """Return the sum of log-probabilities (nats) by cell, and begin anew; cells that count no token are absent."""
        packs, targets = [pack for pack in self._packs if len(pack)], self._targets
        self._packs, self._targets = [Pack()], {}
        sums: dict[int, float] = {}
        if not packs:
            return sums
        for places, logits in Reading(self._network, packs, self._beginning).logits(list(targets)):
            asked = [(row, *target) for row, place in enumerate(places) for target in targets[place]]
            rows = torch.tensor([row for row, _, _ in asked], device=logits.device)
            tokens = torch.tensor([token for _, token, _ in asked], device=logits.device)
            exact = logits.float()
            found = exact[rows, tokens] - exact.logsumexp(dim=-1)[rows]
            for (_, _, cell), value in zip(asked, found.tolist(), strict=True):
                sums[cell] = sums.get(cell, 0.0) + value
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
        reading = Reading(network, [pack], beginning)
        packed = torch.cat([logits for _, logits in reading.logits([(0, last) for last in lasts])])
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, NotImplementedError):
        return False
    alone = torch.stack([network.alone(text)[-1] for text in texts])
    allowed = _TOLERANCE.get(network.model.dtype, 1e-2) * float(alone.float().abs().max())
    return bool((packed.float() - alone.float()).abs().max() <= allowed)
