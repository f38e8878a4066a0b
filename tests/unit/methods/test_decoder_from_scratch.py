import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from nshot.backbones import new_decoder
from nshot.core import Conversation, Dataset, FitContext, Task, TaskKind
from nshot.methods.decoder_from_scratch import DecoderFromScratch

TASK = Task(TaskKind.GENERATE)
PLACES = [f"The {first} {last}" for first in ("Mill", "Eagle", "Vaults") for last in ("House", "Inn")]
TEXTS = [f"name[{place}], area[{area}]" for place in PLACES for area in ("riverside", "city centre")]
ANSWERS = [f"{place} is in the {area}." for place in PLACES for area in ("riverside", "city centre")]
TRAIN = Dataset(TEXTS, targets=[(answer,) for answer in ANSWERS])
CONTEXT = FitContext(lambda targets, prediction: 0.0, seed=1)
SMALL = {"width": 64, "layers": 2}
TOKENIZER = Tokenizer.from_str(new_decoder.tokenizer_of([*TEXTS, *ANSWERS], 400))


def fit(train=TRAIN, **options):
    return DecoderFromScratch(**{**SMALL, **options}).fit(TASK, train, train.without_targets(), None, CONTEXT)


def test_it_learns_its_training_rows() -> None:
    predictor = fit(epochs=50, batch_size=6, invented_names=0.0)

    prediction = predictor.predict(TEXTS)

    assert np.mean([a == b for a, b in zip(prediction.texts, ANSWERS, strict=True)]) > 0.8
    assert all(prediction.stopped)


def test_a_saved_model_needs_no_other_and_writes_the_same() -> None:
    predictor = fit(epochs=2)
    state = predictor.state()

    restored = DecoderFromScratch(**SMALL, epochs=2).restore(TASK, state, lambda ref: pytest.fail("opened a backbone"))

    assert restored.predict(TEXTS).texts == predictor.predict(TEXTS).texts
    assert np.array_equal(restored.likelihoods(TEXTS, ANSWERS), predictor.likelihoods(TEXTS, ANSWERS))


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    once, again, other = (
        DecoderFromScratch(**SMALL, epochs=1).fit(
            TASK, TRAIN, TRAIN.without_targets(), None, FitContext(lambda targets, prediction: 0.0, seed=seed)
        )
        for seed in (0, 0, 1)
    )

    weights = [predictor.state().tensors["model.norm.weight"] for predictor in (once, again, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_transformers_opens_what_is_saved(tmp_path) -> None:
    from safetensors.numpy import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    predictor = fit(epochs=2)
    state = predictor.state()
    for name, content in state.blobs.items():
        (tmp_path / name).write_bytes(content)
    save_file(dict(state.tensors), tmp_path / "model.safetensors", metadata={"format": "pt"})

    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    asked = [{"role": "user", "content": TEXTS[0]}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    written = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]

    (ours,) = predictor.model.generate([TEXTS[0]], predictor.decoding)
    assert ours.text.startswith(tokenizer.decode(written, skip_special_tokens=True)[:20])


def test_conversations_are_read_with_their_roles() -> None:
    talk = Conversation.asking(TEXTS[0], "Be brief.").answered("Sure.").then("now")
    train = Dataset([talk, Conversation.asking(TEXTS[1])], "conversation", targets=[("Yes.",), ("No.",)])

    predictor = fit(train, epochs=1)

    (ids,) = predictor.model.format.ids([predictor.model.format.prompt(talk)])
    text = predictor.model.decoded(ids)
    assert text.count("<|user|>") == 2
    assert text.index("<|system|>") < text.index("<|user|>") < text.index("<|assistant|>")


@given(st.text())
def test_the_tokenizer_gives_back_every_text(text) -> None:
    text = text.encode("utf-8", "ignore").decode()
    if any(mark in text for mark in ("<|", "|>")):
        return
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@pytest.mark.parametrize(
    "text", ["a  b\n\tc,d -- e 'f' 12 3.5 x_y", " lead", "trail ", "\n\n", "z\u00a0w", "(a)(b) £20", "日本 語", ""]
)
def test_the_tokenizer_gives_back_odd_blanks(text) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_a_word_has_the_same_tokens_wherever_it_stands() -> None:
    inside = TOKENIZER.encode("name[The Eagle House]").ids
    after = TOKENIZER.encode("We like The Eagle House.").ids
    name = TOKENIZER.encode("The Eagle House").ids

    def holds(ids, part):
        return any(ids[at : at + len(part)] == part for at in range(len(ids)))

    assert holds(inside, name)
    assert holds(after, name)


def test_it_plans_fewer_passes_for_more_examples_and_enough_steps_for_few() -> None:
    method = DecoderFromScratch()

    assert method.planned_examples(16) == 300 * 16
    assert 11 < method.planned_examples(4299) / 4299 < 13
