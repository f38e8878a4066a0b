"""The chart of scores over bits."""

from __future__ import annotations

from nshot.report import compression


def point(bits: float, score: float) -> dict[str, object]:
    scores = {"bits_per_value": {"score": bits, "interval": None}, "lost_variance": {"score": score, "interval": None}}
    return {"candidate": "pca_codec", "family": "unsupervised", "scores": scores}


def test_what_takes_no_bits_lies_on_the_left_edge_of_the_log_scale() -> None:
    verdict = {
        "pick": {"candidate": "pca_codec"},
        "rates": [point(0.0, 1.0), point(0.5, 0.4)],
        "rate": 1.0,
        "rate_metric": "bits_per_value",
    }
    chart = compression._Chart(verdict, compression._lines(verdict), "lost_variance", True)
    assert chart._across(verdict["rates"][0]) == chart.left
    assert chart.left < chart._across(verdict["rates"][1]) < chart.right
    assert "0.5" in chart.draw()
