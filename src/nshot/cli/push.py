"""``nshot push``: a saved or exported model to the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nshot import api
from nshot.cli.flags import everywhere, flags
from nshot.cli.screen import print_json

_EPILOG = """\b
Examples:
  nshot push tickets.nshot/model my-name/tickets
  nshot push my-onnx-model my-name/tickets-onnx --public --yes

Exit code 0: done. 2: the command has to change. 3: there is no token, or the hub refuses."""


@click.command(epilog=_EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@flags(api.PushOptions)
@click.option("--yes", "-y", is_flag=True, help="Upload without being asked.")
@everywhere
def command(model: Path, repository: str, public: bool | None, yes: bool, as_json: bool, quiet: bool) -> None:
    """Upload the folder MODEL to the Hugging Face hub, private unless you say otherwise.

    You are asked first; where nobody can answer, such as in a script, --yes is needed.
    """
    upload = api.prepare_push(model, repository, public=bool(public))
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"Nobody is here to be asked. {upload.question} Then add --yes.", click.get_current_context()
            )
        click.confirm(upload.question, abort=True, err=True)
    done = api.push(upload)
    if as_json:
        print_json(done.record)
    elif not quiet:
        click.echo(f"{done.record['address']} ({'private' if done.private else 'public'})")
