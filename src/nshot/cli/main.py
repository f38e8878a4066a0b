"""The entry point: knows the commands by name and one line each, and imports one only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

import click

from nshot.core.errors import NshotError

_COMMANDS = {
    "compare": "Adapt models to your data in every sensible way, and say which to use.",
    "fit": "Adapt one model by one method.",
    "predict": "Answer new examples with a saved model.",
    "evaluate": "Score a saved model on labelled rows, or two against each other.",
    "grow": "Teach a saved model new labels, without a fit.",
    "distill": "Teach a fast model the answers of a slow one.",
    "export": "Write a saved model as other programs expect it: transformers, ONNX, GGUF.",
    "push": "Upload a saved or exported model to the Hugging Face hub.",
    "score": "Score outputs from anywhere against references.",
    "chat": "Talk to a model that writes.",
    "serve": "Offer saved models over HTTP.",
    "check": "Look for what is wrong with your data.",
    "explore": "Find groups, outliers and what to label first, without labels.",
    "report": "Write the report of a comparison anew.",
    "methods": "List the ways of adapting a model.",
    "models": "List the pre-trained models that are on this machine.",
    "doctor": "Show what this machine can do.",
    "cache": "Show or empty the feature cache.",
}


class _Lazy(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"nshot.cli.{cmd_name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        from nshot.core.errors import closest

        if args and args[0] not in _COMMANDS:
            listed = ", ".join(_COMMANDS)
            raise click.UsageError(
                f"There is no command '{args[0]}'.{closest(args[0], _COMMANDS)} Commands: {listed}.", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The helps stand here, so that listing the commands imports none of them.
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"nshot {version('nshot')}")
        ctx.exit()


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start here:  nshot compare tickets.csv      Every command explains itself:  nshot COMMAND --help",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Zero-shot, few-shot or fine-tuning? Measure it on your own data."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every problem becomes one message and an exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:  # noqa: PLR0911 - one line per kind of problem
    """Run the command line and return the exit code."""
    try:
        code = cli.main(args=arguments, prog_name="nshot", standalone_mode=False)
    except NshotError as error:
        _tell(str(error))
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _tell(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"Help: {error.ctx.command_path} --help", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        _tell("Stopped. What was finished is kept; the same command goes on from there.")
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (such as `head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        _tell("There is not enough memory for this.")
        return 3
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _tell(f"The system refused:{where} {error.strerror or error}.")
        return 3
    except Exception as error:
        _tell(
            f"This is a mistake in nshot, not in your data: {type(error).__name__}: {error}\n"
            "Please report it with the command you gave. NSHOT_DEBUG=1 shows where it happened."
        )
        if os.environ.get("NSHOT_DEBUG"):
            traceback.print_exc()
        return 3
    return code if isinstance(code, int) else 0


def _tell(message: str) -> None:
    # A message quotes labels, columns and files, which may hold what steers a terminal.
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in message)
    click.echo(click.style("nshot: ", fg="red", bold=True) + shown, err=True)
