"""``nshot report``: the report of a comparison, anew."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from nshot import api
from nshot.cli.screen import print_json

_EPILOG = """\b
Examples:
  nshot report tickets.nshot
  nshot report tickets.nshot --no-texts"""


@click.command(epilog=_EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--no-texts", is_flag=True, help="Leave the texts of the data out, to pass the report on.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict.json and nothing else.")
def command(folder: Path, no_texts: bool, as_json: bool) -> None:
    """Write report.html and report.md in FOLDER anew, and show the verdict."""
    from nshot.report import terminal

    found = api.write_report(folder, texts=not no_texts)
    if as_json:
        print_json(found.verdict)
    else:
        terminal.render(found.record, Console(file=sys.stdout), texts=not no_texts)
