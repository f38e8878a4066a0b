"""Whether a model got worse on later rows."""

from __future__ import annotations

import numpy as np
import pytest

import nshot
from nshot.core import OptionError


def rows(path, n, seed, wrong):
    """Write n rows, a share of whose labels "up" were turned into "down"."""
    rng = np.random.default_rng(seed)
    lines = ["a,label"]
    for value in rng.normal(size=n):
        label = "up" if value > 0 else "down"
        lines.append(f"{value:.6f},{'down' if label == 'up' and rng.random() < wrong else label}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("later")
    nshot.fit(rows(folder / "train.csv", 120, 0, 0.0), method="linear_probe", out=folder / "model", threads=1)
    rows(folder / "earlier.csv", 200, 1, 0.05)
    rows(folder / "same.csv", 200, 2, 0.05)
    rows(folder / "worse.csv", 200, 3, 0.5)
    return folder


def test_a_model_that_got_worse_is_told_with_the_label_and_stops_a_build(folder):
    found = nshot.evaluate(
        folder / "model", folder / "worse.csv", against=folder / "earlier.csv", metric="accuracy", fail_if_worse=0.05
    )
    against = found.record["against"]
    assert against["changed"] == "worse"
    low, high = against["difference"]["accuracy"]["interval"]
    assert low < against["difference"]["accuracy"]["mean"] < high < -0.05
    assert [one["label"] for one in against["labels"]] == ["down"]
    assert len(found.failures) == 1
    assert "worse.csv against earlier.csv" in found.failures[0]


def test_rows_like_the_earlier_ones_show_no_change(folder):
    found = nshot.evaluate(
        folder / "model", folder / "same.csv", against=folder / "earlier.csv", metric="accuracy", fail_if_worse=0
    )
    assert found.record["against"]["changed"] is None
    assert found.record["against"]["labels"] == []
    assert not found.record["against"]["trained_on"]
    assert found.failures == ()


def test_the_training_rows_as_earlier_ones_are_pointed_out(folder):
    found = nshot.evaluate(folder / "model", folder / "same.csv", against=folder / "train.csv")
    assert found.record["against"]["trained_on"]


def test_two_models_are_not_compared_over_time(folder):
    model = nshot.load(folder / "model")
    with pytest.raises(OptionError, match="one model"):
        nshot.evaluate(folder / "model", folder / "same.csv", model, against=folder / "earlier.csv")
