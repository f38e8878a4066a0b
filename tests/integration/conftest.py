"""One finished comparison, shared by all tests that only look at it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.calling import FAST, Called, succeeded, tickets, write_csv


@dataclass(frozen=True)
class Finished:
    """A comparison that has ended.

    Attributes:
        data: The file.
        rows: Its rows.
        out: The folder with the results.
        called: What the command showed.
    """

    data: Path
    rows: list[tuple[str, str]]
    out: Path
    called: Called


@pytest.fixture(scope="session")
def shared_comparison(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a finished comparison; nobody may change it."""
    folder = tmp_path_factory.mktemp("finished")
    rows = tickets(120, wrong=0.15)
    data = write_csv(folder / "tickets.csv", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSHOT_CACHE_DIR", str(folder / "cache"))
        called = succeeded("compare", data, "--out", folder / "out", *FAST, "--json")
    return Finished(data, rows, folder / "out", called)


@pytest.fixture
def finished(shared_comparison: Finished, tmp_path: Path) -> Finished:
    """Return a copy of the finished comparison that a test may go on with."""
    out = tmp_path / "out"
    shutil.copytree(shared_comparison.out, out)
    return Finished(shared_comparison.data, shared_comparison.rows, out, shared_comparison.called)
