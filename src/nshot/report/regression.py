"""How far the pick's numbers are off: the part of a report where numbers are predicted."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nshot.report import wording
from nshot.report.drawing import LETTER, Drawing, Scale, nice_range
from nshot.report.pages import Section, template
from nshot.report.record import Covered, Record, Within

_MOST_WORST = 12
_TICK_ROOM = 8
_COVERED = 0.9
_HOW_MANY = {0.5: "Half of the answers are", _COVERED: "Nine in ten answers are"}


def sections(record: Record, *, texts: bool) -> list[Section]:
    """Return the part of the page, or nothing where no numbers were predicted.

    Args:
        record: The record.
        texts: Whether examples may be shown.
    """
    found = record.details.regression
    if not found.points:
        return []
    markup = template("regression.html.j2").render(
        record=record,
        found=found,
        sentences=sentences(record),
        charts=[against_truth(record, is_wide) for is_wide in (True, False)],
        worst=found.worst[:_MOST_WORST],
        w=wording,
        texts=texts,
    )
    return [Section("numbers", "How far off it is", Markup(markup))]  # noqa: S704 - a template that escapes


def sentences(record: Record) -> list[str]:
    """Return how far off answers are, and whether they are too high or too low on average."""
    found = record.details.regression
    said = how_near(found.within)
    if found.bias.score is not None and found.bias.interval is not None:
        low, high = found.bias.interval
        by = _with_interval(abs(found.bias.score), _apart(found.bias.interval))
        is_shown = low > 0 or high < 0
        side = "high" if found.bias.score > 0 else "low"
        said.append(
            f"On average they are {by} too {side}."
            if is_shown
            else "On average they are neither too high nor too low, as far as the test rows can tell: "
            f"{wording.signed(found.bias.score, _places(found.bias.score, found.bias.interval))} "
            f"{wording.signed_interval(found.bias.interval, _places(found.bias.score, found.bias.interval))}."
        )
    return [*said, *_by_size(found.coverage)]


def how_near(within: Sequence[Within]) -> list[str]:
    """Return how far off half of the answers are, and nine in ten."""
    return [
        f"{_HOW_MANY[one.share]} off by {_with_interval(one.error, one.interval)} or less."
        for one in within
        if one.error is not None and one.share in _HOW_MANY
    ]


def _by_size(coverage: Sequence[Covered]) -> list[str]:
    """Return that small and large answers are not equally near, where that is shown."""
    known = [(one.share, one) for one in coverage if one.share is not None and one.interval is not None]
    if not any(one.interval and not one.interval[0] <= _COVERED <= one.interval[1] for _, one in known):
        return []
    (_, worst), (_, best) = (pick(known, key=lambda part: part[0]) for pick in (min, max))
    return [
        f"How near depends on the size of the answer: of those {_from_to(worst)} are off by no more than nine in ten of "
        f"the others; of those {_from_to(best)}."
    ]


def _from_to(part: Covered) -> str:
    """Return ``from 168,500 to 495,500, 39 % [28 %, 52 %]``."""
    ends = "" if part.interval is None else " [{}, {}]".format(*map(wording.percent, part.interval))
    return f"from {wording.quantity(part.low)} to {wording.quantity(part.high)}, {wording.percent(part.share)}{ends}"


def _apart(interval: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of an interval that lies on one side of 0, without its sign."""
    low, high = sorted(abs(end) for end in interval)
    return low, high


def _places(value: float, interval: tuple[float, float] | None) -> int:
    """Return the decimals that show three significant digits of the largest of these numbers."""
    return wording.significant(max(abs(number) for number in (value, *(interval or ()))))


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    return wording.with_interval(value, interval, _places(value, interval))


def against_truth(record: Record, is_wide: bool) -> Markup:
    """Return the chart of predicted over true numbers; on the dashed line an answer is right."""
    points = record.details.regression.points
    width, height = (620, 430) if is_wide else (390, 360)
    name = record.details.data.label or "value"
    label = f"Predicted against true {name} of {len(points)} test rows. The tables have the figures."
    svg = Drawing(width, height, "chart wide" if is_wide else "chart narrow", label)
    values = [number for point in points for number in point]
    low, high, ticks = nice_range(values, None, None)
    widest = max(len(wording.quantity(tick)) for tick in ticks)
    left, right, top, bottom = widest * LETTER + 14, width - 14.0, 30.0, height - 46.0
    x, y = Scale(low, high, left, right), Scale(low, high, bottom, top)
    svg.group("axis")
    taken = -1e9
    for tick in ticks:
        words = wording.quantity(tick)
        svg.line(left, y(tick), right, y(tick), "grid")
        svg.words(left - 8, y(tick) + 4, words, anchor="end")
        half = len(words) * LETTER / 2
        place = min(x(tick), width - half - 2)
        if place - half > taken:
            svg.words(place, bottom + 18, words, anchor="middle")
            taken = place + half + _TICK_ROOM
    svg.line(left, bottom, right, bottom, "base")
    svg.path([(x(low), y(low)), (x(high), y(high))], "reference")
    svg.words((left + right) / 2, bottom + 38, f"true {wording.shortened(name, 40)}", "title", "middle")
    svg.words(4, 14, "predicted", "title")
    svg.group("f-other r-pick")
    for truth, answer in points:
        words = f"true {wording.quantity(truth)}, predicted {wording.quantity(answer)}"
        svg.mark("circle", (x(truth), y(answer)), 2.6, "dot soft", words)
    return svg.markup()


def markdown(record: Record, *, texts: bool) -> list[str]:
    """Return the same as Markdown, lines without a heading; what comes from the data is not escaped yet."""
    return sentences(record) if record.details.regression.points else []
