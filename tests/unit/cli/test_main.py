from __future__ import annotations

import errno
import subprocess
import sys

import click
import pytest

from nshot.cli import main
from nshot.core import CheckFailedError, DataError, Interrupted, OutputError

HEAVY = (
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "numpy",
    "pydantic",
    "peft",
    "altair",
    "rich",
)


def loaded_after(program: str) -> set[str]:
    """Return which heavy packages a fresh Python has loaded after a program."""
    shown = f"{program}\nimport sys\nprint('LOADED', *sorted(set(sys.modules) & set({HEAVY!r})))"
    found = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    last = found.stdout.splitlines()[-1].split()
    assert last[0] == "LOADED"
    return set(last[1:])


def test_importing_nshot_imports_nothing_heavy():
    assert loaded_after("import nshot; dir(nshot)") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["frobnicate"]])
def test_showing_the_commands_imports_nothing_heavy(arguments):
    assert loaded_after(f"from nshot.cli.main import run; run({arguments!r})") == set()


@pytest.mark.parametrize("command", ["compare", "predict", "evaluate", "check", "methods"])
def test_the_help_of_a_command_does_not_import_the_frameworks(command):
    loaded = loaded_after(f"from nshot.cli.main import run; run([{command!r}, '--help'])")
    assert not loaded & {"torch", "transformers", "sklearn", "scipy", "pandas", "peft", "altair"}


def test_without_a_command_the_help_is_shown(capsys):
    assert main.run([]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: nshot")
    assert "compare" in shown


def test_every_command_exists_and_has_a_one_line_help(capsys):
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in main._COMMANDS:
        assert f"\n  {name}" in shown


@pytest.mark.parametrize("name", list(main._COMMANDS))
def test_every_command_shows_its_help(name, capsys):
    assert main.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: nshot {name}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["comparre", "x.csv"], "Did you mean 'compare'"),
        (["compare", "x.csv", "--metod", "majority"], "--methods"),
        (["compare"], "Missing argument 'DATA'"),
        (["compare", "x.csv", "--prefer", "beauty"], "'cost', 'score', 'latency'"),
        (["fit", "x.csv", "--out", "m"], "Missing option '--method'"),
    ],
)
def test_a_slip_of_the_fingers_gets_a_suggestion(arguments, expected, capsys):
    assert main.run(arguments) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("nshot: ")
    assert expected in found.err


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (DataError("Column 'x' is missing."), 2, "nshot: Column 'x' is missing.\n"),
        (OutputError("Cannot write."), 3, "nshot: Cannot write.\n"),
        (CheckFailedError("There are issues."), 1, "nshot: There are issues.\n"),
        (Interrupted("Stopped."), 130, "nshot: Stopped.\n"),
        (KeyboardInterrupt(), 130, "the same command goes on from there"),
        (click.Abort(), 130, "the same command goes on from there"),
        (MemoryError(), 3, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x.csv"), 3, "x.csv No space left on device"),
        (ValueError("boom"), 3, "This is a mistake in nshot, not in your data: ValueError: boom"),
    ],
)
def test_every_problem_becomes_one_message_and_an_exit_code(error, code, expected, monkeypatch, capsys):
    def raising(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", raising)
    monkeypatch.delenv("NSHOT_DEBUG", raising=False)
    assert main.run(["compare"]) == code
    found = capsys.readouterr()
    assert expected in found.err
    assert "Traceback" not in found.err
    assert found.out == ""


def test_a_traceback_is_shown_to_who_asks_for_it(monkeypatch, capsys):
    def raising(**_: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr(main.cli, "main", raising)
    monkeypatch.setenv("NSHOT_DEBUG", "1")
    main.run([])
    assert "Traceback" in capsys.readouterr().err
