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
