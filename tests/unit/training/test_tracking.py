"""Where the figures of a training go."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from nshot.core import EnvironmentProblem, MissingExtraError, OutputError
from nshot.training import tracking
from nshot.training.tracking import TrackedFit, Tracking, is_destination, tracked

FIT = TrackedFit("lora-tickets", "0123456789abcdef", {"method": "lora", "rank": 8})
RECORD = {"steps": 2, "examples_per_second": 80.0, "losses": [0.9, 0.5], "precision": "fp32"}


class Noted:
    """A destination that remembers what it was told."""

    shown = "nowhere"

    def __init__(self, fails_at: int | None = None) -> None:
        self.taken: list[tuple[int, dict[str, float]]] = []
        self.ended: list[Any] = []
        self.fails_at = fails_at

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        if step == self.fails_at:
            raise EnvironmentProblem("the server went away")
        self.taken.append((step, dict(figures)))

    def finish(self, record: Mapping[str, Any]) -> None:
        self.ended.append(dict(record))

    def leave(self) -> None:
        self.ended.append("left")


@pytest.mark.parametrize("entry", ["tensorboard", "tensorboard:a/b", "mlflow", "mlflow:http://host:5000"])
def test_a_destination_is_a_name_with_or_without_a_place(entry):
    assert is_destination(entry)


@pytest.mark.parametrize("entry", ["wandb", "", "tensorboard:", ":runs", "mlflow,tensorboard"])
def test_anything_else_is_no_destination(entry):
    assert not is_destination(entry)


def test_a_training_that_begins_again_does_not_make_the_first_curve_jump_back():
    noted, tracking_ = Noted(), Tracking(lambda _: None)
    tracking_.add(noted)
    for step in (1, 2, 1, 2):
        tracking_(step, {"loss": 0.5})
    assert noted.taken == [
        (1, {"loss": 0.5}),
        (2, {"loss": 0.5}),
        (1, {"training_2/loss": 0.5}),
        (2, {"training_2/loss": 0.5}),
    ]


def test_a_destination_that_fails_on_the_way_is_left_out_and_told_once_and_the_others_go_on():
    said: list[str] = []
    broken, noted = Noted(fails_at=2), Noted()
    tracking_ = Tracking(said.append)
    tracking_.add(broken)
    tracking_.add(noted)
    for step in (1, 2, 3):
        tracking_(step, {"loss": 0.5})
    tracking_.finish(RECORD)
    assert [step for step, _ in broken.taken] == [1]
    assert [step for step, _ in noted.taken] == [1, 2, 3]
    assert (broken.ended, noted.ended) == ([], [RECORD])
    assert [words for words in said if "stopped" in words] == [
        "Tracking stopped, the training goes on: the server went away"
    ]


def test_what_was_not_finished_is_closed_without_a_record(monkeypatch):
    noted = Noted()
    monkeypatch.setattr(tracking, "_opened", lambda entry, fit: noted)
    with pytest.raises(KeyboardInterrupt), tracked(["tensorboard"], FIT, lambda _: None):
        raise KeyboardInterrupt
    assert noted.ended == ["left"]


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.entities")]
)
def test_a_library_that_is_not_installed_is_told_with_the_command_that_installs_it(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'nshot\[track\]'"),
        tracked([name], FIT, lambda _: None),
    ):
        pass


def test_importing_this_imports_neither_library_nor_torch(capfd):
    import subprocess

    code = "import sys, nshot.training.tracking; print({'torch', 'mlflow', 'tensorboard'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# ------------------------------------------------------------------------------------------ the real libraries


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard shows of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder)).Reload()
    return {name: [(e.step, round(e.value, 4)) for e in shown.Scalars(name)] for name in shown.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_shows_a_run_that_was_killed_and_went_on_as_one_curve(tmp_path):
    pytest.importorskip("tensorboard")
    said: list[str] = []
    entry = f"tensorboard:{tmp_path / 'runs'}"
    with pytest.raises(KeyboardInterrupt), tracked([entry], FIT, said.append) as first:
        for step in (1, 2, 3):
            first(step, {"loss": 1.0 / step})
        raise KeyboardInterrupt
    with tracked([entry], FIT, said.append) as second:
        second(3, {"loss": 0.3})
        second(4, {"loss": 0.2})
        second.finish(RECORD)
    assert said[0] == f"Tracked: tensorboard --logdir {tmp_path / 'runs'}"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["lora-tickets-01234567"]
    assert scalars(tmp_path / "runs" / "lora-tickets-01234567") == {"loss": [(1, 1.0), (2, 0.5), (3, 0.3), (4, 0.2)]}


@pytest.mark.filterwarnings("ignore")
def test_a_folder_for_tensorboard_that_cannot_be_written_is_told():
    pytest.importorskip("tensorboard")
    with (
        pytest.raises(OutputError, match="Name another folder: --track tensorboard:DIR"),
        tracked(["tensorboard:/proc/runs"], FIT, lambda _: None),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_one_finished_run_with_options_figures_and_record(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")  # without it, MLflow talks to servers only
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(KeyboardInterrupt), tracked([f"mlflow:{uri}"], FIT, lambda _: None) as first:
        first(1, {"loss": 0.9})
        raise KeyboardInterrupt
    with tracked([f"mlflow:{uri}"], FIT, lambda _: None) as second:
        second(2, {"loss": 0.5})
        second.finish(RECORD)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("nshot")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"method": "lora", "rank": "8"}
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 0.9), (2, 0.5)]
    assert run.data.metrics["fit/examples_per_second"] == 80.0
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["training.json"]


@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_that_cannot_be_written_is_told_with_the_flag(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(EnvironmentProblem, match=r"MLflow cannot be written to .*--track mlflow:URI"),
        tracked(["mlflow:http://127.0.0.1:9"], FIT, lambda _: None),
    ):
        pass
