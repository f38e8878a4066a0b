import itertools

import numpy as np

from nshot.core import Span
from nshot.training.entities.tags import Tags

PLACES = [(0, 3), (4, 6), (7, 9), (10, 12)]


def test_entities_become_tags_and_come_back() -> None:
    spans = (Span(0, 6, "a"), Span(7, 9, "b"), Span(10, 12, "b"))
    tags = Tags.of([spans])
    codes = tags.codes(PLACES, spans)
    assert codes.tolist() == [1, 2, 3, 3]
    assert tags.spans(PLACES, np.eye(len(tags))[codes]) == spans


def test_a_word_that_an_entity_cuts_in_two_belongs_to_it() -> None:
    assert Tags(("a",)).codes(PLACES, [Span(1, 5, "a")]).tolist() == [1, 2, 0, 0]


def test_the_sequence_is_the_best_of_all_that_are_possible() -> None:
    tags = Tags(("a", "b"))
    random = np.random.default_rng(0)

    def is_possible(codes: tuple[int, ...]) -> bool:
        return all(code in (0, 1, 3) or before in (code - 1, code) for before, code in itertools.pairwise((0, *codes)))

    for _ in range(50):
        scores = random.normal(size=(4, 5))
        possible = [codes for codes in itertools.product(range(5), repeat=4) if is_possible(codes)]
        best = max(possible, key=lambda codes: scores[range(4), codes].sum())
        assert tags.spans(PLACES, scores) == tags.spans(PLACES, 10.0 * np.eye(5)[list(best)])


def test_without_words_or_labels_there_are_no_entities() -> None:
    assert Tags(("a",)).spans([], np.zeros((0, 3))) == ()
    assert Tags(()).spans(PLACES, np.ones((4, 1))) == ()
