"""How numbers and dates are written in a column, and what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", ".", "missing", "unknown")
"""What stands in columns of numbers and dates where there is none, in lower case."""

_PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DECIMAL_COMMA = r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+"
_THOUSANDS = r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?"
_INFINITE = r"[+-]?inf(inity)?"
_CODE = re.compile(r"0\d+")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?\s?(Z|[+-]\d{2}:?\d{2})?")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")


class Written(StrEnum):
    """How the cells of a column are written; `PLAIN` means as in ``-1.5e3``, ``2024-05-31`` or ``red``."""

    PLAIN = "plain"
    DECIMAL_COMMA = "decimal comma"
    THOUSANDS = "commas between thousands"
    DAY_FIRST = "day first"
    MONTH_FIRST = "month first"


def number_style(counts: Mapping[str, int]) -> tuple[Written, float] | None:
    """Return how the numbers among some cells are written and which share of those that are there are numbers.

    None where nothing but missing cells is there, or where the digits are codes, such as 00917.

    Args:
        counts: How often each cell occurs, without spaces around it.
    """
    there = {value: count for value, count in counts.items() if value.lower() not in MISSING}
    if not there or any(_CODE.fullmatch(value) for value in there):
        return None
    total = sum(there.values())

    def share(*patterns: str) -> float:
        either = re.compile("|".join(f"(?:{pattern})" for pattern in (*patterns, f"(?i:{_INFINITE})")))
        return sum(count for value, count in there.items() if either.fullmatch(value)) / total

    shares = {Written.PLAIN: share(_PLAIN)}
    if any("," in value for value in there):
        # 1,234 is a thousand unless another cell says that a comma comes before fractions.
        shares[Written.THOUSANDS] = share(_PLAIN, _THOUSANDS)
        shares[Written.DECIMAL_COMMA] = share(r"[+-]?\d+", r"[+-]?\d{1,3}(\.\d{3})+", _DECIMAL_COMMA)
    best = max(shares, key=lambda style: shares[style])
    return best, shares[best]


def as_numbers(column: pa.ChunkedArray, style: Written) -> tuple[pa.ChunkedArray, int]:
    """Return float64 values, null where there is none, and how many cells are neither a number nor missing.

    Infinite values stay as they are. Of cells that are not in `style`, plain numbers are read as such.
    """
    if not pa.types.is_string(column.type):
        return column.cast(pa.float64(), safe=False), 0
    if style is Written.PLAIN:
        try:
            return column.cast(pa.float64()), 0
        except pa.ArrowInvalid:
            pass  # empty cells, spaces or words: the long way
    cells = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    plain = cells
    if style is Written.DECIMAL_COMMA:
        european = pc.match_substring_regex(cells, f"^({_DECIMAL_COMMA}|[+-]?\\d{{1,3}}(\\.\\d{{3}})+)$")
        exchanged = pc.replace_substring(pc.replace_substring(cells, ".", ""), ",", ".")
        plain = pc.if_else(european, exchanged, cells)
    elif style is Written.THOUSANDS:
        plain = pc.if_else(
            pc.match_substring_regex(cells, f"^{_THOUSANDS}$"), pc.replace_substring(cells, ",", ""), cells
        )
    is_number = pc.fill_null(pc.match_substring_regex(plain, f"^({_PLAIN}|{_INFINITE})$"), False)
    is_missing = pc.fill_null(pc.is_in(cells, pa.array(MISSING)), True)
    unreadable = pc.invert(pc.or_(is_number, is_missing))
    unsigned = pc.replace_substring_regex(plain, r"^\+", "")
    values = pc.if_else(is_number, unsigned, pa.scalar(None, pa.string())).cast(pa.float64())
    return values, pc.sum(unreadable).as_py() or 0


def date_style(counts: Mapping[str, int]) -> tuple[Written, float] | None:
    """Return how the dates among some cells are written and which share of those that are there are dates.

    None where they are no dates, or where day and month cannot be told apart.

    Args:
        counts: How often each cell occurs, without spaces around it.
    """
    there = {value: count for value, count in counts.items() if value.lower() not in MISSING}
    if not there:
        return None
    total = sum(there.values())
    iso = sum(count for value, count in there.items() if _ISO.fullmatch(value) or _YEAR_FIRST.fullmatch(value))
    if 2 * iso > total:
        return Written.PLAIN, iso / total
    found = {value: match for value in there if (match := _YEAR_LAST.fullmatch(value))}
    if 2 * sum(there[value] for value in found) <= total:
        return None
    day_first = sum(there[value] for value, match in found.items() if int(match[1]) > 12 or match[2] == ".")
    month_first = sum(there[value] for value, match in found.items() if int(match[3]) > 12)
    if bool(day_first) == bool(month_first):
        return None
    style = Written.DAY_FIRST if day_first else Written.MONTH_FIRST
    return style, sum(there[value] for value in found if as_date(value, style)) / total


def as_dates(column: pa.ChunkedArray, style: Written) -> tuple[pa.ChunkedArray, int]:
    """Return ISO dates, null where there is none, and how many cells are neither a date nor missing.

    Times with a zone become UTC.
    """
    encoded = pc.utf8_trim_whitespace(column).combine_chunks()
    codes = (encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded).dictionary_encode()
    written = codes.dictionary.to_pylist()
    dates = [as_date(value, style) for value in written]
    bad = [date is None and value.lower() not in MISSING for date, value in zip(dates, written, strict=True)]
    values = pa.array(dates, pa.string()).take(codes.indices)
    unreadable = pc.sum(pa.array(bad, pa.bool_()).take(codes.indices)).as_py() or 0
    return pa.chunked_array([values]), unreadable


def as_date(cell: str, style: Written) -> str | None:
    """Return a date, or a date and a time, as ISO 8601; None where the cell is none."""
    try:
        if _ISO.fullmatch(cell):
            return _as_iso(datetime.fromisoformat(cell.replace(",", ".")), has_time=len(cell) > len("2024-05-31"))
        match = _YEAR_FIRST.fullmatch(cell)
        if match:
            return datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC).date().isoformat()
        match = _YEAR_LAST.fullmatch(cell)
        if not match:
            return None
        day, month = (match[1], match[3]) if style is not Written.MONTH_FIRST else (match[3], match[1])
        hour, minute, second = (int(part or 0) for part in match.group(5, 6, 7))
        read = datetime(int(match[4]), int(month), int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return _as_iso(read, has_time=match[5] is not None)


def _as_iso(read: datetime, *, has_time: bool) -> str:
    if not has_time:
        return read.date().isoformat()
    if read.tzinfo is not None:
        read = read.astimezone(UTC).replace(tzinfo=None)
    return read.isoformat()
