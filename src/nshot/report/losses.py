"""The chart of losses over a training, for one fit or for the candidates of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nshot.report import wording
from nshot.report.drawing import LETTER, Drawing, Scale, nice_range, spread
from nshot.report.record import Training

_LONGEST_NAME = 26


@dataclass(frozen=True)
class Line:
    """One curve of the chart.

    Attributes:
        training: What is drawn.
        name: Its name at the right edge; empty: no name.
        key: What stands for the name on a phone.
        css: The classes that colour and dash it.
    """

    training: Training
    name: str
    key: str
    css: str


def loss_chart(lines: Sequence[Line], along: str, is_wide: bool) -> Markup | None:
    """Return the losses over the training, or None where there is none to draw.

    Args:
        lines: With at least one loss each.
        along: ``steps``, or ``share of the training`` where the lines have different numbers of steps.
        is_wide: For a wide page, or a phone.
    """
    return _Chart(lines, along, is_wide).draw() if lines else None


class _Chart:
    def __init__(self, lines: Sequence[Line], along: str, is_wide: bool) -> None:
        self.lines, self.along, self.is_wide = lines, along, is_wide
        is_named = any(line.name for line in lines)
        longest = max(len(line.name[:_LONGEST_NAME]) for line in lines)
        right = (longest * LETTER + 26 if is_wide else 30) if is_named else 14
        width, height = (960, max(300, 17 * len(lines) + 90)) if is_wide else (390, max(270, 14 * len(lines) + 90))
        self.left, self.right, self.top, self.bottom = 54.0, width - right, 30.0, height - 46.0
        what = f"{len(lines)} candidates" if len(lines) > 1 else "the training"
        label = f"Loss over the {along} for {what}. The table below has the figures."
        self.svg = Drawing(round(width), round(height), "chart wide" if is_wide else "chart narrow", label)
        values = [value for line in lines for value in _drawn_values(line.training)]
        low, high, self.ticks = nice_range([*values, 0.0], None, None)
        self.y = Scale(low, high, self.bottom, self.top)
        steps = lines[0].training.steps or len(lines[0].training.losses)
        self.end = float(steps) if along == "steps" else 100.0
        self.x = Scale(0.0, self.end, self.left, self.right - 8)

    def draw(self) -> Markup:
        self._axes()
        for line in self.lines:
            self._spread(line)
        for line in reversed(self.lines):
            self._curve(line)
        self._names()
        return self.svg.markup()

    def _axes(self) -> None:
        svg = self.svg
        svg.group("axis")
        for tick in self.ticks:
            svg.line(self.left, self.y(tick), self.right, self.y(tick), "grid")
            svg.words(self.left - 8, self.y(tick) + 4, f"{tick:g}", anchor="end")
        svg.line(self.left, self.bottom, self.right, self.bottom, "base")
        _, _, ticks = nice_range([0.0, self.end], 0.0, self.end)
        ticks = ticks if self.is_wide else ticks[::2]
        for tick in (tick for tick in ticks if self.along != "steps" or tick == round(tick)):
            words = wording.count(tick) if self.along == "steps" else f"{tick:.0f} %"
            svg.line(self.x(tick), self.bottom, self.x(tick), self.bottom + 4, "base")
            svg.words(self.x(tick), self.bottom + 18, words, anchor="middle")
        svg.words((self.left + self.right) / 2, self.bottom + 38, self.along, "title", "middle")
        svg.words(4, 14, "loss", "title")

    def _places(self, line: Line) -> list[float]:
        """Return where the middle of each stretch lies."""
        count = len(line.training.losses)
        return [self.x((i + 0.5) / count * self.end) for i in range(count)]

    def _spread(self, line: Line) -> None:
        training = line.training
        if not training.has_spread:
            return
        self.svg.group(line.css)
        places = self._places(line)
        upper = [(x, self.y(value)) for x, value in zip(places, training.high, strict=True)]
        lower = [(x, self.y(value)) for x, value in zip(places, training.low, strict=True)]
        self.svg.path([*upper, *reversed(lower)], "band", is_closed=True)

    def _curve(self, line: Line) -> None:
        losses = line.training.losses
        about = f"from {wording.score(losses[0], 3)} to {wording.score(losses[-1], 3)}"
        self.svg.group(f"curve-of {line.css}", f"{line.name}: {about}" if line.name else f"loss {about}")
        points = [(x, self.y(value)) for x, value in zip(self._places(line), losses, strict=True)]
        if len(points) > 1:
            self.svg.path(points, "curve")
        else:
            self.svg.mark("circle", points[0], 3.4, "dot")

    def _names(self) -> None:
        """Name each curve at the right edge, apart from each other, with a thin line from its end."""
        named = [line for line in self.lines if line.name]
        ends = [(self._places(line)[-1], self.y(line.training.losses[-1])) for line in named]
        gap = 16.0 if self.is_wide else 14.0
        rows = spread([y for _, y in ends], gap, self.top + 2, self.bottom - 2)
        for line, (x, y), row in zip(named, ends, rows, strict=True):
            self.svg.group(f"label {line.css}")
            start = self.right + 4
            self.svg.path([(x + 3, y), (max(start - 8, x + 3), y), (start + 8, row)], "leader")
            name = line.name if len(line.name) <= _LONGEST_NAME else line.name[: _LONGEST_NAME - 1] + "…"
            self.svg.words(start + 12, row + 4, name if self.is_wide else line.key)


def _drawn_values(training: Training) -> list[float]:
    spread_too = [*training.low, *training.high] if training.has_spread else []
    return [*training.losses, *spread_too]
