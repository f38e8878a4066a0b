"""``nshot score``: outputs from anywhere against references, with intervals; or two systems' outputs."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.console import Console

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching
from nshot.core import Interrupted

_EPILOG = """\b
Examples:
  nshot score outputs.txt references.txt --metric bleu,rougeL
  nshot score outputs.jsonl test.csv --reference ref --json
  nshot score old.txt new.txt test.csv
  nshot score answers.txt gsm8k.jsonl --metric number_match
  nshot score answers.txt test.csv --metric score.py:my_score

What each metric means, and when it misleads: docs/metrics.md"""


@click.command(epilog=_EPILOG)
@click.argument("paths", nargs=-1, metavar="PREDICTIONS [OTHER_PREDICTIONS] REFERENCES")
@flags(api.ScoreOptions)
@everywhere
def command(paths: tuple[str, ...], as_json: bool, quiet: bool, **values: Any) -> None:
    """Score PREDICTIONS, texts that any system wrote, against REFERENCES: every metric with its interval and signature.

    With two files of predictions A B: compare them on the same inputs, and say which is better, by how much, or that
    these inputs cannot tell.

    A file has a text per line, or is jsonl, json, csv or parquet. Rows of REFERENCES may have several references: a
    list, several columns, or several rows with the same input.
    """
    if len(paths) not in {2, 3}:
        raise click.UsageError(
            f"Expected one or two files of outputs and then the references; found: {' '.join(paths) or 'nothing'}. "
            "Such as: nshot score outputs.txt references.txt",
            click.get_current_context(),
        )
    other = paths[1] if len(paths) == 3 else None
    try:
        with watching(quiet=quiet, sure="about") as watch:
            found = api.score(paths[0], paths[-1], other, options=given(values), watch=watch)
    except KeyboardInterrupt:
        raise Interrupted("Stopped. Nothing was written; the same command starts over.") from None
    if as_json:
        print_json(found.record)
    else:
        from nshot.report import scoring

        scoring.render(found.record, Console(file=sys.stdout, highlight=False))
