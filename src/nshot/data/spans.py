"""Entities in the ways that people keep them beside a text: where each begins and ends, and its label.

A cell holds a list: of objects with start, end and label under the names that annotation programs use, of triples, or,
beside a column of tokens, of tags such as ``B-person``. The end is exclusive, and both count characters (code points).
Entities of one text do not overlap: of those that do, the longest is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nshot.core import DataError, Span, Task, TaskKind, counted, listed, shortened
from nshot.data import conll, recognition
from nshot.data.options import ReadOptions

if TYPE_CHECKING:
    import pyarrow as pa

    from nshot.data.held import HeldTable

_SPAN_NAMES = ("entities", "spans", "ents", "annotations", "label", "labels", "ner", "ner_tags", "tags")
_TOKEN_NAMES = ("tokens", "words", "token", "text", "sentence")
_STARTS = ("start", "begin", "start_offset", "start_char", "start_index", "from")
_ENDS = ("end", "stop", "end_offset", "end_char", "end_index", "to")
_LABELS = ("label", "labels", "type", "tag", "entity", "entity_group", "entity_type", "category", "class")
_TEXTS = ("text", "word", "surface", "value", "entity_text")
_LISTS = ("entities", "spans", "ents", "result")
_LOOKED_AT = 100
_FEWEST_CUT = 3
"""Fewer entities that end one character before a word does may be a mistake each, and no way of counting."""
_SHOWN = 40
_EXPECTED = (
    'Expected a column with a list for each text, such as [{"start": 0, "end": 6, "label": "place"}] (the end is '
    "exclusive), or tokens and their tags in two columns, or a file with a token and its tag in each line."
)


@dataclass(frozen=True)
class SpanColumns:
    """Which columns hold texts and entities.

    Attributes:
        text: The texts, or the tokens.
        spans: The entities, or the tags of the tokens.
        has_tags: The entities are tags of tokens.
    """

    text: str
    spans: str
    has_tags: bool = False


@dataclass(frozen=True, eq=False)
class Marked:
    """What the entities of a file are.

    Attributes:
        targets: For each row its entities in order; None where nobody marked any or said that there is none.
        overlapping: How many were left out, because a longer one is at the same place.
    """

    targets: Sequence[tuple[Span, ...] | None]
    overlapping: int

    @property
    def count(self) -> int:
        """How many entities there are."""
        return sum(len(target or ()) for target in self.targets)


@dataclass(frozen=True)
class _Written:
    """An entity as it was written; `text`: what it says of itself, or None."""

    start: int
    end: int
    label: str
    text: str | None = None


class _Problem(Exception):
    """Why a cell holds no entities: the end of a sentence that begins with the row."""


def span_columns(table: HeldTable, options: ReadOptions, name: str) -> SpanColumns | None:
    """Return the columns of texts and entities, or None where there are none and nobody asked for them.

    Args:
        table: Columns as strings, lists and objects as JSON.
        options: What a person said of them.
        name: What messages call the file.

    Raises:
        DataError: Somebody asked for entities, and there are none; or their tags are numbers.
    """
    if options.task not in {None, "extract"} or options.columns:
        return None
    taken = {options.group, options.time, *options.text}
    free = [column for column in table if column not in taken] if options.label is None else [options.label]
    free.sort(key=lambda column: _rank(column, _SPAN_NAMES))
    looks = {column: [] if table.is_number(column) else _lists(table[column]) for column in table}
    for column in free:
        if _are_spans(looks[column]):
            text = _text_column(table, options, besides=column)
            if text is not None:
                return SpanColumns(text, column)
    tokens = sorted(options.text or looks, key=lambda column: _rank(column, _TOKEN_NAMES))
    for column in free:
        beside = next(
            (other for other in tokens if other != column and _are_tokens_of(looks[other], looks[column])), None
        )
        if beside is None:
            continue
        tags = [tag for cell in looks[column] for tag in cell]
        if all(isinstance(tag, str) and conll.is_tag(tag) for tag in tags):
            return SpanColumns(beside, column, has_tags=True)
        if all(isinstance(tag, int) for tag in tags) and (options.task or recognition.is_named(column, ("ner_tags",))):
            raise DataError(
                f"The column '{column}' of {name} holds numbers, and nothing says which tag each of them means. "
                "Expected tags such as B-person. Write their names into the file: the data set's card lists them in "
                "the order of the numbers."
            )
    if options.task == "extract":
        text = _text_column(table, options, besides=options.label or "")
        if options.label is not None and text is not None:
            return SpanColumns(text, options.label)  # what is wrong with its cells is said row by row
        raise DataError(f"No column of {name} holds entities. Found: {listed(tuple(table))}. {_EXPECTED}")
    return None


def marked(texts: Sequence[str], table: Mapping[str, pa.ChunkedArray], columns: SpanColumns, name: str) -> Marked:
    """Return the entities of a file.

    Args:
        texts: As `flat` has them.
        table: Columns as strings.
        columns: Which hold what.
        name: What messages call the file.

    Raises:
        DataError: A row's entities cannot be read, or lie outside of its text; the message names the row.
    """
    cells = table[columns.spans].to_pylist()
    tokens: Iterable[str | None] = table[columns.text].to_pylist() if columns.has_tags else [None] * len(cells)
    targets: list[tuple[Span, ...] | None] = []
    overlapping = cut = 0
    for row, (text, cell, own) in enumerate(zip(texts, cells, tokens, strict=True)):
        if cell is None or not cell.strip():
            targets.append(None)
            continue
        try:
            written = _of_tags(own, cell) if columns.has_tags else _read(cell)
            spans = [_checked(text, each) for each in written]
        except _Problem as problem:
            raise DataError(f"Row {row + 1:,} of {name} {problem}") from None
        cut += sum(_cuts_one_character(text, span) for span in spans)
        kept = _longest(spans)
        overlapping += len(set(spans)) - len(kept)
        targets.append(kept)
    found = Marked(targets, overlapping)
    if cut >= _FEWEST_CUT and 2 * cut > found.count:
        raise DataError(
            f"{cut:,} of the {counted(found.count, 'entity', 'entities')} of {name} (column '{columns.spans}') end one "
            "character before a word does: their ends seem to be the last character itself. Expected the position "
            "behind it: add 1 to each end."
        )
    return found


def task(found: Marked, name: str, column: str) -> Task:
    """Return what is asked of a training file.

    Raises:
        DataError: It has no entity.
    """
    labels = tuple(sorted({span.label for target in found.targets for span in target or ()}))
    if not labels:
        raise DataError(
            f"None of the {counted(len(found.targets), 'row')} of {name} has an entity (column '{column}'), so there "
            f"is nothing to learn from. {_EXPECTED} Another column is named by --label."
        )
    return Task(
        TaskKind.EXTRACT,
        labels,
        metric="entity_f1",
        unit="sentences",
        names_say_something=recognition.names_say_something(labels, {}),
    )


def flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts of a column, lists of tokens joined by one space; all other cells as they are."""
    import pyarrow as pa

    joined = [_joined(cell) for cell in column.to_pylist()]
    return pa.chunked_array([pa.array(joined, pa.string())])


def said(found: Marked, task: Task, columns: SpanColumns) -> str:
    """Return what was recognised, for people."""
    sentence = (
        f"{counted(found.count, 'entity', 'entities')} with {counted(len(task.labels), 'label')} "
        f'({listed(task.labels, 6)}) from "{columns.spans}"'
    )
    if found.overlapping:
        sentence += f" ({found.overlapping:,} that overlap a longer one left out)"
    return sentence


# --- columns ----------------------------------------------------------------------------------------------------------


def _rank(column: str, usual: Sequence[str]) -> int:
    name = "_".join(recognition.words_of(column))
    return usual.index(name) if name in usual else len(usual)


def _lists(column: pa.ChunkedArray) -> list[Any]:
    """Return the first filled cells of a column as the lists that they are; nothing where one is no list."""
    found = []
    for cell in column.slice(0, _LOOKED_AT).to_pylist():
        if cell is None or not cell.strip():
            continue
        value = _json(cell) if cell.lstrip()[:1] in "[{" else None
        value = _inner(value)
        if not isinstance(value, list):
            return []
        found.append(value)
    return found


def _are_spans(cells: Sequence[list[Any]]) -> bool:
    entries = [entry for cell in cells for entry in cell]
    try:
        return bool(entries) and all(_entry(entry) for entry in entries)
    except _Problem:
        return False


def _are_tokens_of(tokens: Sequence[list[Any]], tags: Sequence[list[Any]]) -> bool:
    if not tokens or [len(cell) for cell in tokens] != [len(cell) for cell in tags]:
        return False
    return all(isinstance(token, str) for cell in tokens for token in cell) and any(tokens)


def _text_column(table: Mapping[str, pa.ChunkedArray], options: ReadOptions, besides: str) -> str | None:
    """Return the column of the texts: the one that is called so, or the one with the longest cells."""
    if options.text:
        return options.text[0]
    free = [column for column in table if column not in {besides, options.group, options.time}]
    usual = [column for column in free if recognition.is_named(column, recognition.TEXT_NAMES)]
    looked_at = {column: table[column].slice(0, _LOOKED_AT).to_pylist() for column in usual or free}
    characters = {column: sum(len(cell or "") for cell in cells) for column, cells in looked_at.items()}
    return max(characters, key=lambda column: characters[column], default=None)


# --- cells ------------------------------------------------------------------------------------------------------------


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return None


def _inner(value: Any) -> Any:
    """Return the list that an object such as ``{"entities": [...]}`` is about."""
    if isinstance(value, dict):
        return next((value[name] for name in _LISTS if isinstance(value.get(name), list)), value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        inner = _inner(value[0])
        return inner if isinstance(inner, list) else value
    return value


def _joined(cell: str | None) -> str | None:
    if cell is None or not cell.startswith("["):
        return cell
    value = _json(cell)
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        return cell
    return " ".join(value)


def _read(cell: str) -> list[_Written]:
    value = _inner(_json(cell))
    if not isinstance(value, list):
        raise _Problem(f"has no list of entities. Found: {shortened(cell, _SHOWN)!r}. {_EXPECTED}")
    return [written for entry in value for written in _entry(entry)]


def _entry(entry: Any) -> list[_Written]:
    """Return an entity, or one for each of the labels that it has."""
    if isinstance(entry, list) and len(entry) >= 3:
        start, end, labels, text = entry[0], entry[1], entry[2], None
    elif isinstance(entry, dict):
        inner = entry.get("value")
        own = inner if isinstance(inner, dict) else entry
        start, end, labels = (_first(own, names) for names in (_STARTS, _ENDS, _LABELS))
        text = _first(own, _TEXTS)
    else:
        raise _Problem(f"has an entity that cannot be read: {shortened(json.dumps(entry), _SHOWN)}. {_EXPECTED}")
    labels = labels if isinstance(labels, list) else [labels]
    is_whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    if not is_whole or not labels or not all(isinstance(label, str) and label.strip() for label in labels):
        raise _Problem(
            f"has an entity without start, end or label: {shortened(json.dumps(entry, ensure_ascii=False), 80)}. "
            f"{_EXPECTED}"
        )
    return [_Written(start, end, label.strip(), text if isinstance(text, str) else None) for label in labels]


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _of_tags(tokens: str | None, tags: str) -> list[_Written]:
    left, right = _json(tokens or ""), _json(tags)
    if not isinstance(left, list) or not isinstance(right, list) or len(left) != len(right):
        raise _Problem("must have as many tags as tokens, in two lists.")
    wrong = next((tag for tag in right if not isinstance(tag, str) or not conll.is_tag(tag)), None)
    if wrong is not None:
        raise _Problem(f"has the tag {wrong!r}. Expected O, or B-, I-, E-, S-, L- or U- and a label, such as B-place.")
    return [_Written(*span) for span in conll.marked([str(token) for token in left], right)]


def _checked(text: str, written: _Written) -> Span:
    """Return an entity without blanks at its edges.

    Raises:
        _Problem: It is not in the text, or is another part of it than it says of itself.
    """
    start, end, label = written.start, written.end, written.label
    where = f"has an entity '{shortened(label, _SHOWN)}' from {start} to {end}"
    if not 0 <= start <= end <= len(text):
        raise _Problem(f"{where}, and its text has {len(text):,} characters. The end is exclusive.")
    if written.text is not None and text[start:end] != written.text:
        says = (
            f"{where}, which is {shortened(text[start:end], _SHOWN)!r}, and it says {shortened(written.text, _SHOWN)!r}"
        )
        if text[start : end + 1] == written.text:
            raise _Problem(f"{says}: its end is the last character itself. Expected the position behind it: add 1.")
        if text[start:end].strip() != written.text.strip():
            raise _Problem(
                f"{says}. Start and end count characters (code points) from 0, not bytes; the end is exclusive."
            )
    inside = text[start:end]
    if not inside.strip():
        raise _Problem(f"{where}, and there is nothing in between. The end is exclusive: behind the last character.")
    start += len(inside) - len(inside.lstrip())
    return Span(start, start + len(inside.strip()), label)


def _cuts_one_character(text: str, span: Span) -> bool:
    """Return whether a word goes on for exactly one more character behind the end."""
    end = span.end
    behind = text[end : end + 2]
    return text[end - 1].isalnum() and behind[:1].isalnum() and not behind[1:].isalnum()


def _longest(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return those that do not overlap a longer one, in order; of equally long ones the first."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span.start - span.end, span)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return tuple(sorted(kept))
