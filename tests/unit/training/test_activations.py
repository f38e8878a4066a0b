import errno
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nshot.core import FitContext, OutputError
from nshot.training import activations

CONTEXT = FitContext(objective=lambda targets, prediction: 0.0)
PREPARED = [[5], [1, 2, 3], [], [4, 4]]


class Counted:
    """States that are the tokens times one to three, counting how often they are computed."""

    def __init__(self, dtype=torch.float32) -> None:
        self.computed = 0
        self.dtype = dtype

    def states(self, prepared):
        for tokens in prepared:
            self.computed += 1
            yield (torch.tensor(tokens).view(-1, 1) * torch.tensor([[1.0, 2.0, 3.0]])).to(self.dtype)

    def upper(self):
        raise NotImplementedError

    def collate(self, states):
        raise NotImplementedError


@pytest.fixture
def disk(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_bytes", [None, 64])
def test_states_are_computed_once_and_come_back_as_they_were(dtype, memory_bytes, disk: Path) -> None:
    split = Counted(dtype)
    wanted = list(Counted(dtype).states(PREPARED))

    with activations.kept(split, PREPARED, replace(CONTEXT, memory_bytes=memory_bytes)) as kept:
        assert bool(list(disk.iterdir())) == (memory_bytes is not None)
        for _ in range(2):
            assert [len(states) for states in kept] == [1, 3, 0, 2]
            assert all(torch.equal(found, states) for found, states in zip(kept, wanted, strict=True))
            assert kept[1].dtype == dtype

    assert split.computed == 4
    assert list(disk.iterdir()) == []


def test_a_file_is_removed_after_a_failure_too(disk: Path) -> None:
    with pytest.raises(ZeroDivisionError), activations.kept(Counted(), PREPARED, replace(CONTEXT, memory_bytes=64)):
        raise ZeroDivisionError

    assert list(disk.iterdir()) == []


def test_a_full_disk_is_told_in_words(disk: Path, monkeypatch) -> None:
    def full(path, *args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)

    with (
        pytest.raises(OutputError, match="No space left on device"),
        activations.kept(Counted(), PREPARED, replace(CONTEXT, memory_bytes=64)),
    ):
        pass


def test_the_computing_is_told_as_progress() -> None:
    told = []

    def tell(done, total, doing=""):
        told.append((done, total, doing))

    with activations.kept(Counted(), PREPARED, replace(CONTEXT, progress=tell)):
        pass

    assert told == [(done, 4, "computing the frozen layers") for done in (1, 2, 3, 4)]
