"""Predictions beside the columns of their input, written while they come; a file appears complete or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO

from nshot.core import OptionError, OutputError
from nshot.data.formulas import as_text
from nshot.data.tags import joined

if TYPE_CHECKING:
    from nshot.data.reading import InputBatch, InputStream

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_DIGITS = 6
_SMALL = 1e-3


class PredictionWriter(Protocol):
    """Takes batches and their answers."""

    def write(self, batch: InputBatch, answers: Mapping[str, Sequence[Any]]) -> None:
        """Write the rows of `batch` with their columns and the answers, one entry per row and answer column."""


def unfinished(out: Path) -> Path:
    """Return where answers stay that were given before `writing` was left by an error."""
    return out.with_name(f"{out.stem}.unfinished{out.suffix}")


@contextmanager
def writing(
    out: Path | None, stream: InputStream, *, keeps_unfinished: bool = False, separator: str | None = None
) -> Iterator[PredictionWriter]:
    """Open a writer; on leaving without an error the file takes its place, on an error nothing is left.

    In csv and tsv, cells that a spreadsheet would take for formulas become text, see `nshot.data.formulas`; others are
    written as they came. An answer whose name the input already has as a column gets a number: ``prediction_2``.

    Args:
        out: csv, tsv, jsonl or parquet by its ending; None or ``-``: standard output, as jsonl for jsonl and json
            input, else as csv.
        stream: The input whose batches will be written.
        separator: What stands between several labels of a cell in csv and tsv; jsonl and parquet hold lists.
        keeps_unfinished: What was written before an error or an interruption stays, under the name `unfinished`.

    Raises:
        OptionError: The ending says nothing.
        OutputError: The disk refuses.
    """
    if out is None or str(out) == "-":
        yield _text_writer(sys.stdout, ".jsonl" if stream.format in {"jsonl", "json"} else ".csv", separator)
        sys.stdout.flush()
        return
    suffix = out.suffix.lower()
    if suffix not in _SUFFIXES:
        raise OptionError(f"The output must end in {', '.join(_SUFFIXES)}. Got '{out.name}' instead.")
    if out.is_dir():
        raise OutputError(f"{out} is a folder. Name a file, such as {out / 'predictions.csv'}.")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent)
    except OSError as error:
        raise _refused(out, error) from None
    part = Path(name)
    try:
        try:
            yield from _to_file(handle, suffix, stream, separator)
            # mkstemp makes files for its owner only; people expect what their umask says.
            part.chmod(0o666 & ~_umask())
            part.replace(out)
        except OSError as error:
            raise _refused(out, error) from None
        except BaseException:
            if keeps_unfinished and part.stat().st_size:
                part.replace(unfinished(out))
            raise
        else:
            unfinished(out).unlink(missing_ok=True)
    finally:
        part.unlink(missing_ok=True)


def _to_file(handle: int, suffix: str, stream: InputStream, separator: str | None) -> Iterator[PredictionWriter]:
    if suffix == ".parquet":
        with os.fdopen(handle, "wb") as binary:
            with _ParquetRows(binary, stream) as rows:
                yield rows
            binary.flush()
            os.fsync(binary.fileno())
        return
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as text:
        yield _text_writer(text, suffix, separator)
        text.flush()
        os.fsync(text.fileno())


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _refused(out: Path, error: OSError) -> OutputError:
    if not out.parent.is_dir():
        return OutputError(f"{out} cannot be written: the folder {out.parent} does not exist. Create it first.")
    return OutputError(f"{out} cannot be written: {error.strerror or error}. Nothing was left there.")


def _text_writer(file: TextIO, suffix: str, separator: str | None) -> PredictionWriter:
    if suffix in {".jsonl", ".ndjson"}:
        return _JsonRows(file)
    return _CsvRows(file, "\t" if suffix == ".tsv" else ",", separator)


def _named(answers: Mapping[str, Sequence[Any]], columns: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the answers under names that the input does not have."""
    named: dict[str, Sequence[Any]] = {}
    for name, values in answers.items():
        free, number = name, 2
        while free in columns or free in named:
            free, number = f"{name}_{number}", number + 1
        named[free] = values
    return named


def _plain(value: Any) -> Any:
    """Return a number with six decimals, or six digits where it is so small that these would be lost; others as is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_DIGITS}g}") if abs(value) < _SMALL else round(value, _DIGITS)


def _written(value: Any) -> Any:
    """Return a cell of csv that no spreadsheet takes for a formula."""
    return as_text(value) if isinstance(value, str) else value


def _in_a_cell(value: Any) -> Any:
    """Return what a table without lists has in a cell: a list of several answers as JSON, others as they are."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else _plain(value)


def _values(column: Any) -> list[Any]:
    """Return the values of an Arrow array or a list."""
    return column if isinstance(column, list) else list(column.to_pylist())


class _CsvRows:
    """Comma- or tab-separated rows; what holds a delimiter, a quote or a line break is quoted."""

    def __init__(self, file: TextIO, delimiter: str, separator: str | None) -> None:
        self._writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        self._separator = separator
        self._names: tuple[str, ...] | None = None

    def write(self, batch: InputBatch, answers: Mapping[str, Sequence[Any]]) -> None:
        from nshot.data.tables import cell

        if self._names is None:
            self._names = tuple(batch.columns)
            self._writer.writerow([as_text(name) for name in (*self._names, *_named(answers, self._names))])
        # Keys that jsonl rows have only later find no place in a header that is already written.
        columns = [[_written(cell(value)) for value in _values(batch.columns[name])] for name in self._names]
        given = [[_written(self._cell(value)) for value in values] for values in answers.values()]
        self._writer.writerows(zip(*columns, *given, strict=True))

    def _cell(self, value: Any) -> Any:
        return joined(value, self._separator) if isinstance(value, tuple) else _in_a_cell(value)


class _JsonRows:
    """A JSON object per row; values keep their types."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, batch: InputBatch, answers: Mapping[str, Sequence[Any]]) -> None:
        columns = {name: _values(column) for name, column in batch.columns.items()}
        columns.update(
            {name: [_plain(value) for value in values] for name, values in _named(answers, tuple(columns)).items()}
        )
        lines = io.StringIO()
        for row in zip(*columns.values(), strict=True):
            record = dict(zip(columns, row, strict=True))
            lines.write(json.dumps(record, ensure_ascii=False, default=str))
            lines.write("\n")
        self._file.write(lines.getvalue())


class _ParquetRows:
    """A parquet file; columns keep the Arrow types of the input, others are strings."""

    def __init__(self, file: IO[bytes], stream: InputStream) -> None:
        self._file = file
        self._stream = stream
        self._writer: Any = None

    def __enter__(self) -> _ParquetRows:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: InputBatch, answers: Mapping[str, Sequence[Any]]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        from nshot.data.tables import as_strings

        types = self._stream.types
        columns = {
            name: batch.columns[name] if name in types else as_strings(batch.columns[name])
            for name in self._stream.columns
        }
        named = _named(answers, tuple(columns))
        columns.update({name: pa.array([_in_a_cell(value) for value in values]) for name, values in named.items()})
        table = pa.table(columns)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))
