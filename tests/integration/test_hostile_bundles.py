"""A saved model from a stranger: it is refused in words, or it answers; it runs no code and fills no memory.

Thousands of cases are made from whole models: bytes are changed, values replaced by odd ones, tensors cut. Where the
stranger has written the right hashes, nothing but the content is left to tell.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import resource
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

import nshot
from integration.calling import nshot as called
from nshot.core import ModelError, NshotError, OptionError

MOST_SECONDS = 5.0
MOST_MEGABYTES = 400
SAVED = Path(__file__).parents[1] / "golden" / "bundles" / "v1"
EXAMPLES: dict[str, list[Any]] = {
    "row_linear_probe": [{"a": 0.5, "b": -1.0, "c": "x"}, {"a": 2.0, "b": 1.0, "c": "new"}],
    "text_tfidf_linear": ["a good thing", ""],
}
ODD = [None, -1, 0, 7, 1e308, 2**40, 2**63, -(2**200), "", "\x00", "../x", "\ud800", [], {}, [[]], True, 0.5, [1, 2]]

many = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def write(folder: Path, name: str, content: bytes) -> None:
    """Put a file in place as a stranger would, with its size and hash in the manifest."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rewrite(folder: Path, **changes: Any) -> None:
    """Change fields of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def opened(folder: Path, name: str) -> str:
    """Return ``answered`` or ``refused``; anything else, or what takes too long or too much memory, fails."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    try:
        found = nshot.load(folder, threads=1).answer(EXAMPLES[name])
        outcome = "answered"
        assert len(found) == len(EXAMPLES[name])
    except NshotError as error:
        outcome = "refused"
        assert str(error)
        assert len(str(error)) < 3000
    assert time.monotonic() - started < MOST_SECONDS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown / 1024 < MOST_MEGABYTES
    return outcome


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Load once what every case needs, so that the time of imports is nobody's."""
    for name, examples in EXAMPLES.items():
        nshot.load(SAVED / name, threads=1).answer(examples)


@pytest.fixture(params=sorted(EXAMPLES))
def name(request) -> str:
    return request.param


@pytest.fixture
def folder(tmp_path, name) -> Path:
    shutil.copytree(SAVED / name, tmp_path / "model")
    return tmp_path / "model"


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where the values of a json document stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([here] if here else []), *(place for key, part in inner for place in places(part, (*here, key)))]


def changed(draw: Any, record: Any) -> Any:
    """Return a json document with a few values replaced, removed or added."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(1, 3))):
        known = places(record)
        *before, last = draw(st.sampled_from(known))
        at = record
        for key in before:
            at = at[key]
        kind = draw(st.integers(0, 9))
        if kind < 7:
            at[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif kind < 9 or isinstance(at, list):
            del at[last]
        else:
            at[f"{last}x"] = copy.deepcopy(draw(st.sampled_from(ODD)))
        if not places(record):
            return record
    return record


def reshaped(draw: Any, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors with one of them cut, turned, emptied, retyped, spoilt or missing."""
    name = draw(st.sampled_from(sorted(tensors)))
    array = tensors[name]
    floats = array.dtype.kind == "f"
    ways = {
        "turned": lambda: array.T,
        "flat": lambda: array.reshape(-1),
        "cut": lambda: array[..., :-1],
        "shorter": lambda: array[:-1],
        "emptied": lambda: array[:0],
        "spoilt": lambda: np.full_like(array, np.nan if floats else 99),
        "infinite": lambda: np.full_like(array, np.inf if floats else -1),
        "whole": lambda: np.nan_to_num(array).astype(np.int8),
        "deep": lambda: array[None, None],
    }
    way = draw(st.sampled_from([*ways, "missing"]))
    rest = {key: value for key, value in tensors.items() if key != name}
    return rest if way == "missing" else {**rest, name: np.ascontiguousarray(ways[way]())}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of infinite weights
class TestFuzz:
    @many
    @given(data=st.data())
    def test_bytes_that_changed_on_the_way_are_noticed(self, data, tmp_path_factory) -> None:
        name = data.draw(st.sampled_from(sorted(EXAMPLES)))
        folder = tmp_path_factory.mktemp("fuzz") / "model"
        shutil.copytree(SAVED / name, folder)
        files = sorted(json.loads((folder / "manifest.json").read_text())["files"])
        file = folder / data.draw(st.sampled_from(files))
        content = bytearray(file.read_bytes())
        if data.draw(st.booleans()):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        else:
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        file.write_bytes(content)
        assert opened(folder, name) == "refused"
        shutil.rmtree(folder)

    @many
    @given(data=st.data())
    def test_odd_values_with_the_right_hashes_are_refused_or_answered(self, data, tmp_path_factory) -> None:
        name = data.draw(st.sampled_from(sorted(EXAMPLES)))
        folder = tmp_path_factory.mktemp("fuzz") / "model"
        shutil.copytree(SAVED / name, folder)
        file = data.draw(st.sampled_from(["manifest.json", "settings.json", "tensors.safetensors"]))
        if file == "tensors.safetensors":
            write(folder, file, save(reshaped(data.draw, load_file(folder / file))))
        else:
            record = changed(data.draw, json.loads((folder / file).read_text()))
            if file == "manifest.json":
                (folder / file).write_text(json.dumps(record))
            else:
                write(folder, file, json.dumps(record).encode())
        opened(folder, name)
        shutil.rmtree(folder)

    @many
    @given(data=st.data())
    def test_raw_bytes_with_the_right_hashes_are_refused_or_answered(self, data, tmp_path_factory) -> None:
        name = data.draw(st.sampled_from(sorted(EXAMPLES)))
        folder = tmp_path_factory.mktemp("fuzz") / "model"
        shutil.copytree(SAVED / name, folder)
        files = sorted(json.loads((folder / "manifest.json").read_text())["files"])
        file = data.draw(st.sampled_from(files))
        content = bytearray((folder / file).read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        write(folder, file, bytes(content) + data.draw(st.binary(max_size=8)))
        opened(folder, name)
        shutil.rmtree(folder)


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b'{"a": [' + b"[]," * 4_000_000 + b"0]}",
        b'{"classes": [], "classes": ["a"]}',
        b'{"a": 1e999}',
        b'{"a": NaN}',
        b'{"a": ' + b"9" * 100_000 + b"}",
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
    ],
    ids=["lists", "objects", "values", "twice", "infinite", "nan", "long number", "pickle"],
)
def test_json_that_fills_the_memory_or_means_two_things_is_refused(folder, name, content) -> None:
    write(folder, "settings.json", content)
    assert opened(folder, name) == "refused"


@pytest.mark.parametrize(
    "content",
    [
        header(b"{}", 2**40),
        header(b"{}", 2**63),
        header(b'{"a":{"dtype":"F32","shape":[1099511627776,0],"data_offsets":[0,0]}}'),
        header(b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
        header(b'{"a":{"dtype":"F64","shape":[' + b"1," * 200 + b'1],"data_offsets":[0,8]}}') + b"\0" * 8,
        header(b"{" + b" " * (1 << 25) + b"}"),
    ],
    ids=["terabyte", "overflow", "empty and huge", "product overflows", "200 sides", "long header"],
)
def test_tensors_that_claim_to_be_huge_are_refused(folder, name, content) -> None:
    write(folder, "tensors.safetensors", content)
    assert opened(folder, name) == "refused"


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(folder, name) -> None:
    with (folder / "tensors.safetensors").open("r+b") as file:
        file.truncate(1 << 43)  # sparse: it takes no room on the disk
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["tensors.safetensors"]["size"] = 1 << 43
    rewrite(folder, files=manifest["files"])
    with pytest.raises(NshotError, match="GiB of memory"):
        nshot.load(folder)


def test_a_network_of_a_billion_layers_is_refused(folder, name) -> None:
    for config in ({"num_hidden_layers": 10**9}, {"text_config": {"hidden_size": 2**40}}, {"n_layer": 2**200}):
        write(folder, "config.json", json.dumps({"model_type": "llama", **config}).encode())
        with pytest.raises(ModelError, match="at most"):
            nshot.load(folder)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "/etc/passwd", ".."])
def test_links_and_devices_are_not_opened(folder, name, target) -> None:
    (folder / "settings.json").unlink()
    (folder / "settings.json").symlink_to(target)
    assert opened(folder, name) == "refused"
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(target)
    assert opened(folder, name) == "refused"


@pytest.mark.parametrize("file", ["blobs/weights.pkl", "nested/blobs/a.py", "blobs/../../a", "model.pt", "a.py"])
def test_nothing_but_known_files_is_listed(folder, name, file) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    record = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    rewrite(folder, files={**manifest["files"], file: record})
    assert opened(folder, name) == "refused"


def test_files_that_are_not_listed_are_never_read_or_run(folder, name) -> None:
    marker = folder.parent / "ran"
    for extra in ("__init__.py", "modeling.py", "conftest.py", "sitecustomize.py", "model.pkl"):
        (folder / extra).write_text(f"open({str(marker)!r}, 'w')\n")
    assert opened(folder, name) == "answered"
    assert not marker.exists()


@pytest.mark.parametrize("place", ["task", "score"])
def test_a_metric_that_is_code_is_not_run_by_an_evaluation(folder, name, place, tmp_path, monkeypatch) -> None:
    marker = tmp_path / "ran"
    (folder / "mine.py").write_text(f"open({str(marker)!r}, 'w')\ndef score(a, b): return 1.0\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    metric = f"{folder / 'mine.py'}:score"
    if place == "task":
        rewrite(folder, task={**manifest["task"], "metric": metric})
    else:
        rewrite(folder, score={"metric": metric, "score": 0.9, "n_labels": 9, "target": "this model"})
    monkeypatch.chdir(folder)
    data = tmp_path / "rows.csv"
    rows = ["a,b,c,label", *(f"{i},{i % 3},x,{'up' if i % 2 else 'down'}" for i in range(30))]
    if name.startswith("text"):
        rows = ["text,label", *(f"thing {i},{'pos' if i % 2 else 'neg'}" for i in range(30))]
    data.write_text("\n".join(rows))
    nshot.load(folder).answer(EXAMPLES[name])
    with pytest.raises(OptionError, match="no metric of nshot's"):
        nshot.evaluate(folder, data)
    assert called("predict", folder, data, "--out", tmp_path / "out.csv").code == 0
    assert not marker.exists()
    assert nshot.evaluate(folder, data, metric="accuracy").metrics["accuracy"]["score"] >= 0
    assert not marker.exists()


@pytest.mark.parametrize(
    "address", ["openai:m@http://192.0.2.1:1/v1", "openai:m@http://127.0.0.1:9/v1", "openai:m", "table:openai:m"]
)
def test_a_model_behind_an_address_is_not_asked_without_permission(folder, name, address, monkeypatch) -> None:
    import socket

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ref = {"id": address, "revision": None, "sha256": None}
    held = json.loads((folder / "settings.json").read_text())
    write(folder, "settings.json", json.dumps({**held, "backbone": ref}).encode())
    rewrite(folder, backbones=[{**ref, "licence": None}])
    if name == "row_linear_probe":
        assert opened(folder, name) == "refused"
    else:
        opened(folder, name)  # it reads no backbone


@pytest.mark.parametrize(
    "address", ["https://example.com/model", "file:///etc", "../../etc", "/dev", "\\\\host\\share"]
)
def test_a_backbone_is_a_model_folder_or_a_hub_id_and_nothing_else(folder, address) -> None:
    if "backbone" not in json.loads((folder / "settings.json").read_text()):
        pytest.skip("this model has no backbone")
    ref = {"id": address, "revision": None, "sha256": None}
    held = json.loads((folder / "settings.json").read_text())
    write(folder, "settings.json", json.dumps({**held, "backbone": ref}).encode())
    rewrite(folder, backbones=[{**ref, "licence": None}])
    assert opened(folder, "row_linear_probe") == "refused"


@pytest.mark.parametrize("method", ["estimator", "os", "../majority", "nshot.methods.majority", "builtins"])
def test_a_method_runs_nothing_but_what_is_installed(folder, name, method) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    options = {"estimator": "this:s"} if method == "estimator" else {}
    rewrite(folder, method={"name": method, "version": 1, "options": options})
    sys.modules.pop("this", None)
    assert opened(folder, name) == "refused"
    assert "this" not in sys.modules
    assert manifest["method"]["name"] not in {"estimator"}


def test_a_stranger_cannot_write_through_a_load(folder, name) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert opened(folder, name) == "answered"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.skipif(os.name != "posix", reason="pipes are named so on POSIX systems")
def test_a_manifest_that_is_a_pipe_is_not_waited_for(folder, name) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    assert opened(folder, name) == "refused"
