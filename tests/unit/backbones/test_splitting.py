from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.backbones import open_backbone
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import Splits, UnsupportedError
from unit.backbones.tiny import TEXTS, vocabulary, write_bert, write_tokenizer

BEFORE_THE_LAYERS = ("embeddings.", "model.embeddings.")


def bert(folder: Path) -> Path:
    return write_bert(folder / "bert", pooling={"pooling_mode_mean_tokens": True}, num_hidden_layers=3)


def of_transformers(folder: Path, model: torch.nn.Module) -> Path:
    model.save_pretrained(folder / "model")
    write_tokenizer(folder / "model")
    return folder / "model"


def distilbert(folder: Path) -> Path:
    from transformers import DistilBertConfig, DistilBertModel

    shape = DistilBertConfig(vocab_size=len(vocabulary()), dim=32, n_layers=3, n_heads=4, hidden_dim=64)
    return of_transformers(folder, DistilBertModel(shape))


def mpnet(folder: Path) -> Path:
    from transformers import MPNetConfig, MPNetModel

    shape = MPNetConfig(
        vocab_size=len(vocabulary()),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        bos_token_id=2,
        pad_token_id=0,
    )
    return of_transformers(folder, MPNetModel(shape))


def t5(folder: Path) -> Path:
    from transformers import T5Config, T5Model

    shape = T5Config(vocab_size=len(vocabulary()), d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4)
    return of_transformers(folder, T5Model(shape))


def albert(folder: Path) -> Path:
    from transformers import AlbertConfig, AlbertModel

    shape = AlbertConfig(
        vocab_size=len(vocabulary()),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return of_transformers(folder, AlbertModel(shape))


def opened(folder: Path, **options) -> TextEncoder:
    backbone = open_backbone(str(folder), **{"precision": "fp32", "threads": 1, "device": "cpu", **options})
    assert isinstance(backbone, TextEncoder)
    assert isinstance(backbone, Splits)
    return backbone


@pytest.fixture(params=[bert, distilbert, mpnet])
def backbone(request, tmp_path: Path) -> TextEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return opened(request.param(tmp_path))


@pytest.mark.parametrize("top", [1, 2, 3])
def test_both_halves_together_are_the_whole_network(backbone: TextEncoder, top: int) -> None:
    assert backbone.depth == 3
    prepared = backbone.tokenize(TEXTS)
    split = backbone.split(top)

    states = list(split.states(prepared))
    made = split.upper()(**split.collate(states))

    assert [state.shape for state in states] == [(len(tokens), 32) for tokens in prepared]
    whole = backbone.module()(**backbone.collate(prepared))
    torch.testing.assert_close(made, whole, atol=1e-5, rtol=1e-4)


def test_gradients_of_the_upper_half_are_those_of_the_whole_network(backbone: TextEncoder) -> None:
    prepared = backbone.tokenize(TEXTS)
    split = backbone.split(2)
    upper, whole = split.upper(), backbone.module()

    upper(**split.collate(list(split.states(prepared))))[:, 0].sum().backward()
    whole(**backbone.collate(prepared))[:, 0].sum().backward()

    wanted = dict(whole.named_parameters())
    trained = {name: value for name, value in upper.named_parameters() if value.requires_grad}
    assert set(trained) < set(wanted)
    assert not any(name.startswith(BEFORE_THE_LAYERS) or ".0." in name for name in trained)
    assert {name for name, value in trained.items() if value.grad is not None} == set(trained)
    for name, value in trained.items():
        torch.testing.assert_close(value.grad, wanted[name].grad, atol=2e-5, rtol=1e-3)


def test_an_upper_half_is_a_copy(backbone: TextEncoder) -> None:
    split = backbone.split(1)
    states = list(split.states(backbone.tokenize(TEXTS)))
    before = split.upper()(**split.collate(states))
    with torch.no_grad():
        for value in split.upper().parameters():
            value.add_(1)

    assert torch.equal(split.upper()(**split.collate(states)), before)


def test_states_come_in_the_order_of_the_texts_whatever_the_window(tmp_path: Path, monkeypatch) -> None:
    backbone = opened(bert(tmp_path))
    prepared = backbone.tokenize(TEXTS * 3)
    together = list(backbone.split(1).states(prepared))
    monkeypatch.setattr("nshot.backbones.text_encoder._SPLIT_WINDOW", 5)

    for one, other in zip(backbone.split(1).states(prepared), together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_below_the_cut_it_computes_in_the_precision_of_the_backbone(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    fp32, bf16 = (opened(folder, precision=precision) for precision in ("fp32", "bf16"))
    split = bf16.split(1)
    states = list(split.states(bf16.tokenize(TEXTS)))

    assert {state.dtype for state in states} == {torch.bfloat16}
    made = split.upper()(**split.collate(states)).detach().numpy()
    assert (made * fp32.embed(TEXTS)).sum(axis=1).min() > 0.998
    assert made.dtype == np.float32


def test_the_upper_half_computes_in_bf16_under_autocast(tmp_path: Path) -> None:
    backbone = opened(bert(tmp_path))
    split = backbone.split(2)
    batch = split.collate(list(split.states(backbone.tokenize(TEXTS))))
    upper = split.upper()
    exact = upper(**batch)

    with torch.autocast("cpu", torch.bfloat16):
        rounded = upper(**batch)

    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", [t5, albert])
def test_a_network_whose_layers_lean_on_those_below_is_refused_in_words(kind, tmp_path: Path) -> None:
    backbone = opened(kind(tmp_path))

    with pytest.raises(UnsupportedError, match="layers of this backbone"):
        backbone.split(1)


def test_an_adapted_encoder_is_cut_with_its_own_weights(tmp_path: Path) -> None:
    backbone = opened(bert(tmp_path))
    lowest, highest = (f"encoder.layer.{number}.output.dense.weight" for number in (0, 2))
    adapted = backbone.adapted({name: np.zeros((32, 64), dtype=np.float32) for name in (lowest, highest)})
    prepared = adapted.tokenize(TEXTS)
    split = adapted.split(1)

    made = split.upper()(**split.collate(list(split.states(prepared))))

    torch.testing.assert_close(made, torch.from_numpy(adapted.embed(TEXTS)), atol=1e-5, rtol=1e-4)
    assert not np.allclose(made.detach(), backbone.embed(TEXTS), atol=1e-3)
