from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nshot.backbones.cache import FeatureCache, recall, remember, text_digest

TEXTS = [f"text {i}" for i in range(50)]
DIGESTS = [text_digest(text) for text in TEXTS]
VECTORS = np.arange(200, dtype=np.float32).reshape(50, 4)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


def shards(cache: FeatureCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.vectors"))


def test_what_was_kept_is_found_and_the_rest_is_named(cache: FeatureCache) -> None:
    cache.add("key", DIGESTS[:30], VECTORS[:30], 0.5)
    vectors, missing = cache.lookup("key", 4, DIGESTS[20:40])
    np.testing.assert_array_equal(vectors[:10], VECTORS[20:30])
    assert missing == list(range(10, 20))
    assert cache.lookup("another key", 4, DIGESTS[:1])[1] == [0]
    assert cache.seconds("key", 4, DIGESTS[25:40]) == pytest.approx(2.5)


def test_another_cache_object_sees_what_was_written_after_it_looked(cache: FeatureCache) -> None:
    other = FeatureCache(cache.folder)
    assert len(other.lookup("key", 4, DIGESTS)[1]) == 50
    cache.add("key", DIGESTS, VECTORS, 0.1)
    np.testing.assert_array_equal(other.lookup("key", 4, DIGESTS)[0], VECTORS)


def test_two_processes_write_at_once(cache: FeatureCache) -> None:
    program = """
import sys, numpy as np
from pathlib import Path
from nshot.backbones.cache import FeatureCache, text_digest
cache = FeatureCache(Path(sys.argv[1]))
start = int(sys.argv[2])
for step in range(20):
    numbers = range(start + 5 * step, start + 5 * step + 5)
    vectors = np.array([[i] * 4 for i in numbers], dtype=np.float32)
    cache.add("key", [text_digest(str(i)) for i in numbers], vectors, 0.1)
"""
    started = [subprocess.Popen([sys.executable, "-c", program, str(cache.folder), str(start)]) for start in (0, 50)]
    assert [process.wait(60) for process in started] == [0, 0]
    vectors, missing = cache.lookup("key", 4, [text_digest(str(i)) for i in range(150)])
    assert missing == []
    np.testing.assert_array_equal(vectors[:, 0], np.arange(150))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_shard_is_computed_again(cache: FeatureCache, damage: str) -> None:
    cache.add("key", DIGESTS[:30], VECTORS[:30], 0.5)
    cache.add("key", DIGESTS[30:], VECTORS[30:], 0.5)
    path = next(path for path in shards(cache) if path.stat().st_size > 700)
    raw = bytearray(path.read_bytes())
    if damage == "flipped":
        raw[-3] ^= 0xFF
    path.write_bytes({"truncated": raw[:-1], "flipped": raw, "empty": b"", "foreign": b"x" * 900}[damage])
    fresh = FeatureCache(cache.folder)
    vectors, missing = fresh.lookup("key", 4, DIGESTS)
    assert missing == list(range(30))
    np.testing.assert_array_equal(vectors[30:], VECTORS[30:])
    fresh.add("key", DIGESTS[:30], VECTORS[:30], 0.5)
    vectors, missing = FeatureCache(cache.folder).lookup("key", 4, DIGESTS)
    assert missing == []
    np.testing.assert_array_equal(vectors, VECTORS)


def test_a_cache_that_cannot_be_written_warns_once_and_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    cache = FeatureCache(blocked / "features")
    with pytest.warns(RuntimeWarning, match="going on without it"):
        cache.add("key", DIGESTS, VECTORS, 0.1)
    cache.add("key", DIGESTS, VECTORS, 0.1)
    assert len(cache.lookup("key", 4, DIGESTS)[1]) == 50


def test_a_full_disk_leaves_nothing_half_written(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        cache.add("key", DIGESTS, VECTORS, 0.1)
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def test_above_the_limit_the_shards_used_longest_ago_go_first(tmp_path: Path) -> None:
    writer = FeatureCache(tmp_path / "features", limit_bytes=1200)  # room for three shards of ten
    for number in range(3):
        part = slice(10 * number, 10 * number + 10)
        writer.add("key", DIGESTS[part], VECTORS[part], 0.1)
    for path in shards(writer):
        os.utime(path, (time.time() - 1000, time.time() - 1000))
    assert FeatureCache(writer.folder).lookup("key", 4, DIGESTS[10:20])[1] == []
    writer.add("key", DIGESTS[30:], VECTORS[30:], 0.1)
    assert writer.info().used_bytes <= 1200
    missing = FeatureCache(writer.folder).lookup("key", 4, DIGESTS)[1]
    assert missing == [*range(10), *range(20, 30)]


def test_large_additions_are_divided_into_several_files(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nshot.backbones.cache._LARGEST_SHARD", 320)
    cache.add("key", DIGESTS, VECTORS, 0.1)
    assert len(shards(cache)) == 5
    np.testing.assert_array_equal(cache.lookup("key", 4, DIGESTS)[0], VECTORS)


def test_information_and_clearing(cache: FeatureCache) -> None:
    cache.add("key", DIGESTS, VECTORS, 0.1)
    info = cache.info()
    assert info.vectors == 50
    assert info.used_bytes > VECTORS.nbytes
    cache.clear()
    assert cache.info().vectors == 0
    assert len(cache.lookup("key", 4, DIGESTS)[1]) == 50


def test_repeated_texts_are_kept_once(cache: FeatureCache) -> None:
    cache.add("key", DIGESTS[:2] * 3, np.tile(VECTORS[:2], (3, 1)), 0.1)
    assert cache.info().vectors == 2


def test_facts_survive_and_a_broken_file_is_no_error(own_cache: Path) -> None:
    remember("things", "a", {"x": 1})
    remember("things", "b", 2)
    assert recall("things", "a") == {"x": 1}
    assert recall("things", "b") == 2
    (own_cache / "things.json").write_text("{broken")
    assert recall("things", "a") is None


def test_warm_lookups_are_quick(cache: FeatureCache) -> None:
    digests = [text_digest(f"a text of usual length about something {i}") for i in range(10_000)]
    cache.add("key", digests, np.zeros((10_000, 384), dtype=np.float32), 0.1)
    cache.lookup("key", 384, digests)
    start = time.process_time()
    _, missing = cache.lookup("key", 384, digests)
    assert missing == []
    assert time.process_time() - start < 0.2  # 0.02 s alone on the machine
