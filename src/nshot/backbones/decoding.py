"""The loop that writes answers: many rows at once, each in a slot of its own.

A row's keys and values stand at its own positions in a common buffer, so nothing is padded and nothing is copied from
step to step; a row that is finished hands its slot to another one.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    Cache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer

from nshot.backbones.reading import Beginning, Layers, Network, Pack, Place, Reading
from nshot.core import Decoding

_MOST_ROWS = 256
_ROOM = 1.25


class Answer:
    """An answer that is being written.

    Attributes:
        prompt: Its prompt's tokens after the shared beginning.
        ids: The tokens so far, without the one that ends it.
        ended: A token came that ends an answer.
        halted: A stop text stands in it.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        limit: int,
        ends: frozenset[int],
        draws: np.ndarray | None,
        halts: Callable[[Sequence[int]], bool] | None,
    ) -> None:
        """Begin an empty answer.

        Args:
            prompt: Tokens, at least one.
            limit: The most tokens of the answer.
            ends: Tokens that end it.
            draws: Uniform random numbers, one per token; None: the likeliest token is taken.
            halts: Says whether the tokens so far hold a stop text; None: there is none.
        """
        self.prompt = prompt
        self.ids: list[int] = []
        self.ended = False
        self.halted = False
        self._limit = limit
        self._ends = ends
        self._draws = draws
        self._halts = halts

    @property
    def size(self) -> int:
        """Return the most tokens that the row can have behind the shared beginning."""
        return len(self.prompt) + self._limit

    @property
    def tokens(self) -> int:
        """Return how many tokens were written."""
        return len(self.ids) + self.ended

    def draw(self) -> float:
        """Return the random number that decides the next token."""
        return 0.0 if self._draws is None else float(self._draws[len(self.ids)])

    def take(self, token: int) -> bool:
        """Add a token; return whether the answer is finished."""
        if token in self._ends:
            self.ended = True
            return True
        self.ids.append(token)
        if self._halts is not None and self._halts(self.ids):
            self.halted = True
            return True
        return len(self.ids) >= self._limit


def draws(decoding: Decoding, prompt: Sequence[int], limit: int) -> np.ndarray | None:
    """Return the random numbers of one answer; they depend on the seed and its own prompt only."""
    if decoding.temperature == 0:
        return None
    digest = hashlib.blake2b(np.asarray(prompt, dtype=np.int64).tobytes(), digest_size=16)
    digest.update(str(decoding.seed).encode())
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest.digest(), "little"))).random(limit)


def write(
    network: Network, beginning: Beginning, answers: Sequence[Answer], decoding: Decoding
) -> Iterator[list[Answer]]:
    """Write all answers; yield after every step those that were finished by it.

    Rows of like length are written together, short ones first.
    """
    waiting = deque(sorted(answers, key=lambda answer: answer.size))
    slots = Slots(network, beginning)
    while waiting or slots.rows:
        with torch.inference_mode():
            finished = slots.admit(waiting, decoding) if slots.has_room(waiting) else slots.step(decoding)
        yield finished


def write_alone(network: Network, prompt: Sequence[int], answer: Answer, decoding: Decoding) -> list[Answer]:
    """Write one answer with what transformers has for an architecture of any kind."""
    settings = GenerationConfig(max_new_tokens=answer.size - len(answer.prompt), do_sample=False, pad_token_id=0)
    processors = [_Drawing(answer, decoding)] if decoding.temperature else []
    with torch.inference_mode():
        network.model.generate(
            torch.tensor([list(prompt)], device=network.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([_Taking(answer)]),
        )
    return [answer]


class _Drawing(LogitsProcessor):  # type: ignore[misc]
    """Leave only the token that is drawn."""

    def __init__(self, answer: Answer, decoding: Decoding) -> None:
        self._answer = answer
        self._decoding = decoding

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = chosen(scores, self._decoding, [self._answer.draw()])[0]
        return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([token], device=scores.device), 0.0)


class _Taking(StoppingCriteria):  # type: ignore[misc]
    """Hand each new token to the answer, and stop where it is finished."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.tensor([self._answer.take(int(input_ids[0, -1]))], device=input_ids.device)


class Slots:
    """Rows that are written at the same time."""

    def __init__(self, network: Network, beginning: Beginning) -> None:
        self._network = network
        self._beginning = beginning
        self.rows: list[Answer] = []
        self.lengths: list[int] = []
        """Tokens of each row whose keys and values are known."""
        self._next: list[int] = []
        self._layers: list[_SlotLayer] = []
        self._cache = Cache(layers=[])
        self._columns = 0

    def has_room(self, waiting: Sequence[Answer]) -> bool:
        """Return whether enough slots are free for reading prompts to pay."""
        if not waiting:
            return False
        most = self._most_rows(max(self._columns, self._beginning.size + waiting[0].size))
        return not self.rows or len(self.rows) <= most // 2

    def admit(self, waiting: deque[Answer], decoding: Decoding) -> list[Answer]:
        """Read the prompts of rows that wait, choose their first tokens; return those that are finished by it."""
        most_packs, most_tokens = self._network.packs_at_once, self._network.pack_tokens
        new: list[Answer] = []
        packs, spans = [Pack()], []
        columns = self._columns
        while waiting:
            answer = waiting[0]
            needed = max(columns, self._beginning.size + answer.size)
            if (self.rows or new) and len(self.rows) + len(new) >= self._most_rows(needed):
                break
            if len(packs[-1]) and len(packs[-1]) + len(answer.prompt) > most_tokens:
                if len(packs) == most_packs:
                    break
                packs.append(Pack())
            columns = needed
            start = len(packs[-1])
            packs[-1].grow(answer.prompt)
            spans.append((len(packs) - 1, start, len(packs[-1])))
            new.append(waiting.popleft())
        reading = Reading(self._network, packs, self._beginning)
        first: dict[Place, int] = {}
        by_place = {(number, end - 1): answer for answer, (number, _, end) in zip(new, spans, strict=True)}
        for places, logits in reading.logits(list(by_place)):
            drawn = [by_place[place].draw() for place in places]
            first.update(zip(places, chosen(logits, decoding, drawn), strict=True))
        layers = reading.layers
        self._hold(layers, len(new), columns)
        finished = []
        for answer, (number, start, end) in zip(new, spans, strict=True):
            token = first[number, end - 1]
            if answer.take(token):
                finished.append(answer)
            else:
                self._enter(answer, token, layers, (number, start, end))
        return finished

    def step(self, decoding: Decoding) -> list[Answer]:
        """Write one token in every row; return those that are finished by it."""
        device = self._network.device
        lengths = torch.tensor(self.lengths, device=device)
        even = len(set(self.lengths)) == 1
        longest = max(self.lengths) + 1
        for layer in self._layers:
            layer.aim(len(self.rows), longest, self.lengths[0] if even else lengths)
        mask = None
        if not even or self._network.has_window:
            keys = torch.arange(longest, device=device)
            mask = self._network.mask(
                (keys <= lengths[:, None])[:, None], lengths[:, None], keys.expand(len(self.rows), -1)
            )
        ids = torch.tensor(self._next, device=device)[:, None]
        logits = self._network.run(ids, lengths[:, None], mask, self._cache)[:, -1]
        tokens = chosen(logits, decoding, [answer.draw() for answer in self.rows])
        self.lengths = [length + 1 for length in self.lengths]
        self._next = tokens
        ended = [row for row, (answer, token) in enumerate(zip(self.rows, tokens, strict=True)) if answer.take(token)]
        finished = [self.rows[row] for row in ended]
        for row in reversed(ended):
            self._leave(row)
        return finished

    def _most_rows(self, columns: int) -> int:
        """Return how many rows of so many columns are written at once."""
        by_memory = self._network.cache_bytes // (columns * self._network.token_bytes)
        return max(1, min(_MOST_ROWS, self._network.rows_at_once, by_memory))

    def _hold(self, like: Layers, new: int, columns: int) -> None:
        """Make room for `new` more rows of so many columns."""
        rows = len(self.rows) + new
        if not self._layers:
            self._layers = [_SlotLayer(keys, values) for keys, values in like]
            self._cache = Cache(layers=list(self._layers))
        if columns > self._columns:
            self._columns = max(columns, int(self._columns * _ROOM))
        for layer in self._layers:
            layer.hold(rows, self._columns, len(self.rows))

    def _enter(self, answer: Answer, token: int, layers: Layers, span: tuple[int, int, int]) -> None:
        """Begin a row with what was read of its prompt: from a start to an end in a pack."""
        size, (number, start, end) = self._beginning.size, span
        for layer, (keys, values) in zip(self._layers, layers, strict=True):
            layer.put(len(self.rows), keys[number], values[number], size, (size + start, size + end))
        self.rows.append(answer)
        self._next.append(token)
        self.lengths.append(size + end - start)

    def _leave(self, row: int) -> None:
        """End a row; the last one takes its slot."""
        last = len(self.rows) - 1
        for layer in self._layers:
            layer.move(last, row)
        self.rows[row], self._next[row], self.lengths[row] = self.rows[last], self._next[last], self.lengths[last]
        del self.rows[last], self._next[last], self.lengths[last]


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: a slot per row, each token at its own position."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self._held = [_empty(keys), _empty(values)]
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._rows, self._columns = 0, 0
        self._at: int | Tensor = 0

    def hold(self, rows: int, columns: int, used: int) -> None:
        """Make room for so many rows and columns; what is in the first `used` rows stays."""
        for number, held in enumerate(self._held):
            if rows <= held.shape[0] and columns <= held.shape[2]:
                continue
            # Zeros: what no token has written must be a number, for it is multiplied by a weight of zero.
            room = held.new_zeros(max(rows, held.shape[0]), held.shape[1], max(columns, held.shape[2]), held.shape[3])
            room[:used, :, : held.shape[2]] = held[:used]
            self._held[number] = room

    def put(self, row: int, keys: Tensor, values: Tensor, beginning: int, span: tuple[int, int]) -> None:
        """Copy the beginning and a span of the tokens of a pack, shape (heads, tokens, size), into a row."""
        start, end = span
        for held, read in zip(self._held, (keys, values), strict=True):
            held[row, :, :beginning] = read[:, :beginning]
            held[row, :, beginning : beginning + end - start] = read[:, start:end]

    def move(self, source: int, target: int) -> None:
        """Copy a row over another one."""
        if source != target:
            for held in self._held:
                held[target] = held[source]

    def aim(self, rows: int, columns: int, at: int | Tensor) -> None:
        """Say where the next tokens belong: in the first `rows` rows at column `at`; `columns` are seen after that."""
        self._rows, self._columns, self._at = rows, columns, at

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one token per row; return what all rows hold."""
        self.keys, self.values = (
            self._written(held, states) for held, states in zip(self._held, (key_states, value_states), strict=True)
        )
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return the number of columns before the next token."""
        return self._columns - 1

    def _written(self, held: Tensor, states: Tensor) -> Tensor:
        rows = held[: self._rows]
        if isinstance(self._at, int):
            rows[:, :, self._at] = states[:, :, 0]
        else:
            rows[torch.arange(self._rows, device=held.device), :, self._at] = states[:, :, 0]
        return rows[:, :, : self._columns]


def chosen(logits: Tensor, decoding: Decoding, draws: Sequence[float]) -> list[int]:
    """Return the next token of each row.

    Args:
        logits: Shape (rows, vocabulary).
        decoding: How it is chosen.
        draws: A uniform random number per row.
    """
    if decoding.temperature == 0:
        return logits.argmax(dim=-1).tolist()
    probabilities = torch.softmax(logits.float() / decoding.temperature, dim=-1)
    if decoding.top_p < 1:
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= decoding.top_p, 0.0)
    else:
        ordered, tokens = probabilities, None
    sums = ordered.double().cumsum(dim=-1)
    wanted = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, wanted, right=True).clamp_(max=logits.shape[-1] - 1)
    return (found if tokens is None else tokens.gather(-1, found))[:, 0].tolist()


def _empty(like: Tensor) -> Tensor:
    return like.new_zeros(0, like.shape[1], 0, like.shape[3])
