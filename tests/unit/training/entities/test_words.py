import numpy as np
import pytest

from nshot.core import DataError, Span
from nshot.training.entities.words import Cut, cut_of, sentences, shapes


def test_words_are_runs_of_letters_and_single_other_characters() -> None:
    assert sentences(["U.S., now\u00a0é1"], Cut.BETWEEN_CHARACTERS)[0].words == ["U", ".", "S", ".", ",", "now", "é1"]
    assert sentences(["U.S. , now"], Cut.AT_SPACES)[0].words == ["U.S.", ",", "now"]
    with pytest.raises(DataError, match="type int: 5"):
        sentences([5], Cut.AT_SPACES)


def test_texts_of_tokens_are_cut_at_spaces_only() -> None:
    assert cut_of(["In the U.S. , he said ."], [(Span(7, 11, "place"),)]) is Cut.AT_SPACES


@pytest.mark.parametrize(
    ("text", "span"), [("In Rome, he said.", Span(3, 7, "place")), ("He said so. Anna left.", Span(12, 16, "person"))]
)
def test_running_texts_are_cut_between_characters(text: str, span: Span) -> None:
    assert cut_of([text], [(span,)]) is Cut.BETWEEN_CHARACTERS


def test_how_a_word_is_written_is_told_with_its_neighbours() -> None:
    marks = shapes(["The", "NATO", "of", "5"])
    assert marks.shape == (4, 30)
    own, before, behind = np.split(marks, 3, axis=1)
    np.testing.assert_array_equal(own[:-1], before[1:])
    np.testing.assert_array_equal(own[1:], behind[:-1])
    assert not own[2].any()  # a plain word in lower case
    assert shapes([]).shape == (0, 30)
