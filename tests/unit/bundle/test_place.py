"""Whether a model can be written is known before it is fitted; a page for people lies beside what is verified."""

from __future__ import annotations

import pytest

from nshot import bundle
from nshot.core import OutputError


@pytest.mark.parametrize("place", ["model", "not/there/yet/model"])
def test_a_place_that_can_be_written_is_left_as_it_was(place, tmp_path):
    bundle.require_writable(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_lies_there_is_left_as_it_was(tmp_path, save):
    folder = save()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    bundle.require_writable(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_what_save_would_refuse_is_refused_before(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="it is a file"):
        bundle.require_writable(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written to"):
        bundle.require_writable(tmp_path / "file" / "model")
    with pytest.raises(OutputError, match="which is not part of a saved model"):
        bundle.require_writable(tmp_path)


def test_a_page_on_the_training_is_for_people_and_is_not_read_back(save, tmp_path):
    folder = save(training_page="<!doctype html>")
    assert (folder / bundle.TRAINING).read_text() == "<!doctype html>"
    assert bundle.TRAINING not in bundle.read_manifest(folder).files
    (folder / bundle.TRAINING).write_text("edited")
    save()
    assert not (folder / bundle.TRAINING).exists(), "it told of another model"
