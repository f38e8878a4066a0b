import numpy as np
import pytest
import torch
from torch import nn

from nshot.core import Vocabulary
from nshot.training import masking

VOCABULARY = Vocabulary(1000, mask=4, special=frozenset({0, 2, 3, 4}))
BEGIN, END = 2, 3


def padded(prepared):
    longest = max(map(len, prepared))
    return {"ids": torch.tensor([[*text, *[0] * (longest - len(text))] for text in prepared])}


def texts(count, length):
    rng = np.random.default_rng(1)
    return [[BEGIN, *rng.integers(5, 1000, size=length).tolist(), END] for _ in range(count)]


def tokens_of(batch):
    """Return the tokens shown, text by text without padding: zero is in no text."""
    ids = batch.inputs["ids"]
    return ids[ids != 0]


def test_fifteen_percent_are_guessed_and_of_these_four_fifths_hidden():
    prepared = texts(200, 50)
    torch.manual_seed(0)
    batch = masking.masked_batches(padded, prepared, VOCABULARY)(range(200))

    shown = tokens_of(batch)[batch.inputs["places"]]
    assert batch.units == len(batch.targets) == pytest.approx(0.15 * 200 * 50, rel=0.1)
    assert (shown == VOCABULARY.mask).float().mean() == pytest.approx(0.8, abs=0.04)
    assert (shown == batch.targets).float().mean() == pytest.approx(0.1, abs=0.03)


def test_everything_that_is_not_guessed_is_shown_as_it_is():
    prepared = texts(20, 30)
    batch = masking.masked_batches(padded, prepared, VOCABULARY)(range(20))

    shown = tokens_of(batch)
    shown[batch.inputs["places"]] = batch.targets
    assert shown.tolist() == [token for text in prepared for token in text]
    assert not set(batch.targets.tolist()) & VOCABULARY.special


def test_the_shortest_text_has_one_token_to_guess():
    prepared = [[BEGIN, 7, END], [BEGIN, 8, 9, END]]

    for seed in range(20):
        torch.manual_seed(seed)
        batch = masking.masked_batches(padded, prepared, VOCABULARY)([1, 0])
        assert 7 in batch.targets
        assert batch.units >= 2


def test_what_is_hidden_changes_and_follows_from_the_random_state():
    build = masking.masked_batches(padded, texts(5, 40), VOCABULARY)

    def drawn(seed):
        torch.manual_seed(seed)
        return build(range(5)).inputs["places"].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


class Shown(nn.Module):
    """Gives every token its own vector of the table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1000, 64, generator=torch.Generator().manual_seed(0)))

    def hidden(self, ids):
        return self.table[ids[ids != 0]]

    def word_table(self):
        return self.table


def test_it_starts_as_a_layer_that_changes_nothing_and_guesses_the_token_that_is_shown():
    encoder = Shown()
    inputs = padded(texts(3, 10))
    guesser = masking.Guesser(encoder, inputs)
    places = torch.arange(36)

    scores = guesser(places, **inputs)

    assert scores.shape == (36, 1000)
    assert torch.equal(scores.argmax(dim=1), encoder.hidden(inputs["ids"]).matmul(encoder.table.T).argmax(dim=1))
    assert {id(p) for p in guesser.added()} == {id(p) for p in guesser.parameters()} - {id(encoder.table)}


def test_building_it_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    masking.Guesser(Shown(), padded(texts(1, 3)))

    assert torch.equal(torch.rand(1), expected)


def test_the_loss_is_summed_over_the_hidden_tokens():
    guesser = masking.Guesser(Shown(), padded(texts(1, 3)))
    batch = masking.masked_batches(padded, texts(4, 20), VOCABULARY)(range(4))

    own = torch.log_softmax(guesser(**batch.inputs), dim=1)[range(batch.units), batch.targets]
    assert masking.guesses()(guesser, batch).item() == pytest.approx(-own.sum().item(), rel=1e-4)
