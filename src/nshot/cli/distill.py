"""``nshot distill``: a fast model that learnt the answers of a slow one."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nshot import api
from nshot.backbones import keep_few_products
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_UNUSED = ("time", "labels", "task", "group", "anomalies", "normal", "columns", "instruction")
"""What the teacher settled, or what a distillation has no use for."""
_EPILOG = """\b
Examples:
  nshot distill tickets.nshot/model unlabelled.csv --out small
  nshot distill tickets.nshot/model unlabelled.csv --out small --into tfidf_linear
  nshot distill tickets.nshot/model unlabelled.csv --out small --into full_finetune --set layers=3
  nshot distill answers.nshot/model questions.jsonl --out small --into sft_lora:FOLDER

Exit code 0: done. 2: the command or the data has to change. 3: a package is missing, or a model cannot be opened."""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@flags(api.DistillOptions, without=_UNUSED)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder for the student.")
@everywhere
def command(model: Path, data: Path, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Teach a fast model, the student, the answers of the saved one in MODEL, on rows of DATA that need no label.

    Some of the rows are held out: on them both are compared in agreement, time and size, and in score where DATA has
    labels.
    """
    keep_few_products()
    # A plain `kill` then ends the same way as Ctrl-C: what is worth keeping stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with watching(quiet=quiet, sure="about") as watch:
        found = api.distill(model, data, options=given(values), out=out, watch=watch)
    if as_json:
        print_json(found.record)
    elif not quiet:
        from nshot.report import distilling

        distilling.render(found.record, Console(file=sys.stdout, highlight=False))
