"""The record of a comparison of ways to compress: for a terminal, as Markdown, and as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from nshot.report import wording
from nshot.report.console import say, text
from nshot.report.drawing import LETTER, Drawing, Scale, nice_range, spread
from nshot.report.pages import content_policy, own_file, template

_NAMES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lost_variance": "lost variance",
    "bits_per_pixel": "bits per pixel",
    "bits_per_value": "bits per number",
}
_WORDS = {
    "psnr": "peak signal-to-noise ratio in decibels, of each image, then the mean over images; higher is better",
    "ssim": "structural similarity, 1 where nothing is lost; higher is better",
    "lost_variance": "squared error as a share of the variance of each number; lower is better",
}
_PLACES = {"psnr": 2, "ssim": 3, "lost_variance": 4}
_ENDING = {"psnr": " dB"}
_LONGEST_NAME = 26


def name_of(metric: str) -> str:
    """Return what people call a metric."""
    return _NAMES.get(metric, metric)


def value(metric: str, found: Mapping[str, Any]) -> str:
    """Return a score with both ends of its interval: ``36.55 dB [36.21, 36.90]``."""
    places = _PLACES.get(metric, 3)
    words = f"{found['score']:.{places}f}{_ENDING.get(metric, '')}"
    ends = found["interval"]
    return words if ends is None else f"{words} [{ends[0]:.{places}f}, {ends[1]:.{places}f}]"


def at(record: Mapping[str, Any]) -> str:
    """Return ``1 bit per pixel``."""
    rate = record["verdict"]["rate"]
    unit = name_of(record["verdict"]["rate_metric"])
    return f"{rate:g} {unit.replace('bits', 'bit', 1) if rate == 1 else unit}"


def metrics(record: Mapping[str, Any]) -> list[str]:
    """Return the metrics that were measured, the deciding one first, without the one of the bits."""
    verdict = record["verdict"]
    found = verdict["leaderboard"][0]["scores"] if verdict["leaderboard"] else {}
    names = [name for name in found if name != verdict["rate_metric"]]
    return sorted(names, key=lambda name: name != verdict["metric"])


def headline(record: Mapping[str, Any]) -> str:
    """Return the pick in one sentence."""
    verdict = record["verdict"]
    pick = verdict["pick"]
    return f"{pick['candidate']}: {name_of(verdict['metric'])} {value(verdict['metric'], pick)} at {at(record)}"


def tested_on(record: Mapping[str, Any]) -> str:
    """Return what was learnt from and tested on."""
    verdict, data = record["verdict"], record["details"]["data"]
    noun = {"image": "image", "row": "row"}.get(data["modality"], data["modality"])
    return (
        f"learnt from {wording.plural(verdict['n_pool'], noun)}, "
        f"measured on {wording.plural(verdict['n_test'], noun)} that had no part in it"
    )


def terminal(record: Mapping[str, Any], console: Console) -> None:
    """Print what was found.

    Args:
        record: ``{"verdict": ..., "details": ...}``.
        console: Where to print.
    """
    verdict = record["verdict"]
    say(console, record["details"]["data"]["recognised"])
    console.print()
    say(console, f"Pick  {headline(record)}", "bold")
    say(console, tested_on(record))
    for words in [*verdict["because"], *verdict["notes"]]:
        say(console, words)
    console.print()
    names = metrics(record)
    shown = [(name, {} if name == verdict["metric"] else {"interval": None}) for name in names]
    table = Table(box=None, pad_edge=False)
    table.add_column(f"at {at(record)}", overflow="fold")
    for title in (*map(name_of, names), "fit", "write", "read"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in verdict["leaderboard"]:
        table.add_row(
            text(row["candidate"], console),
            # The intervals of the others, which do not decide, are in the report.
            *(value(name, {**row["scores"][name], **without}) for name, without in shown),
            wording.seconds(row["fit_seconds"]),
            _milliseconds(row["encode_milliseconds"]),
            _milliseconds(row["decode_milliseconds"]),
            style="bold" if row["candidate"] == verdict["pick"]["candidate"] else "",
        )
    console.print(table)
    for row in lost_answers(record):
        say(console, row)
    for left_out in verdict["skipped"]:
        say(console, f"left out: {left_out['candidate']} ({left_out['reason']})", "dim")


def markdown(record: Mapping[str, Any]) -> str:
    """Return the record as Markdown."""
    verdict = record["verdict"]
    names = metrics(record)
    lines = [f"# {headline(record)}", "", f"{record['details']['data']['name']}: {tested_on(record)}.", ""]
    lines += [f"- {words}" for words in [*verdict["because"], *verdict["notes"], *lost_answers(record)]]
    head = [f"at {at(record)}", *map(name_of, names), "fit", "write", "read"]
    lines += ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in verdict["leaderboard"]:
        cells = [row["candidate"], *(value(name, row["scores"][name]) for name in names)]
        cells += [
            wording.seconds(row["fit_seconds"]),
            _milliseconds(row["encode_milliseconds"]),
            _milliseconds(row["decode_milliseconds"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- left out: {one['candidate']} ({one['reason']})" for one in verdict["skipped"])]
    return "\n".join(lines).rstrip() + "\n"


def html(record: Mapping[str, Any], *, pictures: bool = True) -> str:
    """Return the record as a self-contained HTML page.

    Args:
        record: ``{"verdict": ..., "details": ...}``.
        pictures: Whether pictures of the data may be shown.
    """
    verdict, details = record["verdict"], record["details"]
    names = metrics(record)
    lines = _lines(verdict)
    return template("compression.html.j2").render(
        verdict=verdict,
        details=details,
        style=own_file("report.css"),
        policy=content_policy(),
        w=wording,
        headline=headline(record),
        tested_on=tested_on(record),
        at=at(record),
        metrics=names,
        explained=_WORDS,
        name_of=name_of,
        value=value,
        milliseconds=_milliseconds,
        charts=[(name, [_Chart(verdict, lines, name, wide).draw() for wide in (True, False)]) for name in names],
        pictures=details["pictures"] if pictures else [],
        lost=lost_answers(record),
        largest=max((max(one["size"]) for one in details["pictures"]), default=0),
    )


def lost_answers(record: Mapping[str, Any]) -> list[str]:
    """Return in sentences what a classifier of the vectors loses by each way of compressing."""
    said = []
    for row in record["details"]["classifier"]:
        difference, ends = row["difference"], row["difference"]["interval"]
        sure = "" if ends is None else f" [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]"
        said.append(
            f"A linear probe on what {row['candidate']} gives back: accuracy "
            f"{100 * row['accuracy']['score']:.1f} %, {100 * difference['mean']:+.1f}{sure} points beside "
            f"{100 * row['of_the_originals']['score']:.1f} % on the vectors themselves."
        )
    return said


def _milliseconds(found: float) -> str:
    return f"{found:.3g} ms"


# ---------------------------------------------------------------------------------------------------- the chart


@dataclass(frozen=True)
class _Line:
    """One method: its name, classes that colour and dash it, and its points, the fewest bits first."""

    name: str
    css: str
    points: Sequence[Mapping[str, Any]]


def _lines(verdict: Mapping[str, Any]) -> list[_Line]:
    pick = verdict["pick"]["candidate"]
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for point in verdict["rates"]:
        by_name.setdefault(point["candidate"], []).append(point)
    seen: dict[str, int] = {}
    lines = []
    for name, points in by_name.items():
        family = points[0]["family"]
        dash = seen.get(family, 0)
        seen[family] = dash + 1
        lines.append(_Line(name, f"f-{family} dash{dash % 4} r-{'pick' if name == pick else 'other'}", points))
    return lines


class _Chart:
    """Scores over bits, with intervals over the test examples."""

    def __init__(self, verdict: Mapping[str, Any], lines: Sequence[_Line], metric: str, is_wide: bool) -> None:
        self.lines, self.metric, self.bits, self.is_wide = lines, metric, verdict["rate_metric"], is_wide
        longest = max(len(line.name[:_LONGEST_NAME]) for line in lines)
        right = longest * LETTER + 26 if is_wide else 12
        width, height = (960, max(340, 17 * len(lines) + 90)) if is_wide else (390, 300)
        self.left, self.right, self.top, self.bottom = 54.0, width - right, 30.0, height - 46.0
        label = (
            f"{name_of(metric)} over {name_of(self.bits)} for {len(lines)} methods. The table below has the figures."
        )
        self.svg = Drawing(round(width), round(height), "chart wide" if is_wide else "chart narrow", label)
        scores = [self._score(point) for line in lines for point in line.points]
        low, high, self.ticks = nice_range(scores, None, None)
        self.y = Scale(low, high, self.bottom, self.top)
        self.rate = float(verdict["rate"])
        # What takes no bits at all has no place on a log scale: it lies on the left edge.
        rates = [self.rate, *(rate for line in lines for point in line.points if (rate := self._rate(point)) > 0)]
        self.x = Scale(min(rates) * 0.9, max(rates) * 1.1, self.left, self.right - 8, is_log=True)

    def _score(self, point: Mapping[str, Any]) -> float:
        return float(point["scores"][self.metric]["score"])

    def _rate(self, point: Mapping[str, Any]) -> float:
        return float(point["scores"][self.bits]["score"])

    def _across(self, point: Mapping[str, Any]) -> float:
        return self.x(max(self._rate(point), self.x.low))

    def draw(self) -> Markup:
        self._axes()
        for line in reversed(self.lines):
            self._curve(line)
        if self.is_wide:
            self._names()
        return self.svg.markup()

    def _axes(self) -> None:
        svg = self.svg
        svg.group("axis")
        for tick in self.ticks:
            svg.line(self.left, self.y(tick), self.right, self.y(tick), "grid")
            svg.words(self.left - 8, self.y(tick) + 4, f"{tick:g}", anchor="end")
        svg.line(self.left, self.bottom, self.right, self.bottom, "base")
        for rate in (2.0**power for power in range(-6, 7)):
            if self.x.low <= rate <= self.x.high:
                svg.line(self.x(rate), self.bottom, self.x(rate), self.bottom + 4, "base")
                svg.words(self.x(rate), self.bottom + 18, f"{rate:g}", anchor="middle")
        words = f"{name_of(self.bits)} (log scale)"
        svg.words((self.left + self.right) / 2, self.bottom + 38, words, "title", "middle")
        svg.words(4, 14, name_of(self.metric) + _ENDING.get(self.metric, ""), "title")
        svg.group("today")
        svg.line(self.x(self.rate), self.top - 8, self.x(self.rate), self.bottom, "mark")
        svg.words(self.x(self.rate), self.top - 14, "your rate", "", "middle")

    def _curve(self, line: _Line) -> None:
        first, last = line.points[0], line.points[-1]
        about = f"from {self._score(first):.4g} at {self._rate(first):.3g} to {self._score(last):.4g} at {self._rate(last):.3g}"
        self.svg.group(f"curve-of {line.css}", f"{line.name}: {about} {name_of(self.bits)}")
        ends = [(self._across(point), point["scores"][self.metric]["interval"]) for point in line.points]
        for x, interval in ends:
            if interval is not None:
                low, high = (min(max(end, self.y.low), self.y.high) for end in interval)
                self.svg.line(x, self.y(low), x, self.y(high), "curve thin")
        places = [(self._across(point), self.y(self._score(point))) for point in line.points]
        if len(places) > 1:
            self.svg.path(places, "curve")
        for place in places:
            self.svg.mark("circle", place, 3.4, "dot")

    def _names(self) -> None:
        """Name each curve at the right edge, with a thin line from its end."""
        ends = [(self._across(line.points[-1]), self.y(self._score(line.points[-1]))) for line in self.lines]
        rows = spread([y for _, y in ends], 16.0, self.top + 2, self.bottom - 2)
        for line, (x, y), row in zip(self.lines, ends, rows, strict=True):
            self.svg.group(f"label {line.css}")
            start = self.right + 4
            self.svg.path([(x + 3, y), (max(start - 8, x + 3), y), (start + 8, row)], "leader")
            name = line.name if len(line.name) <= _LONGEST_NAME else line.name[: _LONGEST_NAME - 1] + "…"
            self.svg.words(start + 12, row + 4, name)
