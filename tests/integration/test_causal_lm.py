"""A small trained decoder, against transformers and against what is known about it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from nshot.backbones import open_backbone
from nshot.backbones.causal_lm import CausalLM
from nshot.core import Conversation, Decoding, Message

STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big dog. The dog wanted to play with her. Lily was happy and they played all day."
)
SONNET = "Shall I compare thee to a summer's day? Thou art more lovely and more temperate: rough winds do shake"


@pytest.fixture
def stories(shared_models: Path) -> CausalLM:
    found = open_backbone(str(shared_models / "stories260K"), threads=1, precision="fp32")
    assert isinstance(found, CausalLM)
    return found


def perplexity(model: CausalLM, text: str) -> float:
    import torch

    ids = torch.tensor([model.plain_texts([text])[0].ids[:-1]])
    with torch.no_grad():
        return float(model.causal_module()(ids, labels=ids).loss.exp())


def test_a_story_is_likely_and_its_words_shuffled_are_not(stories: CausalLM) -> None:
    words = STORY.split()
    random.Random(0).shuffle(words)
    assert perplexity(stories, STORY) < 4
    assert perplexity(stories, SONNET) > 30
    assert perplexity(stories, " ".join(words)) > 60


def test_answers_are_those_of_transformers_token_for_token(stories: CausalLM) -> None:
    import torch

    texts = ["Once upon a time", "Zoo", "", 'Lily and Tom saw a big dog. The dog said: "Hello" and']
    written = stories.generate(texts, Decoding(max_new_tokens=200))
    module = stories.causal_module()
    for text, answer in zip(texts, written, strict=True):
        ids = [1, *stories.format.ids([f"{text}\n"])[0]]
        theirs = module.generate(
            torch.tensor([ids]), max_new_tokens=200, do_sample=False, pad_token_id=0, eos_token_id=[1, 2]
        )[0, len(ids) :].tolist()
        assert answer.tokens == len(theirs)
        assert answer.text == stories.format.text([token for token in theirs if token > 2], ids, ended=True)
    assert "Lily" in written[0].text


def test_many_rows_of_all_lengths_are_answered_as_each_alone(stories: CausalLM) -> None:
    texts = [STORY[:size] for size in range(0, len(STORY), 5)]
    decoding = Decoding(max_new_tokens=40, stop=(".",))
    together = stories.generate(texts, decoding)
    assert together == [stories.generate([text], decoding)[0] for text in texts]
    assert sum(answer.stopped for answer in together) > 30
    assert not any("." in answer.text for answer in together)


def test_a_common_beginning_changes_nothing(stories: CausalLM) -> None:
    before = tuple(
        message
        for start in range(0, 160, 40)
        for message in (
            Message("user", STORY[start : start + 40]),
            Message("assistant", STORY[start + 40 : start + 60]),
        )
    )
    texts = [STORY[start : start + 30] for start in range(0, 90, 10)]
    inside = [Conversation((*before, Message("user", text))) for text in texts]
    labels = ["She was happy", "She was sad", "dog", "the dog is big"]
    assert len(stories.format.prompts(texts, before).shared) > 50
    np.testing.assert_allclose(
        stories.score(texts, labels, before=before), stories.score(inside, labels), rtol=1e-5, atol=1e-4
    )
    assert stories.generate(texts, Decoding(20), before=before) == stories.generate(inside, Decoding(20))


def test_a_streamed_story_is_the_written_one(stories: CausalLM) -> None:
    for decoding in (Decoding(80), Decoding(80, temperature=1.0, seed=1)):
        pieces = list(stories.stream("Once upon a time", decoding))
        assert len(pieces) > 30
        assert "".join(pieces) == stories.generate(["Once upon a time"], decoding)[0].text


def test_the_tied_weight_is_one_weight(stories: CausalLM) -> None:
    module = stories.causal_module()
    assert module.get_output_embeddings().weight is module.get_input_embeddings().weight
    assert sum(parameter.numel() for parameter in module.parameters()) == 260_032
