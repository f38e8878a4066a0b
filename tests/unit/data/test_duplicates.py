"""What counts as the same text, and as nearly the same."""

from __future__ import annotations

import numpy as np
import pytest

from nshot.data.duplicates import exact_groups, merged, near_duplicate_groups, near_pairs, normalised


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello,  World!", "hello world"),
        ("café", "cafe\u0301"),
        ("Ｆｕｌｌ", "full"),
        ("STRASSE", "straße"),
        ("a\tb\n", "a b"),
    ],
)
def test_what_people_write_differently_by_accident_is_the_same(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("कि", "का"), ("ok 😀", "ok 😢"), ("!!!", "???"), ("item 1", "item 2"), ("no", "not"), ("猫", "犬")],
)
def test_what_means_something_else_stays_different(one, other):
    assert normalised(one) != normalised(other)


def test_exact_groups_are_numbered_by_their_first_text():
    assert exact_groups(["b", "a", "B!", "c", "A"]).tolist() == [0, 1, 0, 2, 1]


def test_short_texts_are_not_near_duplicates_of_each_other():
    texts = ["yes", "yep", "no", "nope", "ok", "okay", "hi", "hello", "1", "12", "", "a", "b"]
    assert len(np.unique(near_duplicate_groups(texts))) == len(texts)


def test_long_texts_that_differ_in_a_word_are_one_group_and_others_are_not():
    base = "please tell me where my parcel with the number {} is now because it should have been here for days"
    texts = [
        base.format(17),
        base.format(18),
        "please close the account that i opened with you in the spring of last year",
    ]
    groups = near_duplicate_groups(texts)
    assert groups[0] == groups[1] != groups[2]
    pairs = near_pairs(texts)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])
    assert 0.8 <= pairs.similarity[0] < 1


def brute_force(texts: list[str]) -> set[tuple[int, int]]:
    triples = [{f" {normalised(text)} "[i : i + 3] for i in range(len(normalised(text)))} for text in texts]
    return {
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if len(triples[i] & triples[j]) >= 0.8 * len(triples[i] | triples[j])
    }


THINGS = ["card", "bank", "money", "lost", "order", "where", "when", "please", "today", "number", "account", "never"]


def test_pairs_are_those_that_comparing_everything_with_everything_finds():
    random = np.random.default_rng(0)
    words = np.array(THINGS)
    texts = list(dict.fromkeys(" ".join(random.choice(words, 9)) for _ in range(150)))
    texts += [text + " now" for text in texts[:40]]
    pairs = near_pairs(texts)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    expected = brute_force(texts)
    assert found <= expected
    assert len(expected) >= 40
    assert len(found) >= 0.98 * len(expected)


def test_many_texts_of_one_template_become_one_group_in_linear_work():
    texts = [f"your order {i} was sent to you this morning and will arrive within three days" for i in range(2000)]
    assert len(np.unique(near_duplicate_groups(texts))) <= 3
    assert len(near_pairs(texts)) < 60 * len(texts)


def test_no_texts_and_empty_texts_are_fine():
    assert near_duplicate_groups([]).tolist() == []
    assert near_duplicate_groups(["", " ", "a"]).tolist() == [0, 0, 1]
    assert near_duplicate_groups(["some text", "a", "?", ""]).tolist() == [0, 1, 2, 3]


def test_merging_groups_keeps_together_what_either_keeps_together():
    assert merged(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])).tolist() == [0, 0, 0, 1, 2]
