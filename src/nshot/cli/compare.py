"""``nshot compare``: the main job."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_EPILOG = """\b
Examples:
  nshot compare tickets.csv
  nshot compare train.csv --test test.csv --budget 10m --out results
  nshot compare reviews.jsonl --text title,body --label stars --without lora
  nshot compare tickets.csv --candidate answers_of_our_system.csv
  nshot compare tickets.csv --plan
  nshot compare tickets.nshot/study.toml --out again"""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@flags(api.CompareOptions)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be run and how long it takes; run nothing.")
@everywhere
def command(data: str, only_plan: bool, as_json: bool, quiet: bool, **values: Any) -> None:
    """Adapt models to DATA in every sensible way, and say which to use.

    DATA is a table (csv, tsv, jsonl, json, parquet, npz) with an example and what is to be told of it in each row: a
    text and a label, or columns and a label or a number. It may also be a folder with a folder of text files or images
    per label, or the study.toml of an earlier comparison.
    """
    # A plain `kill` then ends the same way as Ctrl-C: the worker goes, what was finished stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if only_plan:
        _show_plan(data, given(values), as_json=as_json, quiet=quiet)
        return
    with watching(quiet=quiet) as watch:
        found = api.compare(data, options=given(values), watch=watch)
    if as_json:
        print_json(found.verdict)
        return
    from nshot.report import terminal

    terminal.render(found.record, Console(file=sys.stdout), texts=values["texts"] is not False)


def _show_plan(data: str, values: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    with watching(quiet=quiet) as watch:
        records = api.plan(data, options=values, watch=watch)
    if as_json:
        print_json({"plan": records})
        return
    table = Table(title="Planned runs", title_justify="left", box=None, pad_edge=False)
    for name in ("candidate", "labels", "runs", "seconds a run"):
        table.add_column(name, justify="left" if name == "candidate" else "right")
    for record in records:
        seconds = "always run" if record["seconds"] is None else f"about {record['seconds']:.0f}"
        table.add_row(record["candidate"], f"{record['n_labels']:,}", str(record["runs"]), seconds)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    for sentence in order_of_runs(records):
        console.print(sentence)


def order_of_runs(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in which order the planned runs happen, and how long those that train a network take."""
    said = ["What is on frozen features is measured always, and repeated as far as half of the budget goes."]
    trained = [record for record in records if record["seconds"] is not None]
    if not trained:
        return said
    whole = max(record["n_labels"] for record in trained)
    once = sum(record["seconds"] for record in trained if record["n_labels"] == whole)
    every = sum(record["seconds"] * record["runs"] for record in trained)
    return [
        *said,
        f"What trains a network runs once with {whole:,} labels, the most promising for its time first (all of them: "
        f"about {_duration(once)}).",
        f"Then the contenders are repeated until they are settled, then come fewer labels. Every run: about "
        f"{_duration(every)}; a comparison rarely takes that much, and ends with its budget.",
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:,.0f} min"
