from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from nshot.cli.flags import everywhere, flags, given
from nshot.spec import Spec
from nshot.study.options import Seconds


class Oven(Spec):
    """Options of a made-up command."""

    heat: int = Field(default=180, ge=0)
    """How hot it gets,
    in degrees."""
    dish: tuple[str, ...] = ()
    """What goes in."""
    set: tuple[str, ...] = ()
    """A further setting."""
    fan_speed: float | None = None
    """How fast the fan turns."""
    mode: Literal["top", "bottom"] = "top"
    """Where the heat comes from."""
    grill: bool = False
    """Also grill."""
    light: bool = True
    """Light inside; --no-light turns it off."""
    recipe: Path | None = None
    """What to follow."""
    budget: Seconds = 300.0
    """How long."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """At most."""


def called(*arguments: str, **options: Any) -> tuple[dict[str, Any], str]:
    seen: dict[str, Any] = {}

    @click.command()
    @flags(Oven, **options)
    @everywhere
    def command(**values: Any) -> None:
        seen.update(values)

    result = CliRunner().invoke(command, arguments)
    return {name: value for name, value in seen.items() if name not in {"as_json", "quiet"}}, result.output


def test_a_field_becomes_a_flag_with_its_docstring_as_help():
    _, shown = called("--help")
    words = " ".join(shown.split())
    assert "--heat N How hot it gets, in degrees. [default: 180]" in words
    assert "--fan-speed X How fast the fan turns." in words
    assert "--mode [top|bottom] Where the heat comes from. [default: top]" in words
    assert "--recipe FILE" in words
    assert "--budget TIME" in words
    assert "--limit N" in words
    assert "--no-light" in words
    assert "--json" in words


def test_what_is_not_given_is_not_passed_on():
    values, _ = called()
    assert given(values) == {}


def test_what_is_given_is_passed_on_as_the_spec_takes_it():
    values, _ = called("--heat", "200", "--grill", "--no-light", "--budget", "5m", "--mode", "bottom")
    oven = Oven.parse(given(values))
    assert (oven.heat, oven.grill, oven.light, oven.budget, oven.mode) == (200, True, False, 300.0, "bottom")


@pytest.mark.parametrize("arguments", [["--dish", "a,b"], ["--dish", "a", "--dish", "b"], ["--dish", " a , b,"]])
def test_several_names_may_be_repeated_or_separated_by_commas(arguments):
    assert called(*arguments)[0]["dish"] == ("a", "b")


def test_a_value_that_may_hold_a_comma_is_not_divided():
    assert called("--set", "words=a,b")[0]["set"] == ("words=a,b",)


@pytest.mark.parametrize("nothing", ["", " ", ","])
def test_a_list_of_nothing_is_refused_instead_of_meaning_everything(nothing):
    assert "found nothing" in called("--dish", nothing)[1]


def test_a_required_field_is_a_required_flag():
    class Needy(Spec):
        """Needs something."""

        method: str
        """Which."""

    @click.command()
    @flags(Needy)
    def command(**values: Any) -> None: ...

    result = CliRunner().invoke(command, [])
    assert result.exit_code == 2
    assert "Missing option '--method'" in result.output


def test_a_field_that_is_an_argument_gets_no_flag():
    assert "--recipe" not in called("--help", without=("recipe",))[1]


def test_every_option_of_the_commands_has_a_help():
    from nshot.cli.main import _COMMANDS, cli

    context = click.Context(cli)
    for name in _COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"nshot {name} {parameter.opts[0]} explains nothing"
