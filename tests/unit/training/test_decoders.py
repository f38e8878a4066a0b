import math

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from nshot.backbones import fake
from nshot.core import BackboneRef, DataError, FitContext, ModelError, OptionError, TokenisedText, UnsupportedError
from nshot.training import batching, decoders, distributed, packing
from nshot.training.gradients import StepGradients
from nshot.training.options import LoopOptions

VOCABULARY = 97
USUAL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**USUAL, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**USUAL)),
    "capped": lambda: Gemma2ForCausalLM(Gemma2Config(**USUAL, head_dim=8, final_logit_softcapping=0.5)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=1
        )
    ),
    "without_positions": lambda: OPTForCausalLM(
        OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=64,
            word_embed_proj_dim=32,
        )
    ),
}


def network(family: str = "llama") -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FAMILIES[family]().eval()


def random_texts(sizes=((9, 3), (20, 11), (5, 1), (13, 12), (20, 1), (7, 4))) -> list[TokenisedText]:
    generator = np.random.default_rng(0)
    return [
        TokenisedText(
            tuple(int(token) for token in generator.integers(2, VOCABULARY, size)),
            (False,) * first + (True,) * (size - first),
        )
        for size, first in sizes
    ]


def alone(module: torch.nn.Module, texts: list[TokenisedText]) -> torch.Tensor:
    """The loss by its definition: one text at a time, through the model's own scores."""
    total = torch.zeros(())
    for text in texts:
        scores = module(torch.tensor([text.ids])).logits[0, :-1]
        counts = torch.tensor(text.learnt[1:])
        wanted = torch.tensor(text.ids[1:])
        total = total + torch.nn.functional.cross_entropy(scores[counts], wanted[counts], reduction="sum")
    return total


def together(module: torch.nn.Module, texts: list[TokenisedText], *, pack: bool) -> torch.Tensor:
    batch = decoders.batches(texts, pack=pack)(range(len(texts)))
    return decoders.next_tokens(decoders.Writing(module), batch)


def gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    found = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    return found


def train(module: torch.nn.Module, texts, *, seed=3, checkpointing=False, **options) -> None:
    decoders.train(
        module,
        texts,
        plan=batching.Schedule(len(texts), 4),
        learning_rate=1e-2,
        options=LoopOptions(**options),
        checkpointing=checkpointing,
        chance=100.0,
        context=FitContext(lambda targets, prediction: 0.0, seed=seed),
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pack", [False, True])
def test_texts_of_a_batch_have_the_loss_and_the_gradient_that_they_have_alone(family, pack) -> None:
    module, texts = network(family), random_texts()
    if pack and family == "without_positions":
        pytest.skip("is never packed: see below")

    wanted = alone(module, texts)
    wanted.backward()
    expected = gradients(module)
    found = together(module, texts, pack=pack)
    found.backward()

    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    for ours, theirs in zip(gradients(module), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_networks_that_keep_texts_of_a_row_apart_are_given_several(family) -> None:
    module = network(family)

    assert packing.together(module.base_model, VOCABULARY) is (family != "without_positions")


def test_a_network_that_mixes_texts_of_a_row_is_noticed() -> None:
    module, texts = network("without_positions"), random_texts()

    assert together(module, texts, pack=True).item() != pytest.approx(alone(module, texts).item(), rel=1e-5)


def test_scores_in_parts_are_the_scores_of_all(monkeypatch) -> None:
    module, texts = network(), random_texts()
    together(module, texts, pack=True).backward()
    expected = gradients(module)
    whole = together(module, texts, pack=True).item()

    monkeypatch.setattr(decoders, "_MOST_SCORES", 3 * VOCABULARY)
    parts = together(module, texts, pack=True)
    parts.backward()

    assert parts.item() == pytest.approx(whole, rel=1e-6)
    for ours, theirs in zip(gradients(module), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_head_sees_only_the_places_that_are_learnt() -> None:
    module, texts = network(), random_texts()
    seen = []
    module.lm_head.register_forward_hook(lambda layer, given, scores: seen.append(scores.shape[:-1].numel()))
    decoders.Writing(module)  # looks once at a few tokens
    seen.clear()

    together(module, texts, pack=True)

    assert sum(seen[-1:]) == sum(sum(text.learnt[1:]) for text in texts)


def test_the_token_that_ends_an_answer_is_learnt_though_it_is_the_one_for_padding() -> None:
    module = network()
    assert module.config.eos_token_id == module.config.pad_token_id
    texts = [TokenisedText((5, 6, 7, 1), (False, False, True, True)), TokenisedText((5, 1), (False, True))]

    batch = decoders.batches(texts, pack=False)([0, 1])

    assert batch.targets.tolist() == [7, 1, 1]
    assert batch.units == 3


@pytest.mark.parametrize("most_tokens", [1, 25, 1000])
def test_accumulating_over_micro_batches_is_one_large_batch(most_tokens) -> None:
    module, texts = network(), random_texts()
    units = sum(sum(text.learnt[1:]) for text in texts)
    (alone(module, texts) / units).backward()
    expected = gradients(module)

    step = batching.micro_batches(range(len(texts)), [len(text) - 1 for text in texts], most_tokens)
    writing, context = decoders.Writing(module), FitContext(lambda targets, prediction: 0.0)
    trained, build = list(module.parameters()), decoders.batches(texts, pack=True)
    processes = distributed.processes("cpu")
    loss = StepGradients(writing, build, decoders.next_tokens, trained, context, processes).add_up(step)

    assert len(step) == {1: 6, 25: 4, 1000: 1}[most_tokens]
    assert loss.item() == pytest.approx(alone(module, texts).item() / units, rel=1e-5)
    for ours, theirs in zip(gradients(module), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)


def test_checkpointing_changes_nothing_but_memory() -> None:
    kept, computed_again = network(), network()
    train(kept, random_texts())
    train(computed_again, random_texts(), checkpointing=True)

    assert not computed_again.is_activation_checkpointing
    for one, other in zip(kept.parameters(), computed_again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_tied_weights_stay_tied_and_are_kept_once() -> None:
    module = network()
    train(module, random_texts())

    weights = decoders.weights_of(module)

    assert module.lm_head.weight is module.get_input_embeddings().weight
    assert [name for name in weights if "embed" in name or "head" in name] == ["model.embed_tokens.weight"]


def test_longer_texts_are_left_out_and_counted() -> None:
    texts = decoders.within(random_texts(), 13)

    assert [len(text) for text in texts.kept] == [9, 5, 13, 7]
    assert texts.as_json() == {
        "texts": 4,
        "left_out_as_too_long": 2,
        "max_length": 13,
        "tokens_learnt": 6 + 4 + 1 + 3,
    }


def test_nothing_that_fits_is_an_error_that_says_what_is_needed() -> None:
    with pytest.raises(DataError, match=r"may read are 4 tokens.*shortest example has 5.*raise max_length"):
        decoders.within(random_texts(), 4)


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 23])
def test_blocks_predict_every_token_once(size) -> None:
    text = TokenisedText(tuple(range(size)), (True,) * size)

    blocks = decoders.in_blocks([text], 7)

    assert all(len(block) <= 7 for block in blocks)
    assert [token for block in blocks for token in block.ids[1:]] == list(range(1, size))


def test_a_network_that_knows_nothing_is_at_chance_when_it_says_frequencies() -> None:
    texts = [TokenisedText((9, 2, 2, 2, 3), (False, True, True, True, True))]

    assert decoders.frequency_loss(texts) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_what_a_network_knows_before_training_is_no_less_than_frequencies() -> None:
    texts = random_texts()
    module = network()

    found = decoders.untouched_loss(module, texts)

    units = sum(sum(text.learnt[1:]) for text in texts)
    assert found == pytest.approx(alone(module, texts).item() / units, rel=1e-5)
    assert found > decoders.frequency_loss(texts)


def test_layers_for_adapters_are_all_linear_ones_but_the_head() -> None:
    module = network("qwen2")

    every = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert decoders.linear_layers(module, ()) == every
    assert decoders.linear_layers(module, ("q_proj", "v_proj")) == ("q_proj", "v_proj")


def test_layers_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(OptionError, match=r"called query.*down_proj.*target_modules"):
        decoders.linear_layers(network(), ("query",))
    with pytest.raises(OptionError, match="Use sft"):
        decoders.linear_layers(network("gpt2"), ())


def test_a_backbone_that_does_not_train_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="generator does not train"):
        decoders.trainable(fake.open(BackboneRef("fake/generator")))


def test_weights_of_another_network_are_refused_in_words() -> None:
    source = decoders.trainable(fake.open(BackboneRef("fake/decoder")))

    with pytest.raises(ModelError, match=r"does not belong to decoder.*model.norm.weight of shape \(7,\).*\(32,\)"):
        decoders.fitting({"model.norm.weight": np.ones(7, dtype=np.float32)}, source)
