"""What the report learns of the trainings of a comparison."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nshot.study.answers import training_records


def training(losses: list[float], **changes: Any) -> dict[str, Any]:
    usual = {"steps": 30, "examples_seen": 960, "learning_rate": 2e-4, "precision": "fp32", "restarts": 0}
    return {**usual, "micro_batch_halvings": 0, "losses": losses, **changes}


class Ledger:
    """Completed runs by candidate and number of labels."""

    def __init__(self, **runs: dict[int, list[Any]]) -> None:
        self._runs = runs
        self.sizes = {name: tuple(sorted(by_size)) for name, by_size in runs.items()}

    def completed(self, name: str, n_labels: int) -> list[Any]:
        return [SimpleNamespace(settings={"training": found}) for found in self._runs[name][n_labels]]


def test_the_runs_of_the_largest_size_become_one_curve_with_its_spread():
    begun_again = training([3.0, 2.0], restarts=1, learning_rate=4e-5, examples_seen=1440)
    ledger = Ledger(lora={16: [training([9.0])], 60: [training([1.0, 0.5]), training([2.0, 0.5]), begun_again]})
    (record,) = training_records(ledger)  # type: ignore[arg-type]
    assert record == {
        "candidate": "lora",
        "n_labels": 60,
        "runs": 3,
        "steps": 30,
        "examples_seen": 960,
        "learning_rate": 2e-4,
        "precision": "fp32",
        "restarts": 1,
        "micro_batch_halvings": 0,
        "losses": [2.0, 1.0],
        "low": [1.0, 0.5],
        "high": [3.0, 2.0],
    }


def test_candidates_that_train_nothing_or_were_not_run_are_left_out():
    assert training_records(Ledger(majority={60: [None, None]}, lora={})) == []  # type: ignore[arg-type]


def test_runs_that_stopped_at_steps_of_their_own_do_not_blur_the_curve():
    ledger = Ledger(lora={60: [training([1.0, 0.5]), training([2.0], steps=8)]})
    (record,) = training_records(ledger)  # type: ignore[arg-type]
    assert (record["runs"], record["losses"]) == (2, [1.0, 0.5])
