"""The record of a distillation in words and a table, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from nshot.report import wording
from nshot.report.console import say

_MOST_LABELS = 6
_HARDLY_FASTER = 0.9
"""A student that takes more than this share of the teacher's time is not worth having for its speed."""


def render(record: Mapping[str, Any], console: Console) -> None:
    """Print what a distillation found.

    Args:
        record: What ``nshot distill --json`` prints.
        console: Where to print.
    """
    for words in record["warnings"]:
        say(console, words, "bold yellow")
    console.print()
    console.print(_table(record))
    console.print()
    for words in record["found"]:
        say(console, words)
    if record["out"] is not None:
        say(console, f"Try it: nshot predict {record['out']} new.csv", one_line=True)


def warnings(record: Mapping[str, Any]) -> list[str]:
    """Return what makes the student worse, or the scores mean something else, than it seems."""
    found = []
    if record["n_learnt"] < record["few_rows"]:
        found.append(
            f"The student learnt from {wording.plural(record['n_learnt'], 'answer')} only. Give it more rows, a few "
            "thousand if you have them: they need no label."
        )
    if record["never_answered"]:
        named = wording.listed([f"'{label}'" for label in record["never_answered"]], _MOST_LABELS)
        found.append(
            f"The teacher gave no row the {'label' if len(record['never_answered']) == 1 else 'labels'} {named}: the "
            "student hardly knows what that is. Add rows like it, or tell people that the student does not answer it."
        )
    if record["trained_on"]:
        found.append(
            f"The teacher was trained on {record['data']} itself: both scores are better than they will be on new "
            "rows, and the teacher's most of all. Distil on other rows, which need no label."
        )
    if record["unknown_labels"]:
        named = wording.listed([f"'{label}'" for label in record["unknown_labels"]], _MOST_LABELS)
        found.append(f"The teacher does not know {named}: rows with these labels count as wrong for both.")
    return found


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what follows: what was learnt, how far the two agree, what it costs in score and saves in time."""
    agreed, learnt = record["agreement"], record["learnt"]
    how = "how sure the teacher is of each label" if learnt == "probabilities" else "the teacher's answers"
    macro = agreed["macro"]
    found = [
        f"The student learnt {how} on {wording.plural(record['n_learnt'], 'row')}; no label was looked at.",
        f"How far it agrees with the teacher on {wording.plural(record['n_held_out'], 'other row')}: "
        f"{wording.named_metric(agreed['metric'])} {_with_interval(agreed, agreed['metric'])}, the teacher's answers taken for the truth"
        + (f"; {wording.named_metric(macro['metric'])} {_with_interval(macro, macro['metric'])}" if macro else "")
        + ". Agreement is not accuracy: where the two differ, either may be right.",
    ]
    difference = record["difference"]
    if difference is not None:
        found.append(_compared(record))
    else:
        found.append(
            "Without labels nobody knows how often either is right. Label some rows that are not learnt from, and ask: "
            "nshot evaluate TEACHER STUDENT LABELLED."
        )
    return [*found, *_costs(record)]


def _compared(record: Mapping[str, Any]) -> str:
    metric, gained = wording.named_metric(record["metric"]), record["difference"]
    places = _places(record["metric"], record["original"]["score"])
    ends = "" if gained["interval"] is None else f" {wording.signed_interval(gained['interval'], places)}"
    told = {
        "original": "the student is worse",
        "student": "the student is better than its teacher",
        None: "these rows cannot tell the two apart",
    }[record["better"]]
    return (
        f"On {wording.plural(record['n_scored'], 'labelled row')} of them {metric} changes by "
        f"{wording.signed(gained['mean'], places)}{ends}: "
        f"{told}."
    )


def _costs(record: Mapping[str, Any]) -> list[str]:
    before, after = record["original"], record["student"]
    if before["milliseconds_alone"] is None or after["milliseconds_alone"] is None:
        return []
    alone = after["milliseconds_alone"] / before["milliseconds_alone"]
    together = after["milliseconds_per_example"] / before["milliseconds_per_example"]
    words = (
        f"The student takes {_share(alone)} of the teacher's time for one row alone, and {_share(together)} for many."
    )
    if min(alone, together) > _HARDLY_FASTER:
        words += " That is not faster: keep the teacher, or name a smaller student (docs/distill.md)."
    return [words]


def _share(value: float) -> str:
    return f"{value:.2g}" if value < 1 else f"{value:.1f}"


def _table(record: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    has_score = record["original"]["score"] is not None
    table.add_column("")
    if has_score:
        table.add_column(wording.named_metric(record["metric"]), no_wrap=True)
    for title in ("one alone", "of many", "to ship"):
        table.add_column(title, no_wrap=True)
    for name, key in (("teacher", "original"), ("student", "student")):
        entrant = record[key]
        table.add_row(
            f"{name}: {entrant['method']}",
            *([_with_interval(entrant, record["metric"])] if has_score else []),
            wording.milliseconds(entrant["milliseconds_alone"]),
            wording.milliseconds(entrant["milliseconds_per_example"]),
            wording.size(entrant["bytes"]),
        )
    return table


def _with_interval(found: Mapping[str, Any], metric: str) -> str:
    return wording.with_interval(found["score"], found["interval"], _places(metric, found["score"]))


def _places(metric: str, score: float) -> int:
    if wording.is_of_hundred(metric):
        return 1
    return wording.significant(score) if wording.in_units(metric) else 3
