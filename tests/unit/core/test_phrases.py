from nshot.core import listed


def test_a_list_is_cut_after_a_few_names_and_says_how_many_there_are_more():
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a", "b"], 2) == "a, b"


def test_a_long_name_in_a_list_is_shortened():
    told = listed(["spam", "x" * 5_000_000])
    assert told.startswith("spam, xxx")
    assert len(told) < 100
