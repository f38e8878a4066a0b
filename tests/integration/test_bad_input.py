from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.calling import FAST, nshot, succeeded, tickets, write_csv

ROWS = tickets(60)


def refused(*arguments: str | Path, out: Path | None = None) -> tuple[int, str]:
    """Call the command line, expect one message in plain words and nothing left behind; return code and message."""
    called = nshot(*arguments)
    assert called.code in {2, 3}
    assert called.out == ""
    assert called.err.count("nshot: ") == 1, called.err
    assert "Traceback" not in called.err
    assert "mistake in nshot" not in called.err
    if out is not None:
        assert not out.exists() or out.is_file()
    return called.code, called.err.split("nshot: ", 1)[1]


def lines(*rows: str) -> bytes:
    return "\n".join(rows).encode() + b"\n"


BROKEN_LINE = [json.dumps({"text": f"a text {i}", "label": "ab"[i % 2]}) for i in range(6)] + ['{"text": "cut']
FILES = {
    "empty.csv": (b"", "is empty. Expected a table"),
    "header.csv": (lines("text,label"), "has no rows. Its header: text, label"),
    "column.csv": (lines("text", *(f"a text {i}" for i in range(9))), "has one column"),
    "class.csv": (lines("text,label", *(f"a text {i},a" for i in range(9))), "have the label 'a'"),
    "same.csv": (lines("text,label", *(f"one text,{'ab'[i % 2]}" for i in range(9))), "All 9 texts are the same"),
    "singles.csv": (
        lines("text,label", *(f"thing {i * 7919},class {i}" for i in range(200))),
        "has a single row",
    ),
    "unlabelled.csv": (lines("text,label", *(f"a text {i}," for i in range(9))), "--label"),
    "nan.csv": (lines("text,label", *(f"a text {i},NaN" for i in range(9))), "--label"),
    "binary.csv": (bytes(range(256)) * 40, "is a binary file"),
    "broken.jsonl": (lines(*BROKEN_LINE), "Line 7 of broken.jsonl is not valid JSON"),
    "other.toml": (b"a = 1\n", "is not a plan that this version of nshot wrote"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_cannot_be_used_is_told_what_is_wrong(name, tmp_path):
    content, expected = FILES[name]
    (tmp_path / name).write_bytes(content)
    code, message = refused("compare", tmp_path / name, *FAST, "--out", tmp_path / "out", out=tmp_path / "out")
    assert code == 2
    assert expected in message
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_not_there_is_told_with_what_is(tmp_path):
    write_csv(tmp_path / "tickets.csv", ROWS)
    _, message = refused("compare", tmp_path / "tikets.csv", *FAST, "--out", tmp_path / "out", out=tmp_path / "out")
    assert "There is no file" in message
    assert "tickets.csv" in message


@pytest.fixture
def data(tmp_path) -> Path:
    return write_csv(tmp_path / "tickets.csv", ROWS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--methods", "linear_prob"], "Did you mean 'linear_probe'"),
        (["--without", ""], "found nothing"),
        (["--without", "majority,tfidf_linear"], "No method is left to compare"),
        (["--metric", "f2"], "must be one of macro_f1"),
        (["--budgit", "5m"], "--budget"),
        (["--budget", "soon"], "must be a quantity such as 30s, 5m or 1h. Got 'soon'"),
        (["--sizes", "a"], "must be a valid integer"),
        (["--sizes", "0"], "greater than or equal to 1"),
        (["--device", "tpu"], "auto, cpu, mps, cuda or cuda:1"),
        (["--set", "tfidf_linear"], "--set expects METHOD.OPTION=VALUE"),
        (["--set", "tfidf_linear.n=1"], "tfidf_linear has no option 'n'. It has: strength"),
        (["--text", "mesage"], "Column 'mesage' is missing from tickets.csv. Found: message, queue"),
        (["--label", "quee"], "Column 'quee' is missing"),
        (["--encoding", "klingon"], "There is no encoding 'klingon'"),
        (["--test", "nowhere.csv"], "There is no file nowhere.csv"),
        (["--labels", "nowhere.toml"], "There is no file nowhere.toml"),
        (["--candidate", "nowhere.csv"], "There is no file nowhere.csv"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_before_anything_is_written(arguments, expected, data, tmp_path):
    out = tmp_path / "out"
    code, message = refused("compare", data, *FAST, "--out", out, *arguments, out=out)
    assert code == 2
    assert expected in message


def test_a_test_with_other_labels_is_refused(data, tmp_path):
    test = write_csv(tmp_path / "test.csv", [*ROWS[:5], ("my neighbour is loud", "noise")])
    _, message = refused("compare", data, "--test", test, *FAST, "--out", tmp_path / "out", out=tmp_path / "out")
    assert "labels that do not occur in tickets.csv: 'noise'" in message


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("billing",)] * 59, "has 59 answers for the 60 rows"),
        ([("billing",)] * 59 + [("biling",)], "answers 'biling' in row 60, which is no label"),
    ],
)
def test_answers_that_do_not_fit_the_rows_are_refused(answers, expected, data, tmp_path):
    file = write_csv(tmp_path / "ours.csv", answers, ("prediction",))
    _, message = refused("compare", data, "--candidate", file, *FAST, "--out", tmp_path / "out", out=tmp_path / "out")
    assert expected in message


def test_answers_without_a_column_for_them_are_refused(data, tmp_path):
    file = write_csv(tmp_path / "ours.csv", [("a", "b")] * 60, ("one", "two"))
    _, message = refused("compare", data, "--candidate", file, *FAST, "--out", tmp_path / "out", out=tmp_path / "out")
    assert "has no column 'prediction'. Found: one, two" in message


# ------------------------------------------------------------------------------------------ where it is written


@pytest.mark.parametrize(
    ("place", "code", "expected"),
    [("/proc/nope", 3, "Cannot write to"), ("{file}", 2, "is a file"), ("{file}/out", 3, "Cannot write to")],
)
def test_an_output_that_cannot_be_written_is_told(place, code, expected, data, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    found, message = refused("compare", data, *FAST, "--out", place.format(file=file))
    assert (found, expected in message) == (code, True), message
    assert "--out DIR" in message
    assert file.read_text() == "precious"


def test_a_folder_of_somebody_else_is_left_alone(data, tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    code, message = refused("compare", data, *FAST, "--out", out, "--fresh")
    assert code == 2
    assert "holds no comparison of nshot" in message
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_the_folder_of_other_data_is_refused(finished, data):
    before = (finished.out / "verdict.json").read_bytes()
    _, message = refused("compare", data, *FAST, "--out", finished.out)
    assert "holds a comparison on other data" in message
    assert (finished.out / "verdict.json").read_bytes() == before


def test_a_damaged_ledger_is_told(finished):
    with (finished.out / "runs.jsonl").open("r+b") as file:
        file.write(b"#")
    code, message = refused("compare", finished.data, *FAST, "--out", finished.out)
    assert code == 2
    assert "Line 1 of" in message
    assert "--fresh" in message


@pytest.fixture
def small_disk(tmp_path):
    """Return a file system of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_room(small_disk, data):
    out = small_disk / "out"
    filling = small_disk / "filling"
    filling.write_bytes(b"x" * 48 * 1024)
    called = nshot("compare", data, *FAST, "--out", out)
    assert called.code == 3
    assert called.err.count("nshot: ") == 1
    assert "No space left on device" in called.err
    assert "mistake in nshot" not in called.err
    assert not (out / "verdict.json").exists()
    filling.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    succeeded("compare", data, *FAST, "--out", out, "--quiet")
    assert (out / "verdict.json").is_file()


# ------------------------------------------------------------------------------------------ models


def test_a_model_of_the_hub_without_a_network_says_how_to_get_it(data, tmp_path):
    out = tmp_path / "out"
    arguments = ("--methods", "linear_probe", "--backbone", "org/model", "--out", out)
    code, message = refused("compare", data, *arguments, out=out)
    assert code == 3
    assert "no folder org/model" in message
    assert "all-MiniLM-L6-v2" in message


def test_a_folder_that_holds_no_model_is_refused(data, tmp_path):
    out, adapter = tmp_path / "out", tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    code, message = refused("compare", data, "--methods", "linear_probe", "--backbone", adapter, "--out", out, out=out)
    assert code == 3
    assert "config.json is missing" in message


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["predict", "{here}", "{data}"], 3, "holds no saved model"),
        (["predict", "{data}", "{data}"], 3, "holds no saved model"),
        (["predict", "{model}", "{here}/nowhere.csv"], 2, "There is no file"),
        (["predict", "{model}", "{data}", "--out", "{here}/a.docx"], 2, "must end in .csv"),
        (["predict", "{model}", "{data}", "--out", "/proc/nope.csv"], 3, "cannot be written"),
        (["predict", "{model}", "{data}", "--text", "mesage"], 2, "Column 'mesage' is missing"),
        (["compare", "{data}", "--metric", "mae", "--out", "{here}/o"], 2, "mae does not judge the task 'classify'"),
        (["report", "{here}"], 2, "holds no finished comparison"),
        (["check", "{here}/nowhere.csv"], 2, "There is no file"),
        (["fit", "{data}", "--method", "linear_prob", "--out", "{here}/m"], 2, "Did you mean 'linear_probe'"),
        (["fit", "{data}", "--method", "majority", "--set", "x", "--out", "{here}/m"], 2, "--set expects OPTION=VALUE"),
        (
            ["fit", "{data}", "--method", "majority", "--precision", "fp8", "--out", "{here}/m"],
            2,
            "is not one of",
        ),
        (["fit", "{data}", "--method", "majority", "--out", "{data}"], 3, "it is a file"),
        (["methods", "lorra"], 2, "Did you mean 'lora'"),
    ],
)
def test_every_command_refuses_in_plain_words(arguments, code, expected, shared_comparison, data, tmp_path):
    places = {"here": tmp_path, "data": data, "model": shared_comparison.out / "model"}
    before = sorted(tmp_path.iterdir())
    found, message = refused(*(argument.format(**places) for argument in arguments))
    assert found == code
    assert expected in message
    assert sorted(tmp_path.iterdir()) == before


# ------------------------------------------------------------------------------------------ odd, but fine


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_files_in_other_encodings_work(encoding, tmp_path):
    rows = "message;queue\n" + "".join(f"{text} größe straße;{label}\n" for text, label in ROWS)
    (tmp_path / "a.csv").write_bytes(rows.encode(encoding))
    succeeded("fit", tmp_path / "a.csv", "--method", "tfidf_linear", "--out", tmp_path / "model")
    shown = succeeded("predict", tmp_path / "model", tmp_path / "a.csv").out
    assert "größe straße" in shown


@pytest.mark.parametrize("header", [("=SUM(A1:A9)", "queue"), ("@cmd", "queue"), ("message", "=queue")])
def test_a_column_named_like_a_formula_is_a_column(header, tmp_path):
    data = write_csv(tmp_path / "a.csv", ROWS, header)
    named = ("--text", header[0], "--label", header[1])
    succeeded("fit", data, *named, "--method", "majority", "--out", tmp_path / "model")
    shown = succeeded("predict", tmp_path / "model", data, "--text", header[0]).out
    # A spreadsheet that opens the answers calculates nothing.
    assert shown.startswith(",".join(name if name[0] not in "=@" else f"'{name}" for name in header))


def test_columns_of_the_same_name_are_told_or_told_apart(tmp_path):
    data = write_csv(tmp_path / "a.csv", [("x", *row) for row in ROWS], ("message", "message", "queue"))
    called = nshot("check", data, "--json")
    assert called.code in {0, 2}
    assert "mistake in nshot" not in called.err
    assert "message" in called.err


def test_a_cell_of_five_megabytes_is_compared_like_any_other(tmp_path):
    data = write_csv(tmp_path / "a.csv", [*ROWS, ("long word " * 500_000, "billing")])
    options = ("--methods", "majority", "--repeats", "1", "--json")
    assert succeeded("compare", data, "--out", tmp_path / "out", *options).json()["n_test"] == 61
    assert (tmp_path / "out" / "report.html").stat().st_size < 1_000_000
