"""The record of an evaluation in words and tables, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nshot.core import TaskKind
from nshot.report import regression, wording
from nshot.report.console import say, scores_table, text
from nshot.report.record import Within

_MOST_LABELS = 6
_MOST_CONFUSIONS = 4
_NOTHING = "-"
_LEGEND = (
    "recall: of the rows with the label, the share that was given it; "
    "precision: of the rows given it, the share that has it."
)

_LEGEND_OF_ENTITIES = (
    "recall: of the entities with the label, the share that was found, first and last character right; "
    "precision: of those answered with it, the share that is right."
)


def render(record: Mapping[str, Any], console: Console) -> None:
    """Print what an evaluation found.

    Args:
        record: What ``nshot evaluate --json`` prints.
        console: Where to print.
    """
    models = record["models"]
    for words in warnings(record):
        say(console, words, "bold yellow")
    say(console, rows(record))
    for position, model in enumerate(models):
        letter = f"{'AB'[position]}  " if len(models) > 1 else ""
        say(console, f"{letter}{model['name']}: {model['method']}, {fitted_on(model, record['task'])}", "bold")
    console.print()
    console.print(_scores(record))
    console.print()
    if len(models) == 1:
        _weaknesses(models[0], console, of_entities=record["task"] == TaskKind.EXTRACT)
    for words in sentences(record):
        say(console, words)


def rows(record: Mapping[str, Any]) -> str:
    """Return what was answered: ``test.csv: 500 rows, 482 counting near-duplicates once; 3 without a label left out``."""
    words = f"{record['data']}: {wording.plural(record['n'], 'row')}"
    if record["rows"] > record["n"]:
        words = f"{record['data']}: {wording.plural(record['n'], 'input')} with {wording.count(record['rows'])} answers"
    if record["independent"] < record["n"]:
        words += f", {wording.count(record['independent'])} if near-duplicates and groups count once"
    if record["unlabelled"]:
        words += f"; {wording.count(record['unlabelled'])} without a label left out"
    return words


def fitted_on(model: Mapping[str, Any], task: str) -> str:
    """Return ``fitted on 4,952 labels``."""
    n = model["n_labels"]
    return (
        f"fitted on {wording.count(n)} {wording.counted(task, n)}" if n else f"fitted without {wording.counted(task)}"
    )


def warnings(record: Mapping[str, Any]) -> list[str]:
    """Return what makes the scores mean something else than they seem to."""
    found = []
    for model in record["models"]:
        if model["trained_on"]:
            found.append(
                f"{model['name']} was fitted on these very rows: its scores here say nothing about new ones. "
                "Evaluate it on rows that it has not seen."
            )
        unknown: Mapping[str, int] = model["unknown_labels"]
        if unknown:
            named = wording.listed([f"'{label}' ({wording.plural(n, 'row')})" for label, n in unknown.items()], 6)
            is_one = len(unknown) == 1
            found.append(
                f"{model['name']} does not know the {'label' if is_one else 'labels'} {named}: "
                "these rows count as wrong."
            )
    return found


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what follows: which model is better, whether each keeps its promise, what is not covered."""
    found = [comparison(record)] if "difference" in record else []
    found += later(record) if "against" in record else []
    for model in record["models"]:
        found += [words for words in (promise(model, several=len(record["models"]) > 1), absent(model)) if words]
        whose = f"{model['name']}: " if len(record["models"]) > 1 else ""
        near = regression.how_near([Within(**one) for one in model["within"]])
        found += [f"{whose}{' '.join(near)}"] if near else []
        lacking = "saying how likely a text is," if record["task"] == TaskKind.GENERATE else "probabilities"
        refused = {name: reason for name, reason in model["left_out"].items() if not reason.startswith(f"{name} needs")}
        incapable = [name for name in model["left_out"] if name not in refused]
        if incapable:
            names = wording.listed([wording.named_metric(name) for name in incapable])
            found.append(f"Without {lacking} {model['name']} has no {names}.")
        for reason in dict.fromkeys(refused.values()):
            names = wording.listed([wording.named_metric(name) for name in refused if refused[name] == reason])
            found.append(f"{model['name']} has no {names}: {reason}")
    return found


def comparison(record: Mapping[str, Any]) -> str:
    """Return which of two models is better and by how much, or that these rows cannot tell."""
    found, smallest = record["difference"][record["metric"]], record["smallest_detectable_difference"]
    scale = _scale(record, record["metric"])
    places = _places(found["interval"]) if scale is None else wording.significant(scale)
    right = ""
    if record["only_first_right"] is not None:
        right = (
            f" Only A is right on {wording.plural(record['only_first_right'], 'row')}, "
            f"only B on {wording.count(record['only_second_right'])}."
        )
    return wording.comparison(
        record["metric"],
        record["better"],
        [model["name"] for model in record["models"]],
        _signed(found, scale),
        "" if smallest is None else wording.score(smallest, places),
        "rows",
        right,
    )


def later(record: Mapping[str, Any]) -> list[str]:
    """Return whether the model changed since the earlier rows, by how much, and on which labels."""
    before, name = record["against"], record["metric"]
    change, then, now = before["difference"].get(name), before["metrics"].get(name), record["metrics"].get(name)
    if change is None:
        return []
    scale = _scale(record, name)
    places = _places(change["interval"]) if scale is None else wording.significant(scale)
    ending = {
        "worse": "the model got worse",
        "better": "the model does better",
        None: "no change is shown, as far as these rows can tell",
    }[before["changed"]]
    told = [
        f"On the {wording.plural(before['n'], 'row')} of {before['data']} it has {wording.named_metric(name)} "
        f"{_with_interval(then, places)}, on these {_with_interval(now, places)} ({_signed(change, scale)}): {ending}."
    ]
    if before["trained_on"]:
        told.append(f"It was fitted on the rows of {before['data']}, so that its score there says too much.")
    for words, labels in (
        ("fell", [one for one in before["labels"] if one["difference"]["mean"] < 0]),
        ("rose", [one for one in before["labels"] if one["difference"]["mean"] > 0]),
    ):
        named = [
            f"'{one['label']}' ({wording.score(one['earlier']['score'])} to {wording.score(one['later']['score'])}, "
            f"{_signed(one['difference'])})"
            for one in labels
        ]
        if named:
            told.append(f"The recall {words} of {wording.listed(named, _MOST_LABELS)}.")
    return told


def promise(model: Mapping[str, Any], *, several: bool = False) -> str:
    """Return whether the score is the one that came with the model, or nothing where none did."""
    made = model["promise"]
    if made is None:
        return ""
    here = model["metrics"][made["metric"]]
    difference = made["difference"]
    scale = made["score"] if wording.in_units(made["metric"]) else None
    places = _places(difference["interval"]) if scale is None else wording.significant(scale)
    by = _signed(difference, scale)
    ending = {
        "worse": f"worse than promised ({by}). The rows may differ from those it was fitted on",
        "better": f"better than promised ({by})",
        "as promised": f"no different from what was promised, as far as these rows can tell ({by})",
    }[made["kept"]]
    who = f"{model['name']} promised" if several else "The model promised"
    return (
        f"{who} {wording.named_metric(made['metric'])} {_with_interval(made, places)}; "
        f"on these rows it has {_with_interval(here, places)}: {ending}."
    )


def absent(model: Mapping[str, Any]) -> str:
    """Return that some of the model's labels were not tested, or nothing."""
    names = model["absent_labels"]
    if not names:
        return ""
    listed = wording.listed([f"'{name}'" for name in names], _MOST_LABELS)
    return f"No row has the {'label' if len(names) == 1 else 'labels'} {listed}, so nothing is said about {model['name']} there."


def _scores(record: Mapping[str, Any]) -> Table:
    models = record["models"]
    table = scores_table(len(models))
    for name in dict.fromkeys(name for model in models for name in model["metrics"]):
        cells = [_with_interval(model["metrics"].get(name), metric=name) for model in models]
        if len(models) > 1:
            found = record["difference"].get(name)
            cells.append(_signed(found, _scale(record, name)) if found else _NOTHING)
        style = "bold" if name == record["metric"] else ""
        table.add_row(wording.named_metric(name), *cells, style=style)
    return table


def _weaknesses(model: Mapping[str, Any], console: Console, *, of_entities: bool) -> None:
    """Print the labels that fare worst, and what is most often taken for what."""
    labels = model["labels"]
    shown = labels[:_MOST_LABELS]
    if any(not found["recall"] or found["recall"]["score"] < 1 for found in shown):
        title = "Label" if len(labels) <= _MOST_LABELS else f"Weakest labels of {len(labels):,}"
        table = Table(box=None, pad_edge=False)
        for i, name in enumerate((title, "entities" if of_entities else "rows", "recall", "answered", "precision")):
            table.add_column(name, justify="right" if i in {1, 3} else "left", no_wrap=i > 0, overflow="ellipsis")
        for found in shown:
            recall, precision = (_with_interval(found[name]) for name in ("recall", "precision"))
            counts = wording.count(found["rows"]), wording.count(found["answers"])
            table.add_row(text(found["label"], console), counts[0], recall, counts[1], precision)
        console.print(table)
        say(console, _LEGEND_OF_ENTITIES if of_entities else _LEGEND, "dim")
    confused = [
        f"'{found['label']}' as '{found['answer']}' ({wording.plural(found['rows'], 'row')})"
        for found in model["confusions"][:_MOST_CONFUSIONS]
    ]
    if confused:
        say(console, f"Most often mistaken: {', '.join(confused)}.")


def _with_interval(found: Mapping[str, Any] | None, places: int | None = None, metric: str = "") -> str:
    if found is None:
        return _NOTHING
    if places is None:
        places = wording.significant(found["score"]) if wording.in_units(metric) else _places(found["interval"])
    if found["interval"] is None:
        return f"{wording.score(found['score'], places)} (no interval)"
    return wording.with_interval(found["score"], _pair(found["interval"]), places)


def _scale(record: Mapping[str, Any], metric: str) -> float | None:
    """Return a score that says how many digits differences deserve, where that depends on the unit of the target."""
    if not wording.in_units(metric):
        return None
    score: float | None = record["models"][0]["metrics"][metric]["score"]
    return score


def _signed(found: Mapping[str, Any], scale: float | None = None) -> str:
    """Return a difference with its interval.

    Args:
        found: The difference.
        scale: What has three significant digits, as in `_scale`; None: the interval decides.
    """
    places = _places(found["interval"]) if scale is None else wording.significant(scale)
    return (
        f"{wording.signed(found['mean'], places)} {wording.signed_interval(_pair(found['interval']), places)}".rstrip()
    )


def _pair(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


def _places(interval: Sequence[float] | None) -> int:
    """Return how many decimals a number deserves: two, or three where its interval is narrow."""
    return 3 if interval is not None and interval[1] - interval[0] < 0.025 else 2
