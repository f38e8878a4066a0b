"""Texts with marked entities, a token per line: the token first, its tag last, an empty line between two sentences.

Source: Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419, section 2; the ways to write tags are
those of Ramshaw and Marcus 1995 (IOB1), and their later variants IOB2, BIOES and BILOU. One reading does for all of
them: a B, S or U begins an entity, and so does anything that has no entity of its label before it; E, L, S and U end
one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nshot.core import DataError, Span, shortened

TEXT, ENTITIES, DOCUMENT = "text", "entities", "document"
"""The columns of what is read: the tokens joined by one space, the entities as JSON, and the number of the document."""

_TAG = re.compile(r"O|[BIESLU](?:-\S+)?")
_NEW_DOCUMENT = "-DOCSTART-"
_UNNAMED = "entity"
_LINE_END = re.compile(r"\r\n|\r|\n")
_FEWEST_TOKENS = 3
_LOOKED_AT = 2000


def is_tag(value: str) -> bool:
    """Return whether a value is how entities are marked on tokens, such as ``O``, ``B-person`` or ``I-person``."""
    return _TAG.fullmatch(value) is not None


def is_conll(start: str) -> bool:
    """Return whether a file that begins so has a token per line and its tag at the end of the line."""
    lines = _LINE_END.split(start)
    # The last one may be cut.
    lines = lines[:-1][:_LOOKED_AT] if len(lines) > 1 else lines
    tokens = [_fields(line) for line in lines if line.strip() and not _is_aside(line)]
    if len(tokens) < _FEWEST_TOKENS or any(len(fields) < 2 or not is_tag(fields[-1]) for fields in tokens):
        return False
    return any(fields[-1] != "O" for fields in tokens) or any(not line.strip() for line in lines[:-1])


def has_documents(start: str) -> bool:
    """Return whether a file that begins so says where documents begin."""
    return _NEW_DOCUMENT in start


def sentences(lines: Iterable[str], name: str, *, with_documents: bool, rows: int) -> Iterator[dict[str, list[str]]]:
    """Yield the sentences of a file as columns, about `rows` of them at a time.

    Args:
        lines: Of the file, without their ends.
        name: What messages call the file.
        with_documents: Give each sentence the number of its document.
        rows: Most sentences at a time.

    Raises:
        DataError: A line has no tag.
    """
    sentence, document = _Sentence(), 0
    names = (TEXT, ENTITIES, DOCUMENT) if with_documents else (TEXT, ENTITIES)
    columns = {name: list[str]() for name in names}

    def close() -> None:
        if sentence.tokens:
            columns[TEXT].append(" ".join(sentence.tokens))
            spans = [span._asdict() for span in marked(sentence.tokens, sentence.tags)]
            columns[ENTITIES].append(json.dumps(spans, ensure_ascii=False))
            if with_documents:
                columns[DOCUMENT].append(str(document))
        sentence.clear()

    for number, line in enumerate(lines, start=1):
        if line.startswith(_NEW_DOCUMENT):
            close()
            document += 1
        elif not line.strip():
            close()
        elif not _is_aside(line):
            fields = _fields(line)
            if len(fields) < 2 or not is_tag(fields[-1]):
                raise DataError(
                    f"Line {number:,} of {name} must be a token and its tag, such as 'Berlin B-place', or be empty "
                    f"between two sentences. Found: {shortened(line, 60)!r}."
                )
            # CoNLL-U and its like number the tokens of a sentence first.
            is_numbered = len(fields) > 2 and fields[0] == str(len(sentence.tokens) + 1)
            sentence.tokens.append(fields[1] if is_numbered else fields[0])
            sentence.tags.append(fields[-1])
        if len(columns[TEXT]) >= rows:
            yield columns
            columns = {column: list[str]() for column in names}
    close()
    if columns[TEXT]:
        yield columns


def marked(tokens: Sequence[str], tags: Sequence[str]) -> list[Span]:
    """Return the entities that tags mark in the tokens joined by one space.

    Args:
        tokens: n tokens.
        tags: n tags, see `is_tag`.
    """
    found: list[Span] = []
    goes_on, at = False, 0
    for token, tag in zip(tokens, tags, strict=True):
        kind, _, label = tag.partition("-")
        label = label or _UNNAMED
        if kind != "O":
            if kind in "IEL" and goes_on and found[-1].label == label:
                found[-1] = found[-1]._replace(end=at + len(token))
            else:
                found.append(Span(at, at + len(token), label))
        goes_on = kind in ("B", "I")
        at += len(token) + 1
    return found


@dataclass
class _Sentence:
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Begin anew."""
        self.tokens, self.tags = [], []


def _fields(line: str) -> list[str]:
    """Return the cells of a line; where it has a tabulator, cells may hold spaces, and those become one token."""
    if "\t" not in line:
        return line.split()
    return [cell.strip() or cell for cell in line.strip("\r\n").split("\t") if cell]


def _is_aside(line: str) -> bool:
    """Return whether a line is no token: the beginning of a document, or a remark such as ``# sent_id = 1``."""
    if not line.startswith("#"):
        return line.startswith(_NEW_DOCUMENT)
    fields = _fields(line)
    return len(fields) < 2 or not is_tag(fields[-1])
