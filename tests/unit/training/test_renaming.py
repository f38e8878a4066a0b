import numpy as np

from nshot.core import Conversation
from nshot.training.renaming import Pair, Renaming

PLACE = Pair("name[The Golden Curry], food[Chinese], near[Café Adriatic]", "The Golden Curry near Café Adriatic.")


def renamed(pair: Pair, share: float = 1.0, seed: int = 0) -> Pair:
    return Renaming([pair]).pair(0, share, np.random.default_rng(seed))


def test_a_name_in_both_is_replaced_by_the_same_name_in_both() -> None:
    other = renamed(PLACE)

    first = other.example.removeprefix("name[").split("]")[0]
    second = other.example.split("near[")[1].removesuffix("]")
    assert "Golden" not in other.example + other.answer
    assert other.answer == f"{first} near {second}."


def test_what_stands_in_one_of_them_only_is_kept() -> None:
    assert "food[Chinese]" in renamed(PLACE).example


def test_words_without_a_capital_are_kept() -> None:
    pair = Pair("my card was lost", "Your card was lost.")

    assert renamed(pair) == pair


def test_the_longest_common_name_is_taken_as_one() -> None:
    pair = Pair("name[Taste of Cambridge]", "Go to Taste of Cambridge now.")

    assert Renaming([pair]).names == [("Taste of Cambridge",)]


def test_a_part_of_a_word_is_no_name() -> None:
    pair = Pair("Cat", "Catherine sleeps.")

    assert renamed(pair) == pair


def test_no_share_changes_nothing_and_each_draw_is_another() -> None:
    assert renamed(PLACE, share=0.0) == PLACE
    assert renamed(PLACE, seed=1).answer != renamed(PLACE, seed=2).answer


def test_names_are_replaced_in_every_turn_of_a_conversation() -> None:
    talk = Conversation.asking("I am at Loch Fyne").answered("Where?").then("Loch Fyne!")

    other = renamed(Pair(talk, "Loch Fyne it is."))

    name = other.answer.removesuffix(" it is.")
    assert [message.content for message in other.example.messages] == [f"I am at {name}", "Where?", f"{name}!"]
    assert name != "Loch Fyne"
