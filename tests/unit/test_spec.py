"""Specs refuse what they do not know, and say what they would take."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import Field

from nshot.backbones.fake import FakeGenerator, FakeRows, FakeTextEncoder
from nshot.core import (
    Ability,
    DataError,
    Dataset,
    Family,
    Needs,
    OptionError,
    Task,
    TaskKind,
    UnsupportedError,
)
from nshot.spec import Method, Spec

TASK = Task(TaskKind.CLASSIFY, ("card", "rate"))


class Options(Spec):
    """Options of a test."""

    rank: int = Field(8, ge=1)
    """How large."""
    mode: Literal["fast", "exact"] = "fast"
    """How careful."""
    strength: float | None = None
    """How strong."""


class Nothing(Spec):
    """A spec without options."""


class Reader(Method):
    """A method that reads label names."""

    needs: ClassVar[Needs] = Needs(
        frozenset({TaskKind.CLASSIFY}), frozenset({Ability.EMBEDS}), fewest_labels=2, label_names=True
    )
    family: ClassVar[Family] = Family.FEW_SHOT


class Counter(Method):
    """A method without a backbone that reads rows."""

    needs: ClassVar[Needs] = Needs(frozenset({TaskKind.CLASSIFY, TaskKind.TAG}), modalities=frozenset({"row"}))
    family: ClassVar[Family] = Family.BASELINE


class TestParse:
    def test_values_and_defaults(self) -> None:
        options = Options.parse({"rank": 4})
        assert (options.rank, options.mode, options.strength) == (4, "fast", None)

    def test_numbers_written_as_text_are_read_as_the_command_line_gives_them(self) -> None:
        assert Options.parse({"rank": "4", "strength": "0.5"}) == Options(rank=4, strength=0.5)

    def test_an_unknown_option_is_refused_with_the_nearest_and_all(self) -> None:
        with pytest.raises(OptionError) as caught:
            Options.parse({"rnak": 4})
        assert str(caught.value) == ("Options has no option 'rnak'. Did you mean 'rank'? It has: rank, mode, strength.")

    def test_a_spec_without_options_says_so(self) -> None:
        with pytest.raises(OptionError, match="It has: none"):
            Nothing.parse({"a": 1})

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"rank": 0}, r"'rank' of Options must be greater than or equal to 1\. Got 0 instead\."),
            ({"rank": "many"}, r"'rank' of Options must be a valid integer.* Got 'many' instead\."),
            ({"mode": "slow"}, r"'mode' of Options must be 'fast' or 'exact'\. Got 'slow' instead\."),
        ],
    )
    def test_a_bad_value_is_refused_with_what_is_allowed_and_what_was_found(
        self, values: dict[str, object], words: str
    ) -> None:
        with pytest.raises(OptionError, match=words):
            Options.parse(values)

    def test_all_problems_are_told_at_once(self) -> None:
        with pytest.raises(OptionError) as caught:
            Options.parse({"rank": 0, "mode": "slow", "x": 1})
        assert len(str(caught.value).splitlines()) == 3

    def test_keys_that_are_no_names_are_refused_like_others(self) -> None:
        with pytest.raises(OptionError, match="no option 'no-such key'"):
            Options.parse({"no-such key": 1})


def test_a_spec_cannot_be_changed_and_equals_another_of_the_same_values() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Options().rank = 3
    assert Options() == Options.parse({"rank": 8})
    assert hash(Options()) == hash(Options.parse({"rank": 8}))


def test_changed_options_are_those_that_differ_from_the_defaults() -> None:
    assert Options().changed() == {}
    assert Options.parse({"rank": 8, "mode": "exact"}).changed() == {"mode": "exact"}


def test_an_option_is_described_by_the_text_below_it() -> None:
    assert Options.model_fields["rank"].description == "How large."


def test_a_method_is_called_by_its_file() -> None:
    assert Reader.method_name() == "test_spec"
    with pytest.raises(OptionError, match=r"^test_spec has no option 'a'"):
        Reader.parse({"a": 1})


class TestSupports:
    def test_everything_there(self) -> None:
        assert Reader().supports(TASK, FakeTextEncoder()) is None
        assert Counter().supports(TASK, None) is None
        assert Counter().supports(TASK, FakeTextEncoder()) is None

    def test_a_task_it_cannot_do(self) -> None:
        reason = Counter().supports(Task(TaskKind.GENERATE), None)
        assert reason == "test_spec cannot generate; it can: classify, tag."

    def test_label_names_that_say_nothing(self) -> None:
        task = Task(TaskKind.CLASSIFY, tuple("01234"), names_say_something=False)
        reason = Reader().supports(task, FakeTextEncoder())
        assert reason.startswith("test_spec reads the label names, and these say nothing ('0', '1', '2', '3').")
        assert "--labels" in reason

    def test_no_backbone(self) -> None:
        assert "needs a backbone that embeds; none was given" in Reader().supports(TASK, None)

    def test_a_backbone_that_cannot(self) -> None:
        reason = Reader().supports(TASK, FakeGenerator())
        assert reason == "test_spec needs a backbone that embeds; generator does not."

    def test_label_names_for_a_backbone_that_takes_no_texts(self) -> None:
        assert "rows takes row examples only" in Reader().supports(TASK, FakeRows())


class TestRequire:
    two = Dataset(["a", "b"], targets=["card", "rate"], name="tickets.csv")

    def test_enough(self) -> None:
        Reader().require(TASK, self.two, FakeTextEncoder())

    def test_the_reason_of_supports_is_raised_word_for_word(self) -> None:
        with pytest.raises(UnsupportedError) as caught:
            Reader().require(TASK, self.two, None)
        assert str(caught.value) == Reader().supports(TASK, None)

    def test_too_few_labels(self) -> None:
        with pytest.raises(DataError, match=r"needs at least 2 labelled examples; tickets\.csv has 1"):
            Reader().require(TASK, self.two.take([0]), FakeTextEncoder())

    def test_no_labels(self) -> None:
        with pytest.raises(DataError, match=r"tickets\.csv has no labels"):
            Reader().require(TASK, self.two.without_targets(), FakeTextEncoder())

    def test_examples_of_a_modality_that_is_not_read(self) -> None:
        with pytest.raises(DataError, match=r"was to read row examples; tickets\.csv holds text examples"):
            Counter().require(TASK, self.two, None)
        rows = Dataset([(1.0,), (2.0,)], "row", targets=["card", "rate"])
        with pytest.raises(DataError, match="was to read text examples; data holds row examples"):
            Reader().require(TASK, rows, FakeTextEncoder())
