"""`compare` for `compress`, from files to a model that reads back what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nshot
from nshot.core import Codec, DataError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of small grey images."""
    generator = np.random.default_rng(0)
    down, across = np.mgrid[0:20, 0:20] / 20
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(60):
        a, b, c = generator.normal(size=3) * (70, 70, 40)
        picture = np.clip(128 + a * down + b * across + c * np.sin(5 * down), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


def test_images_are_compressed_by_every_method_and_shown_side_by_side(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = nshot.compare(
        pictures, task="compress", rates=(0.5,), rate=1.0, without=("autoencoder_codec",), out=out, threads=1
    )
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict == found.verdict
    assert verdict["task"] == "compress"
    assert verdict["n_test"] == 18
    assert {row["method"] for row in verdict["leaderboard"]} >= {"pca_codec", "product_quantisation"}
    for row in verdict["leaderboard"]:
        assert set(row["scores"]) == {"psnr", "ssim", "bits_per_pixel"}
        assert row["reached"] <= 1.0
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert verdict["pick"]["candidate"] in page
    assert verdict["pick"]["candidate"] in (out / "report.md").read_text()


def test_the_model_reads_back_what_it_wrote(pictures: Path, tmp_path: Path) -> None:
    nshot.compare(pictures, task="compress", rates=(0.5,), methods=("pca_codec",), out=tmp_path / "out", threads=1)
    codec = nshot.load(tmp_path / "out" / "model")._predictor
    assert isinstance(codec, Codec)
    files = [path.read_bytes() for path in sorted(pictures.iterdir())[:3]]
    back = codec.decode(codec.encode(files))
    assert [picture.shape for picture in back] == [(20, 20)] * 3


def test_pictures_can_be_left_out_of_the_report(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    nshot.compare(pictures, task="compress", rates=(0.5,), methods=("pca_codec",), out=out, texts=False, threads=1)
    assert "data:image/png" not in (out / "report.html").read_text()


def test_of_rows_with_labels_it_is_said_what_a_classifier_loses(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = ["a,b,c,d,kind"]
    for i in range(120):
        values = generator.normal(size=4) + (3 if i % 2 else 0)
        lines.append(",".join(f"{value:.4f}" for value in values) + f",{'high' if i % 2 else 'low'}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    found = nshot.compare(
        tmp_path / "rows.csv",
        task="compress",
        label="kind",
        rate=4.0,
        rates=(4.0,),
        methods=("pca_codec",),
        out=tmp_path / "out",
        threads=1,
    )
    assert found.verdict["rate_metric"] == "bits_per_value"
    assert found.verdict["pick"]["score"] < 0.2
    lost = found.details["classifier"][0]
    assert lost["of_the_originals"]["score"] > 0.9
    assert lost["difference"]["interval"][0] <= lost["difference"]["mean"]
    assert "A linear probe on what pca_codec gives back" in (tmp_path / "out" / "report.md").read_text()


def test_three_images_are_too_few(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((9, 9), i, dtype=np.uint8)).save(folder / f"{i}.png")
    with pytest.raises(DataError, match="3"):
        nshot.compare(folder, task="compress", out=tmp_path / "out")
