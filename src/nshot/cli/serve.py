"""``nshot serve``: a model behind HTTP, for programs that speak OpenAI's protocol."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from nshot import api
from nshot.cli.flags import everywhere, flags, given
from nshot.cli.screen import print_json

_EPILOG = """\b
Examples:
  nshot serve answers.nshot/model
  nshot serve Qwen/Qwen2.5-0.5B-Instruct --port 8080
  MY_TOKEN=$(openssl rand -hex 32) nshot serve answers.nshot/model --host 0.0.0.0 --token-env MY_TOKEN

\b
Ask it with any client for OpenAI's protocol, such as:
  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "answers", "messages": [{"role": "user", "content": "Where is my parcel?"}]}'

Ctrl-C finishes the answers that are being written, and ends."""


@click.command(epilog=_EPILOG)
@click.argument("model")
@flags(api.ServeOptions)
@everywhere
def command(model: str, as_json: bool, quiet: bool, **values: Any) -> None:
    """Offer MODEL over HTTP: a saved model that writes, or a pre-trained language model as it is.

    With --json the first line on standard output says the model's name and the address.
    """
    # A plain `kill` then ends the same way as Ctrl-C: answers that are being written are finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def announce(name: str, address: str) -> None:
        if as_json:
            print_json({"model": name, "address": f"{address}/v1"})
        elif not quiet:
            click.echo(f"{name} answers at {address}/v1  (stop it with Ctrl-C)")
        sys.stdout.flush()

    api.serve(model, options=given(values), announce=announce, log_requests=not quiet and not as_json)
    if not quiet and not as_json:
        click.echo("Stopped.")
