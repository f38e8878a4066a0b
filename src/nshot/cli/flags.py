"""Flags from specs: a field of a `Spec` is a flag, its docstring the help, its type the check."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import click
from pydantic.fields import FieldInfo

from nshot.spec import Spec

Command = TypeVar("Command", bound=Callable[..., Any])

_SAME_ON_EVERY_COMMAND = (
    click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else; progress goes to stderr."
    ),
    click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
)


def flags(*specs: type[Spec], without: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Give a command a flag for every field of these specs; values that were not given are not passed on.

    Args:
        specs: Where the fields stand.
        without: Fields that are arguments of the command instead.
    """

    def decorate(command: Command) -> Command:
        for spec in reversed(specs):
            for name in reversed(_own_first(spec)):
                if name not in without:
                    command = _option(name, spec.model_fields[name])(command)
        return command

    return decorate


def _own_first(spec: type[Spec]) -> list[str]:
    """Return the fields in the order of the help: those of the command itself before those that it shares."""
    bases = [base for base in spec.__bases__ if issubclass(base, Spec)]
    shared = [name for base in bases for name in _own_first(base)]
    return list(dict.fromkeys([*(name for name in spec.model_fields if name not in shared), *shared]))


def everywhere(command: Command) -> Command:
    """Give a command ``--json`` and ``--quiet``."""
    for option in reversed(_SAME_ON_EVERY_COMMAND):
        command = option(command)
    return command


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given: what is absent keeps the spec's default."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flag = "--" + name.replace("_", "-")
    description = " ".join((field.description or "").split())
    kind = _plain(field.annotation)
    if kind is bool:
        if field.default is True:
            return click.option(f"--no-{flag[2:]}", name, flag_value=False, default=None, type=bool, help=description)
        return click.option(flag, name, is_flag=True, default=None, help=description)
    if typing.get_origin(kind) is tuple:
        return click.option(flag, name, multiple=True, callback=_split, help=description, metavar=_metavar(name, kind))
    if typing.get_origin(kind) is Literal:
        choices = [str(choice) for choice in typing.get_args(kind)]
        return click.option(flag, name, type=click.Choice(choices), help=_with_default(description, field))
    return click.option(
        flag,
        name,
        required=field.is_required(),
        help=_with_default(description, field),
        metavar=_metavar(name, kind),
    )


def _split(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Let ``--methods a,b`` and ``--methods a --methods b`` mean the same; a path or VALUE may hold a comma."""
    if option.name in {"set", "candidate", "backbone", "track"}:
        return values
    parts = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    if values and not parts:
        raise click.BadParameter("expected a name, or several separated by commas; found nothing.")
    return parts


def _plain(annotation: Any) -> Any:
    """Return the type without `Annotated` and ``| None``."""
    if typing.get_origin(annotation) is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return _plain(next(part for part in typing.get_args(annotation) if part is not type(None)))
    return annotation


def _metavar(name: str, kind: Any) -> str:
    plain = _plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is tuple else kind
    known = {
        "set": "NAME=VALUE",
        "budget": "TIME",
        "instruction": "TEXT",
        "out": "DIR",
        "test": "FILE",
        "max_latency": "TIME",
        "track": "DESTINATION",
        "system": "TEXT",
        "description": "TEXT",
        "max_memory": "SIZE",
        "fail_under": "[METRIC=]X",
        "fail_if_worse": "[METRIC=]X",
        "pattern": "REGEX",
        "judge": "MODEL",
        "into": "METHOD[:BACKBONE]",
        "held_out": "SHARE|N",
        "judge_instruction": "TEXT",
    }
    return known.get(name) or {int: "N", float: "X", Path: "FILE"}.get(plain, "NAME")


def _with_default(description: str, field: FieldInfo) -> str:
    if field.default is None or field.is_required():
        return description
    shown = f"{field.default:g}" if isinstance(field.default, float) else field.default
    return f"{description}  [default: {shown}]"
