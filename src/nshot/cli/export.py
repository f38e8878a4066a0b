"""``nshot export``: a saved model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json, watching

_EPILOG = """\b
Examples:
  nshot export answers.nshot/model my-model --merged
  ollama create my-model -f my-model/Modelfile"""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@flags(api.ExportOptions)
@everywhere
def command(model: Path, out: Path, as_json: bool, quiet: bool, **values: Any) -> None:
    """Write the language model in MODEL to the folder OUT, as other programs expect it.

    What was written is opened again by transformers, and has to answer like MODEL.
    """
    with watching(quiet=quiet, sure="about") as watch:
        found = api.export(model, out, options=given(values), watch=watch)
    if as_json:
        print_json(found.record)
    elif not quiet:
        click.echo(_told(found.record))


def _told(record: dict[str, Any]) -> str:
    what = "An adapter of peft" if record["is_adapter"] else "A model of transformers"
    read = record["read_back"]
    checked = f"It was not opened for a check: {read['left_out']}."
    if read["readers"]:
        checked = (
            "Opened by transformers, it gives the same answers: their log-probabilities differ by "
            f"{read['largest_difference']:.1g} nats a token at most."
        )
    return f"{what}, {record['bytes'] / 2**20:,.1f} MiB: {record['out']}\n{checked}"
