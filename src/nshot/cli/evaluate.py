"""``nshot evaluate``: the score of a saved model on labelled rows, or of two on the same rows; a gate for a build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching
from nshot.core import CheckFailedError, Interrupted

_EPILOG = """\b
Examples:
  nshot evaluate tickets.nshot/model new.csv
  nshot evaluate tickets.nshot/model new.csv --fail-under 0.85 --json
  nshot evaluate tickets.nshot/model new.csv --fail-under accuracy=0.85,macro_f1=0.8 --strict
  nshot evaluate in_use/model retrained/model new.csv --fail-if-worse 0.01
  nshot evaluate tickets.nshot/model october.csv --against may.csv

Exit code 0: done, and what was asked to be enforced holds. 1: it does not hold. 2: the command or the data has to
change. 3: a model cannot be opened."""


@click.command(epilog=_EPILOG)
@click.argument("paths", nargs=-1, metavar="MODEL [OTHER_MODEL] DATA", type=click.Path(path_type=Path))
@flags(api.EvaluateOptions, without=("time", "labels"))
@everywhere
def command(paths: tuple[Path, ...], as_json: bool, quiet: bool, **values: Any) -> None:
    """Score a saved model on the labelled rows of DATA, with intervals.

    With two models A B: compare them on the same rows, and say which is better, by how much, or that these rows cannot
    tell. A is the one in use, B the one that may replace it.

    Rows without a label are left out. Rows whose label a model does not know count as wrong. Near-duplicates count as
    one observation.
    """
    if len(paths) not in {2, 3}:
        raise click.UsageError(
            f"Expected one or two saved models and then the data; found: {' '.join(map(str, paths)) or 'nothing'}. "
            "Such as: nshot evaluate tickets.nshot/model new.csv",
            click.get_current_context(),
        )
    from nshot.backbones import keep_few_products

    keep_few_products()
    model, data = paths[0], paths[-1]
    other = paths[1] if len(paths) == 3 else None
    try:
        with watching(quiet=quiet, sure="about") as watch:
            found = api.evaluate(model, data, other, options=given(values), watch=watch)
    except KeyboardInterrupt:
        raise Interrupted("Stopped. Nothing was written; the same command starts over.") from None
    if as_json:
        print_json(found.record)
    else:
        from nshot.report import evaluation

        evaluation.render(found.record, Console(file=sys.stdout, highlight=False))
    if found.failures:
        raise CheckFailedError("\n".join(found.failures))
