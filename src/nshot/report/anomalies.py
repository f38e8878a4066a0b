"""How the pick detects: recall over false alarms, the threshold for the user's costs, and rows to look at."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nshot.report import wording
from nshot.report.drawing import LETTER, Drawing, Scale
from nshot.report.pages import Section, template
from nshot.report.record import AlarmThreshold, Detection, Operating, Record

_MOST_ROWS = 12
_TOLD = 0.01
"""The false-alarm rate that a sentence tells of, or the nearest that could be measured."""
_TICKS = (0.001, 0.01, 0.1, 1.0)


def sections(record: Record, *, texts: bool) -> list[Section]:
    """Return the part of the page, or nothing where no anomalies were looked for.

    Args:
        record: The record.
        texts: Whether examples may be shown.
    """
    found = record.details.detection
    if not found.points:
        return []
    markup = template("anomalies.html.j2").render(
        record=record,
        found=found,
        threshold=_threshold(record),
        sentences=sentences(record),
        charts=[chart for wide in (True, False) for chart in (recall_chart(record, wide),)],
        normal=found.strangest_normal[:_MOST_ROWS],
        anomalous=found.least_strange[:_MOST_ROWS],
        rate=rate,
        w=wording,
        texts=texts,
    )
    return [Section("anomalies", "What it finds, and what it costs", Markup(markup))]  # noqa: S704 - it escapes


def markdown(record: Record, *, texts: bool) -> list[str]:
    """Return the same as Markdown, lines without a heading; what comes from the data is not escaped yet."""
    return sentences(record) if record.details.detection.points else []


def sentences(record: Record) -> list[str]:
    """Return what is found at a usual false-alarm rate, and what the threshold for the user's costs comes to."""
    said = _at_a_usual_rate(record.details.detection)
    chosen = _threshold(record)
    if chosen is None or chosen.threshold is None:
        return said
    cost, without = chosen.cost_per_1000_rows, chosen.cost_per_1000_rows_without_alarms
    said.append(
        f"At your costs (a miss {wording.money(chosen.cost_of_miss)}, a false alarm "
        f"{wording.money(chosen.cost_of_false_alarm)}) an alarm is best raised above a score of {chosen.threshold:.4g}: "
        f"it then finds {_with_ends(chosen.recall.value, chosen.recall.interval)} of the anomalies, and "
        f"{_with_ends(chosen.false_alarm_rate.value, chosen.false_alarm_rate.interval)} of the normal rows raise a "
        "false alarm."
    )
    ends = "" if cost.interval is None else f" {wording.money_interval(cost.interval)}"
    said.append(
        f"1,000 rows are expected to cost {wording.money(cost.value)}{ends}; without any alarm it would be "
        f"{wording.money(without)}."
    )
    if cost.interval is not None and without is not None and cost.interval[1] >= without:
        said.append("So it is not shown that alarms at this cost are worth having.")
    return said


def _threshold(record: Record) -> AlarmThreshold | None:
    return record.verdict.pick.threshold if record.verdict.pick else None


def _at_a_usual_rate(found: Detection) -> list[str]:
    known = [point for point in found.points if point.false_alarm_rate is not None and point.recall is not None]
    if not known:
        return []
    told = min(known, key=lambda point: abs((point.false_alarm_rate or 0.0) - _TOLD))
    alarms = told.alarms_per_1000_rows
    return [
        f"Where {rate(told.false_alarm_rate)} of the normal rows may raise a false alarm, it finds "
        f"{_with_ends(told.recall, told.interval)} of the anomalies; with {rate(found.anomaly_share)} anomalies that is "
        f"{wording.score(alarms, int((alarms or 0) < 10))} alarms among 1,000 rows, of which "
        f"{wording.percent(told.precision)} are right."
    ]


def rate(share: float | None) -> str:
    """Return a small share: ``0.1 %``, ``1 %``, ``12 %``."""
    if share is None or share >= 0.0095:
        return wording.percent(share)
    return f"{share * 100:.2g} %"


def _with_ends(share: float | None, ends: tuple[float, float] | None) -> str:
    return rate(share) if ends is None else f"{rate(share)} [{rate(ends[0])}, {rate(ends[1])}]"


def recall_chart(record: Record, is_wide: bool) -> Markup:
    """Return the chart of recall over the false-alarm rate (a log scale), with the band of its intervals."""
    found = record.details.detection
    points = _drawable(found.points)
    width, height = (620, 400) if is_wide else (390, 330)
    label = f"Recall over the false-alarm rate at {len(points)} rates. The table has the figures."
    svg = Drawing(width, height, "chart wide" if is_wide else "chart narrow", label)
    left, right, top, bottom = 6 * LETTER + 8, width - 16.0, 30.0, height - 46.0
    lowest = min([rate for rate, _, _ in points] or [_TICKS[0]])
    x = Scale(lowest / 1.5, 1.0, left, right, is_log=True)
    y = Scale(0.0, 1.0, bottom, top)
    svg.group("axis")
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        svg.line(left, y(tick), right, y(tick), "grid")
        svg.words(left - 8, y(tick) + 4, wording.percent(tick), anchor="end")
    for tick in (tick for tick in _TICKS if tick >= lowest / 1.5):
        words = rate(tick)
        svg.line(x(tick), bottom, x(tick), bottom + 4, "base")
        svg.words(min(x(tick), width - len(words) * LETTER / 2), bottom + 18, words, anchor="middle")
    svg.line(left, bottom, right, bottom, "base")
    svg.words((left + right) / 2, bottom + 38, "false alarms, share of the normal rows (log scale)", "title", "middle")
    svg.words(4, 14, "anomalies found", "title")
    _chance(svg, x, y)
    svg.group("f-other r-pick")
    upper = [(x(at), y(ends[1])) for at, _, ends in points if ends]
    lower = [(x(at), y(ends[0])) for at, _, ends in points if ends]
    if len(upper) > 1:
        svg.path([*upper, *reversed(lower)], "band", is_closed=True)
    if len(points) > 1:
        svg.path([(x(at), y(recall)) for at, recall, _ in points], "curve")
    for at, recall, ends in points:
        words = f"{rate(at)} false alarms: {_with_ends(recall, ends)} found"
        svg.mark("circle", (x(at), y(recall)), 3.4, "dot", words)
    chosen = _threshold(record)
    if chosen and chosen.recall.value is not None and chosen.false_alarm_rate.value:
        at = max(chosen.false_alarm_rate.value, lowest)
        words = f"your threshold: {rate(at)} false alarms, {rate(chosen.recall.value)} found"
        svg.mark("diamond", (x(at), y(chosen.recall.value)), 6.0, "dot hollow", words)
    return svg.markup()


def _drawable(points: Sequence[Operating]) -> list[tuple[float, float, tuple[float, float] | None]]:
    return [
        (point.false_alarm_rate, point.recall, point.interval)
        for point in points
        if point.false_alarm_rate and point.recall is not None
    ]


def _chance(svg: Drawing, x: Scale, y: Scale) -> None:
    """Draw what alarms by chance would find: as many anomalies as normal rows."""
    steps = 40
    places = [x.low * (x.high / x.low) ** (step / steps) for step in range(steps + 1)]
    svg.path([(x(at), y(at)) for at in places], "reference")
