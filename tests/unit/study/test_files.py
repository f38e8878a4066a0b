from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nshot.core import OptionError, OutputError
from nshot.study.files import StudyFolder, read_plan

PLAN = {"schema": 1, "data": {"train": "/data/tickets.csv", "fingerprint": "f00d"}, "options": {"metric": None}}


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    """Return the folder of a study that has one run."""
    folder = StudyFolder(tmp_path / "tickets.nshot")
    folder.open("f00d", fresh=False)
    folder.record(PLAN)
    folder.ledger.write_text("{}\n")
    (folder.predictions / "a.safetensors").write_bytes(b"1")
    return folder


def held(path: Path) -> set[str]:
    return {item.relative_to(path).as_posix() for item in path.rglob("*")}


def test_the_same_data_goes_on_with_what_is_there(folder):
    before = held(folder.path)
    folder.open("f00d", fresh=False)
    assert held(folder.path) == before


def test_other_data_is_refused_and_nothing_is_touched(folder):
    before = held(folder.path)
    with pytest.raises(OptionError, match=r"other data \(/data/tickets.csv\).*--out DIR.*--fresh"):
        folder.open("beef", fresh=False)
    assert held(folder.path) == before


def test_fresh_starts_over_and_leaves_files_of_others(folder):
    (folder.path / "my notes.txt").write_text("mine")
    folder.open("beef", fresh=True)
    assert held(folder.path) == {"my notes.txt", "predictions"}


def test_a_folder_that_holds_something_else_is_refused_even_with_fresh(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(OptionError, match="holds no comparison of nshot"):
            StudyFolder(tmp_path).open("f00d", fresh=fresh)
    assert held(tmp_path) == {"thesis.tex"}


def test_an_empty_folder_is_taken(tmp_path):
    StudyFolder(tmp_path).open("f00d", fresh=False)
    assert held(tmp_path) == {"predictions"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OptionError, match=r"out is a file.*--out DIR"):
        StudyFolder(tmp_path / "out").open("f00d", fresh=False)


@pytest.mark.parametrize("place", ["/proc/nope", "{file}/out"])
def test_a_place_that_cannot_be_written_is_told(tmp_path, place):
    (tmp_path / "file").write_text("x")
    folder = StudyFolder(Path(place.format(file=tmp_path / "file")))
    with pytest.raises(OutputError, match="Cannot write to"):
        folder.open("f00d", fresh=False)
    folder.abandon(made_here=True)


@pytest.mark.parametrize("content", ["schema = 1", "schema = 7\n[data]\nfingerprint = 'x'", "a = = b", "\xff"])
def test_a_plan_that_nshot_did_not_write_is_refused(tmp_path, content):
    (tmp_path / "study.toml").write_text(content, encoding="latin-1")
    with pytest.raises(OptionError, match="is not a plan"):
        read_plan(tmp_path / "study.toml")


def test_what_is_not_set_is_left_out_of_the_plan(folder):
    assert tomllib.loads(folder.plan.read_text()) == {**PLAN, "options": {}}


def test_a_mistake_leaves_nothing_behind(tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.open("f00d", fresh=False)
    folder.record(PLAN)
    folder.abandon(made_here=True)
    assert held(tmp_path) == set()


def test_finished_runs_are_never_abandoned(folder):
    before = held(folder.path)
    folder.abandon(made_here=True)
    assert held(folder.path) == before


def test_a_folder_that_was_there_before_is_not_removed(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.open("f00d", fresh=False)
    folder.abandon(made_here=False)
    assert tmp_path.is_dir()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_half_written(folder):
    (folder.path / ".verdict.json.partial").symlink_to("/dev/full")
    folder.verdict.write_text("old")
    with pytest.raises(OutputError, match="No space left"):
        folder.write(folder.verdict, "new " * 10_000)
    assert folder.verdict.read_text() == "old"
    assert not (folder.path / ".verdict.json.partial").is_symlink()


def test_only_results_are_kept(folder):
    (folder.kept / "key").mkdir(parents=True)
    folder.log.write_text("")
    folder.keep_only_results()
    assert not folder.kept.exists()
    assert not folder.log.exists()


def test_a_log_with_something_in_it_is_kept(folder):
    folder.log.write_text("a warning")
    folder.keep_only_results()
    assert folder.log.read_text() == "a warning"
