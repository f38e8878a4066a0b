"""Cells that a spreadsheet would take for formulas: text when they are written to csv, and themselves when read again.

A cell such as ``=cmd|'/C calc'!A0`` runs when the file is opened in a spreadsheet, and anybody whose text is
classified can put one there. What begins so gets an apostrophe in front, the sign of text in spreadsheets; reading
takes it off, so that what nshot wrote comes back as it was. Numbers such as -1.5 stay as they are.

Source of the characters: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_BEGINNING = "=+\\-@\\t\\r\\n＝＋－＠"
_FORMULA = re.compile(rf"'*[{_BEGINNING}]")
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|\.\d+)([eE][+-]?\d+)?%?")
_MARKED = rf"^'('*[{_BEGINNING}])"


def as_text(cell: str) -> str:
    """Return a cell as it is written to csv."""
    if not _FORMULA.match(cell) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def as_meant(cell: str) -> str:
    """Return a cell as it was before `as_text`."""
    return re.sub(_MARKED, r"\1", cell)


def as_they_were(column: pa.Array) -> pa.Array:
    """Return a column of texts as they were before `as_text`."""
    import pyarrow.compute as pc

    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    return pc.replace_substring_regex(column, _MARKED, r"\1")
