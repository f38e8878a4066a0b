"""The registry of methods: one file each in this folder, its name is the public name.

Third parties add a method by an entry point in the group ``nshot.methods`` whose name is the method's name and whose
value is the module that holds it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nshot.core import OptionError, closest
from nshot.spec import Method


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="nshot.methods")}


@cache
def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted; imports none of them."""
    own = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted({*own, *_plugins()}))


@cache
def get(name: str) -> type[Method]:
    """Return the method called `name`.

    Raises:
        OptionError: There is none; the text suggests the nearest.
    """
    if name not in names():
        listed = ", ".join(names())
        raise OptionError(f"There is no method '{name}'.{closest(name, names())} Methods: {listed}.")
    plugin = _plugins().get(name)
    module = importlib.import_module(plugin.value if plugin else f"{__name__}.{name}")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise OptionError(f"{module.__name__} must define exactly one Method; it defines {len(found)}.")
    return found[0]


def build(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """Return the method called `name` with these options, validated."""
    return get(name).parse(options or {})
