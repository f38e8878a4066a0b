"""Lines, marks and words on an SVG, and the scales that put numbers in their places.

The charts are plain SVG: they need neither a script nor the network, take their colours from the page's style sheet
(so that they follow dark mode and print), and carry their figures as titles that show on hover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

LETTER = 7.0
"""Width of a letter of the charts' 12 px type, in px, rounded up."""


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """An SVG of a fixed size in px, scaled by the page; classes name what the style sheet colours."""

    def __init__(self, width: int, height: int, css: str, label: str) -> None:
        self.width, self.height = width, height
        self.root = ET.Element(
            "svg", {"viewBox": f"0 0 {width} {height}", "class": css, "role": "img", "aria-label": label}
        )
        self._at = self.root

    def _add(self, tag: str, css: str, places: dict[str, str]) -> ET.Element:
        return ET.SubElement(self._at, tag, {**places, **({"class": css} if css else {})})

    def group(self, css: str, title: str = "") -> None:
        """Put what follows into a group (until the next call); `title` shows on hover."""
        self._at = ET.SubElement(self.root, "g", {"class": css} if css else {})
        if title:
            ET.SubElement(self._at, "title").text = title

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """Draw a straight line."""
        ends = {"x1": _number(x1), "y1": _number(y1), "x2": _number(x2), "y2": _number(y2)}
        self._add("line", css, ends)

    def path(self, points: Sequence[tuple[float, float]], css: str, is_closed: bool = False) -> None:
        """Draw a line through the points, or the area that they enclose."""
        steps = "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        self._add("path", css, {"d": f"M{steps}{'Z' if is_closed else ''}"})

    def outline(self, steps: str, css: str) -> None:
        """Draw a path given in SVG's own steps."""
        self._add("path", css, {"d": steps})

    def box(self, x: float, y: float, width: float, height: float, css: str) -> None:
        """Draw a rectangle."""
        sides = {"x": _number(x), "y": _number(y), "width": _number(width), "height": _number(height)}
        self._add("rect", css, sides)

    def words(self, x: float, y: float, words: str, css: str = "", anchor: str = "start") -> None:
        """Write words with their baseline at y; `anchor` is start, middle or end."""
        places = {"x": _number(x), "y": _number(y), **({"text-anchor": anchor} if anchor != "start" else {})}
        self._add("text", css, places).text = words

    def mark(self, shape: str, at: tuple[float, float], radius: float, css: str, title: str = "") -> None:
        """Draw a point mark: circle, square, diamond, up, down or cross; `title` shows on hover."""
        found = self._add("path", css, {"d": _shape(shape, *at, radius)})
        if title:
            ET.SubElement(found, "title").text = title

    def picture(self, address: str, at: tuple[float, float], side: float, css: str, title: str = "") -> None:
        """Draw a picture (a ``data:`` address) around a place, as large as fits into a square; `title` shows on hover."""
        size = {"width": _number(side), "height": _number(side)}
        places = {"x": _number(at[0] - side / 2), "y": _number(at[1] - side / 2)}
        found = self._add("image", css, {"href": address, **places, **size})
        if title:
            ET.SubElement(found, "title").text = title

    def markup(self) -> Markup:
        """Return the SVG; every text in it is escaped."""
        return Markup(ET.tostring(self.root, encoding="unicode"))  # noqa: S704 - ElementTree escapes


def _shape(shape: str, x: float, y: float, r: float) -> str:
    n = _number
    if shape == "circle":
        return f"M{n(x - r)} {n(y)}a{n(r)} {n(r)} 0 1 0 {n(2 * r)} 0a{n(r)} {n(r)} 0 1 0 {n(-2 * r)} 0Z"
    if shape == "square":
        side = r * 0.9
        return f"M{n(x - side)} {n(y - side)}h{n(2 * side)}v{n(2 * side)}h{n(-2 * side)}Z"
    if shape == "cross":
        return f"M{n(x - r)} {n(y - r)}L{n(x + r)} {n(y + r)}M{n(x - r)} {n(y + r)}L{n(x + r)} {n(y - r)}"
    if shape == "diamond":
        r *= 1.25
        return f"M{n(x)} {n(y - r)}L{n(x + r)} {n(y)}L{n(x)} {n(y + r)}L{n(x - r)} {n(y)}Z"
    r *= 1.15 if shape == "up" else -1.15
    return f"M{n(x)} {n(y - r)}L{n(x + abs(r))} {n(y + r * 0.8)}L{n(x - abs(r))} {n(y + r * 0.8)}Z"


@dataclass(frozen=True)
class Scale:
    """From numbers to px: `low` lands at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return where `value` lies, in px."""
        low, high = (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)
        at = math.log(max(value, 1e-12)) if self.is_log else value
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)


def nice_range(values: Sequence[float], floor: float | None, ceiling: float | None) -> tuple[float, float, list[float]]:
    """Return the ends of an axis that holds the values, and four to seven round ticks on it."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    rough = spread / 4.5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    low = math.floor(low / step + 1e-9) * step
    high = math.ceil(high / step - 1e-9) * step
    low = low if floor is None else max(low, floor)
    high = high if ceiling is None else min(high, ceiling)
    first = math.ceil(low / step - 1e-9)
    ticks = [round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]
    return low, high, ticks


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places at least `gap` apart within the ends, as near to the wanted ones as a few passes get.

    Neighbours that are too near are merged into a block around their middle (pool adjacent violators).
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[tuple[float, list[int]]] = []
    for i in order:
        blocks.append((places[i], [i]))
        while len(blocks) > 1 and _bottom(blocks[-2], gap) + gap > _top(blocks[-1], gap):
            (first, upper), (second, lower) = blocks[-2], blocks[-1]
            weight = len(upper) + len(lower)
            blocks[-2:] = [((first * len(upper) + second * len(lower)) / weight, upper + lower)]
    found = [0.0] * len(places)
    for middle, members in blocks:
        for k, i in enumerate(members):
            found[i] = middle + (k - (len(members) - 1) / 2) * gap
    ranked = [found[i] for i in order]
    for k in range(len(ranked)):  # push in from the upper end, then from the lower
        ranked[k] = max(ranked[k], low + k * gap)
    for k in range(len(ranked) - 1, -1, -1):
        ranked[k] = min(ranked[k], high - (len(ranked) - 1 - k) * gap)
    for k, i in enumerate(order):
        found[i] = ranked[k]
    return found


def _top(block: tuple[float, list[int]], gap: float) -> float:
    return block[0] - (len(block[1]) - 1) / 2 * gap


def _bottom(block: tuple[float, list[int]], gap: float) -> float:
    return block[0] + (len(block[1]) - 1) / 2 * gap
