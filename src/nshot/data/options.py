"""What a person can say about a file; everything left out is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from nshot.spec import Spec


def as_names(value: object) -> object:
    """Let ``--text a,b`` and ``text="a"`` mean the same as a tuple of names."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


class FormatOptions(Spec):
    """What a text file is written in; everything left out is recognised."""

    encoding: str | None = None
    """Encoding of a text file, such as utf-8, cp1252 or latin-1."""
    delimiter: Annotated[str | None, Field(max_length=3)] = None
    """Character between the columns of a text file; tab or \\t for a tabulator."""


class ReadOptions(FormatOptions):
    """How to read a file of examples."""

    text: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Column with the texts; several, separated by commas, are joined to one text."""
    label: str | None = None
    """Column with the labels or the answers; rows where it is empty are not labelled."""
    task: Literal["classify", "generate"] | None = None
    """Whether the answers are labels (classify) or texts that a model writes (generate); recognised unless given."""
    instruction: str | None = None
    """What is asked of a language model, in words: put before every prompt."""
    group: str | None = None
    """Column whose equal values belong together (a person, a document) and are never split between train and test."""
    time: str | None = None
    """Column with the time of each row: numbers or ISO dates."""
    labels: Path | None = None
    """TOML file with a line per label, label = "what it means"; gives names to labels such as 0 and 1."""
