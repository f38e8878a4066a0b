"""Any table a person has, as batches of columns: csv, tsv, jsonl, json, parquet, a folder per class, pandas, lists.

Everything is read as a stream, so that a prediction over a large file needs a batch of memory, and every cell becomes
a string or a null, so that the label 1 of one file is the label "1" of another.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import numbers
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeAlias, cast

import pyarrow as pa

from nshot.core import DataError, closest, listed, shortened
from nshot.data import arrays, conll, images
from nshot.data import encoding as encodings
from nshot.data.formulas import as_meant, as_they_were
from nshot.data.options import ReadOptions
from nshot.data.recognition import is_number, is_usual_name

if TYPE_CHECKING:
    import pandas as pd

Column: TypeAlias = "pa.Array | list[Any]"
Batch: TypeAlias = Mapping[str, Column]
Source: TypeAlias = (
    "str | Path | pd.DataFrame | pa.Table | tuple[Sequence[Any], Sequence[Any]] | Sequence[Mapping[str, Any]]"
)

DELIMITERS = ",\t;|"
STDIN = "-"
_SAMPLE_CHARACTERS = 100_000  # below the longest cell that Python's csv module takes
_FEWEST_LINES = 3
_LONGEST_START = 32 << 20
_CSV_BLOCK = 8 << 20
_LARGEST_CSV_BLOCK = 1 << 30
_TEXT_SUFFIXES = (".txt", ".md", ".text")
_PIECE_CHARACTERS = 2000
_KNOWN_SUFFIXES = (
    ".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".npz", ".conll", ".bio", ".iob",
)  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A table that can be read batch by batch.

    Attributes:
        name: What messages call it.
        format: ``csv``, ``tsv``, ``conll``, ``jsonl``, ``json``, ``parquet``, ``npz``, ``folder``, ``zip``, ``png`` and
            the like, ``lines``, ``text`` (no table: pieces of a running text) or ``memory``.
        columns: Column names, as far as they are known before reading (jsonl: those of the first row;
            none for jsonl from standard input).
        batches: ``batches(rows)`` starts from the beginning and yields columns of about that many rows.
        encoding: Name of the encoding, for text formats.
        delimiter: Character between columns, for csv and tsv.
        types: Arrow types of columns that are not strings (parquet).
        images: The examples, where they are images; the columns then say which file each is, and its label.
        broken_images: Files that are called images and are none.
        note: What was taken of the file, where that is not all of it.
    """

    name: str
    format: str
    columns: tuple[str, ...]
    batches: Callable[[int], Iterator[Batch]]
    encoding: str | None = None
    delimiter: str | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    images: Sequence[Any] | None = None
    broken_images: tuple[str, ...] = ()
    note: str = ""


def open_table(
    source: Source, options: ReadOptions, *, expected: Sequence[str] | None = None, is_test: bool = False
) -> Opened:
    """Return `source` ready to be read.

    Args:
        source: A path, ``-`` for standard input, a DataFrame, an Arrow table, (texts, labels), or a list of mappings.
        options: Encoding and delimiter, where a person named them.
        expected: For predicting, where a file without columns is a text per line: how the text columns may be called.
            None: labels are needed too, so a table is.
        is_test: Of an archive with arrays for training and for a test, take those of the test.

    Raises:
        DataError: It is not there, or is no table.
    """
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return _open_arrow(_from_pandas(cast("pd.DataFrame", source)), "the DataFrame")
    if isinstance(source, pa.Table):
        return _open_arrow(source, "the table")
    if isinstance(source, (str, Path)):
        if str(source) == STDIN:
            return _open_stdin(options, expected or ())
        return _open_path(Path(source).expanduser(), options, expected, is_test=is_test)
    if isinstance(source, tuple) and len(source) == 2 and not isinstance(source[0], (str, Mapping)):
        texts, labels = cast("tuple[Sequence[Any], Sequence[Any]]", source)
        return _open_pair(texts, labels)
    if isinstance(source, Sequence) and source and all(isinstance(row, Mapping) for row in source):
        rows = cast("Sequence[Mapping[str, Any]]", source)
        return _open_rows(list(rows), "the list", "memory")
    raise DataError(
        "Expected a file name, a DataFrame, a pair (texts, labels) or a list of dicts. "
        f"Found: {type(source).__name__}{' without entries' if isinstance(source, Sequence) and not source else ''}."
    )


# --- cells ------------------------------------------------------------------------------------------------------------


def cell(value: Any) -> str | None:
    """Return one value as the string that stands for it in every format, or None where it is missing."""
    if value is None or (isinstance(value, numbers.Real) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        written = "true" if value else "false"
    elif isinstance(value, numbers.Integral):
        written = str(int(value))
    elif isinstance(value, numbers.Real):
        number = float(value)
        written = str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    elif isinstance(value, (dict, list)):
        written = json.dumps(value, ensure_ascii=False, default=str)
    else:
        written = str(value)
    # A lone surrogate (from broken JSON escapes) cannot be stored as UTF-8.
    return written.encode("utf-8", "replace").decode("utf-8")


def is_nested(column: Column) -> bool:
    """Return whether a column holds lists or objects."""
    if isinstance(column, list):
        return any(isinstance(value, (list, dict)) for value in column)
    return bool(pa.types.is_nested(column.type))


def as_strings(column: Column) -> pa.Array:
    """Return a column as Arrow strings; missing values are null."""
    if isinstance(column, list):
        try:
            return pa.array(column, pa.string())
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
            return pa.array([cell(value) for value in column], pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_nested(kind):
        return pa.array([cell(value) for value in column.to_pylist()], pa.string())
    return column.cast(pa.string())


# --- files ------------------------------------------------------------------------------------------------------------


def _open_path(path: Path, options: ReadOptions, expected: Sequence[str] | None, *, is_test: bool) -> Opened:
    wanted = "a table with a row per example"
    with _access(path):
        if path.is_dir():
            found = images.in_folder(path)
            return _open_folder(path, options) if found is None else _open_images(found, path.name, "folder")
    head = _first_bytes(path, wanted)
    binary = _open_binary(path, head, is_test=is_test)
    if binary is not None:
        return binary
    text = _text_file(path, head, options, wanted)
    is_other = options.task in {"classify", "tag", "regress", "generate"}
    if not is_other and not options.delimiter and conll.is_conll(text.start):
        return _open_conll(text)
    return _open_text(text, Path(path.name.lower().removesuffix(".gz")).suffix, options, expected)


def _open_text(text: _TextFile, suffix: str, options: ReadOptions, expected: Sequence[str] | None) -> Opened:
    if suffix in {".jsonl", ".ndjson"} or (suffix not in {".json", ".csv", ".tsv"} and text.start.lstrip()[:1] == "{"):
        return _open_jsonl(text)
    if suffix == ".json":
        return _open_json(text)
    if expected is None and suffix in _TEXT_SUFFIXES and not _is_table(text, options, suffix):
        return _open_running_text(text)
    return _open_csv(text, options, suffix, expected)


def _open_binary(path: Path, head: bytes, *, is_test: bool) -> Opened | None:
    """Return a file that is no text, or None."""
    suffix = path.suffix.lower()
    if head.startswith(b"PAR1"):
        return _open_parquet(path)
    if suffix in {".parquet", ".pq"}:
        raise DataError(f"{path.name} is not a parquet file: it does not begin with PAR1.")
    if suffix == ".npz":
        return _open_arrays(arrays.load(path, is_test=is_test), path.name)
    found = images.one_file(path) if suffix in images.SUFFIXES else None
    if suffix == ".zip":
        found = images.in_archive(path)
        if found is None:
            raise DataError(f"{path.name} is a zip archive without images. Unpack it, and name the file in it.")
    return _open_images(found, path.name, suffix[1:]) if found else None


def open_lines(path: Path, options: ReadOptions) -> Opened:
    """Return a text file as one text per line, whatever its lines look like; a blank line is an empty text.

    Args:
        path: The file, possibly gzipped.
        options: Its encoding, where a person named it.

    Raises:
        DataError: It is not there, or no text.
    """
    wanted = "a text per line"
    return _open_lines(_text_file(path, _first_bytes(path, wanted), options, wanted))


@contextmanager
def _access(path: Path) -> Iterator[None]:
    """Turn what the system says while a file is looked at into a message."""
    try:
        yield
    except PermissionError:
        raise DataError(f"{path} may not be read: permission denied. Check with: ls -l {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def _first_bytes(path: Path, wanted: str) -> bytes:
    with _access(path):
        if not path.exists():
            raise _missing(path)
        with path.open("rb") as file:
            head = file.read(8)
    if not head:
        raise DataError(f"{path.name} is empty. Expected {wanted}.")
    return head


def _text_file(path: Path, head: bytes, options: ReadOptions, wanted: str) -> _TextFile:
    zipped = head.startswith(b"\x1f\x8b")

    def stream() -> BinaryIO:
        return cast(BinaryIO, gzip.open(path, "rb")) if zipped else path.open("rb")

    try:
        with stream() as opened:
            encoding = encodings.named(options.encoding) if options.encoding else encodings.detect(opened, path.name)
        with stream() as opened:
            start = encoding.decoded(_beginning(opened)).removeprefix("\ufeff")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path.name} is a damaged gzip file.") from None
    if not start.strip():
        raise DataError(f"{path.name} is empty. Expected {wanted}.")
    return _TextFile(path.name, stream, encoding, start)


def _beginning(opened: BinaryIO) -> bytes:
    """Return enough of a file for its form to be seen: the first characters, or three lines where these are longer."""
    start = opened.read(4 * _SAMPLE_CHARACTERS)
    while start.count(b"\n") < _FEWEST_LINES and len(start) < _LONGEST_START:
        more = opened.read(4 * _SAMPLE_CHARACTERS)
        if not more:
            break
        start += more
    return start


def _missing(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"There is no file {path}: the folder {folder} does not exist either.")
    names = sorted(entry.name for entry in folder.iterdir())
    hint = closest(path.name, names)
    if not hint:
        tables = [name for name in names if Path(name.removesuffix(".gz")).suffix.lower() in _KNOWN_SUFFIXES]
        hint = f" In that folder: {', '.join(tables[:6])}." if tables else ""
    return DataError(f"There is no file {path}.{hint}")


@dataclass(frozen=True)
class _TextFile:
    """A text file whose encoding is known.

    Attributes:
        name: File name.
        stream: Opens it at its beginning.
        encoding: How its bytes become text.
        start: Its first characters.
        can_reopen: Whether it can be opened more than once; standard input cannot.
    """

    name: str
    stream: Callable[[], BinaryIO]
    encoding: encodings.Encoding
    start: str
    can_reopen: bool = True

    def utf8(self) -> BinaryIO:
        """Open it as UTF-8 bytes."""
        raw = self.stream()
        if self.encoding.is_valid_utf8:
            return raw
        return cast(BinaryIO, encodings.Utf8Stream(raw, self.encoding, self.name))

    def lines(self) -> Iterator[str]:
        """Yield its lines without their ends."""
        with io.TextIOWrapper(self.stream(), self.encoding.name, self.encoding.errors, newline=None) as wrapped:
            try:
                for line in wrapped:
                    yield line.rstrip("\n")
            except UnicodeDecodeError as error:
                raise encodings.not_in(self.encoding, self.name, error.reason) from None


def _open_conll(text: _TextFile) -> Opened:
    with_documents = conll.has_documents(text.start)

    def batches(rows: int) -> Iterator[Batch]:
        return conll.sentences(text.lines(), text.name, with_documents=with_documents, rows=rows)

    return Opened(
        text.name,
        "conll",
        (conll.TEXT, conll.ENTITIES, *([conll.DOCUMENT] if with_documents else [])),
        batches,
        encoding=text.encoding.name,
        note="tokens joined by one space",
    )


# --- csv --------------------------------------------------------------------------------------------------------------


def _records(sample: str, delimiter: str, *, quoted: bool = True) -> list[list[str]]:
    """Return the first records of a csv text; the last, possibly cut off, is left out if there are others."""
    lines = io.StringIO(sample, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    try:
        records = [record for record in reader if record]
    except csv.Error:  # a cell beyond what Python's module takes: another delimiter
        return []
    cut = len(sample) >= _SAMPLE_CHARACTERS
    return records[:-1] if cut and len(records) > 1 else records


def _sample(start: str) -> str:
    """Return the first characters, or the first lines where a header alone is longer."""
    if start.find("\n") < _SAMPLE_CHARACTERS:
        return start[:_SAMPLE_CHARACTERS]
    lines = start.split("\n", _FEWEST_LINES)[:_FEWEST_LINES]
    return "\n".join(lines)


def _sniff(start: str, options: ReadOptions, suffix: str) -> tuple[str | None, list[list[str]]]:
    """Return the delimiter, or None for a single column, and the records read with it."""
    sample = _sample(start)
    if options.delimiter:
        named = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
        if len(named) != 1:
            raise DataError(f"The delimiter must be one character or tab. Got {options.delimiter!r} instead.")
        return named, _records(sample, named) or [[shortened(sample, _SAMPLE_CHARACTERS)]]
    best: tuple[float, int] | None = None
    found: tuple[str | None, list[list[str]]] = (None, _records(start[:_SAMPLE_CHARACTERS], "\x1f"))
    for delimiter in DELIMITERS:
        records = _records(sample, delimiter)
        width = len(records[0]) if records else 0
        if width < 2:
            continue
        agreeing = sum(len(record) == width for record in records) / len(records)
        preferred = delimiter == ("\t" if suffix in {".tsv", ".tab"} else ",")
        # Words and commas inside texts make rows of odd lengths; the real delimiter gives all rows the header's.
        score = (round(agreeing, 2) + 0.02 * preferred, width)
        if agreeing >= 0.5 and (best is None or score > best):
            best, found = score, (delimiter, records)
    return found


def _is_table(text: _TextFile, options: ReadOptions, suffix: str) -> bool:
    """Whether a file called a text is a table: somebody says so, or its first line has names or its lines agree."""
    if options.delimiter or options.text or options.label or options.columns or options.task not in {None, "generate"}:
        return True
    delimiter, records = _sniff(text.start, options, suffix)
    if delimiter is None:
        return False
    if _names_columns(records[0], ()):
        return True
    agree = len(records) > 1 and len({len(record) for record in records}) == 1
    return agree and (delimiter != "," or _has_numbers(records))


def _header(names: Sequence[str], name: str) -> tuple[str, ...]:
    columns = tuple(cell.strip() or f"column_{i + 1}" for i, cell in enumerate(names))
    twice = sorted(column for column, count in Counter(columns).items() if count > 1)
    if twice:
        raise DataError(
            f"{name} has several columns called {', '.join(repr(column) for column in twice)}. "
            f"Found: {', '.join(columns)}. Give every column a name of its own."
        )
    return columns


def _has_numbers(records: list[list[str]]) -> bool:
    """Whether a column holds nothing but numbers below the first record: no running text does."""
    return any(all(is_number(value) for value in column) for column in zip(*records[1:], strict=True))


def _is_headless(records: list[list[str]]) -> bool:
    """Whether the first record is a row: it has a number at the head of a column of numbers.

    Years and numbers that count the columns are names, as pandas and pivot tables write them.
    """
    first = records[0]
    rest = [record for record in records[1:] if len(record) == len(first)]
    if not rest or _names_columns(first, ()):
        return False
    heads = [
        value
        for i, value in enumerate(first)
        if is_number(value) and all(is_number(record[i]) for record in rest if record[i].strip())
    ]
    if not heads:
        return False
    whole = [int(value) for value in heads if value.strip().isdigit()]
    if len(whole) < len(heads) or len(set(whole)) < len(whole):
        return True
    counts_columns = whole in (list(range(len(whole))), list(range(1, len(whole) + 1)))
    return not counts_columns and not all(1900 <= value <= 2100 for value in whole)


def _open_csv(text: _TextFile, options: ReadOptions, suffix: str, expected: Sequence[str] | None) -> Opened:
    delimiter, records = _sniff(text.start, options, suffix)
    table = delimiter is not None and suffix in {".csv", ".tsv", ".tab"}
    headless = _is_headless(records)
    names = _header([""] * len(records[0]), text.name) if headless else records[0]
    if expected is not None and not table and not _names_columns(names, expected):
        return _open_lines(text)
    columns = _header([as_meant(name) for name in names], text.name)
    if not headless and len(records) > 1 and _is_data(records):
        raise DataError(
            f"The first row of {text.name} looks like data, not like column names: "
            f"{', '.join(repr(shortened(column, 40)) for column in columns)}. Add a header line such as text,label."
        )
    separator = delimiter or "\x1f"
    # A cell that opens a quote and never closes it swallows rows; such files are written without quoting.
    quoted = not _is_unquoted(_sample(text.start), separator, len(columns))

    def batches(rows: int) -> Iterator[Batch]:
        return _csv_batches(text, columns, separator, quoted, rows, header_rows=0 if headless else 1)

    kind = "tsv" if delimiter == "\t" else "csv"
    return Opened(text.name, kind, columns, batches, text.encoding.name, delimiter)


def _names_columns(record: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether a record holds a name that text or label columns have, as opposed to texts."""
    return any(value.strip() in expected or is_usual_name(value) for value in record)


def _is_data(records: list[list[str]]) -> bool:
    """Whether the first record has a cell that no header has, or one that comes back as a value of its column."""
    first = records[0]
    if _names_columns(first, ()):
        return False
    if any(len(value) > 60 and value.count(" ") > 5 for value in first):
        return True
    rest = [record for record in records[1:] if len(record) == len(first)]
    return any(
        value.strip() and sum(record[i] == value for record in rest) >= max(2, len(rest) // 100)
        for i, value in enumerate(first)
    )


def _is_unquoted(sample: str, delimiter: str, width: int) -> bool:
    if '"' not in sample:
        return False
    with_quotes, without = _records(sample, delimiter), _records(sample, delimiter, quoted=False)
    ragged = sum(len(record) != width for record in with_quotes)
    swallowed = any(value.count("\n") > 20 for record in with_quotes for value in record)
    return (ragged > 0 or swallowed) and all(len(record) == width for record in without)


def _csv_batches(
    text: _TextFile, columns: tuple[str, ...], delimiter: str, quoted: bool, rows: int, *, header_rows: int
) -> Iterator[Batch]:
    from pyarrow import csv as arrow_csv

    names = [str(i) for i in range(len(columns))]
    given = 0  # rows already handed out, left out again after starting over with larger blocks
    block = _CSV_BLOCK
    while True:
        seen = 0
        try:
            with text.utf8() as stream, pa.PythonFile(stream, mode="r") as file:
                reader = arrow_csv.open_csv(
                    file,
                    read_options=arrow_csv.ReadOptions(
                        column_names=names, skip_rows_after_names=header_rows, block_size=block, use_threads=False
                    ),
                    parse_options=arrow_csv.ParseOptions(
                        delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
                    ),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                    ),
                )
                for large in reader:
                    skip = min(max(0, given - seen), large.num_rows)
                    seen += large.num_rows
                    for start in range(skip, large.num_rows, rows):
                        batch = large.slice(start, rows)
                        given += batch.num_rows
                        yield dict(zip(columns, map(as_they_were, batch.columns), strict=True))
            return
        except pa.ArrowInvalid as error:
            if "straddling object" in str(error) and text.can_reopen and block < _LARGEST_CSV_BLOCK:
                block *= 8
                continue
            _refuse_csv(text, columns, delimiter, quoted, error)


def _refuse_csv(
    text: _TextFile, columns: tuple[str, ...], delimiter: str, quoted: bool, error: pa.ArrowInvalid
) -> NoReturn:
    """Raise the reason why a csv file cannot be read, with the line where it can be found out."""
    shown = {"\t": "tab"}.get(delimiter, delimiter)
    ragged = _first_ragged(text, len(columns), delimiter, quoted) if text.can_reopen else None
    if ragged:
        line, cells = ragged
        raise DataError(
            f"Line {line:,} of {text.name} has {cells} {'cell' if cells == 1 else 'cells'}; the header has "
            f"{len(columns)} ({listed(columns)}). A text that contains the delimiter '{shown}' needs double quotes "
            "around it; another delimiter is named by --delimiter."
        ) from None
    reason = str(error).removeprefix("CSV parse error: ").split("\n")[0]
    raise DataError(f"{text.name} cannot be read as csv with delimiter '{shown}': {shortened(reason, 200)}") from None


def _first_ragged(text: _TextFile, width: int, delimiter: str, quoted: bool) -> tuple[int, int] | None:
    """Return the line of the first record with another number of cells than `width`, and that number."""
    line = 1
    with io.TextIOWrapper(text.utf8(), "utf-8-sig", newline="") as decoded:
        reader = csv.reader(decoded, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        try:
            for record in reader:
                if record and len(record) != width:
                    return line, len(record)
                line = reader.line_num + 1
        except csv.Error:
            return None  # a cell beyond what Python's module takes: Arrow's own words have to do
    return None


def _open_running_text(text: _TextFile) -> Opened:
    """Return a text without labels, such as a book: a row per piece of whole paragraphs."""

    def batches(rows: int) -> Iterator[Batch]:
        return _line_batches(_pieces(text.lines()), rows)

    return Opened(text.name, "text", ("text",), batches, text.encoding.name)


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    """Yield paragraphs (lines up to a blank one), several together up to a length; a longer one stays whole."""
    piece: list[str] = []
    paragraph: list[str] = []
    size = 0
    for line in chain(lines, ("",)):
        if line.strip():
            paragraph.append(line.rstrip())
            continue
        if not paragraph:
            continue
        whole = "\n".join(paragraph)
        if piece and size + len(whole) > _PIECE_CHARACTERS:
            yield "\n\n".join(piece)
            piece, size = [], 0
        piece.append(whole)
        size += len(whole)
        paragraph = []
    if piece:
        yield "\n\n".join(piece)


def _open_lines(text: _TextFile) -> Opened:
    def batches(rows: int) -> Iterator[Batch]:
        return _line_batches(text.lines(), rows)

    return Opened(text.name, "lines", ("text",), batches, text.encoding.name)


def _line_batches(lines: Iterator[str], rows: int) -> Iterator[Batch]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) >= rows:
            yield {"text": held}
            held = []
    if held:
        yield {"text": held}


# --- json -------------------------------------------------------------------------------------------------------------


def _open_jsonl(text: _TextFile) -> Opened:
    def batches(rows: int) -> Iterator[Batch]:
        return _row_batches(_json_lines(text.name, text.lines()), rows)

    columns: tuple[str, ...] = ()
    if text.can_reopen:
        columns = tuple(str(key) for key in next(_json_lines(text.name, text.lines()), {}))
    return Opened(text.name, "jsonl", columns, batches, text.encoding.name)


def _json_lines(name: str, lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, start=1):
        stripped = line.removeprefix("\ufeff").strip()
        if not stripped:
            continue
        try:
            row = json.loads(stripped)
        except (ValueError, RecursionError) as error:
            reason = str(error).split(":")[0] if isinstance(error, json.JSONDecodeError) else "too deeply nested"
            raise DataError(
                f"Line {number} of {name} is not valid JSON ({reason}): {shortened(stripped, 40)!r}. "
                'Expected one object per line, such as {"text": "...", "label": "..."}.'
            ) from None
        if not isinstance(row, dict):
            raise DataError(
                f"Line {number} of {name} is not a JSON object: {shortened(stripped, 40)!r}. "
                'Expected one object per line, such as {"text": "...", "label": "..."}.'
            )
        yield row


def _row_batches(rows: Iterator[Mapping[str, Any]], size: int) -> Iterator[Batch]:
    """Yield columns of `size` rows; a column is there from the first batch that has its key."""
    names: dict[str, None] = {}
    held: list[Mapping[str, Any]] = []

    def columns() -> Batch:
        return {name: [row.get(name) for row in held] for name in names}

    for row in rows:
        names.update(dict.fromkeys(map(str, row)))
        held.append(row)
        if len(held) >= size:
            yield columns()
            held = []
    if held:
        yield columns()


def _open_json(text: _TextFile) -> Opened:
    with text.stream() as raw:
        data = raw.read()
    try:
        content = data.decode(text.encoding.name, text.encoding.errors).removeprefix("\ufeff")
        value = json.loads(content)
    except UnicodeDecodeError as error:
        raise encodings.not_in(text.encoding, text.name, error.reason) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            if content.lstrip().startswith("{") and "Extra data" in error.msg:
                return _open_jsonl(text)
            reason = f"{error.msg}, line {error.lineno}, column {error.colno}"
        else:
            reason = "too deeply nested"
        raise DataError(f"{text.name} is not valid JSON: {reason}.") from None
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _open_rows(value, text.name, "json", text.encoding.name)
    if isinstance(value, dict) and value:
        rows = [column for column in value.values() if isinstance(column, list)]
        if len(rows) == 1 and rows[0] and all(isinstance(row, dict) for row in rows[0]):
            return _open_rows(rows[0], text.name, "json", text.encoding.name)
        columns = {key: _json_column(column) for key, column in value.items()}
        lengths = {len(column) for column in columns.values() if column is not None}
        if len(lengths) == 1 and all(column is not None for column in columns.values()):
            complete = {key: column or [] for key, column in columns.items()}
            return replace(_open_held(complete, text.name, "json"), encoding=text.encoding.name)
        if len(value) > 0 and not any(isinstance(column, (list, dict)) for column in value.values()):
            return _open_rows([value], text.name, "json", text.encoding.name)
    raise DataError(
        f"{text.name} is not a table. Expected a list of objects, such as "
        '[{"text": "...", "label": "..."}], or an object of columns of equal length.'
    )


def _json_column(column: Any) -> list[Any] | None:
    if isinstance(column, list):
        return column
    # pandas writes {"column": {"0": ..., "1": ...}}.
    return list(column.values()) if isinstance(column, dict) else None


def _open_rows(rows: list[Mapping[str, Any]], name: str, kind: str, encoding: str | None = None) -> Opened:
    columns = tuple(dict.fromkeys(str(key) for row in rows for key in row))

    def batches(size: int) -> Iterator[Batch]:
        for start in range(0, len(rows), size):
            yield {column: [row.get(column) for row in rows[start : start + size]] for column in columns}

    return Opened(name, kind, columns, batches, encoding)


# --- parquet and memory -----------------------------------------------------------------------------------------------


def _open_parquet(path: Path) -> Opened:
    from pyarrow import parquet

    def opened() -> parquet.ParquetFile:
        try:
            return parquet.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path.name} is not a readable parquet file: {shortened(str(error), 200)}") from None

    with opened() as file:
        schema = file.schema_arrow

    def batches(rows: int) -> Iterator[Batch]:
        with opened() as file:
            try:
                for batch in file.iter_batches(batch_size=rows):
                    yield dict(zip(batch.schema.names, batch.columns, strict=True))
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(f"{path.name} is damaged: {shortened(str(error), 200)}") from None

    types = dict(zip(schema.names, schema.types, strict=True))
    return Opened(path.name, "parquet", _header(schema.names, path.name), batches, types=types)


def _open_arrays(held: arrays.Arrays, name: str) -> Opened:
    """Return rows of numbers as the columns x1, x2 ..., or images, and the labels as y."""
    columns: dict[str, Column] = {}
    if not held.are_images:
        columns = {column: pa.array(values) for column, values in arrays.columns_of(held)}
    labels = held.label_cells()
    if labels is not None:
        columns["y"] = pa.array([cell(label) for label in labels], pa.string())
    pictures = list(held.examples) if held.are_images else None
    if not columns:
        columns["image"] = pa.array([str(i + 1) for i in range(len(held.examples))])
    return replace(_open_held(columns, name, "npz"), images=pictures, note=held.described())


def _open_images(found: images.FoundImages, name: str, kind: str) -> Opened:
    """Return images with the columns file and label."""
    columns: dict[str, Column] = {"file": pa.array(found.images.names, pa.string())}
    if found.labels is not None:
        columns["label"] = pa.array(found.labels, pa.string())
    return replace(_open_held(columns, name, kind), images=found.images, broken_images=found.broken)


def _open_held(columns: Mapping[str, Column], name: str, kind: str) -> Opened:
    n = len(next(iter(columns.values())))

    def batches(rows: int) -> Iterator[Batch]:
        for start in range(0, n, rows):
            yield {column: values[start : start + rows] for column, values in columns.items()}

    return Opened(name, kind, tuple(columns), batches)


def _open_arrow(table: pa.Table, name: str) -> Opened:
    def batches(rows: int) -> Iterator[Batch]:
        for batch in table.to_batches(max_chunksize=rows):
            yield dict(zip(batch.schema.names, batch.columns, strict=True))

    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    return Opened(name, "memory", _header(table.schema.names, name), batches, types=types)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    columns = []
    for i in range(frame.shape[1]):
        series = frame.iloc[:, i]
        try:
            columns.append(pa.Array.from_pandas(series))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError):
            missing = series.isna().tolist()
            values = [None if gone else cell(value) for value, gone in zip(series.tolist(), missing, strict=True)]
            columns.append(pa.array(values, pa.string()))
    return pa.table([_flat(column) for column in columns], names=[str(name) for name in frame.columns])


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _open_pair(texts: Sequence[Any], labels: Sequence[Any]) -> Opened:
    if isinstance(labels, str) or len(texts) != len(labels):
        found = "one text" if isinstance(labels, str) else f"{len(labels)} labels"
        raise DataError(f"Expected as many labels as texts. Found: {len(texts)} texts and {found}.")
    if not len(texts):
        raise DataError("Expected texts and labels. Found: empty lists.")
    return _open_held({"text": list(texts), "label": list(labels)}, "the lists", "memory")


# --- a folder per class -----------------------------------------------------------------------------------------------


def _open_folder(folder: Path, options: ReadOptions) -> Opened:
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    expected = (
        "Expected images, or one folder per label with a text file per example (LABEL/*.txt); or name a file: a table."
    )
    if not classes:
        files = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in _KNOWN_SUFFIXES)
        found = f" Found the files: {', '.join(files[:6])}." if files else " Found no folders."
        raise DataError(f"{folder} is a folder. {expected}{found}")
    paths = [
        (path, entry.name)
        for entry in classes
        for path in sorted(entry.iterdir())
        if path.suffix.lower() in _TEXT_SUFFIXES and path.is_file()
    ]
    if not paths:
        below = sorted(path.name for path in classes[0].iterdir() if path.is_dir())
        inside = f" Perhaps you mean {classes[0]}." if below else ""
        raise DataError(f"The folders in {folder} hold no text files. {expected}{inside}")

    def batches(rows: int) -> Iterator[Batch]:
        for start in range(0, len(paths), rows):
            part = paths[start : start + rows]
            yield {
                "text": [_whole_text(path, options) for path, _ in part],
                "label": [label for _, label in part],
                "file": [f"{label}/{path.name}" for path, label in part],
            }

    return Opened(folder.name, "folder", ("text", "label", "file"), batches)


def _whole_text(path: Path, options: ReadOptions) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    named = encodings.named(options.encoding) if options.encoding else encodings.detect(io.BytesIO(data), path.name)
    try:
        return data.decode(named.name, named.errors).strip()
    except UnicodeDecodeError as error:
        raise encodings.not_in(named, str(path), error.reason) from None


# --- standard input ---------------------------------------------------------------------------------------------------


class _Again(io.RawIOBase):
    """A stream whose first bytes were already looked at."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            data, self._head = self._head + self._rest.read(), b""
            return data
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._rest.read1(size)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _open_stdin(options: ReadOptions, expected: Sequence[str]) -> Opened:
    """Return standard input: jsonl if its first line is an object, csv if that names columns, else a text per line."""
    raw = cast(io.BufferedReader, sys.stdin.buffer)
    head = raw.readline(encodings.HEAD_BYTES)
    name = "standard input"
    if not head:
        raise DataError("Standard input is empty. Expected a text per line, or csv or jsonl.")
    encoding = encodings.named(options.encoding) if options.encoding else encodings.by_head(head, name)
    # What comes later cannot be looked at without holding it back; broken bytes are replaced.
    encoding = encoding or encodings.Encoding("utf-8", "replace")
    first = encoding.decoded(head).removeprefix("\ufeff")
    text = _TextFile(
        name, lambda: cast(BinaryIO, io.BufferedReader(_Again(head, raw))), encoding, first, can_reopen=False
    )
    if first.lstrip().startswith("{"):
        return _open_jsonl(text)
    return _open_csv(text, options, "", expected)
