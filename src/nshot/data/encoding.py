"""Which encoding a file has, found by reading it once as a stream, and a stream of the same text in UTF-8."""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass
from typing import BinaryIO

from nshot.core import DataError

HEAD_BYTES = 1 << 16
_BLOCK = 1 << 20
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "Save the sheet as csv, or unpack the archive."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save the sheet as csv."),
    (b"%PDF", "a PDF", "Extract its text first."),
    (b"\x89PNG", "a picture", "Give a table of texts."),
    (b"\xff\xd8\xff", "a picture", "Give a table of texts."),
    (b"SQLite format 3", "an SQLite database", "Export the table as csv."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it first."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first."),
)
# Bytes that cp1252 does not define; a file that has them is latin-1 or something that only its owner knows.
_UNDEFINED_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"
_TEXT_CONTROLS = b"\t\n\r\x0b\x0c\x1b"
_BEYOND_ASCII = bytes(range(128, 256))
_CONTROLS = bytes(code for code in range(32) if code not in _TEXT_CONTROLS and code != 0)


@dataclass(frozen=True)
class Encoding:
    """How bytes become text.

    Attributes:
        name: Python's name of the codec.
        errors: ``strict``, or ``replace`` for a UTF-8 file with a few broken bytes.
        is_valid_utf8: Whether all bytes were read and are UTF-8, so that they can be taken as they are.
    """

    name: str
    errors: str = "strict"
    is_valid_utf8: bool = False

    def decoded(self, data: bytes) -> str:
        """Return `data` as text; a character cut off at the end is left out."""
        return codecs.getincrementaldecoder(self.name)("replace" if self.errors == "replace" else "ignore").decode(data)


def named(encoding: str) -> Encoding:
    """Return the encoding a person named.

    Raises:
        DataError: There is none of that name.
    """
    try:
        found = codecs.lookup(encoding).name
        "".encode(found)
    except (LookupError, ValueError):
        raise DataError(
            f"There is no encoding '{encoding}'. Common ones: utf-8, utf-16, cp1252, latin-1, shift_jis, gb18030."
        ) from None
    return Encoding("utf-8-sig" if found == "utf-8" else found)


def by_head(head: bytes, name: str) -> Encoding | None:
    """Return the encoding that the first bytes prove, or None where the rest has to be read.

    Raises:
        DataError: The file is no text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return Encoding(encoding)
    for magic, what, advice in _MAGIC:
        if head.startswith(magic):
            raise DataError(f"{name} is {what}, not a text table. {advice}")
    if b"\x00" in head:
        # Latin letters in UTF-16 are every other byte zero; zeros anywhere else are no text.
        half = max(1, len(head) // 2)
        even, odd = head[0::2].count(0) / half, head[1::2].count(0) / half
        if odd > 0.3 and even < 0.05:
            return Encoding("utf-16-le")
        if even > 0.3 and odd < 0.05:
            return Encoding("utf-16-be")
        raise _binary(name)
    if len(head) - len(head.translate(None, _CONTROLS)) > 0.05 * len(head):
        raise _binary(name)
    return None


def detect(stream: BinaryIO, name: str) -> Encoding:
    """Return the encoding of a whole file; reads the stream once, a block at a time.

    Raises:
        DataError: The file is no text.
    """
    head = stream.read(HEAD_BYTES)
    proven = by_head(head, name)
    if proven is not None and proven.name != "utf-8-sig":
        return proven
    strict, forgiving = (codecs.getincrementaldecoder("utf-8")(errors) for errors in ("strict", "replace"))
    valid, undefined = True, False
    broken = intact = 0
    block = head
    while True:
        if b"\x00" in block:
            raise _binary(name)
        if valid:
            try:
                strict.decode(block, final=not block)
            except UnicodeDecodeError:
                valid = False
        text = forgiving.decode(block, final=not block)
        bad = text.count("\ufffd")
        broken += bad
        intact += len(text) - len(block.translate(None, _BEYOND_ASCII)) - bad
        undefined = undefined or any(byte in block for byte in _UNDEFINED_IN_CP1252)
        if not block:
            break
        block = stream.read(_BLOCK)
    if valid:
        return Encoding(proven.name if proven else "utf-8", is_valid_utf8=True)
    # Every intact character beyond ASCII is two bytes or more that fit together, which other encodings hardly produce.
    if intact > 10 * broken:
        return Encoding("utf-8", "replace")
    return Encoding("latin-1" if undefined else "cp1252")


def _binary(name: str) -> DataError:
    return DataError(
        f"{name} is a binary file, not a text table. Expected csv, tsv, jsonl, json or parquet; "
        "a text in a rare encoding is named by --encoding."
    )


def not_in(encoding: Encoding, name: str, reason: str) -> DataError:
    """Return what is said of a file that is not in the encoding that was named or proven."""
    return DataError(
        f"{name} is not {encoding.name.removesuffix('-sig')}: {reason}. Name its encoding: --encoding cp1252."
    )


class Utf8Stream(io.RawIOBase):
    """The text of `source` as UTF-8 bytes, converted while it is read."""

    def __init__(self, source: BinaryIO, encoding: Encoding, name: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
        self._encoding = encoding
        self._name = name
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; everything left for a negative size."""
        parts = [self._rest]
        have = len(self._rest)
        while not self._ended and (size < 0 or have < size):
            data = self._source.read(_BLOCK)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeDecodeError as error:
                raise not_in(self._encoding, self._name, error.reason) from None
            converted = text.encode("utf-8", "replace")
            parts.append(converted)
            have += len(converted)
        joined = b"".join(parts)
        if size < 0:
            size = len(joined)
        self._rest = joined[size:]
        return joined[:size]

    def close(self) -> None:
        """Close the source too."""
        self._source.close()
        super().close()
