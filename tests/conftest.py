"""What every tier of tests shares: where the real data lies, and a cache that is not the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# Two test workers on few cores: more threads than cores slow each other down several times.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the feature cache of the tests away from the user's."""
    folder = tmp_path_factory.getbasetemp() / "nshot-cache"
    monkeypatch.setenv("NSHOT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets, or skip."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return SHARED / "data"


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Return the folder of small real models, or skip."""
    if not (SHARED / "models").is_dir():
        pytest.skip("the small real models are not beside this checkout (../shared/models)")
    return SHARED / "models"


@pytest.fixture
def examples() -> Path:
    """Return the folder of example data."""
    return EXAMPLES
