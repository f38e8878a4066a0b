"""Datasets, and selections out of them."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nshot.core import Dataset, Selection


class Counted(list):
    """A list that counts how often an item was read, like a column on disk."""

    reads = 0

    def __getitem__(self, index: int) -> object:
        self.reads += 1
        return super().__getitem__(index)


def sample(**changes: object) -> Dataset:
    values = {
        "examples": ["a", "b", "c", "d"],
        "targets": ["x", "y", "x", "y"],
        "groups": [1, 1, 2, 3],
        "times": [4, 3, 2, 1],
    }
    return Dataset(**{**values, **changes})


class TestSelection:
    @given(st.lists(st.integers(), min_size=1), st.data())
    def test_is_the_list_of_the_chosen_items(self, source: list[int], data: st.DataObject) -> None:
        positions = data.draw(st.lists(st.integers(0, len(source) - 1)))
        chosen, expected = Selection(source, positions), [source[i] for i in positions]
        assert list(chosen) == expected
        assert len(chosen) == len(expected)
        assert [chosen[i] for i in range(len(chosen))] == expected
        assert list(chosen[1:5:2]) == expected[1:5:2]
        assert list(chosen[::-1]) == expected[::-1]
        assert (5 in chosen) == (5 in expected)

    @given(st.lists(st.integers(0, 9)), st.data())
    def test_of_a_selection_reads_the_source_directly(self, first: list[int], data: st.DataObject) -> None:
        source = Counted(range(10, 20))
        second = data.draw(st.lists(st.integers(0, len(first) - 1))) if first else []
        chosen = Selection(Selection(source, first), second)
        assert list(chosen) == [10 + first[i] for i in second]
        assert source.reads == len(second)

    def test_copies_nothing_until_it_is_read(self) -> None:
        source = Counted("abc")
        Selection(Selection(source, [2, 1]), [0])
        assert source.reads == 0

    def test_out_of_range_is_an_index_error(self) -> None:
        with pytest.raises(IndexError):
            Selection("abc", [0])[1]
        assert Selection("abc", [0, 2])[-1] == "c"


class TestTake:
    def test_keeps_examples_targets_groups_and_times_together(self) -> None:
        taken = sample().take([2, 0, 2])
        assert list(taken.examples) == ["c", "a", "c"]
        assert list(taken.targets) == ["x", "x", "x"]
        assert list(taken.groups) == [2, 1, 2]
        assert list(taken.times) == [2, 4, 2]

    def test_accepts_positions_as_numpy_gives_them(self) -> None:
        numpy = pytest.importorskip("numpy")
        assert list(sample().take(numpy.array([3, 1])).examples) == ["d", "b"]
        assert sample().take(numpy.array([3, 1])) != sample().take([3, 1])  # compared by identity: examples may be huge

    def test_of_nothing_is_empty_and_keeps_the_columns_it_has(self) -> None:
        nothing = sample(times=None).take([])
        assert len(nothing) == 0
        assert list(nothing.targets) == []
        assert nothing.times is None

    def test_leaves_the_original_alone(self) -> None:
        data = sample()
        before = data.fingerprint
        data.take([1]).take([0])
        assert sample().fingerprint == before == data.fingerprint

    def test_keeps_name_and_modality(self) -> None:
        taken = Dataset([(1, 2)], modality="row", name="points").take([0])
        assert (taken.modality, taken.name) == ("row", "points")


def test_where_keeps_the_rows_whose_target_satisfies() -> None:
    assert list(sample().where(lambda target: target == "y").examples) == ["b", "d"]


def test_a_pool_knows_no_target_and_keeps_its_groups() -> None:
    pool = sample().without_targets()
    assert pool.targets is None
    assert list(pool.groups) == [1, 1, 2, 3]
    with pytest.raises(ValueError, match="data has no targets"):
        pool.labelled_targets()


@pytest.mark.parametrize("column", ["targets", "groups", "times"])
def test_columns_of_another_length_are_refused(column: str) -> None:
    with pytest.raises(ValueError, match=f"{column} has 1 entries for 4 examples"):
        sample(**{column: ["x"]})


def test_a_dataset_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample().targets = None


class TestFingerprint:
    def test_is_the_same_for_the_same_content_however_it_is_held(self) -> None:
        twice = Dataset(["-", "a", "b"], targets=["-", "x", "y"]).take([1, 2])
        assert twice.fingerprint == Dataset(("a", "b"), targets=("x", "y"), name="other").fingerprint
        assert len(twice.fingerprint) == 32

    @pytest.mark.parametrize(
        "changes",
        [
            {"examples": ["a", "b", "c", "e"]},
            {"examples": ["b", "a", "c", "d"]},
            {"targets": ["x", "y", "x", "x"]},
            {"targets": None},
            {"groups": [1, 1, 2, 2]},
            {"groups": None},
            {"targets": None, "groups": ["x", "y", "x", "y"]},
            {"examples": ["a", "b", "cd", ""]},
        ],
    )
    def test_changes_with_any_example_target_or_group(self, changes: dict[str, object]) -> None:
        assert sample(**changes).fingerprint != sample().fingerprint

    def test_sees_where_a_text_ends(self) -> None:
        assert Dataset(["ab", "c"]).fingerprint != Dataset(["a", "bc"]).fingerprint

    def test_takes_any_text_and_any_row(self) -> None:
        odd = Dataset(["\ud800", "\x00", "", "🏳️‍🌈"])
        assert odd.fingerprint == Dataset(["\ud800", "\x00", "", "🏳️‍🌈"]).fingerprint
        assert Dataset([(1.0, None)], "row").fingerprint != Dataset([(1.0, 0)], "row").fingerprint

    def test_is_known_from_one_release_to_the_next(self) -> None:
        # Studies and bundles record it: another value would make every one of them look like other data.
        assert Dataset(["a", "b"], targets=["x", "y"]).fingerprint == "4616aca910dfea288f38a74559eba410"
