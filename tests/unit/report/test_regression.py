"""What a report says of predicted numbers."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from nshot.report import html, markdown, regression
from nshot.report.record import read


def test_the_page_has_the_part_where_numbers_were_predicted_and_only_there(
    prices: dict[str, Any], tickets: dict[str, Any]
) -> None:
    page = html.render(prices)
    assert '<section id="numbers"' in page
    assert "The worst misses" in page
    assert 'id="numbers"' not in html.render(tickets)
    assert "## How far off it is" in markdown.render(prices)
    assert "How far off it is" not in markdown.render(tickets)


def test_how_far_off_answers_are_is_told_with_intervals(prices: dict[str, Any]) -> None:
    prices["details"]["regression"] |= {
        "within": [{"share": 0.5, "error": 10_812.0, "interval": [8_501.0, 12_700.0]}, {"share": 0.9, "error": None}],
        "bias": {"score": -1_200.0, "interval": [-2_000.0, -400.0]},
        "coverage": [
            {"low": 10.0, "high": 20.0, "count": 60, "share": 0.99, "interval": [0.92, 1.0]},
            {"low": 20.0, "high": 90.0, "count": 60, "share": 0.4, "interval": [0.28, 0.52]},
        ],
    }
    assert regression.sentences(read(prices)) == [
        "Half of the answers are off by 10,800 [8,500, 12,700] or less.",
        "On average they are 1,200 [400, 2,000] too low.",
        "How near depends on the size of the answer: of those from 20 to 90, 40 % [28 %, 52 %] are off by no more than "
        "nine in ten of the others; of those from 10 to 20, 99 % [92 %, 100 %].",
    ]


def test_a_bias_that_is_not_shown_is_not_claimed(prices: dict[str, Any]) -> None:
    prices["details"]["regression"]["bias"] = {"score": 12.0, "interval": [-30.0, 54.0]}
    assert "neither too high nor too low, as far as the test rows can tell: +12.0 [-30.0, +54.0]" in " ".join(
        regression.sentences(read(prices))
    )


def test_examples_are_left_out_on_request(prices: dict[str, Any]) -> None:
    assert "district = Old Town" in html.render(prices)
    assert "district = Old Town" not in html.render(prices, texts=False)


@pytest.mark.parametrize("is_wide", [True, False])
def test_each_point_of_the_chart_says_what_is_true_and_what_was_predicted(
    prices: dict[str, Any], is_wide: bool
) -> None:
    prices["details"]["regression"]["points"] = [[100.0, 120.0], [300.0, 250.0]]
    svg = ET.fromstring(regression.against_truth(read(prices), is_wide))
    titles = [title.text for title in svg.iter("title")]
    assert titles == ["true 100, predicted 120", "true 300, predicted 250"]


def test_a_picture_that_is_part_of_the_page_is_shown_and_no_address_is(prices: dict[str, Any]) -> None:
    worst = prices["details"]["regression"]["worst"]
    worst[0]["picture"] = "data:image/png;base64,iVBORw0KGgo="
    worst[1]["picture"] = "https://example.org/spy.png"
    page = html.render(prices)
    assert '<img src="data:image/png;base64,iVBORw0KGgo="' in page
    assert "example.org" not in page
