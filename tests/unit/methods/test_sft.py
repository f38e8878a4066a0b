import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from nshot.backbones import fake
from nshot.backbones.new_decoder import NewDecoder, Shape, files_of, tokenizer_of
from nshot.core import (
    BackboneRef,
    Conversation,
    DataError,
    Dataset,
    FitContext,
    MissingExtraError,
    ModelError,
    Task,
    TaskKind,
    as_conversation,
)
from nshot.methods.sft import Sft
from nshot.methods.sft_lora import SftLora
from nshot.training import decoders
from nshot.training.writing import instructed

TASK = Task(TaskKind.GENERATE, instruction="Say what to do.")
TEXTS = ["card lost", "rate bad", "card stolen", "rate low"]
ANSWERS = ["Block it.", "Wait.", "Block it.", "Wait."]
TRAIN = Dataset(TEXTS, targets=[(answer, "something else") for answer in ANSWERS])
CONTEXT = FitContext(lambda targets, prediction: 0.0, seed=5)
METHODS = {
    "sft": lambda **more: Sft(learning_rate=1e-2, **{"epochs": 40.0, **more}),
    "sft_lora": lambda **more: SftLora(learning_rate=3e-2, **{"epochs": 40.0, **more}),
    "sft_dora": lambda **more: SftLora(learning_rate=3e-2, dora=True, **{"epochs": 40.0, **more}),
}


def decoder():
    return fake.open(BackboneRef("fake/decoder"))


def new_decoder() -> NewDecoder:
    return NewDecoder(files_of(tokenizer_of(TEXTS, 300), Shape(64, 1, 0.0), 256))


def fit(method, train=TRAIN, backbone=None):
    return method.fit(TASK, train, train.without_targets(), backbone or decoder(), CONTEXT)


def test_it_writes_the_answers_it_was_trained_on_and_stops_by_itself() -> None:
    prediction = fit(METHODS["sft"]()).predict(TEXTS)

    assert list(prediction.texts) == ANSWERS
    assert list(prediction.stopped) == [True] * len(TEXTS)


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_likelier_than_before(name) -> None:
    predictor = fit(METHODS[name]())

    trained = predictor.likelihoods(TEXTS, ANSWERS)
    untouched = decoder().likelihoods(TEXTS, ANSWERS, before=instructed(TASK))
    assert (trained[:, 0] > untouched[:, 0] + 1).all()
    assert (trained[:, 1] == untouched[:, 1]).all()


@pytest.mark.parametrize("name", METHODS)
def test_what_writes_is_the_network_that_was_trained(name) -> None:
    method, source = METHODS[name](epochs=3.0), decoder()
    context = FitContext(lambda targets, prediction: 0.0, seed=5, track=lambda step, figures: losses.append(figures))
    losses: list[dict[str, float]] = []
    predictor = method.fit(TASK, TRAIN, TRAIN.without_targets(), source, context)

    # The loop's first loss is that of the untouched model in the format that answers are written in.
    own = source.likelihoods(TEXTS, ANSWERS, before=instructed(TASK))
    assert losses[0]["loss"] == pytest.approx(-own[:, 0].sum() / own[:, 1].sum(), rel=1e-4)

    told = [as_conversation(text, instructed(TASK)) for text in TEXTS]
    batch = decoders.batches(source.conversations(told, ANSWERS), pack=True)(range(len(TEXTS)))
    with torch.no_grad():
        loss = decoders.next_tokens(decoders.Writing(predictor.model.causal_module()), batch)
    assert loss.item() == pytest.approx(-predictor.likelihoods(TEXTS, ANSWERS)[:, 0].sum(), rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_model_writes_the_same(name) -> None:
    method = METHODS[name]()
    predictor = fit(method)

    state = predictor.state()
    restored = method.restore(TASK, state, fake.open)

    json.dumps(dict(state.settings))
    assert restored.predict(TEXTS).texts == predictor.predict(TEXTS).texts
    assert np.array_equal(restored.likelihoods(TEXTS, ANSWERS), predictor.likelihoods(TEXTS, ANSWERS))
    module = restored.model.causal_module()
    assert module.lm_head.weight is module.get_input_embeddings().weight


@pytest.mark.parametrize("name", METHODS)
def test_the_shared_backbone_is_not_touched(name) -> None:
    backbone = decoder()
    before = backbone.likelihoods(TEXTS, ANSWERS)

    fit(METHODS[name](epochs=3.0), backbone=backbone)

    assert np.array_equal(backbone.likelihoods(TEXTS, ANSWERS), before)


@pytest.mark.parametrize("name", ["sft_lora", "sft_dora"])
def test_peft_opens_the_adapters(name, tmp_path) -> None:
    from peft import PeftModel

    empty = new_decoder()
    base = empty.rewritten(decoders.weights_of(empty.random_causal_module(3)))
    predictor = fit(METHODS[name](), backbone=base)
    state = predictor.state()
    for file, content in state.blobs.items():
        (tmp_path / file).write_bytes(content)
    save_file(dict(state.tensors), tmp_path / "adapter_model.safetensors")

    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):  # peft's own, with these versions
        opened = PeftModel.from_pretrained(base.causal_module(), tmp_path)

    ids = torch.arange(2, 30)[None]
    with torch.no_grad():
        assert torch.allclose(opened(ids).logits, predictor.model.causal_module()(ids).logits, atol=1e-4)
        assert not torch.allclose(opened(ids).logits, base.causal_module()(ids).logits, atol=1e-2)
    config = json.loads(state.blobs["adapter_config.json"])
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == "new-decoder"


def test_adapters_of_another_model_are_refused_in_words() -> None:
    method = METHODS["sft_lora"](epochs=1.0)
    state = fit(method).state()

    with pytest.raises(ModelError, match=r"do not belong to new-decoder.*shape"):
        method.restore(TASK, state, lambda ref: new_decoder())


def test_four_bits_without_a_graphics_card_are_refused_in_words() -> None:
    with pytest.raises(MissingExtraError, match=r"needs a CUDA graphics card and the package bitsandbytes.*=none"):
        fit(METHODS["sft_lora"](quantise="4bit"))


def test_an_end_that_the_model_cannot_tell_from_other_tokens_is_learnt() -> None:
    source = decoder()
    weights = decoders.weights_of(source.causal_module())
    table = weights["model.embed_tokens.weight"].copy()
    end = source.conversations(["card"], ["."])[0].ids[-1]
    table[end] = table[end + 1]  # as rows are of tokens that never occurred
    unknown = source.rewritten({"model.embed_tokens.weight": table})
    method = METHODS["sft_lora"]()
    trained = fit(method, backbone=unknown)

    state = trained.state()
    rows = {name: value for name, value in state.tensors.items() if "lora" not in name}
    assert [value.shape for value in rows.values()] == [(1, 32)]
    assert state.settings["ends_learnt"] == [end]
    written = trained.model.causal_module().get_input_embeddings().weight.detach().numpy()
    assert np.array_equal(written[end], next(iter(rows.values()))[0])
    assert not np.allclose(written[end], table[end], atol=1e-2)
    others = np.delete(np.arange(len(table)), end)
    assert np.array_equal(written[others], table[others])
    restored = method.restore(TASK, state, lambda ref: unknown)
    assert np.array_equal(restored.likelihoods(TEXTS, ANSWERS), trained.likelihoods(TEXTS, ANSWERS))


def test_ends_that_the_model_knows_are_left_as_they_are() -> None:
    state = fit(METHODS["sft_lora"](epochs=1.0)).state()

    assert state.settings["ends_learnt"] == []
    assert all("lora" in name for name in state.tensors)


def test_only_what_an_adapter_holds_is_saved() -> None:
    state = fit(METHODS["sft_lora"](epochs=1.0, rank=3, target_modules=("q_proj",))).state()

    assert {
        name.removeprefix("base_model.model.model.layers.0.self_attn."): value.shape
        for name, value in (state.tensors.items())
    } == {"q_proj.lora_A.weight": (3, 32), "q_proj.lora_B.weight": (32, 3)}


def test_longer_examples_are_left_out_and_told() -> None:
    long = Dataset([*TEXTS, "word " * 200], targets=[*TRAIN.targets, ("Too long.",)])

    settings = fit(METHODS["sft"](epochs=1.0), long).state().settings

    assert settings["data"]["left_out_as_too_long"] == 1
    assert settings["data"]["texts"] == len(TEXTS)
    assert settings["data"]["max_length"] == 512


def test_no_example_that_fits_is_an_error() -> None:
    with pytest.raises(DataError, match=r"No example fits.*may read are 10 tokens"):
        fit(METHODS["sft"](max_length=10))


def test_only_the_first_answer_of_a_row_is_learnt() -> None:
    one = Dataset(TEXTS, targets=[(answer,) for answer in ANSWERS])

    assert all(
        np.array_equal(a, b)
        for a, b in zip(
            fit(METHODS["sft"](epochs=2.0)).state().tensors.values(),
            fit(METHODS["sft"](epochs=2.0), one).state().tensors.values(),
            strict=True,
        )
    )


def test_earlier_answers_are_learnt_where_that_is_asked_for() -> None:
    talk = Conversation.asking("card lost").answered("Which one?").then("the blue one")
    train = Dataset([talk], "conversation", targets=[("Blocked.",)])

    last, every = (
        fit(METHODS["sft"](epochs=1.0, every_answer=every), train).state().settings["data"]["tokens_learnt"]
        for every in (False, True)
    )

    assert last == len("Blocked.") + 1
    assert every == last + len("Which one?") + 1


@pytest.mark.parametrize("name", ["sft", "sft_lora"])
def test_it_trains_on_as_many_examples_as_it_planned(name) -> None:
    method = METHODS[name](epochs=7.0)

    training = fit(method).state().settings["training"]

    assert training["examples_seen"] == method.planned_examples(len(TEXTS))


def test_a_rate_that_makes_the_model_worse_is_lowered_once() -> None:
    training = fit(Sft(learning_rate=3.0, epochs=30.0)).state().settings["training"]

    assert training["restarts"] == 1
    assert training["learning_rate"] == pytest.approx(0.6)


def test_larger_networks_are_trained_at_lower_rates() -> None:
    from nshot.training import sft

    rates = [sft.usual_rate(weights) for weights in (260_000, 135_000_000, 1_000_000_000, 7_000_000_000)]

    assert rates == sorted(rates, reverse=True)
    assert rates[2] == pytest.approx(3e-5)
    assert sft.usual_rate(1_000_000_000, adapters=True) == pytest.approx(3e-4)
