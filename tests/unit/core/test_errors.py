"""The error tree is what exit codes and messages rest on."""

from __future__ import annotations

import inspect
import re

import pytest

from nshot.core import errors
from nshot.core.errors import NshotError, closest

TREE = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, NshotError)}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DataError", 2),
        ("OptionError", 2),
        ("UnsupportedError", 2),
        ("TrainingError", 2),
        ("MissingExtraError", 3),
        ("ModelError", 3),
        ("OutputError", 3),
        ("OutOfMemoryError", 3),
        ("CheckFailedError", 1),
        ("Interrupted", 130),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    assert getattr(errors, name)("x").exit_code == code


def test_the_drawing_shows_every_error_below_its_parent() -> None:
    lines = inspect.cleandoc(errors.__doc__).splitlines()
    found = [re.match(r"^([\s│├└─]*)([A-Z]\w+)(?:\s{2,}|$)", line) for line in lines]
    drawn = [(len(match[1]), match[2]) for match in found if match]
    assert {name for _, name in drawn} == {error.__name__ for error in TREE}
    ancestors: list[tuple[int, str]] = []
    for depth, name in drawn:
        ancestors = [entry for entry in ancestors if entry[0] < depth]
        if ancestors:
            assert getattr(errors, name).__base__.__name__ == ancestors[-1][1]
        ancestors.append((depth, name))


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("prototpyes", ["majority", "prototypes"], " Did you mean 'prototypes'?"),
        ("zzz", ["majority", "prototypes"], ""),
        ("", ["majority"], ""),
        ("a", [], ""),
    ],
)
def test_closest_suggests_only_what_is_near(name: str, known: list[str], expected: str) -> None:
    assert closest(name, known) == expected
