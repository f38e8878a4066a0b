"""What an exploration found: as one HTML file, and in words for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nshot.report import wording
from nshot.report.console import say, text
from nshot.report.drawing import Drawing, Scale
from nshot.report.pages import content_policy, own_file, template
from nshot.report.record import printable

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

_COLOURS = 10
_SHAPES = ("circle", "square", "diamond", "up", "down", "cross")
_WIDTH, _HEIGHT, _EDGE = 900, 560, 14
_MOST_SHOWN = 50
_MOST_PICTURES, _PICTURE = 500, 34
_COMPARED_BY = {"table": "their columns", "pixels": "their pixels"}
_NOUNS = {"text": "text", "image": "image"}
_LONGEST = 300
_TYPICAL_SAID = 2
_LONGEST_TYPICAL = 100
_WITHOUT_WORDS = {
    "image": "see the report for its typical images",
    "row": "no single column sets it apart",
    "text": "no word sets it apart",
}


@dataclass(frozen=True)
class Point:
    """A row on the map.

    Attributes:
        row: Its 0-based place in the file.
        x: From left, 0 to 1.
        y: From below, 0 to 1.
        group: Its group from 1 on; 0 of a row in none.
        words: What stands in it.
    """

    row: int
    x: float
    y: float
    group: int
    words: str = ""


def render(
    record: Mapping[str, Any],
    points: Sequence[Point],
    pictures: Mapping[int, str],
    *,
    texts: bool = True,
) -> str:
    """Return the report as a self-contained HTML page.

    Args:
        record: What ``nshot explore --json`` prints.
        points: The map.
        pictures: Small pictures of images as ``data:`` addresses, by row.
        texts: Whether rows of the data may be shown.
    """
    script = own_file("report.js") + own_file("exploring.js")
    return template("exploring.html.j2").render(
        r=record,
        w=wording,
        line=_line,
        style=own_file("report.css") + own_file("exploring.css"),
        script=script,
        policy=content_policy(script),
        title=title(record),
        facts=facts(record),
        found=sentences(record),
        chart=_map(record, points, pictures),
        keys=[(group["group"], _key(group["group"]), key_mark(group["group"])) for group in record["groups"]],
        outside=key_mark(0),
        pictures=pictures,
        texts=texts,
        what=noun(record),
        most=_MOST_SHOWN,
        algorithms=_ALGORITHMS,
        considered=considered(record),
    )


def _line(words: str) -> str:
    return printable(words, _LONGEST)


_ALGORITHMS = {
    "k_means": "k-means",
    "gaussian_mixture": "Gaussian mixture",
    "hdbscan": "HDBSCAN",
    "agglomerative": "agglomerative",
}


def algorithm(name: str) -> str:
    """Return what an algorithm is called in the field."""
    return _ALGORITHMS.get(name, name)


def noun(record: Mapping[str, Any]) -> str:
    """Return what an example is called: text, image or row."""
    return _NOUNS.get(record["modality"], "row")


def title(record: Mapping[str, Any]) -> str:
    """Return what was found in a few words: ``4 groups``."""
    n = record["n_groups"]
    return wording.plural(n, "group") if n else "No groups here"


def facts(record: Mapping[str, Any]) -> list[str]:
    """Return what was looked at."""
    found = [wording.plural(record["rows"], noun(record))]
    if record["looked_at"] < record["rows"]:
        found.append(f"{wording.count(record['looked_at'])} looked at")
    return [*found, f"compared by {_COMPARED_BY.get(record['backbone'], record['backbone'])}"]


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what was found, in sentences."""
    found = [_called(record, record["reason"])]
    if record["n_groups"]:
        found.append(f"Found by {algorithm(record['algorithm'])}.")
    if record["in_no_group"]:
        found.append(
            _called(record, f"{wording.plural(record['in_no_group'], 'row belongs', 'rows belong')} to no group.")
        )
    return [*found, _called(record, outliers(record)), _called(record, duplicates(record)), *record["notes"]]


def _called(record: Mapping[str, Any], words: str) -> str:
    """Return a sentence about rows with the name that these have: texts, images."""
    return re.sub(r"\brow(s?)\b", rf"{noun(record)}\1", words)


def outliers(record: Mapping[str, Any]) -> str:
    """Return how many rows stand out."""
    n = record["outliers"]["number"]
    if not n:
        return "No row stands out as an outlier."
    return (
        f"{wording.plural(n, 'row stands', 'rows stand')} out: more than {wording.score(record['outliers']['fence'])} "
        "times as far from the nearest rows as is usual."
    )


def duplicates(record: Mapping[str, Any]) -> str:
    """Return how many rows repeat others."""
    found = record["duplicates"]
    if not found["groups"]:
        return "No near-duplicates."
    repeated = f"{wording.plural(found['rows'], 'row repeats', 'rows repeat')} another one"
    if found["exact"] == found["rows"]:
        return f"{repeated} exactly."
    exact = f", {wording.count(found['exact'])} of them exactly" if found["exact"] else ""
    return f"{repeated}, or nearly{exact}."


def to_label(record: Mapping[str, Any]) -> list[str]:
    """Return what to do with the file of rows to label."""
    file = record["files"].get("to_label")
    if file is None:
        return ["There is no row to label."]
    if record["modality"] == "image":
        return [
            f"{file['file']}: the images to label first, in this order. Put each into a folder named after its label.",
            f"Then: {file['then']}",
        ]
    below = (
        f"; the {wording.plural(file['pool'], 'row')} below stay empty and serve as unlabelled examples"
        if file["pool"]
        else ""
    )
    first = "row" if file["rows"] == 1 else wording.plural(file["rows"], "row")
    return [
        f"{file['file']}: fill in the column '{file['column']}' of the first {first}{below}.",
        f"Then: {file['then']}",
    ]


def considered(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what was tried, the chosen one marked."""
    return [
        {
            **one,
            "chosen": one["algorithm"] == record["algorithm"] and one["n_groups"] == record["n_groups"],
            "name": algorithm(one["algorithm"]),
        }
        for one in record["considered"]
    ]


# --- the map ----------------------------------------------------------------------------------------------------------


def _key(group: int) -> str:
    return f"g{(group - 1) % _COLOURS}" if group else "none"


def _shape_of(group: int) -> str:
    return _SHAPES[(group - 1) // _COLOURS % len(_SHAPES)] if group else "circle"


def key_mark(group: int) -> Markup:
    """Return the mark of a group, for legends."""
    drawing = Drawing(14, 14, "key", f"group {group}" if group else "no group")
    drawing.mark(_shape_of(group), (7, 7), 4.5, f"point {_key(group)}")
    return drawing.markup()


def _map(record: Mapping[str, Any], points: Sequence[Point], pictures: Mapping[int, str]) -> Markup | None:
    """Return the map: near each other what is alike."""
    if len(points) < 3:
        return None
    drawing = Drawing(
        _WIDTH, _HEIGHT, "chart map", f"Map of {wording.plural(len(points), noun(record))}, coloured by group"
    )
    across, up = Scale(0, 1, _EDGE, _WIDTH - _EDGE), Scale(0, 1, _HEIGHT - _EDGE, _EDGE)
    for group in range(record["n_groups"] + 1):
        own = [point for point in points if point.group == group]
        if not own:
            continue
        drawing.group(f"of {_key(group)} n{group}")
        for point in own:
            where = f"row {point.row + 1:,}" + (f", group {group}" if group else "")
            words = _line(f"{where}: {point.words}" if point.words else where)
            at = across(point.x), up(point.y)
            if len(points) <= _MOST_PICTURES and point.row in pictures:
                drawing.picture(pictures[point.row], at, _PICTURE, "point", words)
                at = at[0] - _PICTURE / 2, at[1] - _PICTURE / 2
                words = ""
            drawing.mark(_shape_of(group), at, 3.2, "mark" if point.row in pictures else "point", words)
    return drawing.markup()


# --- for a terminal ---------------------------------------------------------------------------------------------------


def show(record: Mapping[str, Any], console: Console, *, texts: bool = True) -> None:
    """Print what was found.

    Args:
        record: What ``nshot explore --json`` prints.
        console: Where to print.
        texts: Whether rows of the data may be shown.
    """
    say(console, f"{record['data']}: {', '.join(facts(record))}")
    console.print()
    say(console, title(record), "bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    for side in ("right", "right", "right", "left"):
        table.add_column(justify=side, vertical="top")
    for group in record["groups"]:
        said = "; ".join(group["words"]) or _WITHOUT_WORDS[record["modality"]]
        cell = text(said, console)
        for typical in group["typical"][:_TYPICAL_SAID] if texts and record["modality"] == "text" else ():
            cell.append("\n")
            cell.append_text(text(printable(typical["example"], _LONGEST_TYPICAL), console, "dim"))
        size = wording.plural(group["size"], noun(record))
        table.add_row(str(group["group"]), size, f"{100 * group['share']:.0f} %", cell)
    console.print(table)
    console.print()
    for words in sentences(record):
        say(console, words)
    console.print()
    for words in to_label(record):
        say(console, words, one_line=words.startswith("Then:"))
    if "model" in record["files"]:
        say(console, f"Groups of new {noun(record)}s: nshot predict {record['files']['model']} NEW", one_line=True)
    say(console, f"Report: {record['files']['report']}", one_line=True)
