"""The embedded encoder on real texts, against sentence-transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nshot.backbones import open_backbone
from nshot.backbones.locate import locate
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import BackboneRef

ODD = ["", " ", "one", "naïve café 漢字 🙂", "word " * 700, "\n\nTwo\tlines\r\n"]


@pytest.fixture(scope="module")
def theirs():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(locate(BackboneRef("all-MiniLM-L6-v2")).folder), device="cpu")


@pytest.fixture
def texts(shared_data: Path) -> list[str]:
    import csv

    with (shared_data / "text/banking77/train.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    return rows[::230] + ODD


def encoder(**options) -> TextEncoder:
    opened = open_backbone(threads=1, **options)
    assert isinstance(opened, TextEncoder)
    return opened


def test_vectors_equal_those_of_sentence_transformers(theirs, texts: list[str]) -> None:
    wanted = theirs.encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(encoder(precision="fp32").embed(texts), wanted, atol=2e-6)
    cosines = (encoder(precision="bf16").embed(texts) * wanted).sum(axis=1)
    assert cosines.mean() > 0.9999
    assert cosines.min() > 0.999


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_a_vector_does_not_depend_on_its_batch(texts: list[str], precision: str, tolerance: float) -> None:
    ours = encoder(precision=precision)
    alone = np.concatenate([ours.embed([text]) for text in texts])
    np.testing.assert_allclose(ours.embed(texts), alone, atol=tolerance)


def test_the_trainable_network_starts_from_the_same_vectors(texts: list[str]) -> None:
    ours = encoder(precision="fp32")
    features = ours.module()(**ours.collate(ours.tokenize(texts))).detach().numpy()
    np.testing.assert_allclose(features, ours.embed(texts), atol=2e-6)


def test_embedding_imports_no_large_library_but_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from nshot.backbones import open_backbone; open_backbone().embed(['where is my card']);"
        "print([m for m in ('transformers', 'sentence_transformers', 'sklearn', 'scipy', 'pandas', 'huggingface_hub')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
