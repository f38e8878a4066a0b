"""Where things land in the charts."""

from __future__ import annotations

import itertools
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from nshot.report import charts
from nshot.report.drawing import LETTER, Scale, nice_range, spread
from nshot.report.record import read


def words_in(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Return every text of the drawing with its box."""
    found = []
    for element in ET.fromstring(svg).iter("text"):
        width, x, y = len(element.text or "") * LETTER, float(element.get("x", "0")), float(element.get("y", "0"))
        left = {"middle": x - width / 2, "end": x - width}.get(element.get("text-anchor", ""), x)
        found.append((element.text or "", left, y - 10, left + width, y))
    return found


def overlapping(svg: str) -> list[tuple[str, str]]:
    boxes = words_in(svg)
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    return [(a[0], b[0]) for a, b in pairs if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]]


@pytest.mark.parametrize("name", ["tickets", "banking", "binary", "prices", "anomalies", "groups"])
@pytest.mark.parametrize("is_wide", [True, False])
def test_no_two_words_of_a_chart_overlap(name: str, is_wide: bool, request: pytest.FixtureRequest) -> None:
    record = read(request.getfixturevalue(name))
    drawn = [
        charts.curves(record, is_wide),
        charts.cost(record, "fit", is_wide),
        charts.cost(record, "latency", is_wide),
    ]
    for svg in drawn:
        assert svg is None or overlapping(svg) == []


@pytest.mark.parametrize("is_wide", [True, False])
def test_large_errors_of_few_rows_stand_at_the_upper_edge_and_squeeze_nobody(
    prices: dict[str, Any], is_wide: bool
) -> None:
    svg = charts.curves(read(prices), is_wide)
    assert svg is not None
    ticks = [text for text, *_ in words_in(svg) if text.endswith("0,000")]
    assert ticks == ["10,000", "20,000", "30,000", "40,000", "50,000"], "410,000 and 88,000 are beyond"
    marks = [p.get("d", "") for p in ET.fromstring(svg).iter("path") if p.get("class", "").startswith("dot")]
    tops = [float(d[1:].split("L")[0].split("a")[0].split("h")[0].split()[1]) for d in marks]
    assert min(tops) >= 30, "nothing is drawn above the axis"
    assert charts.below_axis(read(prices)) == ["mean (88,000)"]


def test_a_share_that_falls_without_end_ends_at_an_edge(prices: dict[str, Any]) -> None:
    prices["verdict"] |= {"metric": "r2", "point": 0.01}
    for curve, scores in zip(prices["details"]["curves"], ([0.2, 0.5, 0.7, 0.8], [-40, 0.1, 0.3, 0.7]), strict=False):
        for point, score in zip(curve["points"], scores, strict=True):
            point |= {"score": score, "interval": None}
    prices["details"]["curves"] = prices["details"]["curves"][:2]
    svg = charts.curves(read(prices), is_wide=True)
    assert svg is not None
    assert "-0.5" in [text for text, *_ in words_in(svg)]
    assert "-40" not in "".join(text for text, *_ in words_in(svg))


def test_what_needs_no_label_has_no_curve_over_labels(groups: dict[str, Any]) -> None:
    assert charts.curves(read(groups), is_wide=True) is None
    assert charts.cost(read(groups), "fit", is_wide=True) is not None


def test_every_curve_is_named_however_near_their_ends_are(tickets: dict[str, Any]) -> None:
    curve = tickets["details"]["curves"][1]
    tickets["details"]["curves"] = [{**curve, "candidate": f"candidate_{i}", "role": "behind"} for i in range(20)]
    tickets["verdict"]["leaderboard"] = []
    svg = charts.curves(read(tickets), is_wide=True)
    assert svg is not None
    assert overlapping(svg) == []
    assert sum(text.startswith("candidate_") for text, *_ in words_in(svg)) == 20


def test_zero_labels_stand_left_of_the_log_axis_and_reach_the_right_end(tickets: dict[str, Any]) -> None:
    svg = charts.curves(read(tickets), is_wide=True)
    assert svg is not None
    group = next(g for g in ET.fromstring(svg).iter("g") if "curve-of f-zero-shot" in g.get("class", ""))
    line = next(p.get("d", "") for p in group.iter("path") if p.get("class") == "curve")
    (x0, y0), (x1, y1) = [tuple(map(float, point.split())) for point in line[1:].split("L")]
    ticks = {text: (left + right) / 2 for text, left, _, right, _ in words_in(svg)}
    assert x0 == pytest.approx(ticks["0"], abs=0.2)
    assert x0 < ticks["16"] < ticks["843"] < x1
    assert y0 == y1


def test_a_point_tells_its_figures_on_hover(tickets: dict[str, Any]) -> None:
    svg = charts.curves(read(tickets), is_wide=True)
    assert svg is not None
    titles = [title.text or "" for title in ET.fromstring(svg).iter("title")]
    assert any(
        title.startswith("primed_probe: 0.86 [0.82, 0.90]\n843 labels, 5 repeats\nthis model") for title in titles
    )


def test_scales_put_their_ends_where_they_are_told() -> None:
    scale = Scale(10, 1000, 50, 250, is_log=True)
    assert (scale(10), scale(100), scale(1000)) == pytest.approx((50, 150, 250))
    assert Scale(3, 3, 0, 10)(3) == 0


@pytest.mark.parametrize(
    ("values", "low", "high", "ticks"),
    [
        ([0.22, 0.86], 0.2, 1.0, [0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0.5, 0.5], 0.4, 0.6, [0.4, 0.6]),
        ([120.0, 840.0], 0.0, 1000.0, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_axes_end_on_round_numbers(values: list[float], low: float, high: float, ticks: list[float]) -> None:
    assert nice_range(values, 0.0, None) == (pytest.approx(low), pytest.approx(high), pytest.approx(ticks))


@pytest.mark.parametrize("places", [[10.0], [10, 11, 12, 80], [50] * 6, [100, 99, 0, 1], [0, 0, 100, 100, 55]])
def test_names_are_kept_apart_inside_the_chart_and_in_order(places: list[float]) -> None:
    found = spread(places, 14, 0, 100)
    ranked = sorted(found)
    assert all(b - a >= 14 - 1e-9 for a, b in itertools.pairwise(ranked))
    assert min(found) >= -1e-9
    assert max(found) <= 100 + 1e-9
    assert sorted(range(len(places)), key=lambda i: (places[i], found[i])) == sorted(
        range(len(places)), key=lambda i: found[i]
    )
