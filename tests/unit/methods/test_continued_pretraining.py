import dataclasses

import numpy as np
import pytest

from nshot.backbones import fake, open_backbone
from nshot.backbones.fake import FakeTextEncoder
from nshot.core import BackboneRef, Dataset, Family, FitContext, ReadsTokens, State, Task, TaskKind
from nshot.methods import build
from nshot.methods.continued_pretraining import ContinuedPretraining
from unit.backbones.tiny import write_bert

TASK = Task(TaskKind.CLASSIFY, ("card", "money"))
ROWS = [
    ("where is my card", "card"),
    ("my lost card", "card"),
    ("top up money", "money"),
    ("my money account", "money"),
]
POOL = [f"{a} {b} {c}" for a in ("my", "the", "where is") for b in ("card", "money", "account") for c in ("", "lost")]
NEW = ["the stolen card", "", "topping up", "?"]
SHORT = {"steps": 5, "batch_size": 8, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return an encoder with random weights and a real tokenizer."""
    folder = write_bert(tmp_path_factory.mktemp("models") / "tiny", pooling={"pooling_mode_mean_tokens": True})
    return open_backbone(str(folder), precision="fp32", threads=1)


def fit(backbone, *, seed=0, pool=POOL, **options):
    train = Dataset([text for text, _ in ROWS], targets=[label for _, label in ROWS])
    context = FitContext(lambda targets, prediction: 0.0, seed=seed)
    method = build("continued_pretraining", {**SHORT, **options})
    return method.fit(TASK, train, Dataset([*train.examples, *pool]), backbone, context)


def restored(predictor, backbone, **options):
    saved = State(*dataclasses.astuple(predictor.state()))
    return build("continued_pretraining", {**SHORT, **options}).restore(TASK, saved, lambda ref: backbone)


objectives = pytest.mark.parametrize("objective", ["masked", "twins"])


@objectives
def test_the_network_changes_and_the_backbone_does_not(tiny, objective):
    before = tiny.embed(NEW)
    state = fit(tiny, objective=objective).state()

    assert any(name.startswith("network.encoder.layer.0") for name in state.tensors)
    assert "network.embeddings.word_embeddings.weight" not in state.tensors
    assert np.array_equal(tiny.embed(NEW), before)


@objectives
def test_reading_makes_the_loss_fall(tiny, objective):
    losses = fit(tiny, objective=objective, steps=60, epochs=100).state().settings["pretraining"]["losses"]

    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@objectives
def test_the_same_seed_gives_the_same_network(tiny, objective):
    first, again, other = (fit(tiny, objective=objective, seed=seed).state().tensors for seed in (1, 1, 2))
    name = "network.encoder.layer.0.output.dense.weight"

    assert all(np.array_equal(first[each], again[each]) for each in first)
    assert not np.allclose(first[name], other[name], atol=1e-7)


@objectives
@pytest.mark.parametrize("then", ["linear_probe", "full_finetune", "prototypes"])
def test_restoring_gives_the_same_probabilities(tiny, objective, then):
    predictor = fit(tiny, objective=objective, then=then)

    again = restored(predictor, tiny, objective=objective, then=then)

    assert np.array_equal(again.predict(NEW).probabilities, predictor.predict(NEW).probabilities)


def test_the_other_method_is_fitted_with_the_network_that_has_read(tiny):
    usual = build("linear_probe").fit(
        TASK,
        Dataset([text for text, _ in ROWS], targets=[label for _, label in ROWS]),
        Dataset([]),
        tiny,
        FitContext(lambda targets, prediction: 0.0),
    )
    changed, kept = (fit(tiny, learning_rate=1e-2, keep=keep).predict(NEW).probabilities for keep in (0.0, 0.999999))

    assert np.allclose(kept, usual.predict(NEW).probabilities, atol=1e-3)
    assert not np.allclose(changed, usual.predict(NEW).probabilities, atol=1e-3)


def test_no_more_is_read_than_was_asked_for(tiny):
    settings = fit(tiny, steps=1000, epochs=2).state().settings

    assert settings["texts"] == len({*POOL, *(text for text, _ in ROWS)})
    assert settings["pretraining"]["steps"] == -(-2 * settings["texts"] // 8)
    assert fit(tiny, steps=3, epochs=None).state().settings["pretraining"]["steps"] == 3


def test_the_examples_of_both_trainings_are_counted(tiny):
    settings = fit(tiny, then="full_finetune", then_options={"epochs": 2}).state().settings

    both = settings["pretraining"]["examples_seen"] + settings["inner"]["training"]["examples_seen"]
    assert settings["training"]["examples_seen"] == both == 5 * 8 + 2 * len(ROWS)
    method = build("continued_pretraining", {**SHORT, "then": "full_finetune", "then_options": {"epochs": 2}})
    assert method.planned_examples(len(ROWS)) == both
    twins = build("continued_pretraining", {**SHORT, "objective": "twins"})
    assert (
        twins.planned_examples(len(ROWS)) == fit(tiny, objective="twins").state().settings["training"]["examples_seen"]
    )


def test_with_one_text_there_is_nothing_to_read(tiny):
    train = Dataset(["my card"], targets=["card"])
    predictor = build("continued_pretraining").fit(
        TASK, train, Dataset([]), tiny, FitContext(lambda targets, prediction: 0.0)
    )

    assert predictor.state().settings["pretraining"] is None
    assert list(predictor.predict(["the card"]).labels) == ["card"]
    assert restored(predictor, tiny).predict(["the card"]).labels == ["card"]


def test_texts_of_special_tokens_alone_are_left_out(tiny):
    assert fit(tiny, pool=["", "  ", *POOL]).state().settings["pretraining"] is not None


class Maskless(FakeTextEncoder):
    def vocabulary(self):
        return None


def test_a_network_that_cannot_hide_a_token_can_tell_texts_apart_only():
    assert "Use objective=twins" in build("continued_pretraining").supports(TASK, Maskless())
    assert build("continued_pretraining", {"objective": "twins"}).supports(TASK, Maskless()) is None


@objectives
def test_the_fake_can_do_both(objective):
    backbone = FakeTextEncoder()
    predictor = fit(backbone, objective=objective)

    again = restored(predictor, backbone, objective=objective)

    assert isinstance(backbone, ReadsTokens)
    assert np.array_equal(again.predict(NEW).probabilities, predictor.predict(NEW).probabilities)


def test_a_method_without_a_backbone_is_refused(tiny):
    method = build("continued_pretraining", {"then": "tfidf_linear"})

    assert "tfidf_linear uses none" in method.supports(TASK, tiny)


def test_it_is_of_the_kind_of_the_method_that_follows():
    probe, zero_shot = build("continued_pretraining"), build("continued_pretraining", {"then": "label_similarity"})

    assert (probe.family, zero_shot.family) == (Family.FEW_SHOT, Family.ZERO_SHOT)
    assert (probe.needs.fewest_labels, zero_shot.needs.fewest_labels) == (1, 0)
    assert probe.needs.pool
    assert zero_shot.needs.label_names


def test_the_vocabulary_of_a_model_is_that_of_its_tokenizer(tiny):
    found = tiny.vocabulary()

    assert found.mask == 4
    assert {0, 2, 3, 4} <= found.special
    assert 5 < found.size <= tiny.module().word_table().shape[0]


def test_a_model_that_pads_hides_the_tokens_of_the_right_texts(tmp_path):
    import torch

    from nshot.training import masking
    from nshot.training.classifier import trainable

    # A config that nshot's own BERT does not read is left to transformers, whose batches are padded.
    folder = write_bert(tmp_path / "padded", pooling={"pooling_mode_mean_tokens": True}, hidden_act="relu")
    source = trainable(open_backbone(str(folder), precision="fp32", threads=1))
    prepared = source.tokenize(POOL)
    torch.manual_seed(0)
    batch = masking.masked_batches(source.collate, prepared, source.vocabulary())(range(len(POOL)))
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"].bool()
    shown = ids[mask]

    assert ids.shape == mask.shape
    shown[batch.inputs["places"]] = batch.targets
    in_order = sorted(prepared, key=len)
    assert shown.tolist() == [token for text in in_order for token in text]
    guesser = masking.Guesser(source.module(), source.collate(prepared[:1]))
    assert guesser(**batch.inputs).shape == (batch.units, len(guesser.offsets))


TALES = [f"Once upon a time there was a {who} who lived in a {where}." for who in ("cat", "king") for where in "abcd"]
WRITING = Task(TaskKind.GENERATE)
ASKED = Dataset(["cat", "king"], targets=[("Meow.",), ("Hail.",)])


def read_on(then: str, **options):
    method = ContinuedPretraining(then=then, batch_size=4, steps=40, epochs=None, learning_rate=1e-2, **options)
    context = FitContext(lambda targets, prediction: 0.0)
    backbone = fake.open(BackboneRef("fake/decoder"))
    return method, method.fit(WRITING, ASKED, Dataset(TALES), backbone, context)


def loss_of_a_tale(predictor) -> float:
    """The mean loss of a tale, in nats per byte."""
    from nshot.training import decoders

    module = predictor.inner.model.causal_module()
    texts = fake.open(BackboneRef("fake/decoder")).plain_texts(["Once upon a time there was a dog who lived in a."])
    return decoders.untouched_loss(module, texts)


def test_a_decoder_learns_the_texts_of_its_domain() -> None:
    _, predictor = read_on("prompt")

    losses = predictor.state().settings["pretraining"]["losses"]
    assert losses[-1] < 0.5 * losses[0]
    assert loss_of_a_tale(predictor) < loss_of_a_tale(read_on("prompt", keep=0.9)[1])


def test_answers_are_learnt_on_top_of_it_and_all_is_saved() -> None:
    method, predictor = read_on("sft", then_options={"epochs": 30, "learning_rate": 1e-2})

    restored = method.restore(WRITING, predictor.state(), fake.open)

    assert list(predictor.predict(["cat", "king"]).texts) == ["Meow.", "Hail."]
    assert list(restored.predict(["cat", "king"]).texts) == ["Meow.", "Hail."]
    assert np.array_equal(predictor.likelihoods(["cat"], ["Meow."]), restored.likelihoods(["cat"], ["Meow."]))


def test_what_a_network_cannot_learn_is_refused_with_what_it_can() -> None:
    decoder, encoder = fake.open(BackboneRef("fake/decoder")), fake.open(BackboneRef("fake/text-encoder"))
    labels = Task(TaskKind.CLASSIFY, labels=("a", "b"))

    assert "Use objective=causal" in ContinuedPretraining(then="prompt", objective="masked").supports(WRITING, decoder)
    assert "masked or twins" in ContinuedPretraining(objective="causal").supports(labels, encoder)
