"""Every kind of source gives the same examples for the same rows."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from nshot.data.options import ReadOptions
from nshot.data.reading import read, stream_inputs

TEXTS = ["a first text, with a comma", 'another "text"', "NA", "über\nzwei Zeilen", "last one", "no label here"]
LABELS: list[str | None] = ["red", "blue", "red", "NA", "blue", None]
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]


def delimited(delimiter: str, encoding: str = "utf-8") -> Callable[[Path], Any]:
    def write(folder: Path) -> Path:
        path = folder / ("rows.tsv" if delimiter == "\t" else "rows.csv")
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["text", "label"])
            writer.writerows(row.values() for row in ROWS)
        return path

    return write


def gzipped(folder: Path) -> Path:
    plain = delimited(",")(folder)
    path = folder / "rows.csv.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def text_file(name: str, content: str, encoding: str = "utf-8") -> Callable[[Path], Any]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content, encoding=encoding)
        return folder / name

    return write


def parquet_file(folder: Path) -> Path:
    parquet.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return folder / "rows.parquet"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "csv": delimited(","),
    "csv with semicolons in UTF-16": delimited(";", "utf-16"),
    "csv with a byte order mark": delimited(",", "utf-8-sig"),
    "csv in latin-1": delimited("|", "latin-1"),
    "csv, gzipped": gzipped,
    "tsv": delimited("\t"),
    "jsonl": text_file("rows.jsonl", "\n".join(map(json.dumps, ROWS))),
    "jsonl in UTF-16": text_file(
        "rows.ndjson", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), "utf-16"
    ),
    "json rows": text_file("rows.json", json.dumps(ROWS)),
    "json columns": text_file("rows.json", json.dumps({"text": TEXTS, "label": LABELS})),
    "json of rows under a name": text_file("rows.json", json.dumps({"version": 1, "data": ROWS})),
    "json as pandas writes it": text_file("rows.json", pd.DataFrame(ROWS).to_json()),
    "parquet": parquet_file,
    "DataFrame": lambda folder: pd.DataFrame(ROWS),
    "Arrow table": lambda folder: pa.Table.from_pylist(ROWS),
    "lists": lambda folder: (TEXTS, LABELS),
    "dicts": lambda folder: ROWS,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_reader_gives_the_same_rows(tmp_path, kind):
    source = read(SOURCES[kind](tmp_path))
    assert list(source.dataset.examples) == TEXTS[:5]
    assert list(source.dataset.labelled_targets()) == LABELS[:5]
    assert list(source.unlabelled.examples) == TEXTS[5:]
    assert list(source.positions) == list(range(5))
    assert list(source.unlabelled_positions) == [5]
    assert source.columns == ("text", "label")
    assert source.task.labels == ("NA", "blue", "red")


@pytest.mark.parametrize("kind", SOURCES)
def test_streaming_gives_the_same_texts_as_reading(tmp_path, kind):
    stream = stream_inputs(SOURCES[kind](tmp_path), ("text",), batch_rows=4)
    assert [text for batch in stream.batches for text in batch.examples] == TEXTS


def test_fingerprint_is_the_same_from_every_kind_of_source(tmp_path):
    assert len({read(make(tmp_path)).dataset.fingerprint for make in SOURCES.values()}) == 1


def test_a_folder_per_class_gives_its_files_sorted(tmp_path):
    for label, name, content in [
        ("pos", "1.txt", b"good"),
        ("neg", "2.txt", "schlécht".encode("latin-1")),
        ("neg", "1.txt", b"bad"),
    ]:
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / name).write_bytes(content)
    (tmp_path / "neg" / "picture.png").write_bytes(b"\x89PNG")
    source = read(tmp_path)
    assert list(source.dataset.examples) == ["bad", "schlécht", "good"]
    assert list(source.dataset.labelled_targets()) == ["neg", "neg", "pos"]
    assert list(source.column("file")) == ["neg/1.txt", "neg/2.txt", "pos/1.txt"]


TABLE = {
    "age": [31.0, None, 25.5, 47.0],
    "town": ["Ulm", "Bonn", None, "Ulm"],
    "since": ["2024-01-05", "2023-12-31", "2024-02-29", None],
    "member": [True, False, True, True],
    "label": ["a", "b", "a", "b"],
}


def table_rows() -> list[dict[str, Any]]:
    return [dict(zip(TABLE, cells, strict=True)) for cells in zip(*TABLE.values(), strict=True)]


def table_csv(folder: Path) -> Path:
    path = folder / "table.csv"
    pd.DataFrame(TABLE).to_csv(path, index=False)
    return path


def table_jsonl(folder: Path) -> Path:
    path = folder / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in table_rows()))
    return path


def table_parquet(folder: Path) -> Path:
    path = folder / "table.parquet"
    parquet.write_table(pa.table(TABLE), path)
    return path


TABLES: dict[str, Callable[[Path], Any]] = {
    "csv": table_csv,
    "jsonl": table_jsonl,
    "parquet": table_parquet,
    "pandas": lambda _: pd.DataFrame(TABLE),
    "arrow": lambda _: pa.table(TABLE),
    "dicts": lambda _: table_rows(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_source_gives_the_same_rows(tmp_path, kind):
    found = read(TABLES[kind](tmp_path), ReadOptions(columns=("age", "town", "since", "member"), label="label"))
    rows = found.dataset.examples
    assert [column.kind.value for column in found.row_columns] == ["number", "category", "date", "category"]
    assert rows[1] == {"age": None, "town": "Bonn", "since": "2023-12-31", "member": "false"}
    assert rows[3] == {"age": 47.0, "town": "Ulm", "since": None, "member": "true"}
    stream = stream_inputs(TABLES[kind](tmp_path), row_columns=found.row_columns, batch_rows=3)
    assert [row for batch in stream.batches for row in batch.examples] == list(rows)
