"""``nshot chat``: talk to a model in the terminal, or through a pipe."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from nshot import api
from nshot.cli.flags import flags, given
from nshot.core import NshotError

_EPILOG = """\b
Examples:
  nshot chat answers.nshot/model
  nshot chat Qwen/Qwen2.5-0.5B-Instruct --system "Answer in one sentence." --temperature 0.7
  nshot chat openai:llama3.2@http://127.0.0.1:11434/v1 --allow-remote
  printf 'Where is my parcel?\\nAnd the second one?\\n' | nshot chat answers.nshot/model

\b
While you talk:
  /reset   forget what was said          /exit   end (also Ctrl-D)
  Ctrl-C   stop the answer, and go on talking"""

_RESET, _EXIT = "/reset", "/exit"


@click.command(epilog=_EPILOG)
@click.argument("model")
@flags(api.ChatOptions)
@click.option("--quiet", "-q", is_flag=True, help="Show the answers only.")
def command(model: str, quiet: bool, **values: Any) -> None:
    """Talk to MODEL: a saved model that writes, or a pre-trained language model as it is.

    Standard input that is no terminal is answered line by line, as one conversation.
    """
    chat = api.chat(model, options=given(values))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text in this encoding is asked as well as it can be
    if sys.stdin.isatty() and sys.stdout.isatty():
        _at_a_terminal(chat, quiet=quiet)
    else:
        _through_a_pipe(chat, quiet=quiet)


def _at_a_terminal(chat: api.Chat, *, quiet: bool) -> None:
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its history and its keys
    if not quiet:
        click.echo(
            f"Talking to {chat.name}. /reset forgets what was said, /exit or Ctrl-D ends, Ctrl-C stops an answer."
        )
    while True:
        try:
            line = input("\n> ").strip()
        except KeyboardInterrupt:
            click.echo("  (Ctrl-D or /exit ends)")
            continue
        except EOFError:
            click.echo()
            return
        if line == _EXIT:
            return
        if line == _RESET:
            chat.reset()
            click.echo("Forgotten.")
        elif line:
            try:
                _answer(chat, line, quiet=quiet)
            except KeyboardInterrupt:
                click.echo("  (stopped)")
            except NshotError as error:
                click.echo(f"\n{error}", err=True)


def _through_a_pipe(chat: api.Chat, *, quiet: bool) -> None:
    for line in map(str.strip, sys.stdin):
        if line == _EXIT:
            return
        if line == _RESET:
            chat.reset()
        elif line:
            _answer(chat, line, quiet=quiet)


def _answer(chat: api.Chat, line: str, *, quiet: bool) -> None:
    pieces = chat.say(line)
    try:
        for number, piece in enumerate(pieces):
            if number == 0 and chat.left_out and not quiet:
                click.echo(
                    f"(The conversation is longer than {chat.name} takes in: its oldest {chat.left_out} messages are "
                    "forgotten.)",
                    err=True,
                )
            sys.stdout.write(piece)
            sys.stdout.flush()
    finally:
        pieces.close()
    sys.stdout.write("\n")
    sys.stdout.flush()
