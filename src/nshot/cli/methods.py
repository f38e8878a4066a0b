"""``nshot methods``: the ways of adapting a model."""

from __future__ import annotations

import inspect
import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nshot import methods
from nshot.cli.screen import print_json
from nshot.spec import Method

_EPILOG = """\b
Examples:
  nshot methods
  nshot methods lora"""


@click.command(epilog=_EPILOG)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(name: str | None, as_json: bool) -> None:
    """List the ways of adapting a model, or explain the one called NAME with its options."""
    wanted = [name] if name else list(methods.names())
    found = {item: methods.get(item) for item in wanted}
    if as_json:
        print_json({"methods": [_record(item, method) for item, method in found.items()]})
        return
    console = Console(file=sys.stdout, highlight=False)
    if name:
        _explain(found[name], name, console)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "family", "labels", "compared", "what it does"):
        table.add_column(column, no_wrap=column != "what it does")
    for item, method in found.items():
        least = method.needs.fewest_labels
        labels = "none" if least == 0 else f"from {least}"
        compared = "always" if method.by_default else "--also"
        table.add_row(item, method.family.value, labels, compared, _sentence(method))
    console.print(table)
    console.print("Explain one with its options: nshot methods NAME", style="dim")


def _sentence(method: type[Method]) -> str:
    return (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")


def _record(name: str, method: type[Method]) -> dict[str, object]:
    return {
        "name": name,
        "family": method.family.value,
        "tasks": sorted(kind.value for kind in method.needs.tasks),
        "fewest_labels": method.needs.fewest_labels,
        "by_default": method.by_default,
        "summary": _sentence(method),
        "options": method.model_json_schema().get("properties", {}),
    }


def _explain(method: type[Method], name: str, console: Console) -> None:
    console.print(Text(f"{name}  ({method.family.value})", style="bold"))
    console.print(Text(inspect.getdoc(method) or ""))
    if not method.model_fields:
        return
    console.print(Text("\nOptions", style="bold"))
    table = Table(box=None, pad_edge=False, show_header=False)
    for option, field in method.model_fields.items():
        table.add_row(f"{option} = {field.default}", " ".join((field.description or "").split()))
    console.print(table)
    console.print(Text(f"Set one: --set {name}.{next(iter(method.model_fields))}=VALUE", style="dim"))
