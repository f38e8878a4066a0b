"""A decoder on a GPU says what it says on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nshot.backbones import open_backbone
from nshot.backbones.causal_lm import CausalLM
from nshot.core import Decoding, Message
from unit.backbones.tiny_decoder import CHATML, write_decoder

pytestmark = pytest.mark.gpu
TEXTS = ["the red cat", "", "where is my card with a long text about the lost account and more food", "no"]
BEFORE = (Message("user", "the cat sat on the mat and the dog ran"), Message("assistant", "yes"))


@pytest.fixture
def cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return "cuda"


def decoder(folder: Path, device: str, precision: str) -> CausalLM:
    found = open_backbone(str(folder), device=device, precision=precision)
    assert isinstance(found, CausalLM)
    return found


@pytest.mark.parametrize("kind", ["LlamaConfig", "GPT2Config", "Gemma2Config"])
@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-3), ("bf16", 0.5)])
def test_likelihoods_agree_with_those_of_the_processor(
    cuda: str, tmp_path: Path, kind: str, precision: str, near: float
) -> None:
    folder = write_decoder(tmp_path / "tiny", kind, template=CHATML)
    expected = decoder(folder, "cpu", "fp32").likelihoods(TEXTS, TEXTS[::-1], before=BEFORE)
    found = decoder(folder, cuda, precision)
    assert found._packs
    np.testing.assert_allclose(found.likelihoods(TEXTS, TEXTS[::-1], before=BEFORE), expected, atol=near, rtol=0.05)


@pytest.mark.parametrize("decoding", [Decoding(16), Decoding(16, temperature=1.0, top_p=0.9)])
def test_an_answer_does_not_depend_on_its_neighbours(cuda: str, tmp_path: Path, decoding: Decoding) -> None:
    model = decoder(write_decoder(tmp_path / "tiny", template=CHATML), cuda, "fp32")
    alone = [model.generate([text], decoding, before=BEFORE)[0] for text in TEXTS]
    assert model.generate(TEXTS, decoding, before=BEFORE) == alone
    assert "".join(model.stream(TEXTS[0], decoding, before=BEFORE)) == alone[0].text
