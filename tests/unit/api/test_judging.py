from __future__ import annotations

import numpy as np
import pytest

from nshot.api.judging import Pair, judge, verdict
from nshot.core import DataError, Written, as_conversation


class Judge:
    """Replies by the two answers that it is shown."""

    longest = None

    def __init__(self, reply):
        self.reply = reply
        self.asked = []

    def prompt_tokens(self, examples, *, before=()):
        return [len(as_conversation(example).last) for example in examples]

    def generate(self, examples, decoding, *, before=()):
        self.asked += [as_conversation(example).last for example in examples]
        return [Written(self.reply(*shown(text)), True, 1) for text in self.asked[-len(examples) :]]


def shown(question):
    """Return the two answers in a question to the judge."""
    first, _, rest = question.partition("First answer:\n")[2].partition("\n\nSecond answer:\n")
    return first, rest.partition("\n\n")[0]


def by_length(first, second):
    return "1" if len(first) > len(second) else "2" if len(second) > len(first) else "tie"


def pairs(*texts):
    return [Pair(first, second, asked="Which?") for first, second in texts]


def test_an_answer_wins_if_it_is_preferred_in_both_places():
    found = judge(pairs(("a", "long"), ("long", "a"), ("a", "longer"), ("ab", "ba")), Judge(by_length))
    assert (found.won, found.lost, found.tied, found.by_place) == (2, 1, 1, 0)
    assert found.win_rate.score == pytest.approx(2.5 / 4)
    assert found.win_rate.score in found.win_rate.interval


def test_a_judge_that_chooses_by_the_place_decides_nothing():
    found = judge(pairs(*[("a", "b")] * 20), Judge(lambda first, second: "1"))
    assert (found.won, found.lost, found.tied, found.by_place) == (0, 0, 20, 20)
    assert found.win_rate.score == 0.5


def test_each_pair_is_asked_about_twice_with_the_places_swapped():
    model = Judge(by_length)
    judge([Pair("one", "two two", asked="Which?", accepted="known")], model, "Mind the length.")
    assert [shown(question) for question in model.asked] == [("one", "two two"), ("two two", "one")]
    assert all("Mind the length." in question and "Which?" in question for question in model.asked)
    assert all("An answer that is known to be right:\nknown" in question for question in model.asked)


def test_the_same_text_twice_is_a_tie_that_nobody_is_asked_about():
    model = Judge(by_length)
    found = judge(pairs(("a", "a "), ("a", "bb")), model)
    assert (found.same, found.tied, found.won, len(model.asked)) == (1, 1, 1, 2)


def test_pairs_without_a_verdict_do_not_count():
    def reply(first, second):
        return "I like both" if "c" in (first, second) else by_length(first, second)

    found = judge(pairs(("a", "bb"), ("c", "dd"), ("a", "ee")), Judge(reply))
    assert (found.won, found.unclear, found.example) == (2, 1, "I like both")
    assert found.win_rate.score == 1.0


def test_a_judge_that_never_gives_a_verdict_is_a_message():
    with pytest.raises(DataError, match=r"no verdict on any of 2 pairs.*'Both are fine.'"):
        judge(pairs(("a", "b"), ("c", "d")), Judge(lambda *_: "Both are fine."))


def test_pairs_of_one_group_count_once():
    texts = [("a", "bb"), ("cc", "d")] * 10
    alone = judge(pairs(*texts), Judge(by_length)).win_rate.interval
    grouped = judge(pairs(*texts), Judge(by_length), groups=np.arange(20) % 2).win_rate.interval
    assert grouped.high - grouped.low > alone.high - alone.low


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2", 2),
        (" **Answer 1** ", 1),
        ("[[2]]", 2),
        ("Tie.", 0),
        ("The first is 3 words. Verdict: 2", 2),
        ("Answer 2 is long, and yet the better answer is 1.", 1),
        ("I cannot tell.", None),
        ("There are 2 of them.", None),
        ("", None),
    ],
)
def test_verdicts_are_read_out_of_words(said, expected):
    assert verdict(said) == expected
