"""What a person can say about a file; everything left out is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from nshot.spec import Spec


def as_names(value: object) -> object:
    """Let ``--text a,b`` and ``text="a"`` mean the same as a tuple of names."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Empty: TypeAlias = Literal["none", "unlabelled"]


def as_separator(value: object) -> object:
    r"""Let ``--separator '\t'`` and ``'\n'`` mean a tab and a line break."""
    return value.replace("\\t", "\t").replace("\\n", "\n") if isinstance(value, str) else value


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
    """Column with the labels or the answers; rows where it is empty are not labelled. Several, separated by commas, are
    a label each, to tag: their cells say with 1 or 0 whether it applies."""
    columns: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Columns that form a row of a table; several, separated by commas; unless given, all that say something of a row,
    without the label, groups and times."""
    task: Literal["classify", "tag", "extract", "generate", "regress", "detect", "cluster", "compress"] | None = None
    """What is asked: one label (classify), several labels (tag), entities in texts (extract), texts that a model writes
    (generate), numbers (regress), anomalies (detect), groups (cluster) or few bits (compress); classify, tag,
    extract, generate and regress are recognised unless given."""
    separator: Annotated[Annotated[str, Field(min_length=1, max_length=3)] | None, BeforeValidator(as_separator)] = None
    """What stands between the labels of a cell, to tag; recognised unless given."""
    empty: Empty | None = None
    """What an empty cell says, to tag: that none of the labels applies, or that nobody has labelled the row; none
    unless given, except beside empty lists."""
    anomalies: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Labels that are anomalies, to detect; all others are normal."""
    normal: Annotated[tuple[str, ...], BeforeValidator(as_names)] = ()
    """Labels that are normal, to detect; all others are anomalies."""
    instruction: str | None = None
    """What is asked of a language model, in words: put before every prompt."""
    group: str | None = None
    """Column whose equal values belong together (a person, a document) and are never split between train and test."""
    time: str | None = None
    """Column with the time of each row: numbers or ISO dates."""
    labels: Path | None = None
    """TOML file with a line per label, label = "what it means"; gives names to labels such as 0 and 1."""
