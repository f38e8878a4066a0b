"""What messages say of texts and numbers: long texts shortened, things counted."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_NAME = 60


def shortened(text: str, longest: int) -> str:
    """Return `text` on one line, cut to at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def without_middle(text: str, longest: int) -> str:
    """Return about `longest` characters of `text`: its beginning and its end, where what is asked often stands."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters left out ...] {text[-half:]}"


def counted(number: float, one: str, several: str | None = None) -> str:
    """Return a number with its noun: ``1 label``, ``1,204 labels``."""
    whole = round(number)
    return f"{whole:,} {one if whole == 1 else several or one + 's'}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return the first of these names, each shortened, and how many more there are: ``text, label and 3 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shortened(name, _LONGEST_NAME) for name in names[:most]) + more
