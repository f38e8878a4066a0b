"""How the functions take their options: as a spec, as a mapping, by keyword, or mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from nshot.spec import Spec

SomeSpec = TypeVar("SomeSpec", bound=Spec)


def resolved_options(
    kind: type[SomeSpec], options: SomeSpec | Mapping[str, Any] | None, more: Mapping[str, Any]
) -> SomeSpec:
    """Return the options given as a spec, as a mapping, by keyword, or mixed; later ones count."""
    given = dict(options or {}) if isinstance(options, Mapping | None) else options.model_dump(exclude_unset=True)
    return kind.parse({**given, **more})


def part_of(kind: type[SomeSpec], options: Spec) -> SomeSpec:
    """Return the fields of `options` that `kind` has."""
    shared = options.model_fields_set & set(kind.model_fields)
    return kind.parse({name: getattr(options, name) for name in shared})
