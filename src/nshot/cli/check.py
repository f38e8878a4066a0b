"""``nshot check``: what is wrong with the data, before anything is fitted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from nshot import api
from nshot.api.showing import ShownExample
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching
from nshot.core import CheckFailedError, TaskKind, counted
from nshot.data.options import ReadOptions
from nshot.evaluation.checks.facts import MOST_ROWS

_STYLES = {"note": "dim", "issue": "yellow", "error": "bold red"}
_EPILOG = """\b
Examples:
  nshot check tickets.csv
  nshot check train.csv --test test.csv --json
  nshot check customers.csv --task cluster
  nshot check chats.jsonl --backbone ./model
  nshot check tickets.csv --strict"""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@click.option("--test", type=click.Path(path_type=Path), metavar="FILE", help="A test, to be checked against DATA.")
@click.option(
    "--backbone",
    metavar="NAME",
    help="Language model whose tokens are counted and in whose chat format the first example is shown.",
)
@click.option("--strict", is_flag=True, help="Exit with code 1 if there is an issue.")
@flags(ReadOptions)
@everywhere
def command(
    data: str, test: Path | None, backbone: str | None, strict: bool, as_json: bool, quiet: bool, **values: Any
) -> None:
    """Look for what is wrong with DATA: duplicates, contradictions, leaks, columns that give the label away.

    Where the answers are texts that a language model writes, the first example is shown as the model will see it.
    """
    with watching(quiet=quiet) as watch:
        found = api.check(data, test, backbone=backbone, options=given(values))
        watch.say(found.recognised)
    if as_json:
        print_json(found.as_json())
    else:
        console = Console(file=sys.stdout, highlight=False)
        if found.example is not None:
            _show(console, found.example)
        if found.columns:
            _list_columns(console, found)
        for finding in found.checks:
            console.print(Text.assemble((f"{finding.code} {finding.title}", _STYLES[finding.severity.value])))
            console.print(Text(f"  {finding.explanation}"))
            if finding.advice:
                console.print(Text(f"  {finding.advice}", style="dim"))
            if finding.rows:
                shown = ", ".join(f"{row + 1:,}" for row in finding.rows[:12])
                # A finding names so many rows at most; how many there are stands in its explanation.
                rest = f"{len(finding.rows) - 12:,} " if len(finding.rows) < MOST_ROWS else ""
                more = f" and {rest}more" if len(finding.rows) > 12 else ""
                console.print(Text(f"  Rows: {shown}{more}", style="dim"))
        issues = sum(finding.severity.value != "note" for finding in found.checks)
        console.print(f"{counted(found.rows, 'row')}, {_answers(found)}: {issues or 'no'} issue{'s' * (issues != 1)}.")
    if strict and any(finding.severity.value != "note" for finding in found.checks):
        raise CheckFailedError("The data has issues, and --strict was given.")


def _answers(found: api.CheckedData) -> str:
    """Return how many answers there are, as the task has them."""
    if found.task.kind in {TaskKind.CLASSIFY, TaskKind.TAG}:
        return counted(len(found.task.labels), "label")
    if found.task.kind is TaskKind.GENERATE:
        return counted(found.n_labelled, "answer")
    if found.task.kind is TaskKind.REGRESS:
        return counted(found.n_labelled, "number to predict", "numbers to predict")
    if found.task.kind is TaskKind.EXTRACT:
        return f"{found.n_labelled:,} labelled, entities with {counted(len(found.task.labels), 'label')}"
    return f"{found.n_labelled:,} labelled" if found.n_labelled else "none labelled"


def _list_columns(console: Console, found: api.CheckedData) -> None:
    """Print a line for each kind of column; what was left out is a finding."""
    from nshot.data.columns import described

    for line in described(found.columns):
        console.print(Text(line, style="dim"))
    console.print()


def _show(console: Console, example: ShownExample) -> None:
    """Print an example; what is learnt has a colour on a terminal, and double brackets elsewhere."""
    marks = ("", "") if console.is_terminal else ("[[", "]]")
    size = f" ({example.tokens:,} tokens)" if example.tokens is not None else ""
    seen = f" as {example.model} reads it{size}" if example.model else " (as a model reads it: --backbone NAME)"
    how = "coloured" if console.is_terminal else "between [[ and ]]"
    console.print(Text(f"Row {example.row + 1:,}{seen}; what is learnt is {how}:", style="dim"))
    shown = Text()
    for part in example.parts:
        if part.is_learnt:
            shown.append(f"{marks[0]}{part.text}{marks[1]}", style="bold green")
        else:
            shown.append(part.text)
    # A terminal breaks long lines; a file gets them as they are.
    console.print(shown, soft_wrap=not console.is_terminal)
    if example.note:
        console.print(Text(example.note, style="yellow"))
    console.print()
