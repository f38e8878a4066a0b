"""The folder in which a training keeps what it needs to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from nshot.core import OutOfMemoryError, OutputError, TrainingError
from nshot.training.unfinished import folder_beside, kept_beside, key_of

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


def stop(model: Path, key: str, error: type[BaseException]) -> None:
    """Begin a training that keeps a checkpoint and then ends like this."""
    with pytest.raises(error), kept_beside(model, key) as found:
        (found.folder / "checkpoint.safetensors").write_text("weights")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError, OutOfMemoryError])
def test_what_was_stopped_or_refused_by_the_machine_is_found_again(error, tmp_path):
    stop(tmp_path / "model", KEY, error)
    with kept_beside(tmp_path / "model", KEY) as found:
        assert found.has_begun
        assert found.folder == folder_beside(tmp_path / "model", KEY)
        assert (found.folder / "checkpoint.safetensors").read_text() == "weights"


def test_another_command_does_not_find_it_and_does_not_lose_it(tmp_path):
    stop(tmp_path / "model", KEY, KeyboardInterrupt)
    with pytest.raises(TrainingError), kept_beside(tmp_path / "model", OTHER) as found:
        assert not found.has_begun
        assert list(found.folder.iterdir()) == []
        raise TrainingError
    with kept_beside(tmp_path / "model", KEY) as found:
        assert found.has_begun


def test_after_success_nothing_of_any_command_is_left_but_what_is_not_ours(tmp_path):
    stop(tmp_path / "model", OTHER, KeyboardInterrupt)
    mine = tmp_path / "model.training" / "notes.txt"
    mine.write_text("mine")
    with kept_beside(tmp_path / "model", KEY):
        pass
    assert list((tmp_path / "model.training").iterdir()) == [mine]
    mine.unlink()
    with kept_beside(tmp_path / "model", KEY) as found:
        (found.folder / "checkpoint.safetensors").write_text("weights")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [TrainingError, ValueError])
def test_a_training_that_went_wrong_leaves_nothing(error, tmp_path):
    stop(tmp_path / "deep" / "down" / "model", KEY, error)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_before_anything_was_kept_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), kept_beside(tmp_path / "model", KEY):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "model.training").write_text("a file")
    with pytest.raises(OutputError, match=r"Cannot write to .*model\.training"), kept_beside(tmp_path / "model", KEY):
        pass


def test_the_key_changes_with_every_fact_and_not_with_their_order():
    facts = {"seed": 0, "options": {"rank": 8, "alpha": 16.0}}
    assert key_of(facts) == key_of({"options": {"alpha": 16.0, "rank": 8}, "seed": 0})
    assert len(key_of(facts)) == 16
    others = [{**facts, "seed": 1}, {**facts, "options": {"rank": 16, "alpha": 16.0}}, {"seed": 0}]
    assert len({key_of(facts), *map(key_of, others)}) == 4
