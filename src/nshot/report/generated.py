"""Texts that candidates wrote, beside what was wanted, for reading: what to show, and which words to mark.

The marks compare words, not meanings: they show a reader where to look.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nshot.report import wording
from nshot.report.record import Answer, Forgotten, Record, Written

MOST_ROWS = 40
MOST_CANDIDATES = 16
_MOST_REFERENCES = 5
_MOST_MISSING = 8
_LONGEST_INPUT = 1_000
_LONGEST_ANSWER = 1_500
_LONGEST_REFERENCE = 700
_SHORTEST_SHARED = 40
_FEWEST_SHARING = 3

WHY = {
    "random": ("At random", "Drawn at random: what to expect."),
    "worst": ("The pick's worst", "Its lowest scores among all single answers."),
    "median": ("In the middle", "Its middle scores among all single answers."),
    "best": ("The pick's best", "Its highest scores among all single answers."),
}
"""Heading and explanation of each reason to show a row, in the order in which they are shown."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
"""A word; where words are not set apart, a character."""


@dataclass(frozen=True)
class Piece:
    """A stretch of an answer; `is_new` if its words stand in no reference."""

    text: str
    is_new: bool


@dataclass(frozen=True)
class Shown:
    """What one candidate wrote.

    Attributes:
        candidate: Its name.
        text: The answer, cut to what one reads; None where texts are left out.
        pieces: The same, with what stands in no reference set apart.
        missing: Words that at least half of the references have and the whole answer lacks.
        n_more_missing: How many more there are.
        score: Of this answer alone, in words; empty where there is none.
        is_cut: Whether it was ended at the longest length.
    """

    candidate: str
    text: str | None
    pieces: tuple[Piece, ...]
    missing: tuple[str, ...]
    n_more_missing: int
    score: str
    is_cut: bool


@dataclass(frozen=True)
class Row:
    """A test input with what was wanted and what was written.

    Attributes:
        row: Its number in the data, or None.
        input: What was asked, without the beginning that all inputs share.
        references: The first accepted answers, cut to what one reads.
        n_more_references: How many more there are.
        answers: The candidates' answers, in the order of the leaderboard.
    """

    row: int | None
    input: str
    references: tuple[str, ...]
    n_more_references: int
    answers: tuple[Shown, ...]


@dataclass(frozen=True)
class Group:
    """Rows that are shown for one reason."""

    title: str
    explanation: str
    rows: tuple[Row, ...]


def candidates(record: Record) -> tuple[str, ...]:
    """Return the candidates whose answers there are, in the order of the leaderboard."""
    order = {entry.candidate: i for i, entry in enumerate(record.entries)}
    named = dict.fromkeys(
        [*record.details.texts.candidates, *(name for row in record.details.texts.rows for name in row.answers)]
    )
    return tuple(sorted(named, key=lambda name: order.get(name, len(order))))[:MOST_CANDIDATES]


def chosen(record: Record) -> tuple[str, ...]:
    """Return whose answers are shown until a reader chooses: the pick, and the model as it is or else the next."""
    names = candidates(record)
    untouched = {entry.candidate for entry in record.entries if wording.as_it_is(entry)}
    return (*names[:1], *([name for name in names[1:] if name in untouched] or names[1:])[:1])


def has_texts(record: Record) -> bool:
    """Return whether the record holds any text that was written."""
    return any(answer.text is not None for row in record.details.texts.rows for answer in row.answers.values())


def shared_beginning(record: Record) -> str:
    """Return how all inputs begin, such as an instruction; empty where that is short or there are few inputs."""
    inputs = [row.input for row in record.details.texts.rows if row.input]
    if len(inputs) < _FEWEST_SHARING:
        return ""
    first, last = min(inputs), max(inputs)
    n = next((i for i, letter in enumerate(first) if last[i : i + 1] != letter), len(first))
    prefix = first[:n]
    end = max(prefix.rfind("\n"), prefix.rfind(" ")) + 1
    return prefix[:end].rstrip() if end >= _SHORTEST_SHARED else ""


def groups(record: Record) -> list[Group]:
    """Return the rows to read, by why they are shown."""
    names, beginning = candidates(record), shared_beginning(record)
    rows: dict[str, list[Row]] = {}
    for written in record.details.texts.rows[:MOST_ROWS]:
        rows.setdefault(written.why, []).append(_row(record, written, names, beginning))
    order = [*(why for why in WHY if why in rows), *(why for why in rows if why not in WHY)]
    return [Group(*WHY.get(why, (why or "Answers", "")), tuple(rows[why])) for why in order]


def telling(record: Record, most: int) -> list[tuple[str, Row]]:
    """Return the first row of each reason, with its heading, at most so many."""
    return [(group.title, group.rows[0]) for group in groups(record) if group.rows][:most]


def score_name(record: Record) -> str:
    """Return what single answers are scored by."""
    return wording.named_metric(record.details.texts.metric) if record.details.texts.metric else "score"


def forgetting_sentence(record: Record) -> str:
    """Return what training did to other answers: of the pick, or of the candidate that it changed most."""
    known = [one for one in record.details.forgetting if _change(one) is not None]
    if not known:
        return ""
    pick = record.verdict.pick
    own = [one for one in known if pick and one.candidate == pick.candidate]
    told = own[0] if own else max(known, key=lambda one: abs(_change(one) or 0.0))
    change = _change(told) or 0.0
    by = f"{wording.signed(change, 2)} {wording.signed_interval(told.interval, 2)}".rstrip()
    unit = f" {told.unit}" if told.unit else ""
    name = record.short(told.candidate)
    on = f" on {told.text}" if told.text else " on other texts"
    if told.interval is not None and told.interval[0] <= 0 <= told.interval[1]:
        return f"{name} is not shown to have forgotten anything{on}: {by}{unit} against the model as it is."
    verb = "has become worse" if change > 0 else "has not become worse, but better,"
    return f"{name} {verb}{on}: {by}{unit} against the model as it is."


def change(found: Forgotten) -> tuple[str, str]:
    """Return how much more it takes after training, and both ends of that."""
    return wording.signed(_change(found), 2), wording.signed_interval(found.interval, 2)


def _change(found: Forgotten) -> float | None:
    if found.change is not None:
        return found.change
    return None if found.before is None or found.after is None else found.after - found.before


def _row(record: Record, written: Written, names: Sequence[str], beginning: str) -> Row:
    known = [frozenset(_words(reference)) for reference in written.references]
    wanted = _wanted(written.references)
    shown = tuple(_cut(reference, _LONGEST_REFERENCE) for reference in written.references[:_MOST_REFERENCES])
    return Row(
        row=written.row,
        input=_both_ends(written.input[len(beginning) :].lstrip(), _LONGEST_INPUT),
        references=shown,
        n_more_references=len(written.references) - len(shown),
        answers=tuple(
            _shown(record, name, written.answers[name], frozenset().union(*known), wanted)
            for name in names
            if name in written.answers
        ),
    )


def _shown(record: Record, name: str, answer: Answer, known: frozenset[str], wanted: Sequence[str]) -> Shown:
    metric = record.details.texts.metric
    places = 1 if wording.is_of_hundred(metric) else 2
    said = set(_words(answer.text or ""))
    missing = [word for word in wanted if word.casefold() not in said] if said else []
    text = None if answer.text is None else _cut(answer.text, _LONGEST_ANSWER)
    return Shown(
        candidate=name,
        text=text,
        pieces=_pieces(text or "", known) if known else (Piece(text or "", is_new=False),),
        missing=tuple(missing[:_MOST_MISSING]),
        n_more_missing=max(0, len(missing) - _MOST_MISSING),
        score="" if answer.score is None else wording.score(answer.score, places),
        is_cut=not answer.stopped,
    )


def _words(text: str) -> Iterable[str]:
    return (found[0].casefold() for found in _WORD.finditer(text))


def _wanted(references: Sequence[str]) -> list[str]:
    """Return the words that at least half of the references have, as the references write them, in their order.

    Words of one or two letters say little, and are left out; numbers are not.
    """
    counts: Counter[str] = Counter()
    spelled: dict[str, str] = {}
    for reference in references:
        found = {word[0].casefold(): word[0] for word in _WORD.finditer(reference)}
        counts.update(found.keys())
        for key, word in found.items():
            spelled.setdefault(key, word)
    long = [key for key in spelled if len(key) > 2 or any(letter.isdigit() for letter in key)]
    return [spelled[key] for key in long if 2 * counts[key] >= len(references)]


def _pieces(text: str, known: frozenset[str]) -> tuple[Piece, ...]:
    """Return the text in stretches; new words that follow each other are one, with what stands between them."""
    pieces: list[Piece] = []
    done, begin, end = 0, 0, 0
    for word in _WORD.finditer(text):
        if word[0].casefold() not in known:
            begin = begin if end else word.start()
            end = word.end()
        elif end:
            pieces += [Piece(text[done:begin], is_new=False), Piece(text[begin:end], is_new=True)]
            done, end = end, 0
    if end:
        pieces += [Piece(text[done:begin], is_new=False), Piece(text[begin:end], is_new=True)]
        done = end
    pieces.append(Piece(text[done:], is_new=False))
    return tuple(piece for piece in pieces if piece.text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest].rstrip().rstrip("…") + "…"


def _both_ends(text: str, longest: int) -> str:
    """Return a text with its middle left out: what is asked often stands at the end of it."""
    if len(text) <= longest:
        return text
    begin, end = text[: longest // 3], text[-(longest - longest // 3) :]
    whole_words = re.sub(r"\A\S{0,30}\s+", "", end)
    return f"{begin.rstrip()}\n…\n{whole_words}"
