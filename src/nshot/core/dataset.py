"""Examples with their optional targets, groups and times; immutable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias, overload, runtime_checkable

Example: TypeAlias = Any
"""One input: a text, a row (`core.table.Row`, or a tuple of numbers), an image, a conversation, a history.

An image is the `bytes` of its file (PNG, JPEG ...) or a uint8 array of shape (height, width) or (height, width, 3).
"""


_AT_ONCE = 4096


@runtime_checkable
class Gathers(Protocol):
    """A sequence that hands out many of its items faster than one by one, such as a table in memory."""

    def __getitem__(self, index: int) -> Any: ...

    def take(self, positions: Iterable[int]) -> Sequence[Any]:
        """Return the items at these positions, in that order."""


class Selection(Sequence[Any]):
    """Some positions of another sequence, in a given order, without copying its items."""

    __slots__ = ("_positions", "_source")

    def __init__(self, source: Sequence[Any], positions: Sequence[int]) -> None:
        self._source: Sequence[Any] = source
        self._positions: Sequence[int] = positions
        if isinstance(source, Selection):
            # Selections of selections would make every access a chain; keep one level.
            self._positions = [source._positions[i] for i in positions]
            self._source = source._source

    @property
    def source(self) -> Sequence[Any]:
        """What the positions refer to; never a `Selection` itself."""
        return self._source

    @property
    def positions(self) -> Sequence[int]:
        """The positions."""
        return self._positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Selection(self._source, self._positions[index])
        return self._source[self._positions[index]]

    def __iter__(self) -> Iterator[Any]:
        source, positions = self._source, self._positions
        # An array has a `take` too, which means something else.
        if not (isinstance(source, Sequence) and isinstance(source, Gathers)):
            yield from (source[i] for i in positions)
            return
        for start in range(0, len(positions), _AT_ONCE):
            yield from source.take(positions[start : start + _AT_ONCE])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Immutable examples of one modality.

    Attributes:
        examples: n inputs; any sequence, so that a reader can hand over memory-mapped columns.
        modality: ``text``, ``row``, ``image``, ``conversation`` or ``history``.
        targets: n targets, or None where nothing is labelled. A label is a `str`; `tag` has tuples
            of `str`, `extract` tuples of `Span`, `regress` floats, `detect` bools (true of an anomaly), `cluster` the
            `str` that names the true group. Of `generate` it is a tuple of texts: the row's own
            answer, from which a fit learns, then other answers that are accepted when it is tested.
        groups: n group keys, or None; examples of one group never straddle a split.
        times: n sortable times, or None.
        name: What people call it, usually the file name.
    """

    examples: Sequence[Example]
    modality: str = "text"
    targets: Sequence[Any] | None = None
    groups: Sequence[Hashable] | None = None
    times: Sequence[Any] | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        n = len(self.examples)
        for column in ("targets", "groups", "times"):
            values = getattr(self, column)
            if values is not None and len(values) != n:
                raise ValueError(f"{column} has {len(values)} entries for {n} examples")

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, positions: Iterable[int]) -> Dataset:
        """Return the examples at `positions` (0-based), in that order."""
        picked = [int(i) for i in positions]

        def of(column: Sequence[Any] | None) -> Sequence[Any] | None:
            return None if column is None else Selection(column, picked)

        return replace(
            self,
            examples=Selection(self.examples, picked),
            targets=of(self.targets),
            groups=of(self.groups),
            times=of(self.times),
        )

    def where(self, keep: Callable[[Any], bool]) -> Dataset:
        """Return the examples whose target satisfies `keep`."""
        return self.take([i for i, target in enumerate(self.labelled_targets()) if keep(target)])

    def labelled_targets(self) -> Sequence[Any]:
        """Return the targets, or raise if there are none."""
        if self.targets is None:
            raise ValueError(f"{self.name} has no targets")
        return self.targets

    def without_targets(self) -> Dataset:
        """Return the same examples with nothing known about them: a pool."""
        return replace(self, targets=None)

    @cached_property
    def fingerprint(self) -> str:
        """Return 32 hex digits that change when any example, target or group changes."""
        digest = hashlib.blake2b(digest_size=16)
        columns = (self.examples, self.targets, self.groups)
        for column in columns:
            digest.update(b"\x00column" if column is not None else b"\x00none")
            for value in column or ():
                data = _as_bytes(value)
                digest.update(len(data).to_bytes(8, "little"))
                digest.update(data)
        return digest.hexdigest()


def _as_bytes(value: Any) -> bytes:
    """Return bytes that differ where values do."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return value
    try:
        pixels = memoryview(value)  # an array: its repr leaves out the middle of a large one
    except TypeError:
        return repr(value).encode()
    return repr(pixels.shape).encode() + pixels.tobytes()
