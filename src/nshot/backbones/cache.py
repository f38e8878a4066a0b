"""What is worth keeping between runs: vectors of examples, and small facts about this machine and its files.

Vectors lie in shards that are written once: a temporary file, then a rename, so that two processes never disturb each
other and a killed one leaves nothing half-written behind. A cache that cannot be written is skipped, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from nshot.core import Embeds, Example

if TYPE_CHECKING:
    import numpy as np

DIGEST_BYTES = 16
_DEFAULT_LIMIT = 4 * 2**30
_LARGEST_SHARD = 64 * 2**20
_MAGIC = b"nshotvec1\n"
_HEADER = struct.Struct("<QQdI")  # vectors, width, seconds per example, checksum of what follows
_SUFFIX = ".vectors"
# An unfinished file of a process that was killed; younger ones may still be being written.
_ABANDONED_SECONDS = 3600


def cache_folder() -> Path:
    """Return where nshot keeps its cache: ``NSHOT_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get("NSHOT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("nshot")


def recall(subject: str, key: str) -> Any | None:
    """Return what `remember` kept about `key`, or None."""
    return _facts(subject).get(key)


def remember(subject: str, key: str, value: Any) -> None:
    """Keep a json-able fact for later processes; a folder that cannot be written is no error."""
    path = _facts_path(subject)
    facts = {**_facts(subject), key: value}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, [json.dumps(facts, indent=1).encode()])
    except OSError:
        return


def _facts_path(subject: str) -> Path:
    return cache_folder() / f"{subject}.json"


def _facts(subject: str) -> dict[str, Any]:
    try:
        facts = json.loads(_facts_path(subject).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file that is either complete under its name or not there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def text_digest(text: str) -> bytes:
    """Return the content address of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


@runtime_checkable
class KeepsVectors(Embeds, Protocol):
    """A backbone that keeps the vectors of examples between runs."""

    def uncached(self) -> Self:
        """Return the same backbone without its cache; it shares what is loaded already."""

    def first_cost(self, examples: Sequence[Example]) -> float:
        """Return how long computing took for those of these examples whose vectors are in the cache now, in seconds."""


@dataclass(frozen=True)
class CacheInfo:
    """How full a cache is.

    Attributes:
        folder: Where it lies.
        vectors: How many are kept.
        used_bytes: Their files.
        limit_bytes: Above this the files used longest ago are removed.
    """

    folder: Path
    vectors: int
    used_bytes: int
    limit_bytes: int


@dataclass
class _Shard:
    """One file of vectors, opened but not yet checked."""

    path: Path
    seconds_per_example: float
    checksum: int
    digests: np.ndarray
    vectors: np.ndarray
    sound: bool | None = None
    marked: bool = False

    def is_sound(self) -> bool:
        """Return whether the bytes are those that were written; looks at them once."""
        if self.sound is None:
            self.sound = _checksum(self.digests, self.vectors) == self.checksum
        return self.sound

    def mark_as_used(self) -> None:
        """Note on disk, once per process, that it was used now; eviction takes those used longest ago."""
        if not self.marked:
            self.marked = True
            _touch(self.path)


@dataclass
class _Store:
    """All shards of one model with one setting, and where each vector is."""

    folder: Path
    shards: list[_Shard] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)


class FeatureCache:
    """Vectors of examples on disk, by content."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = _DEFAULT_LIMIT) -> None:
        """Open the cache; nothing is created before the first `add`.

        Args:
            folder: Where; the folder ``features`` in `cache_folder` if None.
            limit_bytes: The largest total size of its files.
        """
        self.folder = folder or cache_folder() / "features"
        self.limit_bytes = limit_bytes
        self.writable = True
        self._stores: dict[str, _Store] = {}

    def lookup(self, key: str, width: int, digests: Sequence[bytes]) -> tuple[np.ndarray, list[int]]:
        """Return the vectors that are known and the positions of those that are not.

        Args:
            key: What the vectors depend on besides the example: model, pooling, precision.
            width: Length of a vector.
            digests: Content addresses of n examples.

        Returns:
            float32 vectors, shape (n, width), and the positions whose row is still to be filled.
        """
        import numpy as np

        vectors = np.zeros((len(digests), width), dtype=np.float32)
        by_shard: dict[int, tuple[list[int], list[int]]] = {}
        missing = []
        store = self._store(key, width)
        places = self._places(store, digests, width)
        for position, place in enumerate(places):
            if place is None:
                missing.append(position)
            else:
                positions, rows = by_shard.setdefault(place[0], ([], []))
                positions.append(position)
                rows.append(place[1])
        for number, (positions, rows) in by_shard.items():
            shard = store.shards[number]
            if shard.is_sound():
                shard.mark_as_used()
                vectors[positions] = shard.vectors[rows]
            else:
                self._forget(store, number)
                missing.extend(positions)
        return vectors, sorted(missing)

    def add(self, key: str, digests: Sequence[bytes], vectors: np.ndarray, seconds_per_example: float) -> None:
        """Keep vectors, shape (n, width), float32.

        Args:
            key: As in `lookup`.
            digests: Content addresses of n examples.
            vectors: Shape (n, width).
            seconds_per_example: What computing one of them took.
        """
        import numpy as np

        first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
        if not first or not self.writable:
            return
        rows = sorted(first.values())
        width = vectors.shape[1]
        per_shard = max(1, _LARGEST_SHARD // (4 * width + DIGEST_BYTES))
        store = self._store(key, width)
        try:
            store.folder.mkdir(parents=True, exist_ok=True)
            for start in range(0, len(rows), per_shard):
                part = rows[start : start + per_shard]
                names = np.frombuffer(b"".join(digests[row] for row in part), dtype=np.uint8)
                names = names.reshape(len(part), DIGEST_BYTES)
                values = np.ascontiguousarray(vectors[part], dtype=np.float32)
                self._write_shard(store, names, values, seconds_per_example)
            self._refresh(store, width)
            self._evict()
        except OSError as error:
            self.writable = False
            warnings.warn(
                f"The feature cache {self.folder} cannot be written ({error.strerror or error}); going on without it.",
                RuntimeWarning,
                stacklevel=2,
            )

    def filled(
        self,
        key: str,
        width: int,
        digests: Sequence[bytes],
        *,
        prepare: Callable[[], None],
        compute: Callable[[Sequence[int]], np.ndarray],
    ) -> np.ndarray:
        """Return the vectors of n examples, float32, shape (n, width); those that were not known are kept from now on.

        Args:
            key: As in `lookup`.
            width: Length of a vector.
            digests: Content addresses of n examples.
            prepare: Called before anything is computed; its time is no part of what a vector costs.
            compute: Returns the vectors of the examples at these positions.
        """
        vectors, missing = self.lookup(key, width, digests)
        if missing:
            prepare()
            start = time.perf_counter()
            computed = compute(missing)
            seconds = (time.perf_counter() - start) / len(missing)
            vectors[missing] = computed
            self.add(key, [digests[row] for row in missing], computed, seconds)
        return vectors

    def seconds(self, key: str, width: int, digests: Sequence[bytes]) -> float:
        """Return how long computing took for those of these examples that are kept, in seconds."""
        store = self._store(key, width)
        places = [place for place in self._places(store, digests, width) if place is not None]
        return sum(store.shards[number].seconds_per_example for number, _ in places)

    def info(self) -> CacheInfo:
        """Return how full the cache is."""
        vectors, used = 0, 0
        for path, stat in self._files():
            header = _read_header(path)
            vectors += 0 if header is None else header[0]
            used += stat.st_size
        return CacheInfo(self.folder, vectors, used, self.limit_bytes)

    def clear(self) -> None:
        """Remove all vectors."""
        for path, _ in self._files():
            _remove(path)
        self._stores.clear()

    def _store(self, key: str, width: int) -> _Store:
        if key not in self._stores:
            name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
            self._stores[key] = _Store(self.folder / name)
            self._refresh(self._stores[key], width)
        return self._stores[key]

    def _places(self, store: _Store, digests: Sequence[bytes], width: int) -> list[tuple[int, int] | None]:
        places = [store.places.get(digest) for digest in digests]
        # Another process may have written since this one looked.
        if None in places and self._refresh(store, width):
            places = [store.places.get(digest) for digest in digests]
        return places

    def _refresh(self, store: _Store, width: int) -> bool:
        """Take in shards that were not there before; return whether there were any."""
        try:
            found = sorted(path for path in store.folder.iterdir() if path.suffix == _SUFFIX)
        except OSError:
            return False
        new = [path for path in found if path.name not in store.names]
        for path in new:
            store.names.add(path.name)
            shard = _open_shard(path, width)
            if shard is None:
                continue
            number = len(store.shards)
            store.shards.append(shard)
            raw = shard.digests.tobytes()
            for row in range(len(shard.digests)):
                store.places.setdefault(raw[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES], (number, row))
        return bool(new)

    def _forget(self, store: _Store, number: int) -> None:
        store.places = {digest: place for digest, place in store.places.items() if place[0] != number}
        _remove(store.shards[number].path)

    def _write_shard(self, store: _Store, digests: np.ndarray, vectors: np.ndarray, seconds: float) -> None:
        header = _MAGIC + _HEADER.pack(len(digests), vectors.shape[1], seconds, _checksum(digests, vectors))
        name = hashlib.blake2b(digests.tobytes() + header, digest_size=12).hexdigest()
        _write_whole(store.folder / f"{name}{_SUFFIX}", [header, digests.data.cast("B"), vectors.data.cast("B")])

    def _evict(self) -> None:
        files = sorted(self._files(), key=lambda item: item[1].st_mtime)
        excess = sum(stat.st_size for _, stat in files) - self.limit_bytes
        for path, stat in files:
            if excess <= 0:
                break
            _remove(path)
            excess -= stat.st_size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Return all shards with their sizes and times, and clean up after processes that were killed."""
        found = []
        for path in self.folder.glob("*/*"):
            try:
                stat = path.stat()
            except OSError:
                continue  # another process removed it meanwhile
            if path.suffix == _SUFFIX:
                found.append((path, stat))
            elif time.time() - stat.st_mtime > _ABANDONED_SECONDS:
                _remove(path)
        return found


def _checksum(digests: np.ndarray, vectors: np.ndarray) -> int:
    return zlib.crc32(vectors.data.cast("B"), zlib.crc32(digests.data.cast("B")))


def _read_header(path: Path) -> tuple[int, int, float, int] | None:
    """Return the header of a shard, or None if the file is not a whole shard."""
    size = len(_MAGIC) + _HEADER.size
    try:
        with path.open("rb") as file:
            start = file.read(size)
        if len(start) != size or not start.startswith(_MAGIC):
            return None
        vectors, width, seconds, checksum = _HEADER.unpack(start[len(_MAGIC) :])
        whole = size + vectors * (DIGEST_BYTES + 4 * width)
        return (vectors, width, seconds, checksum) if path.stat().st_size == whole else None
    except OSError:
        return None


def _open_shard(path: Path, width: int) -> _Shard | None:
    """Return the shard in this file, or None if it is no whole shard of this width."""
    import numpy as np

    header = _read_header(path)
    if header is None or header[1] != width:
        return None
    count, _, seconds, checksum = header
    start = len(_MAGIC) + _HEADER.size
    try:
        digests = np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=(count, DIGEST_BYTES))
        vectors = np.memmap(path, dtype=np.float32, mode="r", offset=start + count * DIGEST_BYTES, shape=(count, width))
    except (OSError, ValueError):
        return None
    return _Shard(path, seconds, checksum, np.asarray(digests), np.asarray(vectors))


def _touch(path: Path) -> None:
    """Mark a shard as used now, for eviction."""
    try:
        os.utime(path)
    except OSError:
        return


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
