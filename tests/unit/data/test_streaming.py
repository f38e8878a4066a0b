"""Reading rows to predict on, and writing the predictions beside them."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from nshot.core import DataError, OptionError, OutputError
from nshot.data.options import ReadOptions
from nshot.data.reading import stream_inputs
from nshot.data.writing import writing


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))


def texts(stream) -> list[str]:
    return [text for batch in stream.batches for text in batch.examples]


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"I lost, my card\nwhere is it\n", "lines", ["I lost, my card", "where is it"]),
        (b"id;message\n1;I lost, my card\n2;where\n", "csv", ["I lost, my card", "where"]),
        (b"message\nI lost, my card\nwhere\n", "csv", ["I lost, my card", "where"]),
        (b'{"id": 1, "message": "a b"}\n{"id": 2, "message": null}\n', "jsonl", ["a b", ""]),
        ("\ufeffgrüße\nx\n".encode(), "lines", ["grüße", "x"]),
        ("grüße\nx\n".encode("utf-16"), "lines", ["grüße", "x"]),
    ],
)
def test_standard_input_is_recognised_by_its_first_line(monkeypatch, content, kind, expected):
    feed(monkeypatch, content)
    stream = stream_inputs("-", ("message",))
    assert (stream.format, texts(stream)) == (kind, expected)


def test_empty_standard_input_is_refused(monkeypatch):
    feed(monkeypatch, b"")
    with pytest.raises(DataError, match="Standard input is empty"):
        stream_inputs("-")


def test_batches_are_bounded_and_complete(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "".join(f"row {i}\n" for i in range(1000)))
    stream = stream_inputs(path, ("text",), batch_rows=64)
    batches = list(stream.batches)
    assert max(len(batch.examples) for batch in batches) <= 64
    assert [text for batch in batches for text in batch.examples] == [f"row {i}" for i in range(1000)]


@pytest.mark.parametrize(
    ("header", "trained", "named", "expected"),
    [
        ("id,message", ("message",), (), "message"),
        ("id,comment", ("message",), (), "comment"),
        ("message,comment", ("message",), ("comment",), "comment"),
    ],
)
def test_the_text_column_is_the_trained_one_or_else_recognised(tmp_path, header, trained, named, expected):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\nsome words here,other words there\nmore words,and more of them\n")
    assert stream_inputs(path, trained, ReadOptions(text=named)).text_columns == (expected,)


def test_a_missing_text_column_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,n\n1,2\n3,4\n")
    with pytest.raises(DataError, match=r"Column 'message' is missing from a.csv. Found: id, n. .*--text id"):
        stream_inputs(path, ("message",))


def test_a_file_of_lines_without_a_header_loses_no_line(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("I lost my card\nwhere is my money\n")
    assert texts(stream_inputs(path, ("message",))) == ["I lost my card", "where is my money"]


ROWS = [
    {"id": 1, "text": 'a "quoted", text', "score": 0.5},
    {"id": 2, "text": "line\nbreak", "score": None},
    {"id": 3, "text": "=1+1", "score": 2.0},
]


def predict(source: Path, out: Path | None) -> None:
    stream = stream_inputs(source, ("text",), batch_rows=2)
    with writing(out, stream) as writer:
        for batch in stream.batches:
            n = len(batch.examples)
            writer.write(batch, {"prediction": ["x,y"] * n, "probability": [1 / 3] * n})


def rows_file(folder: Path, suffix: str) -> Path:
    path = folder / f"in{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    return path


@pytest.mark.parametrize("into", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predictions_stand_beside_the_input_in_every_format(tmp_path, suffix, into):
    out = tmp_path / f"out{into}"
    predict(rows_file(tmp_path, suffix), out)
    again = stream_inputs(out, ("text",))
    assert set(again.columns) == {"id", "text", "score", "prediction", "probability"}
    assert texts(again) == [row["text"] for row in ROWS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"in{suffix}", f"out{into}"])


def test_types_survive_from_jsonl_to_jsonl_and_from_parquet_to_parquet(tmp_path):
    predict(rows_file(tmp_path, ".jsonl"), tmp_path / "out.jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{key: row[key] for key in ROWS[0]} for row in written] == ROWS
    assert written[0]["probability"] == pytest.approx(1 / 3, abs=1e-6)
    from pyarrow import parquet

    predict(rows_file(tmp_path, ".parquet"), tmp_path / "out.parquet")
    assert [
        {key: row[key] for key in ROWS[0]} for row in parquet.read_table(tmp_path / "out.parquet").to_pylist()
    ] == ROWS


def test_standard_output_gets_csv_for_csv(tmp_path, capsys):
    predict(rows_file(tmp_path, ".csv"), None)
    lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert lines[0] == ["id", "text", "score", "prediction", "probability"]
    assert lines[3][1] == "'=1+1"


def test_predicting_on_predictions_keeps_the_older_column(tmp_path):
    predict(rows_file(tmp_path, ".csv"), tmp_path / "once.csv")
    predict(tmp_path / "once.csv", tmp_path / "twice.csv")
    header = (tmp_path / "twice.csv").read_text().splitlines()[0]
    assert header == "id,text,score,prediction,probability,prediction_2,probability_2"


def test_a_failure_leaves_nothing_and_an_older_file_as_it_was(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("older")
    stream = stream_inputs(rows_file(tmp_path, ".csv"), ("text",))

    def fail() -> None:
        with writing(out, stream) as writer:
            writer.write(next(stream.batches), {"prediction": ["x"] * 3})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.read_text() == "older"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_an_output_that_cannot_be_written_says_why(tmp_path):
    source = rows_file(tmp_path, ".csv")
    with pytest.raises(OptionError, match=r"must end in \.csv"):
        predict(source, tmp_path / "out.xlsx")
    with pytest.raises(OutputError, match="does not exist"):
        predict(source, tmp_path / "nowhere" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        predict(source, tmp_path / "folder.csv")


def test_a_broken_line_is_named_while_streaming(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 100 + "{oops\n")
    stream = stream_inputs(path, ("text",), batch_rows=10)
    with pytest.raises(DataError, match=r"Line 101 of a\.jsonl"):
        texts(stream)
