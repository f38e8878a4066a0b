"""The text encoder on a GPU answers what it answers on the processor."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.backbones import open_backbone

pytestmark = pytest.mark.gpu
TEXTS = ["where is my parcel", "I want my money back", "", "a " * 300]


@pytest.fixture
def cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return "cuda"


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("bf16", 0.999)])
def test_vectors_agree_with_those_of_the_processor(cuda, precision, least):
    expected = open_backbone(precision="fp32", device="cpu").embed(TEXTS)
    found = open_backbone(precision=precision, device=cuda).embed(TEXTS)
    assert np.all((expected * found).sum(axis=1) >= least)
