"""``nshot grow``: new labels for a saved model, without a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nshot import api
from nshot.backbones import keep_few_products
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_EPILOG = """\b
Examples:
  nshot grow tickets.nshot/model new_tickets.csv --out grown
  nshot grow tickets.nshot/model refunds.txt --new-label refund --out grown
  nshot grow zero_shot --new-label refund --description "asks for money back" --out grown

Exit code 0: done. 2: the command or the data has to change, or this model has to be fitted again. 3: the model cannot
be opened or written."""

_OF_OTHER_TASKS = ("columns", "task", "anomalies", "normal", "instruction", "group", "time", "labels")


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("examples", required=False)
@flags(api.GrowOptions, without=_OF_OTHER_TASKS)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the model.")
@everywhere
def command(model: Path, examples: str | None, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Teach the saved model in MODEL new labels, or more of those it knows, from EXAMPLES, and save it elsewhere.

    EXAMPLES is a table with a column of labels; or with --new-label the examples of that one, a text per line or a
    table. Methods that learn a label without a fit: prototypes and nearest_neighbours from examples, label_similarity
    and prompt by its name. The grown model has no score until `nshot evaluate` measures it.
    """
    keep_few_products()
    with watching(quiet=quiet, sure="about") as watch:
        found = api.grow(model, examples, options=given(values), out=out, watch=watch)
    if as_json:
        print_json(found.record)
    elif not quiet:
        click.echo("\n".join(found.record["found"]))
