"""What a saved model holds, and that a reader only ever sees a whole one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.cases import Case
from nshot import bundle
from nshot.backbones import fake
from nshot.bundle import saving
from nshot.bundle.state_files import read_state, record_of, write_state
from nshot.core import ModelError, OutputError, State, Task, TaskKind


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_folder_holds_data_files_only(saved: Path) -> None:
    assert entries(saved) == {"manifest.json", "settings.json", "tensors.safetensors", "README.md"}
    assert not list(saved.parent.glob(".*"))


def test_the_manifest_says_what_the_model_is(saved: Path, case: Case) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["method"] == {"name": "second_opinion", "version": 1, "options": case.build().model_dump()}
    assert manifest["task"]["labels"] == ["card_lost", "exchange_rate", "top_up"]
    assert manifest["text_columns"] == ["subject", "message"]
    assert manifest["label_column"] == "queue"
    assert manifest["model_n_labels"] == 19
    assert manifest["score"]["interval"] == [0.83, 0.89]
    assert manifest["score"]["n_labels"] == 12
    assert manifest["packages"].keys() >= {"python", "nshot", "numpy", "safetensors"}
    assert manifest["created"].endswith("Z")
    assert manifest["files"].keys() == {"settings.json", "tensors.safetensors"}


def test_every_backbone_is_recorded_with_its_hash_and_licence(saved: Path, case: Case) -> None:
    encoder, remote = sorted(bundle.read_manifest(saved).backbones, key=lambda record: record.id, reverse=True)
    assert encoder.ref == case.open().ref
    assert encoder.licence == "Apache-2.0"
    assert (remote.id, remote.revision, remote.sha256, remote.licence) == ("fake/remote", "1", None, None)


def test_the_card_says_score_interval_and_use_in_words(saved: Path) -> None:
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert "macro_f1 0.861 [0.830, 0.890] (95% interval), measured at 12 labels, for a fresh draw" in card
    assert "this model saw 19" in card
    assert "nshot predict" in card
    assert "- exchange_rate" in card


def test_the_card_escapes_what_comes_from_the_data(save, case: Case) -> None:
    names = {"card_lost": "[x](javascript:1)", "exchange_rate": "<script>", "top_up": "a\n# b"}
    task = replace(case.sample.task, labels=tuple(sorted(names.values())))
    card = (save(task=task) / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert "[x](" not in card
    assert "\n# b" not in card


def test_a_card_with_thousands_of_labels_stays_short(save, case: Case) -> None:
    task = replace(case.sample.task, labels=tuple(f"label {i:04}" for i in range(2000)))
    card = (save(task=task) / "README.md").read_text(encoding="utf-8")
    assert "and 1,960 more" in card
    assert len(card.splitlines()) < 100


def test_missing_parents_are_made_and_an_old_model_is_replaced(save, saved: Path, other_about) -> None:
    assert save("deep/er/model").is_dir()
    assert save(about=other_about) == saved
    assert bundle.read_manifest(saved).model_n_labels == 20
    assert not list(saved.parent.glob(".*"))


def test_a_link_to_a_model_is_followed(save, saved: Path, other_about) -> None:
    (saved.parent / "latest").symlink_to(saved)
    save("latest", about=other_about)
    assert (saved.parent / "latest").is_symlink()
    assert bundle.read_manifest(saved).model_n_labels == 20


@pytest.mark.parametrize("foreign", ["notes.txt", "README.md", "manifest.json"])
def test_a_folder_that_holds_something_else_is_not_touched(save, tmp_path: Path, foreign: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / foreign).write_text('{"name": "a web extension"}')
    with pytest.raises(OutputError, match="would be lost"):
        save()
    assert entries(tmp_path / "model") == {foreign}
    assert entries(tmp_path) == {"model"}


def test_a_saved_model_to_which_notes_were_added_is_not_touched(save, saved: Path) -> None:
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"'notes\.txt'"):
        save()
    assert (saved / "notes.txt").read_text() == "mine"


def test_a_file_in_the_way_is_reported(save, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        save()


@pytest.mark.parametrize("replaced", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("broken", ["write_state", "record_of", "model_card", "_flush", "_put_in_place"])
def test_a_full_disk_leaves_what_was_there(
    save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, replaced: bool, other_about
) -> None:
    if replaced:
        save()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, broken, full)
        with pytest.raises(OutputError, match="No space left on device"):
            save(about=other_about)
    assert entries(tmp_path) == ({"model"} if replaced else set())
    if replaced:
        assert bundle.load(tmp_path / "model", fake.open).manifest.model_n_labels == 19


def test_a_file_size_limit_of_the_system_is_an_output_error(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
import numpy as np
from nshot.bundle.state_files import write_state
from nshot.core import State
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_state(Path({str(tmp_path)!r}), State(tensors={{"a": np.zeros(1_000_000)}}), "m")
except OSError as error:
    print("refused", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused"), done


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent_is_reported(save, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        save()
    tmp_path.chmod(0o700)


def test_where_folders_cannot_be_swapped_the_old_model_steps_aside(
    save, saved: Path, monkeypatch: pytest.MonkeyPatch, other_about
) -> None:
    monkeypatch.setattr(saving, "_exchange", lambda one, other: False)
    save(about=other_about)
    assert bundle.read_manifest(saved).model_n_labels == 20
    assert not list(saved.parent.glob(".*"))


def test_a_kill_between_the_two_renames_leaves_the_old_model_loadable(
    save, saved: Path, monkeypatch: pytest.MonkeyPatch, other_about
) -> None:
    saved.rename(saving.previous_of(saved))
    assert bundle.load(saved, fake.open).manifest.model_n_labels == 19
    save(about=other_about)
    assert bundle.load(saved, fake.open).manifest.model_n_labels == 20


def test_a_process_killed_while_saving_never_leaves_half_a_model(saved: Path) -> None:
    # One process is started; it forks the ones that are killed, which spares each of them the imports.
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from contract.cases import CASES, with_example_methods
from nshot import bundle
with with_example_methods():
    case = next(case for case in CASES if case.method == "second_opinion")
    predictor = case.fit()
    bundle.save(Path({str(saved)!r}), method=case.build(), task=case.sample.task, predictor=predictor,
                about=bundle.BundleInfo(model_n_labels=0))
    for _ in range(20):
        child = os.fork()
        if not child:
            for i in range(100_000):
                about = bundle.BundleInfo(model_n_labels=i)
                bundle.save(
                    Path({str(saved)!r}), method=case.build(), task=case.sample.task, predictor=predictor, about=about
                )
        print(child, flush=True)
        os.waitpid(child, 0)
"""
    moments = random.Random(0)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(20):
            child = int(process.stdout.readline())
            time.sleep(moments.uniform(0.001, 0.06))
            os.kill(child, signal.SIGKILL)
            bundle.load(saved, fake.open)
    assert process.returncode == 0


def test_what_a_killed_save_left_behind_is_swept_after_an_hour(save, tmp_path: Path) -> None:
    old, young = tmp_path / ".model.writing-00000000", tmp_path / ".model.writing-11111111"
    old.mkdir()
    young.mkdir()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    save()
    assert entries(tmp_path) == {"model", young.name}


def test_a_method_that_is_not_registered_is_refused(save, case: Case) -> None:
    class Unregistered(case.type):
        pass

    with pytest.raises(ModelError, match="not registered"):
        save(method=Unregistered())


def test_labels_that_are_no_valid_unicode_come_back(save, case: Case) -> None:
    task = replace(case.sample.task, labels=("", "\ud800", "\u2028 é"), descriptions={"": "\udfff"})
    folder = save(task=task)
    assert bundle.load(folder, fake.open).task == task
    assert (folder / "README.md").read_text(encoding="utf-8")


def test_what_would_not_come_back_is_refused_before_the_old_model_is_touched(save, saved: Path, case: Case) -> None:
    with pytest.raises(ModelError, match="no valid Unicode"):
        save(task=Task(TaskKind.CLASSIFY, ("\ud800",), {"\ud800": "a description of half a character"}))
    assert bundle.load(saved, fake.open).task == case.sample.task


def test_a_model_saved_again_unchanged_keeps_its_score(save, saved: Path, score) -> None:
    again = save("again", about=bundle.load(saved, fake.open).about)
    assert bundle.read_manifest(again).score == bundle.read_manifest(saved).score
    assert bundle.read_manifest(again).score.score == score.score


def test_a_model_that_changed_since_it_was_scored_is_saved_without_the_score(save, saved: Path, case: Case) -> None:
    about = bundle.load(saved, fake.open).about
    changes = {
        "task": {"task": case.sample.task.with_label("z")},
        "state": {"predictor": case.fit(train=case.sample.train.take(range(5)))},
        "method": {"method": case.type(weight=0.5)},
    }
    for name, change in changes.items():
        folder = save(name, about=about, **change)
        assert bundle.read_manifest(folder).score is None
        assert "Score: not measured" in (folder / "README.md").read_text(encoding="utf-8")


class TestState:
    def test_comes_back_to_the_last_bit(self, tmp_path: Path) -> None:
        whole = np.arange(24.0).reshape(2, 3, 4)
        tensors = {
            "transposed": whole.transpose(2, 0, 1),
            "strided": whole[:, ::2],
            "big_endian": whole.astype(">f4"),
            "scalar": np.array(3.5),
            "empty": np.zeros((0, 5), np.float32),
            "flags": np.array([True, False]),
            "whole numbers": np.array([-(2**62), 2**62]),
            "odd": np.array([np.nan, np.inf, -0.0], np.float16),
        }
        settings = {"a": [1, None, True, {"b": "\ud800 é\u2028"}], "c": 0.1 + 0.2, "": ""}
        state = State(settings, tensors, {"model.ubj": b"\x00\xff", "b": b""})
        write_state(tmp_path, state, "m")
        files = {p.relative_to(tmp_path).as_posix(): record_of(p) for p in tmp_path.rglob("*") if p.is_file()}
        again = read_state(tmp_path, files)
        assert again.settings == settings
        assert again.blobs == state.blobs
        assert again.tensors.keys() == tensors.keys()
        for name, array in tensors.items():
            assert again.tensors[name].dtype == array.dtype.newbyteorder("=")
            assert again.tensors[name].shape == array.shape
            np.testing.assert_array_equal(again.tensors[name], array)

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            (State({"a": float("nan")}), "not plain json"),
            (State({"a": {1, 2}}), "not plain json"),
            (State({"a": np.float32(1)}), "not plain json"),
            (State(tensors={"a": np.array(["x"])}), "must hold numbers"),
            (State(tensors={"a": np.array([object()])}), "must hold numbers"),
            (State(tensors={"a": np.zeros(2, complex)}), "must hold numbers"),
            (State(blobs={"../a": b""}), "a blob's name"),
            (State(blobs={"/a": b""}), "a blob's name"),
            (State(blobs={".hidden": b""}), "a blob's name"),
            (State(blobs={"a\n": b""}), "a blob's name"),
        ],
    )
    def test_what_has_no_data_format_is_refused(self, tmp_path: Path, state: State, words: str) -> None:
        with pytest.raises(ModelError, match=words):
            write_state(tmp_path, state, "m")
