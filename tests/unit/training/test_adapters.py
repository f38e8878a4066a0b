import json

import numpy as np
import pytest
import torch
from torch import nn

from nshot.core import OptionError
from nshot.training.adapters import adapter_state, merged, rescaled, with_adapters, with_scales


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(6, 6)
        self.dense = nn.Linear(6, 4, bias=False)

    def forward(self, x):
        return self.dense(torch.tanh(self.query(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.words = nn.Embedding(5, 6)
            self.layer = nn.ModuleList([Layer()])
            self.out = nn.Linear(4, 3)

    def forward(self, ids):
        return self.out(self.layer[0](self.words(ids)))


IDS = torch.tensor([0, 3, 4])


def wrapped(network=None, targets=("query", "dense"), seed=0, dora=False):
    return with_adapters(network or Net(), rank=2, alpha=6.0, dropout=0.0, target_modules=targets, seed=seed, dora=dora)


def scaled(network=None, targets=("query",)):
    return with_scales(network or Net(), target_modules=targets)


def apart(network=None, targets=("query", "dense")):
    return wrapped(network, targets, dora=True)


def trained(network):
    """Give the adapters values that a training could have left."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.normal_(generator=generator)
    return network


def test_training_starts_at_the_untouched_network_and_only_adapters_are_trainable() -> None:
    for make, parts, count in ((wrapped, "lora_", 4), (apart, "lora_", 6), (scaled, "ia3_l", 3)):
        network = make()

        torch.testing.assert_close(network(IDS), Net()(IDS), atol=1e-6 * (make is apart), rtol=0)
        trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        assert len(trainable) == count
        assert all(parts in name for name in trainable)


@pytest.mark.parametrize("make", [wrapped, apart])
def test_the_merge_by_formula_equals_the_merge_by_peft(make) -> None:
    network = trained(make())
    _, tensors = adapter_state(network)

    ours = merged(Net().state_dict(), tensors, rank=2, alpha=6.0)
    theirs = network.merge_and_unload().state_dict()

    assert set(ours) == {"layer.0.query.weight", "layer.0.dense.weight"}
    for name, weight in ours.items():
        np.testing.assert_allclose(weight, theirs[name].numpy(), rtol=1e-5, atol=1e-6)
        assert not np.allclose(weight, Net().state_dict()[name].numpy())


def test_the_magnitudes_are_the_lengths_of_the_merged_rows() -> None:
    _, tensors = adapter_state(trained(apart()))

    ours = merged(Net().state_dict(), tensors, rank=2, alpha=6.0)

    for layer in ("layer.0.query", "layer.0.dense"):
        magnitudes = tensors[f"base_model.model.{layer}.lora_magnitude_vector"]
        np.testing.assert_allclose(np.linalg.norm(ours[f"{layer}.weight"], axis=1), np.abs(magnitudes), rtol=1e-5)


def test_multiplying_factors_in_by_formula_equals_the_merge_by_peft() -> None:
    network = trained(scaled())
    _, tensors = adapter_state(network)

    ours = rescaled(Net().state_dict(), tensors)
    theirs = network.merge_and_unload().state_dict()

    # Both layers that narrow have their inputs scaled, which leaves a bias as it is.
    assert set(ours) == {"layer.0.query.weight", "layer.0.query.bias", "layer.0.dense.weight", "out.weight"}
    for name, weight in ours.items():
        np.testing.assert_allclose(weight, theirs[name].numpy(), rtol=1e-6, atol=1e-6)
        assert not np.allclose(weight, Net().state_dict()[name].numpy())
    assert torch.equal(theirs["out.bias"], Net().state_dict()["out.bias"])


@pytest.mark.parametrize("make", [wrapped, apart, scaled])
def test_peft_reads_what_is_saved(make, tmp_path) -> None:
    from peft import PeftModel
    from safetensors.numpy import save_file

    network = trained(make())
    config, tensors = adapter_state(network)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "adapter_model.safetensors")

    again = PeftModel.from_pretrained(Net(), str(tmp_path))

    assert torch.equal(again(IDS), network(IDS))
    assert not torch.allclose(again(IDS), Net()(IDS))


def test_the_seed_decides_the_adapters_and_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()

    first, again, other = (adapter_state(wrapped(seed=seed))[1] for seed in (1, 1, 2))

    assert torch.equal(torch.get_rng_state(), before)
    name = "base_model.model.layer.0.query.lora_A.weight"
    assert np.array_equal(first[name], again[name])
    assert not np.array_equal(first[name], other[name])


def test_a_network_without_the_usual_names_gets_adapters_on_every_linear_layer() -> None:
    _, tensors = adapter_state(wrapped(targets=("in_proj",)))

    layers = {name.rsplit(".lora_", 1)[0].removeprefix("base_model.model.") for name in tensors}
    assert layers == {"layer.0.query", "layer.0.dense", "out"}
    _, factors = adapter_state(scaled(targets=("in_proj",)))
    assert {name.removeprefix("base_model.model."): value.shape for name, value in factors.items()} == {
        "layer.0.query.ia3_l": (6, 1),
        "layer.0.dense.ia3_l": (1, 6),
        "out.ia3_l": (1, 4),
    }


def test_a_network_without_linear_layers_is_refused_in_words() -> None:
    with pytest.raises(OptionError, match="has none"):
        wrapped(nn.Sequential(nn.Embedding(3, 2)))
    with pytest.raises(OptionError, match="has none"):
        scaled(nn.Sequential(nn.Embedding(3, 2)))


def test_merging_does_not_change_its_inputs() -> None:
    _, tensors = adapter_state(trained(wrapped()))
    weights = Net().state_dict()
    before = {name: value.clone() for name, value in weights.items()}

    merged(weights, tensors, rank=2, alpha=6.0)
    merged(weights, adapter_state(trained(apart()))[1], rank=2, alpha=6.0)
    rescaled(weights, adapter_state(trained(scaled()))[1])

    assert all(torch.equal(weights[name], before[name]) for name in weights)
