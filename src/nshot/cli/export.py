"""``nshot export``: a saved model for other programs."""

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
  nshot export answers.nshot/model my-model --merged
  nshot export answers.nshot/model my-model --to gguf --format q8_0
  ollama create my-model -f my-model/Modelfile
  nshot export tickets.nshot/model my-model --to onnx --int8 --data held_out.csv
  python my-model/predict.py "my card is gone"

Exit code 0: done. 2: the command has to change, or this model cannot be written so. 3: a package is missing, or what
was written does not answer like MODEL, and nothing was put in place."""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@flags(api.ExportOptions, without=("time", "labels", "task", "instruction"))
@everywhere
def command(model: Path, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Write the saved model in MODEL to the folder OUT, as other programs expect it.

    What was written is opened again by another program than nshot, and has to answer like MODEL; on rows named by
    --data, with their labels, it has to score like MODEL too.
    """
    keep_few_products()
    with watching(quiet=quiet, sure="about") as watch:
        found = api.export(model, out, options=given(values), watch=watch)
    if as_json:
        print_json(found.record)
    elif not quiet:
        click.echo(
            "\n".join([f"{found.record['bytes'] / 2**20:,.1f} MiB: {found.record['out']}", *found.record["found"]])
        )
