"""``nshot check``: what is wrong with the data, before anything is fitted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching
from nshot.core import CheckFailedError
from nshot.data.options import ReadOptions

_STYLES = {"note": "dim", "issue": "yellow", "error": "bold red"}
_EPILOG = """\b
Examples:
  nshot check tickets.csv
  nshot check train.csv --test test.csv --json
  nshot check tickets.csv --strict"""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@click.option("--test", type=click.Path(path_type=Path), metavar="FILE", help="A test, to be checked against DATA.")
@click.option("--strict", is_flag=True, help="Exit with code 1 if there is an issue.")
@flags(ReadOptions)
@everywhere
def command(data: str, test: Path | None, strict: bool, as_json: bool, quiet: bool, **values: Any) -> None:
    """Look for what is wrong with DATA: duplicates, contradictions, leaks, columns that give the label away."""
    with watching(quiet=quiet) as watch:
        found = api.check(data, test, options=given(values))
        watch.say(found.recognised)
    if as_json:
        print_json(found.as_json())
    else:
        console = Console(file=sys.stdout, highlight=False)
        for finding in found.checks:
            console.print(Text.assemble((f"{finding.code} {finding.title}", _STYLES[finding.severity.value])))
            console.print(Text(f"  {finding.explanation}"))
            if finding.advice:
                console.print(Text(f"  {finding.advice}", style="dim"))
            if finding.rows:
                shown = ", ".join(f"{row + 1:,}" for row in finding.rows[:12])
                more = f" and {len(finding.rows) - 12:,} more" if len(finding.rows) > 12 else ""
                console.print(Text(f"  Rows: {shown}{more}", style="dim"))
        issues = sum(finding.severity.value != "note" for finding in found.checks)
        console.print(
            f"{found.rows:,} rows, {len(found.task.labels):,} labels: {issues or 'no'} issue{'s' * (issues != 1)}."
        )
    if strict and any(finding.severity.value != "note" for finding in found.checks):
        raise CheckFailedError("The data has issues, and --strict was given.")
