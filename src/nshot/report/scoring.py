"""The record of scored outputs in words and a table, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nshot.report import wording
from nshot.report.console import say, scores_table


def render(record: Mapping[str, Any], console: Console) -> None:
    """Print what was found.

    Args:
        record: What ``nshot score --json`` prints.
        console: Where to print.
    """
    say(console, rows(record))
    systems = record["systems"]
    if len(systems) > 1:
        for letter, system in zip("AB", systems, strict=True):
            say(console, f"{letter}  {system['name']}", "bold")
    console.print()
    console.print(_table(record))
    console.print()
    for words in sentences(record):
        say(console, words)
    for words in record["notes"]:
        say(console, words, "yellow")
    for words in signatures(record):
        say(console, words, "dim", one_line=True)


def rows(record: Mapping[str, Any]) -> str:
    """Return what was scored: ``outputs.txt against test.csv: 1,847 outputs, 4,693 references``."""
    who = record["systems"][0]["name"] if len(record["systems"]) == 1 else "Two systems"
    words = (
        f"{who} against {record['references']}: {wording.plural(record['n'], 'output')}, "
        f"{wording.plural(record['n_references'], 'reference')}"
    )
    if record["independent"] < record["n"]:
        words += f", {wording.count(record['independent'])} if a group counts once"
    return words


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return which system is better, or that these inputs cannot tell, and what the judge said."""
    found = [comparison(record)] if "difference" in record else []
    return found + (judged(record["judge"]) if "judge" in record else [])


def comparison(record: Mapping[str, Any]) -> str:
    """Return which of two systems is better and by how much, or that these inputs cannot tell."""
    name, smallest = record["metric"], record["smallest_detectable_difference"]
    return wording.comparison(
        record["metric"],
        record["better"],
        [system["name"] for system in record["systems"]],
        _signed(name, record["difference"][name]),
        "" if smallest is None else _number(name, smallest),
        "inputs",
    )


def judged(record: Mapping[str, Any]) -> list[str]:
    """Return what the judge said, and how much of it can be trusted."""
    rate = record["win_rate"]
    ends = rate["interval"]
    shown = f"{wording.percent(rate['score'])}"
    if ends is not None:
        shown += f" [{wording.percent(ends[0])}, {wording.percent(ends[1])}]"
    words = (
        f"The judge {record['model']} prefers {record['candidate']} to {record['against']} in {shown} of "
        f"{wording.plural(record['n'] - record['unclear'], 'pair')}, a tie counting one half: "
        f"{wording.count(record['won'])} won, {wording.count(record['lost'])} lost, "
        f"{wording.count(record['tied'])} tied."
    )
    if record["better"] is None:
        words += " That shows neither to be better."
    found = [words]
    if record["by_place"]:
        found.append(
            f"In {wording.plural(record['by_place'], 'pair')} it chose by the place that an answer stood in, not by what "
            "it says, which counts as a tie."
        )
    if record["same"]:
        found.append(f"{wording.plural(record['same'], 'pair')} had the same text twice: a tie.")
    if record["unclear"]:
        found.append(
            f"Left out: {wording.plural(record['unclear'], 'pair')}, because the judge gave no verdict. It said, for one of "
            f"them: '{record['example']}'."
        )
    return found


def signatures(record: Mapping[str, Any]) -> list[str]:
    """Return what each score was computed with, in full: ``bleu|nrefs:1|...``."""
    return [
        signature if signature.startswith(name) else f"{name}|{signature}"
        for name, signature in ((name, found["signature"]) for name, found in record["metrics"].items())
    ]


def _table(record: Mapping[str, Any]) -> Table:
    systems = record["systems"]
    table = scores_table(len(systems))
    for name in record["metrics"]:
        cells = [_with_interval(name, system["metrics"][name]) for system in systems]
        if len(systems) > 1:
            cells.append(_signed(name, record["difference"][name]))
        table.add_row(wording.named_metric(name), *cells, style="bold" if name == record["metric"] else "")
    return table


def _number(name: str, value: float | None) -> str:
    if value is None:
        return wording.NOTHING
    # Of a hundred two decimals, as the programs print them that these metrics come from.
    return f"{value:.2f}" if wording.is_of_hundred(name) or abs(value) >= 10 else f"{value:.3f}"


def _with_interval(name: str, found: Mapping[str, Any]) -> str:
    return f"{_number(name, found['score'])} {_interval([_number(name, end) for end in found['interval'] or ()])}"


def _signed(name: str, found: Mapping[str, Any]) -> str:
    ends = [_plus(name, end) for end in found["interval"] or ()]
    return f"{_plus(name, found['mean'])} {_interval(ends)}"


def _interval(ends: Sequence[str]) -> str:
    return f"[{', '.join(ends)}]" if ends else "(no interval)"


def _plus(name: str, value: float | None) -> str:
    text = _number(name, value)
    if not text.strip("-0."):
        return text.removeprefix("-")
    return text if value is None or text.startswith("-") else f"+{text}"
