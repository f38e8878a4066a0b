from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nshot.backbones import FeatureCache, open_backbone
from nshot.backbones.text_encoder import TextEncoder
from nshot.core import Ability, BackboneRef, DataError, Embeds, ModelError, Trains
from unit.backbones.tiny import TEXTS, write_bert

MANY = [f"{a} {b} {'card ' * (i % 7)}" for i, (a, b) in enumerate(zip(TEXTS * 5, reversed(TEXTS * 5), strict=True))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True})


def encoder(folder: Path | str, **options) -> TextEncoder:
    opened = open_backbone(str(folder), **{"precision": "fp32", "threads": 1, **options})
    assert isinstance(opened, TextEncoder)
    return opened


def transformers_vectors(folder: Path, texts: list[str], max_tokens: int) -> np.ndarray:
    """Mean of the last hidden states of transformers' own BERT over padded batches, normalised."""
    from transformers import AutoTokenizer, BertModel

    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    with torch.inference_mode():
        hidden = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1).numpy()


def test_vectors_and_trainable_network_equal_those_of_transformers(folder: Path) -> None:
    wanted = transformers_vectors(folder, MANY, 24)
    ours = encoder(folder)
    np.testing.assert_allclose(ours.embed(MANY), wanted, atol=2e-6)
    module = ours.module()
    np.testing.assert_allclose(module(**ours.collate(ours.tokenize(MANY))).detach().numpy(), wanted, atol=2e-6)


def test_bf16_vectors_point_where_fp32_ones_do(folder: Path) -> None:
    exact, rounded = encoder(folder).embed(MANY), encoder(folder, precision="bf16").embed(MANY)
    assert rounded.dtype == np.float32
    assert (exact * rounded).sum(axis=1).min() > 0.998


def test_bf16_attention_survives_scores_too_large_for_plain_exponentials(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_bert(tmp_path / "sharp", pooling={"pooling_mode_mean_tokens": True})
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        if "self.query" in name:
            value.mul_(40)
    save_file(weights, folder / "model.safetensors")
    exact, rounded = encoder(folder).embed(MANY), encoder(folder, precision="bf16").embed(MANY)
    assert np.isfinite(rounded).all()
    assert (exact * rounded).sum(axis=1).mean() > 0.95


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_a_vector_does_not_depend_on_its_batch(folder: Path, precision: str, tolerance: float) -> None:
    ours = encoder(folder, precision=precision)
    together = ours.embed(MANY)
    alone = np.concatenate([ours.embed([text]) for text in MANY])
    np.testing.assert_allclose(together, alone, atol=tolerance)
    np.testing.assert_array_equal(together, ours.embed(MANY))


def test_vectors_come_in_the_order_of_the_texts_across_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = encoder(folder).embed(MANY)
    monkeypatch.setattr("nshot.backbones.text_encoder._BATCH_TOKENS", 20)
    monkeypatch.setattr("nshot.backbones.text_encoder._WINDOW", 7)
    np.testing.assert_allclose(encoder(folder).embed(MANY), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        {"pooling_mode_cls_token": True},
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_sqrt_len_tokens": True},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_lasttoken": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": "max"},
    ],
    ids="+".join,
)
def test_every_pooling_is_that_of_the_definition(tmp_path: Path, flags: dict) -> None:
    ours = encoder(write_bert(tmp_path / "tiny", pooling=flags))
    module = ours.module()
    made = ours.embed(TEXTS)
    for text, vector in zip(TEXTS, made, strict=True):
        batch = ours.collate(ours.tokenize([text]))
        hidden = module.encoder(
            module.embeddings(batch["input_ids"], batch["position_ids"]), [(1, len(batch["input_ids"]))]
        )
        hidden = hidden.detach().numpy()
        places = np.arange(1, len(hidden) + 1)[:, None]
        parts = {
            "pooling_mode_cls_token": hidden[0],
            "pooling_mode_max_tokens": hidden.max(axis=0),
            "pooling_mode": hidden.max(axis=0),
            "pooling_mode_mean_tokens": hidden.mean(axis=0),
            "pooling_mode_mean_sqrt_len_tokens": hidden.sum(axis=0) / np.sqrt(len(hidden)),
            "pooling_mode_weightedmean_tokens": (hidden * places).sum(axis=0) / places.sum(),
            "pooling_mode_lasttoken": hidden[-1],
        }
        wanted = np.concatenate([parts[flag] for flag in flags])
        np.testing.assert_allclose(vector, wanted / np.linalg.norm(wanted), atol=1e-5)
    assert ours.width == made.shape[1] == 32 * len(flags)


def test_a_folder_without_pooling_settings_gets_the_plain_mean(tmp_path: Path) -> None:
    ours = encoder(write_bert(tmp_path / "tiny"))
    vectors = ours.embed(TEXTS)
    assert ours.settings.pooling == ("mean",)
    assert ours.settings.max_tokens == 48
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 0.1


def test_a_dense_layer_after_pooling_is_applied(tmp_path: Path) -> None:
    import json

    from safetensors.torch import save_file

    folder = write_bert(tmp_path / "tiny", pooling={"pooling_mode_mean_tokens": True})
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Dense").mkdir()
    weight, bias = torch.randn(5, 32), torch.randn(5)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors")
    (folder / "2_Dense" / "config.json").write_text(
        json.dumps(
            {
                "in_features": 32,
                "out_features": 5,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            }
        )
    )
    ours = encoder(folder)
    pooled = encoder(write_bert(tmp_path / "plain")).embed(TEXTS)
    np.testing.assert_allclose(ours.embed(TEXTS), np.tanh(pooled @ weight.numpy().T + bias.numpy()), atol=1e-5)
    assert ours.width == 5


def test_any_text_that_python_can_hold_gets_a_vector(folder: Path) -> None:
    odd = [
        "",
        " \t\n",
        "\ud800 card",
        "card \udfff",
        "\x00",
        "a" * 5_000_000,
        "card " * 1_000_000,
        " " * 3_000_000,
        "漢" * 99,
    ]
    vectors = encoder(folder).embed(odd)
    assert vectors.shape == (len(odd), 32)
    assert np.isfinite(vectors).all()


def test_a_long_text_equals_its_beginning(folder: Path) -> None:
    ours = encoder(folder)
    long = "where is my card " * 20_000
    np.testing.assert_allclose(ours.embed([long]), ours.embed([long[:500]]), atol=1e-6)
    blanks = " " * 2_000 + "stolen card"
    np.testing.assert_allclose(ours.embed([blanks]), ours.embed(["stolen card"]), atol=1e-6)


def test_no_texts_give_no_vectors_and_other_things_are_refused(folder: Path) -> None:
    ours = encoder(folder)
    assert ours.embed([]).shape == (0, 32)
    with pytest.raises(DataError, match="type int"):
        ours.embed(["card", 7])


def test_opening_is_what_the_protocols_say(folder: Path) -> None:
    ours = encoder(folder)
    assert isinstance(ours, Embeds)
    assert isinstance(ours, Trains)
    assert ours.abilities == {Ability.EMBEDS, Ability.STARTS, Ability.TRAINS}
    assert ours.ref.id == str(folder)
    assert ours.ref.name == "tiny"
    assert ours.ref.sha256 is not None


def test_training_a_copy_leaves_the_backbone_as_it_was(folder: Path) -> None:
    ours = encoder(folder)
    before = ours.embed(TEXTS)
    module = ours.module().train()
    batch = ours.collate(ours.tokenize(TEXTS))
    module(**batch).sum().backward()
    with torch.no_grad():
        for value in module.parameters():
            assert value.grad is not None
            value.add_(1)
    np.testing.assert_array_equal(ours.embed(TEXTS), before)
    np.testing.assert_array_equal(encoder(folder).embed(TEXTS), before)


def test_gradients_equal_those_of_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer, BertModel

    ours = encoder(folder)
    module = ours.module()
    module(**ours.collate(ours.tokenize(MANY)))[:, 0].sum().backward()
    theirs = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        MANY, padding=True, truncation=True, max_length=24, return_tensors="pt"
    )
    hidden = theirs(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    torch.nn.functional.normalize(mean, dim=-1)[:, 0].sum().backward()
    own = dict(module.named_parameters())
    for name, value in theirs.named_parameters():
        if name != "embeddings.token_type_embeddings.weight":
            np.testing.assert_allclose(own[name].grad, value.grad, atol=2e-5, err_msg=name)


def test_dropout_acts_in_training_only(folder: Path) -> None:
    ours = encoder(folder)
    module, batch = ours.module(), ours.collate(ours.tokenize(TEXTS))
    assert not module.training
    assert torch.equal(module(**batch), module(**batch))
    module.train()
    assert not torch.equal(module(**batch), module(**batch))
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    torch.testing.assert_close(module(**batch), ours.module()(**batch))


def test_features_are_float32_under_autocast(folder: Path) -> None:
    ours = encoder(folder)
    module, batch = ours.module().train(), ours.collate(ours.tokenize(TEXTS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = module(**batch)
    assert features.dtype == torch.float32
    features.sum().backward()


def test_lora_adapters_find_their_places(folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    ours = encoder(folder)
    module = get_peft_model(ours.module(), LoraConfig(target_modules=["query", "key", "value", "dense"], r=2))
    features = module(**ours.collate(ours.tokenize(TEXTS)))
    features.sum().backward()
    trained = [name for name, value in module.named_parameters() if value.grad is not None]
    assert trained
    assert all("lora_" in name for name in trained)
    merged = module.merge_and_unload()
    assert set(dict(merged.named_parameters())) == set(dict(ours.module().named_parameters()))


def test_random_networks_come_from_their_seed(folder: Path) -> None:
    ours = encoder(folder)
    first, again, other = ours.random_module(1), ours.random_module(1), ours.random_module(2)
    name = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    assert set(first.state_dict()) == set(ours.module().state_dict())


def test_trained_weights_make_another_encoder(folder: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features")
    ours = encoder(folder, cache=cache)
    before = ours.embed(TEXTS)
    name = "encoder.layer.1.output.dense.weight"
    trained = ours.adapted({name: np.zeros((32, 64), dtype=np.float32)})
    assert np.abs(trained.embed(TEXTS) - before).max() > 1e-3
    np.testing.assert_array_equal(ours.embed(TEXTS), before)
    assert cache.info().vectors == len(TEXTS)
    same = ours.adapted({name: value.numpy() for name, value in ours.module().state_dict().items()})
    np.testing.assert_allclose(same.embed(TEXTS), before, atol=1e-6)


def test_trained_weights_of_another_network_are_refused(folder: Path) -> None:
    ours = encoder(folder)
    with pytest.raises(ModelError, match="does not have"):
        ours.adapted({"classifier.weight": np.zeros(3)}).embed(["card"])
    with pytest.raises(ModelError, match="has shape"):
        ours.adapted({"encoder.layer.1.output.dense.weight": np.zeros((2, 2))}).embed(["card"])


def test_other_architectures_go_through_transformers(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    from unit.backbones.tiny import vocabulary, write_tokenizer

    folder = tmp_path / "distil"
    torch.manual_seed(0)
    shape = DistilBertConfig(vocab_size=len(vocabulary()), dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    model = DistilBertModel(shape).eval()
    model.save_pretrained(folder)
    write_tokenizer(folder)
    ours = encoder(folder)
    vectors = ours.embed(MANY)
    ids = ours.tokenize(MANY[3:4])
    with torch.inference_mode():
        wanted = model(torch.tensor(ids)).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(vectors[3:4], wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.embed(MANY[:1]), vectors[:1], atol=1e-5)
    bf16 = encoder(folder, precision="bf16").embed(MANY)
    cosines = (bf16 * vectors).sum(1) / np.linalg.norm(bf16, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.998
    assert torch.equal(*(next(iter(ours.random_module(3).state_dict().values())) for _ in range(2)))


def test_wrong_weights_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="are not the recorded ones"):
        open_backbone(BackboneRef(str(folder), sha256="0" * 64))
    ours = encoder(folder)
    again = open_backbone(ours.ref)
    assert again.ref == ours.ref


def test_weights_of_other_sizes_are_refused(folder: Path) -> None:
    import json

    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**record, "intermediate_size": 128}))
    with pytest.raises(ModelError, match=r"has shape \(64, 32\)"):
        encoder(folder).embed(["card"])
    (folder / "config.json").write_text(json.dumps({**record, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match="lack 16"):
        encoder(folder).embed(["card"])


def test_broken_or_unsafe_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a weight file at all")
    with pytest.raises(ModelError, match="cannot be read"):
        encoder(folder).embed(["card"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*can run code"):
        encoder(folder).embed(["card"])


def test_opening_and_listing_load_no_framework() -> None:
    program = (
        "import sys; from nshot.backbones import open_backbone, known; b = open_backbone('all-MiniLM-L6-v2');"
        "known(); b.width; b.ref; print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_making_networks_leaves_global_random_numbers_alone(folder: Path) -> None:
    ours = encoder(folder)
    before = torch.get_rng_state()
    ours.module()
    ours.random_module(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_cached_vectors_need_no_weights_and_remember_what_they_cost(folder: Path, tmp_path: Path) -> None:
    first = encoder(folder, cache=FeatureCache(tmp_path / "features"))
    assert first.first_cost(TEXTS) == 0.0
    vectors = first.embed(TEXTS)
    cost = first.first_cost(TEXTS)
    assert cost > 0.0
    ref = first.ref
    (folder / "model.safetensors").unlink()
    later = open_backbone(BackboneRef(ref.id), cache=FeatureCache(tmp_path / "features"), precision="bf16")
    with pytest.raises(ModelError):
        later.embed(TEXTS)
    write_bert(folder, pooling={"pooling_mode_mean_tokens": True})
    again = encoder(folder, cache=FeatureCache(tmp_path / "features"))
    np.testing.assert_array_equal(again.embed([*TEXTS, *TEXTS]), np.concatenate([vectors, vectors]))
    assert "_network" not in vars(again)
    assert again.first_cost(TEXTS[:4]) == pytest.approx(cost / 2)
    changed = encoder(
        write_bert(folder, pooling={"pooling_mode_cls_token": True}), cache=FeatureCache(tmp_path / "features")
    )
    assert changed.first_cost(TEXTS) == 0.0
