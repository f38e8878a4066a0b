"""``nshot models``: the pre-trained models that are on this machine."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from nshot.backbones.locate import DEFAULT, known
from nshot.cli.screen import print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(as_json: bool) -> None:
    """List the pre-trained models that can be used without a download.

    Any folder with a model in Hugging Face's format can be named as well (--backbone ./folder), and any id on the hub
    (--backbone org/name), which is downloaded once. Rows of a table need none: their backbone is called table.
    """
    found = known()
    if as_json:
        print_json(
            {"models": [{**model.ref.as_json(), "source": model.source, "bytes": model.size_bytes} for model in found]}
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "source", "size"):
        table.add_column(column, justify="right" if column == "size" else "left")
    for model in found:
        name = model.ref.id + ("  (default)" if model.ref.id == DEFAULT else "")
        table.add_row(name, model.source, f"{model.size_bytes / 1e6:,.0f} MB")
    Console(file=sys.stdout, highlight=False).print(table)
