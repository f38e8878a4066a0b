"""Texts in which the pick did not find all entities, with what was wanted and what was answered marked in them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nshot.report import wording
from nshot.report.pages import Section, template
from nshot.report.record import Record, Stretch

_MOST_SHOWN = 12


def sections(record: Record, *, texts: bool) -> list[Section]:
    """Return the part of the page, or nothing where no entities were looked for.

    Args:
        record: The record.
        texts: Whether examples may be shown.
    """
    found = record.details.entities
    if found.n_wrong is None:
        return []
    markup = template("entities.html.j2").render(
        said=_said(record), shown=found.texts[:_MOST_SHOWN] if texts else (), texts=texts, w=wording
    )
    return [Section("entities", "What it misses", Markup(markup))]  # noqa: S704 - a template that escapes


def markdown(record: Record, *, texts: bool) -> list[str]:
    """Return the same as Markdown, lines without a heading; what comes from the data is not escaped yet."""
    found = record.details.entities
    if found.n_wrong is None:
        return []
    lines = [_said(record)]
    for marked in found.texts[:_MOST_SHOWN] if texts else ():
        text = " ".join(part.text for part in marked.wanted)
        row = "" if marked.row is None else f"row {wording.count(marked.row)}: "
        lines += ["", f"{row}{text} (wanted: {_named(marked.wanted)}; answered: {_named(marked.answered)})"]
    return lines


def _said(record: Record) -> str:
    found = record.details.entities
    if not found.n_wrong:
        return "In every test text the pick found all entities, and nothing else."
    shown = "; some of them, drawn at random" if found.texts else ""
    return (
        f"In {wording.count(found.n_wrong)} of {wording.plural(found.n_test or 0, 'test text')} the pick missed an "
        f"entity, or answered something that is none{shown}."
    )


def _named(parts: Sequence[Stretch]) -> str:
    return ", ".join(f"{part.text} ({part.label})" for part in parts if part.label) or "none"
