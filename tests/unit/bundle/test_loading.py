"""Opening a bundle that was damaged, or that a stranger made."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.cases import Case, answer_bytes, fitted
from nshot import bundle
from nshot.backbones import fake
from nshot.core import Backbone, BackboneRef, ModelError, UnsupportedError


def refuse_to_open(ref: BackboneRef) -> Backbone:
    raise AssertionError(f"{ref} was opened")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as a stranger could."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put a file of our own in place, with the right size and hash in the manifest."""
    (folder / name).write_bytes(content)
    record = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(folder, lambda manifest: manifest["files"].update({name: record}))


def test_a_loaded_model_answers_like_the_fitted_one(saved: Path, case: Case) -> None:
    loaded = bundle.load(saved, fake.open)
    assert answer_bytes(loaded.predictor.predict(case.sample.new)) == answer_bytes(
        fitted(case).predict(case.sample.new)
    )
    assert loaded.task == case.sample.task
    assert loaded.method == case.build()
    assert loaded.about.text_columns == ("subject", "message")


def test_a_model_can_be_moved_and_its_card_edited(saved: Path, tmp_path: Path) -> None:
    (saved / "README.md").write_text("ours")
    moved = saved.rename(tmp_path / "a folder with spaces é")
    (moved / "LICENSE").write_text("added later")
    bundle.load(moved, fake.open)


@pytest.mark.parametrize("name", ["no/such/folder", "."])
def test_a_folder_without_a_model_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"holds no saved model: manifest\.json is missing"):
        bundle.load(tmp_path / name, fake.open)


@pytest.mark.parametrize("name", ["settings.json", "tensors.safetensors"])
class TestDamage:
    def test_a_changed_byte(self, saved: Path, name: str) -> None:
        data = bytearray((saved / name).read_bytes())
        data[len(data) // 2] ^= 1
        (saved / name).write_bytes(data)
        with pytest.raises(ModelError, match=f"{name} is not the file that was saved"):
            bundle.load(saved, refuse_to_open)

    def test_a_file_cut_short(self, saved: Path, name: str) -> None:
        (saved / name).write_bytes((saved / name).read_bytes()[:-1])
        with pytest.raises(ModelError, match="the manifest says"):
            bundle.load(saved, refuse_to_open)

    def test_a_file_missing(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        with pytest.raises(ModelError, match=f"{name} is missing"):
            bundle.load(saved, refuse_to_open)

    def test_a_folder_in_its_place(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        (saved / name).mkdir()
        with pytest.raises(ModelError, match="not a regular file"):
            bundle.load(saved, refuse_to_open)

    def test_a_pipe_in_its_place_is_not_waited_for(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        os.mkfifo(saved / name)
        with pytest.raises(ModelError, match="not a regular file"):
            bundle.load(saved, refuse_to_open)

    def test_a_link_out_of_the_folder(self, saved: Path, name: str, tmp_path: Path) -> None:
        (saved / name).rename(tmp_path / "elsewhere")
        (saved / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="leads out of the saved model"):
            bundle.load(saved, refuse_to_open)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": "nshot-bundle"}',
        '{"format": "nshot-bundle", "schema": 1}',
        '{"manifest_version": 3, "name": "a web extension"}',
        '{"format": "nshot-bundle", "schema": NaN}',
        "[" * 200_000,
        "\ufeff{}",
    ],
    ids=lambda text: text[:30] or "empty",
)
def test_a_manifest_that_is_none(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError):
        bundle.load(saved, refuse_to_open)


def test_a_manifest_in_another_encoding(saved: Path) -> None:
    (saved / "manifest.json").write_bytes(b'{"format": "\xff\xfe"}')
    with pytest.raises(ModelError, match="damaged"):
        bundle.load(saved, refuse_to_open)


@pytest.mark.parametrize("schema", [2, 0, "1", None, 99999999999999999999])
def test_an_unknown_schema_is_refused_before_anything_else_is_read(saved: Path, schema: object) -> None:
    rewrite(saved, lambda manifest: manifest.update(schema=schema, something_new={"a": 1}))
    with pytest.raises(ModelError, match="and this nshot reads 1"):
        bundle.load(saved, refuse_to_open)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.json",
        "/etc/passwd",
        "blobs/../../secret.json",
        "blobs/..",
        "blobs/",
        "blobs/a/b",
        "blobs\\a",
        "C:\\secret",
        "settings.json\x00",
        "settings.json\n",
        "./settings.json",
        "README.md",
        "manifest.json",
        "model.pkl",
        "",
    ],
)
def test_a_file_name_that_is_not_ours_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    record = {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    rewrite(saved, lambda manifest: manifest["files"].update({name: record}))
    with pytest.raises(ModelError, match="damaged"):
        bundle.load(saved, refuse_to_open)


@pytest.mark.parametrize("name", ["no_such_method", "os", "nshot.methods.majority", "../row_centroids", "", "__init__"])
def test_a_method_that_is_not_installed_is_refused(saved: Path, name: str) -> None:
    rewrite(saved, lambda manifest: manifest["method"].update(name=name))
    with pytest.raises(ModelError, match="not installed here"):
        bundle.load(saved, refuse_to_open)


def test_a_model_of_another_method_is_refused_in_words(saved: Path) -> None:
    rewrite(saved, lambda manifest: manifest["method"].update(name="row_centroids", options={}))
    with pytest.raises(ModelError, match="is not a model that row_centroids has saved"):
        bundle.load(saved, refuse_to_open)


def test_a_newer_method_version_is_refused(saved: Path) -> None:
    rewrite(saved, lambda manifest: manifest["method"].update(version=2))
    with pytest.raises(ModelError, match="Install a newer nshot"):
        bundle.load(saved, refuse_to_open)


def test_options_the_method_does_not_know_are_refused(saved: Path) -> None:
    rewrite(saved, lambda manifest: manifest["method"]["options"].update(weigth=1))
    with pytest.raises(ModelError, match="Did you mean 'weight'"):
        bundle.load(saved, refuse_to_open)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["task"].update(labels=["a", "a"]),
        lambda manifest: manifest["task"].update(descriptions={"unknown": "x"}),
        lambda manifest: manifest["task"].update(kind="steal"),
        lambda manifest: manifest.update(model_n_labels=-1),
        lambda manifest: manifest.update(surprise=1),
        lambda manifest: manifest.pop("task"),
        lambda manifest: manifest["score"].update(score="high"),
        lambda manifest: manifest["files"]["settings.json"].update(size=-1),
        lambda manifest: manifest["files"]["settings.json"].update(sha256="0"),
        lambda manifest: manifest.update(files=[]),
    ],
)
def test_a_manifest_with_impossible_values_is_refused(saved: Path, change: Callable[[dict[str, Any]], None]) -> None:
    rewrite(saved, change)
    with pytest.raises(ModelError, match="damaged"):
        bundle.load(saved, refuse_to_open)


def safetensors(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95pickle",
        struct.pack("<Q", 1 << 62),
        safetensors(b"{}" * 3),
        safetensors(b'{"means":{"dtype":"F32","shape":[1000000000000,1000000],"data_offsets":[0,4]}}', b"\0" * 4),
        safetensors(b'{"means":{"dtype":"F32","shape":[1],"data_offsets":[0,4000000000000]}}', b"\0" * 4),
        safetensors(b'{"means":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', b"\0" * 4),
        safetensors(b'{"means":{"dtype":"OBJECT","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
        safetensors(b'{"means":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', b"\0" * 4),
    ],
    ids=["empty", "pickle", "huge header", "no json", "huge shape", "huge offset", "negative", "objects", "bf16"],
)
def test_hostile_tensors_are_refused(saved: Path, content: bytes) -> None:
    replace_file(saved, "tensors.safetensors", content)
    with pytest.raises(ModelError, match="damaged"):
        bundle.load(saved, fake.open)


@pytest.mark.parametrize(
    "content", [b"{}", b'{"backbone": 3}', b'{"backbone": {"id": "fake/rows"}}', b'{"backbone": []}']
)
def test_hostile_settings_are_refused(saved: Path, content: bytes) -> None:
    replace_file(saved, "settings.json", content)
    with pytest.raises(ModelError):
        bundle.load(saved, fake.open)


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"a": Infinity}', b"[" * 200_000])
def test_settings_that_are_no_json_object_are_refused(saved: Path, content: bytes) -> None:
    replace_file(saved, "settings.json", content)
    with pytest.raises(ModelError, match="damaged"):
        bundle.load(saved, fake.open)


def test_only_backbones_that_the_manifest_lists_are_opened(saved: Path) -> None:
    rewrite(saved, lambda manifest: manifest.update(backbones=[]))
    with pytest.raises(ModelError, match="does not list"):
        bundle.load(saved, refuse_to_open)


def test_a_backbone_with_other_weights_is_refused(saved: Path) -> None:
    def open_another(ref: BackboneRef) -> Backbone:
        return fake.FakeTextEncoder({"dense.bias": fake.FakeTextEncoder()._weights["dense.bias"] + 1})

    with pytest.raises(ModelError, match="fetch the recorded weights or fit anew"):
        bundle.load(saved, open_another)


def test_an_error_of_the_opener_reaches_the_user_unchanged(saved: Path) -> None:
    def offline(ref: BackboneRef) -> Backbone:
        raise ModelError("no network")

    with pytest.raises(ModelError, match=r"^no network$"):
        bundle.load(saved, offline)


def test_growing_what_cannot_grow_is_refused(saved: Path) -> None:
    with pytest.raises(UnsupportedError, match="has to be fitted again"):
        bundle.load(saved, fake.open).grown(bundle.LabelGiven("new"))
