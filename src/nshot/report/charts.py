"""The charts of the HTML report. Each is drawn twice, for a wide page and for a phone; the style sheet shows one."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nshot.report import wording
from nshot.report.drawing import LETTER, Drawing, Scale, nice_range, spread
from nshot.report.record import Bin, Confusion, Curve, Entry, Record

SHAPES = {
    "zero-shot": "diamond",
    "few-shot": "circle",
    "fine-tuning": "square",
    "unsupervised": "up",
    "from-scratch": "down",
    "baseline": "cross",
}
_FURTHEST = 4.0
"""How many times the measured labels a forecast may be drawn: as far as the verdict itself looks ahead."""
_MOST_LEVELS = 5
_TOO_LOW = 0.4
"""Scores below this share of the best are left below the axis: a floor such as `majority` would squeeze the others."""
_TOO_LOW_FOR_INTERVALS = 0.7
_LOWEST_DRAWN = -0.5
"""A score that may fall without end stands at this edge of its axis: how much worse than nothing it is, says little."""
_Axis = tuple[float, float, list[float]]
"""Both ends of an axis, and its ticks."""
_TIME_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0, 360_000.0)


@dataclass(frozen=True)
class Style:
    """How a candidate looks in every chart: colour and shape by family, dashes and letter its own."""

    candidate: str
    name: str
    family: str
    role: str
    shape: str
    dash: int
    key: str

    @property
    def css(self) -> str:
        """Return the classes that colour and dash it."""
        family = self.family if self.family in SHAPES else "other"
        return f"f-{family} dash{self.dash} r-{self.role if self.role in wording.ROLES else 'other'}"


def styles(record: Record) -> dict[str, Style]:
    """Return the style of every candidate, in the order of the leaderboard."""
    names = list(dict.fromkeys([*(e.candidate for e in record.entries), *(c.candidate for c in record.curves)]))
    keys = [*string.ascii_uppercase, *(f"{a}{b}" for a in string.ascii_uppercase for b in string.digits)]
    seen: dict[str, int] = {}
    found = {}
    for i, name in enumerate(names):
        family = record.families.get(name, "")
        dash = seen.get(family, 0)
        seen[family] = dash + 1
        shape = SHAPES.get(family, "circle")
        key = keys[i % len(keys)]
        found[name] = Style(name, record.short(name), family, record.role(name), shape, dash % 4, key)
    return found


def sample(style: Style) -> Markup:
    """Return a short piece of the candidate's line, for legends and tables."""
    drawing = Drawing(30, 12, f"sample {style.css}", "")
    del drawing.root.attrib["role"], drawing.root.attrib["aria-label"]
    drawing.root.set("aria-hidden", "true")
    drawing.line(1, 6, 29, 6, "curve")
    drawing.mark(style.shape, (15, 6), 3.6, "dot")
    return drawing.markup()


def curves(record: Record, is_wide: bool) -> Markup | None:
    """Return the chart of scores over the number of labels, or None where there is no point, or nothing is learnt."""
    return _Curves(record, is_wide).draw() if record.curves and record.has_labels else None


def _worth_showing(record: Record, best_scores: Mapping[str, float], share: float) -> set[str]:
    """Return the pick, and those whose best score is not so bad that an axis holding it would squeeze the others.

    Args:
        record: The record.
        best_scores: By candidate.
        share: Of the best score; of an error, the best one is this share of the largest that is shown.
    """
    pick = record.verdict.pick.candidate if record.verdict.pick else None
    if record.in_units:
        smallest = min(best_scores.values(), default=0.0)
        return {name for name, error in best_scores.items() if error * share <= smallest or name == pick}
    best = max(best_scores.values(), default=0.0)
    if record.lower_is_better or best <= 0:
        return set(best_scores)
    return {name for name, score in best_scores.items() if score >= best * share or name == pick}


def _axis_of(record: Record, values: Sequence[float]) -> _Axis:
    """Return the ends and ticks of an axis of scores; one of shares ends at nothing and at everything.

    What lies beyond an end is drawn at that end: large errors of few labels would squeeze all others.
    """
    if record.in_units:
        most = min(values) / _TOO_LOW
        return nice_range([min(value, most) for value in values], 0.0, None)
    values = [max(value, _LOWEST_DRAWN) for value in values] if record.is_bounded_above else values
    is_share = all(0 <= value <= record.full_score for value in values)
    reaches_full = record.is_bounded_above and max(values) <= record.full_score
    return nice_range(values, 0.0 if is_share else None, record.full_score if is_share or reaches_full else None)


def _drawn(record: Record) -> list[Curve]:
    """Return the curves that the chart holds: those worth showing, and what its axis has room for anyway."""
    best = {curve.candidate: _best(record, curve) for curve in record.curves}
    shown = _worth_showing(record, best, _TOO_LOW)
    if record.in_units:
        return [curve for curve in record.curves if curve.candidate in shown]
    lowest = min((value for c in record.curves if c.candidate in shown for _, value, _ in c.measured), default=0.0)
    return [curve for curve in record.curves if curve.candidate in shown or best[curve.candidate] >= lowest]


def _best(record: Record, curve: Curve) -> float:
    values = [value for _, value, _ in curve.measured]
    return min(values) if record.in_units else max(values)


def below_axis(record: Record) -> list[str]:
    """Return name and score of the candidates that the chart of curves leaves out: errors above its axis, else below."""
    drawn = {curve.candidate for curve in _drawn(record)}
    left = [curve for curve in record.curves if curve.candidate not in drawn]
    best = [(curve.candidate, _best(record, curve)) for curve in left]
    return [f"{record.short(name)} ({wording.score(value, _places(record))})" for name, value in best]


def below_cost_axis(record: Record) -> list[str]:
    """Return name and score of the candidates that the charts of costs leave out, as in `below_axis`."""
    best = {entry.candidate: entry.score for entry in record.entries if entry.score is not None}
    shown = _worth_showing(record, best, _TOO_LOW)
    left = [(record.short(name), score) for name, score in best.items() if name not in shown]
    return [f"{name} ({wording.score(score, _places(record))})" for name, score in left]


def _places(record: Record) -> int:
    """Return the decimals of a score in a drawing, where there is little room."""
    return wording.brief_decimals(record)


def _tick(value: float, record: Record) -> str:
    """Return ``0.5``, ``0.25``; from 0 to 100 ``50``, ``2.5``."""
    if record.in_units:
        return wording.quantity(value)
    if record.full_score == 100:
        return f"{value:g}"
    return wording.score(value, 2 if round(value * 100) % 10 or abs(value) >= 1.5 else 1)


def _left(record: Record, least: float) -> float:
    """Return where an axis of scores stands, so that its longest number has room beside it."""
    pick = record.verdict.pick
    return max(least, (len(wording.quantity(pick.score)) + 1) * LETTER + 12) if record.in_units and pick else least


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"


class _Curves:
    def __init__(self, record: Record, is_wide: bool) -> None:
        self.record, self.is_wide = record, is_wide
        self.styles = styles(record)
        self.drawn = _drawn(record)
        longest = max(len(_cut(self.styles[c.candidate].name, 26)) for c in self.drawn) + 5
        right = longest * LETTER + 26 if is_wide else 30
        wide_height = max(400, 17 * len(self.drawn) + 90)
        width, height = (960, wide_height) if is_wide else (390, max(330, 14 * len(self.drawn) + 90))
        self.left, self.right, self.top, self.bottom = _left(record, 46.0), width - right, 40.0, height - 46.0
        self.places = wording.decimals(record)
        metric = wording.metric_name(record)
        counted = wording.label(record)
        label = f"Learning curves: {metric} over the number of {counted} for {len(self.drawn)} candidates. The table below has the figures."
        self.svg = Drawing(width, height, "chart wide" if is_wide else "chart narrow", label)
        self.numbers = [n for n in record.numbers_of_labels if n > 0]
        self.has_zero = 0 in record.numbers_of_labels
        self.zero = self.left + 16
        self.x = self._x()
        self.y, self.ticks = self._y()

    def _x(self) -> Scale:
        measured = self.numbers or [1]
        last = float(measured[-1])
        today = self.record.verdict.n_labels or 0
        crossings = [c.n_labels for c in self.record.verdict.crossovers if c.n_labels is not None]
        ends = [last, float(today), *(min(n * 1.3, last * _FURTHEST) for n in crossings)]
        band_end = max((p.n_labels or 0.0 for curve in self._banded() for p in curve.band), default=0.0)
        if band_end > last:
            ends.append(min(band_end, last * 2))
        first = float(measured[0])
        high = max(ends) if max(ends) > first else first * 2
        return Scale(first, high, self.left + (52 if self.has_zero else 10), self.right - 8, is_log=True)

    def _y(self) -> tuple[Scale, list[float]]:
        values = [value for curve in self.drawn for _, value, _ in curve.measured]
        shown = [curve for curve in self.drawn if self.styles[curve.candidate].role in ("pick", "same")]
        for curve in shown:
            values += [end for _, _, point in curve.measured for end in point.interval or ()]
        low, high, ticks = _axis_of(self.record, values)
        return Scale(low, high, self.bottom, self.top), ticks

    def _banded(self) -> list[Curve]:
        """Return the few curves whose bands are worth the ink: the pick and what is the same."""
        wanted = [curve for curve in self.drawn if self.styles[curve.candidate].role in ("pick", "same")]
        return wanted[:3]

    def draw(self) -> Markup:
        self._axes()
        self._markers()
        for curve in self._banded():
            self._band(curve)
        for curve in reversed(self.drawn):
            self._curve(curve)
        self._labels()
        return self.svg.markup()

    def _axes(self) -> None:
        svg = self.svg
        svg.group("axis")
        for tick in self.ticks:
            svg.line(self.left, self.y(tick), self.right, self.y(tick), "grid")
            svg.words(self.left - 8, self.y(tick) + 4, _tick(tick, self.record), anchor="end")
        svg.line(self.left, self.bottom, self.right, self.bottom, "base")
        taken = -1e9
        if self.has_zero:
            svg.line(self.zero, self.bottom, self.zero, self.bottom + 4, "base")
            svg.words(self.zero, self.bottom + 18, "0", anchor="middle")
            gap = (self.zero + self.x.start) / 2 if self.numbers else self.zero + 24
            svg.outline(f"M{gap - 5:.1f} {self.bottom + 5:.1f}l4 -10m4 10l4 -10", "base")
            taken = self.zero
        wanted = self.numbers
        room = 34.0 if self.is_wide else 30.0
        kept: list[int] = []
        for n in reversed(wanted):  # the largest numbers matter most
            half = len(wording.count(n)) * LETTER / 2 + 3
            if (
                not kept
                or self.x(kept[-1]) - self.x(n) > max(room, half + len(wording.count(kept[-1])) * LETTER / 2 + 3)
            ) and (self.x(n) - taken > half + 10):
                kept.append(n)
        for n in wanted:
            svg.line(self.x(n), self.bottom, self.x(n), self.bottom + 4, "base")
        for n in kept:
            svg.words(self.x(n), self.bottom + 18, wording.count(n), anchor="middle")
        beyond = [value for k in range(1, 9) for f in (1, 2, 5) if (value := f * 10.0**k) <= self.x.high]
        beyond = [v for v in beyond if wanted and self.x(v) - self.x(wanted[-1]) > 58 and self.right - self.x(v) > 12]
        for value in beyond[:1] if not self.is_wide else beyond[:3]:
            svg.line(self.x(value), self.bottom, self.x(value), self.bottom + 4, "base")
            svg.words(self.x(value), self.bottom + 18, wording.count(value), "faint", "middle")
        counted = wording.learnt_from(self.record.verdict.task)
        svg.words((self.left + self.right) / 2, self.bottom + 38, f"{counted} (log scale)", "title", "middle")
        svg.words(4, 14, wording.metric_name(self.record), "title")

    def _markers(self) -> None:
        """Mark today's number of labels, and the crossovers that the axis reaches."""
        svg, today = self.svg, self.record.verdict.n_labels
        svg.group("today")
        at_today = None
        if today and self.numbers and self.x.low <= today <= self.x.high:
            at_today = self.x(today)
            svg.line(at_today, self.top - 8, at_today, self.bottom, "mark")
            words = f"your {wording.labels(self.record, today)}" if self.is_wide else "today"
            half = len(words) * LETTER / 2
            svg.words(min(at_today, self.right - half + 14), self.top - 14, words, "", "middle")
        taken = [at_today] if at_today is not None else []
        for crossing in self.record.verdict.crossovers:
            n, name = crossing.n_labels, self.record.short(crossing.after)
            if n is None or not self.numbers or not self.x.low <= n <= self.x.high:
                continue
            title = f"{name} overtakes {self.record.short(crossing.before)} at about {wording.labels(self.record, n)} {wording.count_interval(crossing.interval)}"
            svg.group("crossing", title)
            if crossing.interval:
                left = self.x(min(max(crossing.interval[0], self.x.low), self.x.high))
                right = self.x(min(max(crossing.interval[1], self.x.low), self.x.high))
                svg.box(left, self.top, max(right - left, 1), self.bottom - self.top, "reach")
            svg.line(self.x(n), self.top, self.x(n), self.bottom, "mark")
            words = f"{_cut(name, 18)} overtakes" if self.is_wide else "crossover"
            half = len(words) * LETTER / 2
            place = min(max(self.x(n), self.left + half), self.right - half + (40 if self.is_wide else 16))
            row = self.top - 14
            if all(abs(place - other) > half + (56 if self.is_wide else 24) for other in taken):
                svg.words(place, row, words, "", "middle")
                taken.append(place)

    def _band(self, curve: Curve) -> None:
        style = self.styles[curve.candidate]
        band = [(p.n_labels, p.score, p.low, p.high) for p in curve.band]
        known = [(n, s, lo, hi) for n, s, lo, hi in band if n and s is not None and lo is not None and hi is not None]
        inside = sorted(part for part in known if self.x.low <= part[0] <= self.x.high * 1.001)
        self.svg.group(f"{style.css}")
        if len(inside) > 1:
            upper = [(self.x(n), self._clip(self.y(hi))) for n, _, _, hi in inside]
            lower = [(self.x(n), self._clip(self.y(lo))) for n, _, lo, _ in inside]
            self.svg.path([*upper, *reversed(lower)], "band", is_closed=True)
            last = curve.measured[-1][0]
            ahead = [(self.x(n), self._clip(self.y(s))) for n, s, _, _ in inside if n > last]
            if ahead:
                end = curve.measured[-1]
                self.svg.path([(self._place(end[0]), self.y(end[1])), *ahead], "ahead")
            return
        with_ends = [(self._place(n), point.interval) for n, _, point in curve.measured if point.interval]
        if len(with_ends) > 1:
            upper = [(x, self._clip(self.y(ends[1]))) for x, ends in with_ends]
            lower = [(x, self._clip(self.y(ends[0]))) for x, ends in with_ends]
            self.svg.path([*upper, *reversed(lower)], "band", is_closed=True)
        elif with_ends:
            x, ends = with_ends[0]
            self.svg.line(x, self._clip(self.y(ends[0])), x, self._clip(self.y(ends[1])), "whisker")

    def _clip(self, y: float) -> float:
        """Return a place within the axis: what lies beyond an end is drawn at it."""
        return min(max(y, self.top), self.bottom)

    def _place(self, n_labels: int) -> float:
        return self.zero if n_labels == 0 else self.x(n_labels)

    def _curve(self, curve: Curve) -> None:
        style = self.styles[curve.candidate]
        self.svg.group(f"curve-of {style.css}")
        points = [(self._place(n), self._clip(self.y(value))) for n, value, _ in curve.measured]
        if curve.needs_no_labels:  # the same answer whatever the number of labels
            points.append((self.right - 8, points[0][1]))
        if len(points) > 1:
            self.svg.path(points, "curve")
        for n, value, point in curve.measured:
            about = [
                f"{style.name}: {wording.with_interval(value, point.interval, self.places)}",
                wording.labels(self.record, n)
                + (f", {wording.plural(point.repeats, 'repeat')}" if point.repeats else ""),
                point.target,
                point.marked,
            ]
            css = "dot hollow" if point.marked else "dot"
            radius = 4.2 if style.role == "pick" else 3.4
            spot = (self._place(n), self._clip(self.y(value)))
            self.svg.mark(style.shape, spot, radius, css, "\n".join(filter(None, about)))

    def _labels(self) -> None:
        """Name each curve at the right edge, apart from each other, with a thin line from its end."""
        ends = []
        for curve in self.drawn:
            n, value, _ = curve.measured[-1]
            x = self.right - 8 if curve.needs_no_labels else self._place(n)
            ends.append((x, self._clip(self.y(value)), value))
        gap = 16.0 if self.is_wide else 14.0
        rows = spread([y for _, y, _ in ends], gap, self.top + 2, self.bottom - 2)
        for curve, (x, y, value), row in zip(self.drawn, ends, rows, strict=True):
            style = self.styles[curve.candidate]
            self.svg.group(f"label {style.css}")
            start = self.right + 4
            self.svg.path([(x + 6, y), (max(start - 8, x + 6), y), (start + 8, row)], "leader")
            if self.is_wide:
                self.svg.words(
                    start + 12, row + 4, f"{_cut(style.name, 26)}  {wording.score(value, _places(self.record))}"
                )
            else:
                self.svg.words(start + 11, row + 4, style.key)


@dataclass(frozen=True)
class _Spot:
    style: Style
    x: float
    y: float


def _seconds(entry: Entry, what: str) -> float | None:
    """Return what the candidate takes to fit, or for one example; what learns from nothing is not fitted."""
    if what == "fit":
        return entry.fit_seconds if entry.n_labels != 0 or entry.family == "unsupervised" else None
    return None if entry.milliseconds_per_example is None else entry.milliseconds_per_example / 1000


def cost(record: Record, what: str, is_wide: bool) -> Markup | None:
    """Return the chart of scores against a cost, or None where fewer than two candidates have both.

    Args:
        record: The record.
        what: ``fit`` (the time to fit) or ``latency`` (the time for one example).
        is_wide: For a wide page, or a phone.
    """
    known = [
        (e, e.score, time) for e in record.entries if e.score is not None and (time := _seconds(e, what)) is not None
    ]
    shown = _worth_showing(record, {entry.candidate: score for entry, score, _ in known}, _TOO_LOW)
    known = [part for part in known if part[0].candidate in shown]
    if len(known) < 2:
        return None
    look, metric = styles(record), wording.metric_name(record)
    title = "time to fit" if what == "fit" else f"time for one {wording.unit(record, 1)}"
    width, height = (480, 340) if is_wide else (390, 320)
    left, right, top, bottom = _left(record, 44.0), width - 16.0, 30.0, height - 46.0
    label = f"{metric} against {title} for {len(known)} candidates. The table of all candidates has the figures."
    svg = Drawing(width, height, "chart wide" if is_wide else "chart narrow", label)

    smallest = min((time for _, _, time in known if time > 0), default=1e-3)
    times = [max(time, smallest / 3) for _, _, time in known]  # a log axis has no place for 0
    low, high = min(times) / 1.6, max(times) * 1.6
    x = (
        Scale(low, high, left, right, is_log=True)
        if high / low > 10
        else Scale(low / 2, high * 2, left, right, is_log=True)
    )
    scores = [score for _, score, _ in known]
    scores += [end for e, _, _ in known if look[e.candidate].role in ("pick", "same") for end in e.interval or ()]
    lowest, highest, ticks = _axis_of(record, scores)
    y = Scale(lowest, highest, bottom, top)
    _cost_axes(svg, x, y, [(tick, _tick(tick, record)) for tick in ticks])
    svg.words((left + right) / 2, bottom + 38, f"{title} (log scale)", "title", "middle")
    svg.words(4, 14, metric, "title")

    spots = [
        _Spot(look[e.candidate], x(time), min(max(y(score), top), bottom))
        for (e, score, _), time in zip(known, times, strict=True)
    ]
    for (entry, score, time), spot in zip(reversed(known), reversed(spots), strict=True):
        svg.group(spot.style.css)
        figures = wording.with_interval(score, entry.interval, wording.decimals(record))
        if entry.interval:
            ends = [min(max(y(end), top), bottom) for end in entry.interval]
            svg.line(spot.x, ends[0], spot.x, ends[1], "whisker")
        radius = 5.0 if spot.style.role == "pick" else 4.0
        svg.mark(
            spot.style.shape, (spot.x, spot.y), radius, "dot", f"{spot.style.name}: {figures}\n{wording.seconds(time)}"
        )
    _name_spots(svg, spots, (left + 2, top - 8, width - 2.0, bottom - 2), is_wide)
    return svg.markup()


def _cost_axes(svg: Drawing, x: Scale, y: Scale, ticks: Sequence[tuple[float, str]]) -> None:
    svg.group("axis")
    for value, words in ticks:
        svg.line(x.start, y(value), x.end, y(value), "grid")
        svg.words(x.start - 8, y(value) + 4, words, anchor="end")
    svg.line(x.start, y.start, x.end, y.start, "base")
    taken = -1e9
    for tick in (t for t in _TIME_TICKS if x.low <= t <= x.high):
        svg.line(x(tick), y.start, x(tick), y.start + 4, "base")
        words = wording.seconds(tick)
        half = len(words) * LETTER / 2
        place = min(x(tick), svg.width - half - 2)
        if place - half > taken:
            svg.words(place, y.start + 18, words, anchor="middle")
            taken = place + half + 6


_Box = tuple[float, float, float, float]


def _name_spots(svg: Drawing, spots: Sequence[_Spot], room: _Box, is_wide: bool) -> None:
    """Write each spot's name (on a phone its letter) where nothing else is, with a thin line where that is far."""
    taken: list[_Box] = [(s.x - 6, s.y - 6, s.x + 6, s.y + 6) for s in spots]
    for spot in spots:
        words = _cut(spot.style.name, 22) if is_wide else spot.style.key
        width = len(words) * LETTER * (1.15 if spot.style.role == "pick" else 1.0)
        box = _free(spot, width, taken, room)
        if box is None:
            continue  # its title still says it on hover
        taken.append(box)
        svg.group(f"label {spot.style.css}")
        near = (min(max(spot.x, box[0]), box[2]), min(max(spot.y, box[1] + 3), box[3] - 3))
        if abs(near[0] - spot.x) + abs(near[1] - spot.y) > 14:
            svg.path([(spot.x, spot.y), near], "leader")
        is_left = box[2] <= spot.x  # its end, not its start, is what has to be near the spot
        svg.words(box[2] if is_left else box[0], box[3] - 4, words, anchor="end" if is_left else "start")


def _free(spot: _Spot, width: float, taken: Sequence[_Box], room: _Box) -> _Box | None:
    """Return the first box (left, top, right, bottom) around the spot that touches nothing, or None."""
    for away in (8.0, 22.0, 38.0, 54.0, 72.0, 90.0):
        beside = (spot.x + away, spot.x - away - width, spot.x - width / 2)
        for dy in (0.0, -away, away, -away * 1.6, away * 1.6):
            for left in beside if dy else beside[:2]:
                top = spot.y + dy - 8
                box = (left, top, left + width, top + 16)
                is_inside = box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
                if is_inside and not any(
                    box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
                ):
                    return box
    return None


_FOREST = 150


def forest_range(record: Record) -> _Axis:
    """Return the axis that the intervals of the leaderboard are drawn on: that of the better candidates."""
    best = {entry.candidate: entry.score for entry in record.entries if entry.score is not None}
    shown = _worth_showing(record, best, _TOO_LOW_FOR_INTERVALS)
    kept = [entry for entry in record.entries if entry.candidate in shown]
    values = [end for entry in kept for end in (*(entry.interval or ()), entry.score) if end is not None] or [0.0, 1.0]
    return _axis_of(record, values)


def forest(record: Record, entry: Entry, style: Style, axis: _Axis) -> Markup:
    """Return the entry's score and interval on the shared axis, with a dashed line at the pick's score.

    What lies beyond an end of the axis is an arrow at that end.
    """
    low, high, _ = axis
    x = Scale(low, high, 8, _FOREST - 8)
    svg = Drawing(
        _FOREST,
        22,
        "forest",
        f"{style.name}: {wording.with_interval(entry.score, entry.interval, wording.decimals(record))}",
    )
    svg.group("axis")
    svg.line(8, 21.5, _FOREST - 8, 21.5, "grid")
    best = record.picked
    if best and best.score is not None:
        svg.line(x(best.score), 0, x(best.score), 22, "reference")
    svg.group(style.css)
    if entry.interval and entry.interval[1] >= low and entry.interval[0] <= high:
        left, right = x(max(entry.interval[0], low)), x(min(entry.interval[1], high))
        svg.line(left, 11, right, 11, "whisker")
    if entry.score is not None and low <= entry.score <= high:
        svg.mark(style.shape, (x(entry.score), 11), 4.2, "dot")
    elif entry.score is not None:
        tip, back = (3, 9) if entry.score < low else (_FOREST - 3, _FOREST - 9)
        svg.path([(back, 7), (tip, 11), (back, 15)], "dot", is_closed=True)
    return svg.markup()


def forest_axis(record: Record, axis: _Axis) -> Markup:
    """Return the ticks of the shared axis, for the head of the column."""
    low, high, ticks = axis
    x = Scale(low, high, 8, _FOREST - 8)
    svg = Drawing(_FOREST, 16, "forest", f"axis from {_tick(low, record)} to {_tick(high, record)}")
    svg.group("axis")
    shown = {ticks[0], ticks[-1]} if len(ticks) < 5 else {ticks[0], ticks[len(ticks) // 2], ticks[-1]}
    half = max(len(_tick(tick, record)) for tick in shown) * LETTER / 2
    if half * 2 * len(shown) > _FOREST:
        shown = {ticks[0], ticks[-1]}
    for tick in sorted(shown):
        svg.words(min(max(x(tick), half), _FOREST - half), 12, _tick(tick, record), anchor="middle")
    return svg.markup()


def calibration(bins: Sequence[Bin]) -> Markup | None:
    """Return the reliability diagram: how often answers of a probability are right; marks sized by their number."""
    known = [(b.confidence, b.accuracy, b.count) for b in bins if b.count > 0]
    points = sorted((c, a, n) for c, a, n in known if c is not None and a is not None)
    if not points:
        return None
    size, left, top, right, bottom = 340, 48.0, 14.0, 328.0, 294.0
    svg = Drawing(
        size,
        size,
        "chart square",
        "Reliability diagram: share of right answers over the probability given. The table beside has the figures.",
    )
    x, y = Scale(0, 1, left, right), Scale(0, 1, bottom, top)
    svg.group("axis")
    for i in range(0, 11, 2):
        svg.line(left, y(i / 10), right, y(i / 10), "grid")
        svg.words(left - 8, y(i / 10) + 4, wording.percent(i / 10), anchor="end")
        svg.words(x(i / 10), bottom + 18, wording.percent(i / 10), anchor="middle")
    svg.line(left, bottom, right, bottom, "base")
    svg.path([(x(0), y(0)), (x(1), y(1))], "reference")
    svg.words((left + right) / 2, bottom + 38, "probability given", "title", "middle")
    most = max(n for _, _, n in points)
    svg.group("f-other r-pick")
    svg.path([(x(c), y(a)) for c, a, _ in points], "curve thin")
    for c, a, n in points:
        words = f"says {wording.percent(c)}, right {wording.percent(a)}\n{wording.plural(n, 'answer')}"
        svg.mark("circle", (x(c), y(a)), 3 + 7 * (n / most) ** 0.5, "dot soft", words)
    return svg.markup()


def heat(confusion: Confusion) -> Markup:
    """Return the whole confusion matrix as one picture, a cell for every pair that occurs, darker for a larger share."""
    n = len(confusion.labels)
    side, margin = 440.0, 24.0
    cell = side / n
    label = f"Confusion matrix of {n} labels. The table of confused pairs has the figures."
    svg = Drawing(round(side + margin + 2), round(side + margin + 2), "chart square heat", label)
    svg.group("axis")
    svg.words(margin + side / 2, 14, "answered →", "title", "middle")
    svg.outline(f"M{margin} {margin}h{side}v{side}h{-side}Z", "frame")
    levels: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(confusion.matrix):
        total = sum(row)
        for j, times in enumerate(row):
            if times <= 0:
                continue
            kind = "right" if i == j else "wrong"
            level = min(_MOST_LEVELS, 1 + int(times / total * _MOST_LEVELS * (1 if i == j else 2)))
            steps = f"M{margin + j * cell:.1f} {margin + i * cell:.1f}h{cell:.1f}v{cell:.1f}h{-cell:.1f}Z"
            levels.setdefault((kind, level), []).append(steps)
    for (kind, level), cells in sorted(levels.items()):
        svg.outline("".join(cells), f"{kind} l{level}")
    return svg.markup()
