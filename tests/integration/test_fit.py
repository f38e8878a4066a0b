"""``nshot fit``: one method on all rows, told on the way, taken up after a kill, refused in plain words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integration.calling import nshot, succeeded, tickets, write_csv
from nshot import api
from nshot.core import Dataset, UnsupportedError
from nshot.training import tracking
from unit.backbones.tiny import write_bert

ROWS = tickets(60)
NEW = [text for text, _ in tickets(9, seed=7)]
POOLING = {"pooling_mode_mean_tokens": True}


@pytest.fixture(scope="module")
def shared_base(tmp_path_factory) -> Path:
    """Return a tiny encoder that no test changes."""
    return write_bert(tmp_path_factory.mktemp("base") / "tiny", pooling=POOLING)


@pytest.fixture
def data(tmp_path) -> Path:
    return write_csv(tmp_path / "tickets.csv", ROWS)


@pytest.fixture
def fitting(shared_base, data, tmp_path) -> list[str]:
    """Return a fit that takes about a second, up to further options."""
    out = tmp_path / "model"
    options = ["--backbone", str(shared_base), "--precision", "fp32", "--threads", "1", "--out", str(out)]
    return ["fit", str(data), "--method", "full_finetune", *options]


def refused(*arguments: str | Path) -> tuple[int, str]:
    """Expect one message in plain words; return exit code and message."""
    called = nshot(*arguments, "--quiet")
    assert called.code in {2, 3}
    assert called.out == ""
    assert called.err.startswith("nshot: ")
    assert called.err.count("nshot: ") == 1
    assert "Traceback" not in called.err
    assert "mistake in nshot" not in called.err
    return called.code, called.err


def weights(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("settings.json", "tensors.safetensors")}


# ------------------------------------------------------------------------------------------ what it tells


def test_a_training_is_told_on_standard_output_and_has_a_page(fitting, tmp_path):
    called = succeeded(*fitting, "--set", "epochs=2")
    lines = called.out.splitlines()
    assert lines[0].startswith("full_finetune fitted on 60 labels in ")
    assert lines[1].startswith("4 steps, 128 examples, ")
    assert " examples/s, loss " in lines[1]
    assert lines[-2:] == [
        f"How it went: {tmp_path / 'model' / 'training.html'}",
        f"Try it: nshot predict {tmp_path / 'model'} -",
    ]
    assert called.err.startswith("csv, utf-8, comma: texts from")
    page = (tmp_path / "model" / "training.html").read_text()
    assert "full_finetune" in page
    assert "tickets.csv" in page
    assert page.count("<svg") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tickets.csv"]


def test_a_method_around_another_tells_its_training_once(fitting, tmp_path):
    around = ["tuned" if part == "full_finetune" else part for part in fitting]
    called = succeeded(
        *around, "--set", "grid={epochs=[1, 2]}", "--set", "options={batch_size=30}", "--set", "trials=2"
    )
    assert called.out.count("steps, ") == 1


def test_a_training_is_told_as_json(fitting, tmp_path):
    shown = succeeded(*fitting, "--set", "epochs=2", "--json", "--quiet").json()
    assert shown["examples_per_second"] > 0
    assert shown["fit_seconds"] > 0
    for clock in ("examples_per_second", "fit_seconds", "peak_memory_bytes", "final_loss"):
        del shown[clock]
    assert shown == {
        "method": "full_finetune",
        "n_labels": 60,
        "resumed": False,
        "steps": 4,
        "examples_seen": 128,
        "learning_rate": 0.0002,
        "restarts": 0,
        "micro_batch_halvings": 0,
        "model": str(tmp_path / "model"),
        "training_page": str(tmp_path / "model" / "training.html"),
    }


def test_quiet_says_nothing(fitting):
    called = succeeded(*fitting, "--set", "epochs=1", "--quiet")
    assert (called.out, called.err) == ("", "")


def test_a_training_in_a_log_tells_loss_speed_and_time_left(fitting, monkeypatch):
    from nshot.cli import screen

    monkeypatch.setattr(screen, "_LINE_EVERY_SECONDS", 0.0)
    told = succeeded(*fitting, "--set", "epochs=30").err
    assert "embedding, 60 of 60" in told
    line = next(line for line in told.splitlines() if ", 20 of 57" in line)
    assert line.startswith("training, loss ")
    assert " examples/s, 20 of 57, about 0:0" in line


def test_a_run_that_learnt_nothing_at_first_is_told_everywhere(fitting, tmp_path):
    again = "This run learnt nothing at first and was begun again at a fifth of the learning rate (2e-05)."
    options = ("--set", "learning_rate=1e-4", "--set", "epochs=6", "--set", "clip_norm=1e-9", "--set", "warmup=0.9")
    assert again in succeeded(*fitting, *options).out
    assert again in (tmp_path / "model" / "training.html").read_text()


def test_a_model_without_training_has_no_page_and_loses_the_one_that_was_there(fitting, data, tmp_path):
    succeeded(*fitting, "--set", "epochs=1")
    called = succeeded("fit", data, "--method", "majority", "--out", tmp_path / "model")
    assert "How it went" not in called.out
    assert not (tmp_path / "model" / "training.html").exists()


def test_a_loaded_model_that_is_saved_again_keeps_its_page(fitting, tmp_path):
    succeeded(*fitting, "--set", "epochs=1")
    model = api.load(tmp_path / "model")
    model.save(tmp_path / "again")
    assert "full_finetune" in (tmp_path / "again" / "training.html").read_text()
    assert model.course is None
    assert weights(tmp_path / "again") == weights(tmp_path / "model")


def test_a_comparison_reports_how_training_went(shared_base, data, tmp_path):
    test = write_csv(tmp_path / "test.csv", tickets(12, seed=3))
    options = ("--methods", "majority,full_finetune", "--set", "full_finetune.epochs=1", "--backbone", shared_base)
    plan = ("--test", test, "--repeats", "1", "--sizes", "24", "--precision", "fp32", "--quiet")
    succeeded("compare", data, *options, *plan, "--out", tmp_path / "out")
    details = json.loads((tmp_path / "out" / "details.json").read_text())
    (trained,) = details["training"]
    assert trained["candidate"] == "full_finetune(epochs=1.0):tiny"
    assert (trained["n_labels"], trained["runs"], trained["steps"]) == (60, 1, 2)
    assert len(trained["losses"]) == 2
    assert 'id="training"' in (tmp_path / "out" / "report.html").read_text()
    assert "## How training went" in (tmp_path / "out" / "report.md").read_text()


# ------------------------------------------------------------------------------------------ killed and taken up

# A checkpoint after every step, so that a short training can be caught between two of them.
OFTEN = """
from nshot.training import checkpoints
checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.0
from nshot.cli.main import main
main()
"""
LONG = ("--set", "epochs=20")


def kept(out: Path) -> list[Path]:
    return list(out.with_name(f"{out.name}.training").glob("*/*.safetensors"))


def ended_midway(command: list[str], out: Path, sent: signal.Signals) -> tuple[int, str]:
    """Start a fit, end it once it has kept a checkpoint, and return its exit code and what it told."""
    process = subprocess.Popen([sys.executable, "-c", OFTEN, *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not kept(out):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(sent)
    _, told = process.communicate(timeout=30)
    return process.returncode, told


@pytest.mark.parametrize(("method", "sent"), [("full_finetune", signal.SIGTERM), ("lora", signal.SIGKILL)])
def test_a_training_that_was_ended_midway_goes_on_to_the_same_weights(method, sent, fitting, tmp_path):
    fitting[fitting.index("--method") + 1] = method
    out = tmp_path / "model"
    code, told = ended_midway([*fitting, *LONG], out, sent)
    if sent == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 130
        assert "the same command goes on from there" in told
    assert "Traceback" not in told
    assert not out.exists()
    called = succeeded(*fitting, *LONG)
    assert "Going on where the same command was stopped before" in called.err
    assert "since it was taken up again" in (out / "training.html").read_text()
    assert not out.with_name("model.training").exists()
    succeeded(*fitting[:-1], tmp_path / "whole", *LONG, "--quiet")
    assert weights(out) == weights(tmp_path / "whole")


@pytest.fixture
def stopped(fitting, tmp_path, monkeypatch) -> list[Path]:
    """Return the checkpoints of a fit of two epochs whose model could not be written any more."""
    from nshot import bundle
    from nshot.core import OutputError

    def full(*_: object, **__: object) -> None:
        raise OutputError("The model cannot be written: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "save", full)
        code, message = refused(*fitting, "--set", "epochs=2")
    assert (code, "No space left" in message) == (3, True)
    return kept(tmp_path / "model")


def test_a_disk_that_fills_up_keeps_the_training_and_the_same_command_goes_on(fitting, stopped):
    assert stopped
    assert succeeded(*fitting, "--set", "epochs=2", "--json").json()["resumed"] is True


def test_another_command_does_not_take_up_the_training_of_the_first(fitting, stopped, data, tmp_path):
    for other in (("--set", "epochs=1"), ("--set", "epochs=2", "--seed", "1")):
        assert succeeded(*fitting[:-1], tmp_path / "other", *other, "--json").json()["resumed"] is False
    code, _ = refused(*fitting, "--set", "learning_rate=1000")
    assert code == 2
    assert kept(tmp_path / "model") == stopped, "another command that failed has not removed them"
    write_csv(data, [*ROWS[:-1], ("my card", ROWS[-1][1])])
    assert succeeded(*fitting, "--set", "epochs=2", "--json").json()["resumed"] is False
    assert not kept(tmp_path / "model"), "the model is there, by another command"


# ------------------------------------------------------------------------------------------ several processes


def test_a_process_that_is_not_the_main_one_neither_prints_nor_writes(data, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    called = succeeded("fit", data, "--method", "tfidf_linear", "--out", tmp_path / "model", "--json")
    assert (called.out, called.err) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.csv"]


# ------------------------------------------------------------------------------------------ tracking


def test_a_tracked_fit_hands_over_the_figures_of_every_step_and_the_record(fitting, monkeypatch):
    taken, ended, fits = [], [], []

    class Noted:
        shown = "in a list"

        def take(self, step, figures):
            taken.append((step, set(figures)))

        def finish(self, record):
            ended.append(record)

        def leave(self):
            ended.append("left")

    def opened(entry, fit):
        fits.append((entry, fit))
        return Noted()

    monkeypatch.setattr(tracking, "_opened", opened)
    called = succeeded(*fitting, "--set", "epochs=2", "--track", "mlflow:http://a,b")
    assert "Tracked: in a list" in called.err
    assert [step for step, _ in taken] == [1, 2, 3, 4]
    assert all({"loss", "learning_rate"} <= names for _, names in taken)
    (record,) = ended
    assert (record["steps"], record["n_labels"]) == (4, 60)
    ((entry, fit),) = fits
    assert (entry, fit.name) == ("mlflow:http://a,b", "full_finetune-tickets")
    assert fit.facts["epochs"] == 2.0
    assert fit.facts["seed"] == 0


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--track", "wandb"], 2, "must be tensorboard, tensorboard:DIR, mlflow or mlflow:URI"),
        (["--track", "tensorboard:"], 2, "must be tensorboard, tensorboard:DIR, mlflow or mlflow:URI"),
        (["--track", "tensorboard", "--method", "majority"], 2, "nothing to track. Leave --track out"),
        (["--max-memory", "lots"], 2, "a quantity such as 512MiB or 2GiB"),
        (["--set", "learnin_rate=1"], 2, "Did you mean 'learning_rate'"),
        (["--set", "learning_rate=0"], 2, "must be greater than 0"),
        (["--set", "epochs"], 2, "--set expects OPTION=VALUE"),
        (["--set", "learning_rate=1000"], 2, "Lower learning_rate"),
        (["--set", "learning_rate=1000", "--set", "epochs=40", "--method", "lora"], 2, "Lower learning_rate"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_and_nothing_is_left(options, code, expected, fitting, tmp_path):
    found, message = refused(*fitting, *options)
    assert (found, expected in message) == (code, True), message
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.csv"]


def test_tracking_without_the_library_is_told_before_anything_is_fitted(fitting, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, message = refused(*fitting, "--track", "tensorboard")
    assert code == 3
    assert "pip install 'nshot[track]'" in message
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.csv"]


# ------------------------------------------------------------------------------------------ bad input


def test_one_class_is_refused(fitting, data):
    write_csv(data, [(text, "billing") for text, _ in ROWS])
    assert "Expected two labels or more" in refused(*fitting)[1]


def test_more_labels_than_rows_are_refused():
    from nshot.core import Task, TaskKind

    task = Task(TaskKind.CLASSIFY, ("a", "b", "c"))
    train = Dataset(["one text", "another"], targets=["a", "b"], name="small")
    options = api.FitOptions(method="full_finetune")
    with pytest.raises(
        UnsupportedError, match=r"small has 2 labelled rows for 3 labels\. Label at least one row of each"
    ):
        api.fit_dataset(task, train, train.without_targets(), options)


def damage(base: Path, name: str) -> Path:
    """Return a copy of the tiny encoder with a weight that is no number, or without a tokenizer."""
    from safetensors.torch import load_file, save_file

    if name == "tokenizer":
        (base / "tokenizer.json").unlink()
    else:
        file = base / "model.safetensors"
        tensors = load_file(file)
        tensors["encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
        save_file(tensors, file, metadata={"format": "pt"})
    return base


@pytest.mark.parametrize(
    ("what", "code", "expected"), [("tokenizer", 3, "has no tokenizer. Expected tokenizer.json"), ("nan", 2, "NaN")]
)
def test_a_damaged_base_model_is_told(what, code, expected, data, tmp_path):
    base = damage(write_bert(tmp_path / "base", pooling=POOLING), what)
    out = tmp_path / "model"
    found, message = refused("fit", data, "--method", "lora", "--backbone", base, "--precision", "fp32", "--out", out)
    assert (found, expected in message) == (code, True), message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "tickets.csv"]


def test_an_adapter_on_another_base_model_is_refused(data, tmp_path):
    base = write_bert(tmp_path / "base", pooling=POOLING)
    options = ("--backbone", base, "--precision", "fp32", "--set", "epochs=1", "--out", tmp_path / "model")
    succeeded("fit", data, "--method", "lora", *options, "--quiet")
    write_bert(base, pooling=POOLING, seed=1)
    code, message = refused("predict", tmp_path / "model", data)
    assert code == 3
    assert "are not the recorded ones" in message


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/proc/nope/model", "cannot be written to"),
        ("{here}/file", "it is a file"),
        ("{here}/file/model", "cannot be written to"),
        ("{here}/thesis", "holds 'thesis.tex'"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_data_is_read(place, expected, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    out = place.format(here=tmp_path)
    code, message = refused("fit", tmp_path / "nowhere.csv", "--method", "majority", "--out", out)
    assert (code, expected in message) == (3, True), message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]


def test_a_full_disk_is_told_before_the_data_is_read(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        (place / "filling").write_bytes(b"x" * 48 * 1024)
        code, message = refused("fit", tmp_path / "nowhere.csv", "--method", "majority", "--out", place / "a" / "model")
        assert code == 3
        assert "No space left on device" in message
        assert [path.name for path in place.iterdir()] == ["filling"]
    finally:
        subprocess.run(["umount", str(place)], check=True)
