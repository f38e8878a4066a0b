"""The stand-ins that the contract rests on keep a contract themselves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from contract.cases import BACKBONES, SAMPLES, backbone_bytes
from nshot.backbones import fake
from nshot.core import (
    Ability,
    Backbone,
    BackboneRef,
    DataError,
    Decoding,
    Embeds,
    Generates,
    ModelError,
    Scores,
    Starts,
    TaskKind,
    Trains,
    TrainsToWrite,
    Written,
)

every_fake = pytest.mark.parametrize("name", BACKBONES)
PROTOCOLS = {
    Ability.EMBEDS: Embeds,
    Ability.SCORES: Scores,
    Ability.GENERATES: Generates,
    Ability.STARTS: Starts,
    Ability.TRAINS: (Trains, TrainsToWrite),
}
TEXTS = SAMPLES[TaskKind.CLASSIFY, "text"]


def opened(name: str) -> Backbone:
    return fake.open(BackboneRef(name))


@every_fake
def test_abilities_are_exactly_the_protocols_it_has(name: str) -> None:
    backbone = opened(name)
    assert isinstance(backbone, Backbone)
    for ability, protocol in PROTOCOLS.items():
        assert (ability in backbone.abilities) == isinstance(backbone, protocol)


@every_fake
def test_the_same_weights_in_every_process(name: str) -> None:
    code = (
        "from nshot.backbones import fake; from nshot.core import BackboneRef; "
        f"print(fake.open(BackboneRef({name!r})).ref)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(opened(name).ref)
    assert backbone_bytes(opened(name)) == backbone_bytes(opened(name))


def test_the_hash_of_the_text_encoder_is_the_one_that_saved_models_recorded() -> None:
    assert opened("fake/text-encoder").ref.sha256 == (
        "fc1d30f36bd9cad4338631b8203c38635a71e40002d35b2aae4c53e06169f5c6"
    )


def test_opening_refuses_other_weights_and_suggests_the_nearest_name() -> None:
    with pytest.raises(ModelError, match="were asked for"):
        fake.open(BackboneRef("fake/rows", sha256="0" * 64))
    with pytest.raises(ModelError, match="Did you mean 'fake/rows'"):
        fake.open(BackboneRef("fake/row"))


@pytest.mark.parametrize("name", ["fake/text-encoder", "fake/rows"])
def test_a_vector_does_not_depend_on_the_batch(name: str) -> None:
    backbone = opened(name)
    sample = SAMPLES[TaskKind.CLASSIFY, *backbone.modalities]
    examples = [*sample.new, *sample.odd]
    together = backbone.embed(examples)
    assert together.shape == (len(examples), backbone.width)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for example, vector in zip(examples, together, strict=True):
        np.testing.assert_array_equal(backbone.embed([example])[0], vector)
    assert backbone.embed([]).shape == (0, backbone.width)


def test_texts_that_share_words_are_near() -> None:
    lost, missing, rate = opened("fake/text-encoder").embed(
        ["I lost my card", "my card is lost", "what is the exchange rate"]
    )
    assert lost @ missing > 0.6 > 0.35 > lost @ rate


def test_the_network_returns_what_the_encoder_embeds() -> None:
    backbone = opened("fake/text-encoder")
    texts = [*TEXTS.new, *TEXTS.odd]
    features = backbone.module()(**backbone.collate(backbone.tokenize(texts)))
    np.testing.assert_allclose(features.detach().numpy(), backbone.embed(texts), atol=1e-5)


def test_training_the_module_leaves_the_backbone_alone_and_its_weights_can_be_taken_back() -> None:
    import torch

    backbone = opened("fake/text-encoder")
    before = backbone_bytes(backbone)
    network = backbone.module()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25)
    assert backbone_bytes(backbone) == before
    adapted = backbone.adapted({name: value.numpy() for name, value in network.state_dict().items()})
    assert adapted.ref.sha256 != backbone.ref.sha256
    features = network(**backbone.collate(backbone.tokenize(TEXTS.new))).detach().numpy()
    np.testing.assert_allclose(adapted.embed(TEXTS.new), features, atol=1e-5)
    assert backbone.adapted({}).ref == backbone.ref
    with pytest.raises(ModelError, match=r"dense\.weights"):
        backbone.adapted({"dense.weights": np.zeros((64, 64))})


def test_a_random_module_follows_its_seed_only() -> None:
    backbone = opened("fake/text-encoder")
    first, again, other = (backbone.random_module(seed).state_dict()["words.weight"] for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_generator_copies_the_output_of_the_nearest_worked_example() -> None:
    prompt = "Input: lost card\nOutput: block it\nInput: bad rate\nOutput: wait a day\nInput: my card is lost\nOutput:"
    backbone = opened("fake/generator")
    assert backbone.generate([prompt, prompt], Decoding(max_new_tokens=9)) == [Written("block it", True, 3)] * 2
    assert backbone.generate([prompt], Decoding(max_new_tokens=1)) == [Written("block", False, 1)]


def test_words_of_the_text_are_likelier_continuations() -> None:
    scores = opened("fake/remote").score(["my card is lost"], ["lost card", "lost rate"])
    assert scores[0, 0] > scores[0, 1]
    assert opened("fake/remote").ref.sha256 is None


@pytest.mark.parametrize(
    ("name", "wrong"), [("fake/text-encoder", 3), ("fake/text-encoder", None), ("fake/rows", "abc")]
)
def test_an_example_of_another_modality_is_refused(name: str, wrong: object) -> None:
    with pytest.raises(DataError, match="expected"):
        opened(name).embed([wrong])
