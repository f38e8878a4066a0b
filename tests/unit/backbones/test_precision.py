from __future__ import annotations

from pathlib import Path

import pytest

from nshot.backbones import precision


@pytest.fixture(autouse=True)
def nothing_measured_yet(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSHOT_CACHE_DIR", str(tmp_path))
    precision._measured.cache_clear()


@pytest.mark.parametrize(("gain", "answer"), [(1.29, "fp32"), (1.3, "bf16"), (0.1, "fp32")])
def test_bf16_has_to_be_worth_it(monkeypatch: pytest.MonkeyPatch, gain: float, answer: str) -> None:
    monkeypatch.setattr(precision, "_gain", lambda device, threads: gain)
    assert precision.measured("cpu", 1) == answer


def test_one_measurement_per_machine_and_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gain(device: str, threads: int) -> float:
        asked.append(threads)
        return 2.0

    monkeypatch.setattr(precision, "_gain", gain)
    for threads in (1, 1, 3):
        precision.measured("cpu", threads)
    precision._measured.cache_clear()
    precision.measured("cpu", 1)
    assert asked == [1, 3]


def test_the_real_measurement_answers() -> None:
    assert precision.measured("cpu", 1) in ("fp32", "bf16")
