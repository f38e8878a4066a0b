"""What the candidates cost, as one table: the same columns in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nshot.report import wording
from nshot.report.record import BreakEven, Entry, Record

REMOTE_HEAD = ("requests", "answers from the record", "tokens sent", "tokens received", "money")


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: Its head.
        values: What the rows are sorted by.
        cells: What is shown.
        ends: Both ends of it, or nothing.
        is_brief: Whether there is room for it on a terminal.
    """

    title: str
    values: tuple[float | None, ...]
    cells: tuple[str, ...]
    ends: tuple[str, ...]
    is_brief: bool

    @property
    def lines(self) -> tuple[str, ...]:
        """What is shown, with its ends."""
        return tuple(f"{cell} {ends}".rstrip() for cell, ends in zip(self.cells, self.ends, strict=True))


@dataclass(frozen=True)
class _Kind:
    title: str
    value: Callable[[Entry], float | None]
    shown: Callable[[Entry], str]
    is_brief: bool = True
    ends: Callable[[Entry], str] = lambda _: ""


def columns(entries: Sequence[Entry]) -> list[Column]:
    """Return the columns that are known for at least one of the candidates."""
    kinds = (
        _Kind("fit", lambda e: e.fit_seconds, wording.fit_time, is_brief=False),
        _Kind("one alone", lambda e: e.milliseconds_alone, lambda e: wording.milliseconds(e.milliseconds_alone)),
        _Kind(
            "95 % within",
            lambda e: e.milliseconds_alone_p95,
            lambda e: wording.milliseconds(e.milliseconds_alone_p95),
            is_brief=False,
        ),
        _Kind("a second", lambda e: e.examples_per_second, lambda e: wording.per_second(e.examples_per_second)),
        _Kind("at once", lambda e: e.best_batch, lambda e: wording.count(e.best_batch), is_brief=False),
        _Kind("memory", lambda e: e.peak_memory_bytes, lambda e: wording.size(e.peak_memory_bytes)),
        _Kind("own size", lambda e: e.artefact_bytes, lambda e: wording.size(e.artefact_bytes), is_brief=False),
        _Kind("to ship", lambda e: e.shipped_bytes, lambda e: wording.size(e.shipped_bytes)),
        _Kind("tokens", lambda e: e.tokens_per_example, lambda e: wording.score(e.tokens_per_example), is_brief=False),
        _Kind("set-up", lambda e: e.money, lambda e: wording.money(e.money)),
        _Kind(
            "a month",
            lambda e: e.money_per_month.money,
            lambda e: wording.money(e.money_per_month.money),
            ends=lambda e: wording.money_interval(e.money_per_month.interval),
        ),
    )
    found = [
        Column(
            kind.title,
            values=tuple(map(kind.value, entries)),
            cells=tuple(map(kind.shown, entries)),
            ends=tuple(map(kind.ends, entries)),
            is_brief=kind.is_brief,
        )
        for kind in kinds
    ]
    return [column for column in found if any(value is not None for value in column.values)]


def notes(record: Record) -> list[str]:
    """Return what the columns mean."""
    entries, unit = record.entries, wording.unit(record, 1)
    said = []
    if any(entry.examples_per_second is not None for entry in entries):
        said.append(
            f"One alone: the median time for one {unit} at a time. A second: how many {wording.unit(record)} are "
            "answered when many are handed over at once. Both count from the raw "
            f"{unit} to the answer, with nothing cached."
        )
    if any(entry.peak_memory_bytes is not None for entry in entries):
        said.append(
            "Memory: the most that the whole process took while the candidate was fitted and tested, with the "
            "libraries and what other candidates had loaded; a process that only answers needs less."
        )
    if any(entry.shipped_bytes is not None for entry in entries):
        said.append("To ship: what the candidate keeps, and the files of the pre-trained model it stands on.")
    prices = record.verdict.prices
    if prices is not None and any(entry.money_per_month.money is not None for entry in entries):
        mistakes = ", mistakes included, with the 95 % interval of how many there are" if prices.per_mistake else ""
        said.append(
            f"Set-up: {wording.label(record)} and one fit. A month: {wording.count(prices.predictions_per_month)} predictions and "
            f"1/{wording.count(prices.set_up_months)} of the set-up{mistakes}. What has no price counts nothing."
        )
    return said


def remote(record: Record) -> list[tuple[str, list[str]]]:
    """Return what was asked of each model elsewhere, as the cells of `REMOTE_HEAD`."""
    return [
        (
            name,
            [
                wording.count(use.requests),
                wording.count(use.from_record),
                wording.count(use.tokens_in),
                wording.count(use.tokens_out),
                wording.money(use.money),
            ],
        )
        for name, use in record.details.remote.items()
    ]


def break_evens(record: Record) -> list[tuple[str, str, str]]:
    """Return who is dearer to set up, who is cheaper, and from how many predictions a month the dearer one pays."""
    found = record.verdict.break_even
    return [(record.short(one.after), record.short(one.before), _from(one)) for one in found if one.after]


def _from(crossing: BreakEven) -> str:
    if crossing.outcome == "from":
        n, reach = crossing.predictions_per_month, wording.count_interval(crossing.interval)
        return f"{wording.count(n)} {reach}".rstrip()
    return crossing.outcome
