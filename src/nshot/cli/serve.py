"""``nshot serve``: models behind HTTP."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from nshot import api
from nshot.backbones import keep_few_products
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json
from nshot.core import listed

_EPILOG = """\b
Examples:
  nshot serve tickets.nshot/model
  nshot serve tickets.nshot/model tone=reviews.nshot/model --port 8080
  nshot serve Qwen/Qwen2.5-0.5B-Instruct
  nshot serve tickets.nshot/model --grow learnt
  MY_TOKEN=$(openssl rand -hex 32) nshot serve tickets.nshot/model --host 0.0.0.0 --token-env MY_TOKEN

\b
Ask with any client, such as:
  curl http://127.0.0.1:8000/v1/predict -H 'Content-Type: application/json' \\
    -d '{"model": "tickets", "inputs": ["Where is my parcel?"]}'
  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "answers", "messages": [{"role": "user", "content": "Where is my parcel?"}]}'

The address itself shows a page to try the models by hand. The signal SIGHUP opens all models again, without a request
being dropped; Ctrl-C finishes what is being answered, and ends."""


@click.command(epilog=_EPILOG)
@click.argument("models", nargs=-1, required=True, metavar="[NAME=]MODEL ...")
@flags(api.ServeOptions)
@everywhere
def command(models: tuple[str, ...], as_json: bool, quiet: bool, **values: Any) -> None:
    """Offer models over HTTP: saved ones of any kind, or a pre-trained language model as it is.

    With --json the first line on standard output says the models' names and the address.
    """
    keep_few_products()
    # A plain `kill` then ends the same way as Ctrl-C: what is being answered is finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def announce(names: Sequence[str], address: str) -> None:
        if as_json:
            print_json({"model": names[0], "models": list(names), "address": f"{address}/v1"})
        elif not quiet:
            verb = "answers" if len(names) == 1 else "answer"
            click.echo(f"{listed(names)} {verb} at {address}/v1; try it at {address}  (stop it with Ctrl-C)")
        sys.stdout.flush()

    api.serve(models, options=given(values), announce=announce, log_requests=not quiet and not as_json)
    if not quiet and not as_json:
        click.echo("Stopped.")
