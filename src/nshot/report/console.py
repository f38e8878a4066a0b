"""Words on a terminal that may lack some characters: names of files, labels and systems may hold anything."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nshot.report.record import LONGEST_SENTENCE, printable


def text(words: str, console: Console, style: str = "") -> Text:
    """Return words as this terminal can show them."""
    shown = printable(words, LONGEST_SENTENCE)
    return Text(shown.encode(console.encoding, "replace").decode(console.encoding), style)


def say(console: Console, words: str, style: str = "", *, one_line: bool = False) -> None:
    """Print words, broken into lines as wide as the terminal unless they are to stay whole for copying."""
    shown = text(words, console, style)
    for line in [shown] if one_line else shown.wrap(console, console.width):
        line.rstrip()
        console.print(line, soft_wrap=True)


def scores_table(n: int) -> Table:
    """Return a table without rows for the scores of one system, or of two, A and B, and their difference."""
    # With two and narrow intervals, 80 columns are just enough.
    table = Table(box=None, pad_edge=False, collapse_padding=n > 1, show_header=n > 1)
    table.add_column("")
    for letter in "AB"[:n]:
        table.add_column(letter, no_wrap=True)
    if n > 1:
        table.add_column("B minus A", no_wrap=True)
    return table
