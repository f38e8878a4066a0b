"""Ways of compressing at exactly one rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nshot import methods, metrics
from nshot.core import BackboneRef, Candidate, Family, OptionError, Prediction
from nshot.study.compression import Entrant, Measured, Setting, at_rate, because, bits_for, conclude
from nshot.study.options import CompressionOptions, StudyOptions

ROWS = 40


class Nothing:
    """Stands for a codec where nothing is compressed."""

    def state(self) -> Any:
        from nshot.core import State

        return State()


def setting(asked: float, wrote: float, decibels: float, seed: int = 0) -> Setting:
    spread = np.random.default_rng(seed).normal(size=(ROWS, 1))
    spread -= spread.mean()
    statistics = {"psnr": decibels + spread, "bits_per_pixel": np.full((ROWS, 1), wrote)}
    return Setting(asked, Nothing(), Prediction(), statistics, 0.1, 0.1, 1.0)


def entrant(name: str, *settings: Setting, family: Family = Family.UNSUPERVISED) -> Entrant:
    return Entrant(Candidate(name, family, {}, None), methods.build("pca_codec"), settings)


def measured(*entrants: Entrant) -> Measured:
    targets = [np.zeros((4, 4), dtype=np.uint8)] * ROWS
    by_name = {one.candidate.name: one for one in entrants}
    return Measured(by_name, targets, metrics.get("psnr"), metrics.get("bits_per_pixel"))


def test_between_two_settings_a_share_of_the_examples_has_each() -> None:
    found = at_rate(entrant("a", setting(0.5, 0.6, 30.0), setting(1.0, 1.1, 36.0)), 1.0, "bits_per_pixel")
    assert found is not None
    assert found.reached == 1.0
    assert found.statistics["psnr"].mean() == pytest.approx(30 + 0.8 * 6)
    assert found.nearest.asked == 1.0


def test_a_method_counts_with_its_best_where_it_cannot_spend_the_bits() -> None:
    found = at_rate(entrant("a", setting(0.5, 0.4, 30.0), setting(1.0, 0.9, 36.0)), 1.0, "bits_per_pixel")
    assert found is not None
    assert (found.reached, found.statistics["psnr"].mean()) == (0.9, pytest.approx(36.0))


def test_a_method_that_cannot_write_so_few_bits_is_left_out_and_named() -> None:
    many = entrant("many", setting(1.0, 3.0, 50.0))
    data = measured(entrant("few", setting(0.5, 0.5, 30.0), setting(1.0, 1.0, 36.0)), many)
    verdict, pick = conclude(data, 1.0, StudyOptions(), 100)
    assert pick == "few"
    assert [row["candidate"] for row in verdict["leaderboard"]] == ["few"]
    assert data.skipped[0]["reason"] == "writes at least 3.00 bits, and 1 was asked for"
    with pytest.raises(OptionError, match="No method writes as few as 1 bits"):
        conclude(measured(many), 1.0, StudyOptions(), 100)


def test_the_best_at_the_rate_is_picked_and_what_files_would_take_is_said() -> None:
    learnt = entrant("learnt", setting(0.5, 0.5, 30.0, 1), setting(1.0, 1.0, 36.0, 1), setting(2.0, 2.0, 44.0, 1))
    files = (setting(0.5, 0.5, 28.0, 2), setting(1.0, 1.0, 32.0, 2), setting(2.0, 2.0, 40.0, 2))
    data = measured(learnt, entrant("jpeg", *files, family=Family.BASELINE))
    verdict, pick = conclude(data, 1.0, StudyOptions(), 100)
    assert pick == "learnt"
    assert verdict["pick"]["score_as_measured"] == pytest.approx(36.0)
    said = because(verdict, data)
    assert said[0].startswith("jpeg is worse: -4 dB [")
    assert "jpeg takes 1.50 bits per pixel to come out as well as learnt." in said
    assert bits_for(data.entrants["jpeg"], 99.0, data.metric, "bits_per_pixel") is None


def test_rates_on_either_side_are_measured() -> None:
    assert CompressionOptions().measured() == (0.25, 0.5, 1.0, 2.0)
    assert CompressionOptions(rate=0.1, rates=(0.1,)).measured() == (0.05, 0.1, 0.2)
    with pytest.raises(OptionError, match="must be between 0 and 64 bits"):
        CompressionOptions(rates=(-1.0,)).measured()


def test_the_backbone_is_part_of_the_name() -> None:
    ref = BackboneRef("some/encoder")
    assert Candidate("pca_codec", Family.UNSUPERVISED, {}, ref).name == "pca_codec:encoder"
