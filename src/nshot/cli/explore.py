"""``nshot explore``: groups, outliers, near-duplicates and what to label first, without any label."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console

from nshot import api
from nshot.api.exploring import ExploreOptions
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_EPILOG = """\b
Examples:
  nshot explore tickets.csv
  nshot explore customers.csv --columns age,income,spending --groups 5
  nshot explore photos/ --label-next 100 --out photos.explore"""


@click.command(epilog=_EPILOG)
@click.argument("data", type=click.Path())
@flags(ExploreOptions, without=("task", "instruction", "group", "time", "labels", "anomalies", "normal"))
@everywhere
def command(data: str, as_json: bool, quiet: bool, **values: Any) -> None:
    """Find groups in DATA and describe them, outliers, near-duplicates, and the rows to label first.

    No label is needed. Writes a report with a map, rows.csv with every row's group and strangeness, and to_label.csv to
    fill in and to compare methods on.
    """
    with watching(quiet=quiet, sure="about") as watch:
        found = api.explore_data(data, options=given(values), watch=watch)
    if as_json:
        print_json(found.record)
        return
    from nshot.report import exploring

    exploring.show(found.record, Console(file=sys.stdout, highlight=False), texts=values["texts"] is not False)
