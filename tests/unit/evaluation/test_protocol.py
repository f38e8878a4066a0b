from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nshot.core import DataError
from nshot.evaluation.protocol import design, ladder, per_class_ladder


def skewed(n: int, seed: int = 0) -> list[str]:
    """Return n labels in the proportions 70, 20, 8 and 2 %."""
    rng = np.random.default_rng(seed)
    return [str(label) for label in rng.choice(["a", "b", "c", "d"], size=n, p=[0.7, 0.2, 0.08, 0.02])]


def alone(n: int) -> np.ndarray:
    """Return group ids of n rows that resemble no other."""
    return np.arange(n)


def same(one, other) -> bool:
    return one.ladder == other.ladder and all(
        np.array_equal(a.order, b.order) and np.array_equal(a.test, b.test)
        for a, b in zip(one.draws, other.draws, strict=True)
    )


@pytest.mark.parametrize("n_given_test", [None, 50])
def test_a_row_is_never_trained_on_and_tested_in_one_draw(n_given_test):
    labels = skewed(300)
    divided = design(labels, alone(300), seed=1, n_given_test=n_given_test)
    for draw in divided.draws:
        assert len(set(draw.order.tolist())) == len(draw.order)
        if n_given_test is None:
            assert not set(draw.order.tolist()) & set(draw.test.tolist())


def test_the_first_rows_of_an_order_are_one_of_every_class():
    labels = np.array(skewed(400))
    for draw in design(labels.tolist(), alone(400), seed=2).draws:
        assert sorted(labels[draw.order[:4]]) == ["a", "b", "c", "d"]


def test_after_the_head_rows_come_in_natural_proportions():
    labels = np.array(skewed(1_500))
    shares = [np.mean(labels[draw.order[4:300]] == "a") for draw in design(labels.tolist(), alone(1_500), seed=3).draws]
    assert np.mean(shares) == pytest.approx(0.7, abs=0.03)
    assert np.std(shares) > 0.005, "the draws differ"


def test_per_class_takes_equal_numbers_at_every_size():
    labels = np.array([label for label in "abcd" for _ in range(40)])
    divided = design(labels.tolist(), alone(160), seed=4, per_class=True)
    for draw in divided.draws:
        for n in divided.ladder[:-1]:
            assert set(Counter(labels[draw.order[:n]]).values()) == {n // 4}


def test_per_class_lets_a_class_that_is_used_up_be_shorter():
    labels = np.array(["a"] * 60 + ["b"] * 60 + ["c"] * 5)
    draw = design(labels.tolist(), alone(125), seed=0, per_class=True).draws[0]
    counts = Counter(labels[draw.order[:50]])
    assert counts["c"] == 4, "a fifth of its rows is tested on, the others come early"
    assert abs(counts["a"] - counts["b"]) <= 1


@pytest.mark.parametrize("rows", [60, 300, 2_400])
def test_groups_never_straddle_a_split(rows):
    rng = np.random.default_rng(5)
    groups = rng.integers(0, rows // 3, size=rows)
    for draw in design(skewed(rows), groups, seed=6).draws:
        assert not set(groups[draw.order]) & set(groups[draw.test])


def test_folds_partition_the_rows_in_every_repeat():
    divided = design(skewed(230), alone(230), seed=7, repeats=4)
    assert (divided.kind, divided.folds, divided.repeats) == ("kfold", 5, 4)
    for repeat in range(4):
        tested = np.concatenate([divided.draw(repeat, fold).test for fold in range(5)])
        assert sorted(tested.tolist()) == list(range(230))
        for fold in range(5):
            draw = divided.draw(repeat, fold)
            assert (draw.repeat, draw.fold) == (repeat, fold)
            assert sorted([*draw.order, *draw.test]) == list(range(230))


def test_folds_hold_every_class_evenly():
    labels = np.array(skewed(500))
    for draw in design(labels.tolist(), alone(500), seed=8).draws:
        for label, count in Counter(labels.tolist()).items():
            assert np.sum(labels[draw.test] == label) in {count // 5, -(-count // 5)}


def test_repeats_divide_differently():
    divided = design(skewed(200), alone(200), seed=9)
    assert set(divided.draw(0, 0).test.tolist()) != set(divided.draw(1, 0).test.tolist())


def test_from_2000_rows_there_is_one_holdout_shared_by_all_repeats():
    labels = skewed(2_000)
    assert design(labels[:-1], alone(1_999), seed=0).kind == "kfold"
    divided = design(labels, alone(2_000), seed=0)
    assert (divided.kind, divided.folds, divided.repeats) == ("holdout", 1, 5)
    assert divided.n_test == pytest.approx(500, abs=5)
    first = divided.draws[0]
    for draw in divided.draws[1:]:
        assert np.array_equal(draw.test, first.test)
        assert set(draw.order.tolist()) == set(first.order.tolist())
        assert not np.array_equal(draw.order, first.order)


def test_a_holdout_is_stratified():
    labels = np.array(skewed(4_000))
    held = labels[design(labels.tolist(), alone(4_000), seed=1).draws[0].test]
    for label in "abcd":
        assert np.mean(held == label) == pytest.approx(np.mean(labels == label), abs=0.001)


def test_a_holdout_of_very_many_rows_stays_bounded():
    labels = ["a", "b"] * 30_000
    divided = design(labels, alone(60_000), seed=1)
    assert divided.n_test == pytest.approx(5_000, rel=0.02)


def test_a_given_test_is_the_test_of_every_draw_and_leaked_rows_are_not_trained_on():
    trainable = np.setdiff1d(np.arange(100), [3, 50, 99])
    divided = design(skewed(100), alone(100), seed=0, trainable=trainable, n_given_test=37)
    assert (divided.kind, divided.n_test, divided.n_train, divided.n_rows) == ("given", 37, 97, 97)
    for draw in divided.draws:
        assert draw.test.tolist() == list(range(37))
        assert set(draw.order.tolist()) == set(trainable.tolist())


def test_a_given_test_may_be_answered_from_one_row_per_label():
    divided = design(["a", "b", "c"], alone(3), seed=0, n_given_test=10)
    assert divided.ladder == (3,)


def test_the_same_seed_divides_the_same_way_and_another_one_does_not():
    labels = skewed(150)
    assert same(design(labels, alone(150), seed=3), design(labels, alone(150), seed=3))
    assert not same(design(labels, alone(150), seed=3), design(labels, alone(150), seed=4))


def test_neighbouring_seeds_share_no_draw():
    """Seeds that are added to the number of a repeat would give repeat 1 of seed 0 again as repeat 0 of seed 1."""
    one, other = (design(skewed(150), alone(150), seed=seed) for seed in (0, 1))
    orders = {draw.order.tobytes() for draw in one.draws}
    assert not orders & {draw.order.tobytes() for draw in other.draws}


@pytest.mark.parametrize(
    ("classes", "n_train", "expected"),
    [
        (2, 800, (16, 64, 256, 800)),
        (77, 10_003, (77, 308, 1232, 4928, 10_003)),
        (3, 96, (16, 64, 96)),
        (3, 90, (16, 90)),
        (2, 10, (10,)),
        (50, 60, (60,)),
    ],
)
def test_the_ladder_climbs_from_16_or_the_classes_to_all_rows(classes, n_train, expected):
    assert ladder(classes, n_train) == expected


@pytest.mark.parametrize(("classes", "n_train", "expected"), [(3, 40, (3, 6, 12, 24)), (10, 12, (10,)), (10, 8, (8,))])
def test_the_shots_of_papers_double(classes, n_train, expected):
    assert per_class_ladder(classes, n_train) == expected


def test_named_sizes_replace_the_ladder_and_end_at_all_rows():
    for sizes in [(50, 10, 10, 4_000), (50, 10)]:
        divided = design(skewed(100), alone(100), seed=0, sizes=sizes)
        assert divided.ladder == (10, 50, divided.n_train)


def test_equal_numbers_per_class_end_at_all_rows_too():
    """Today's question is asked there; without it there is nothing to pick from."""
    divided = design(["a", "b", "c"] * 20, alone(60), seed=0, per_class=True)
    assert divided.ladder == (3, 6, 12, 24, 48)
    assert design(["a", "b"] * 30, alone(60), seed=0, per_class=True).ladder == (2, 4, 8, 16, 32, 48)


@pytest.mark.parametrize(
    ("labels", "n_given_test", "expected"),
    [
        (["a"] * 30, None, "at least two different labels; found 1"),
        (["a"] * 30, 10, "at least two different labels; found 1"),
        ([f"c{i}" for i in range(30)], None, "30 of them have a single row"),
        (["a"] * 20 + ["b"], None, "1 of them have a single row"),
    ],
)
def test_hopeless_data_is_refused_with_what_to_do(labels, n_given_test, expected):
    with pytest.raises(DataError, match=expected) as refused:
        design(labels, alone(len(labels)), seed=0, n_given_test=n_given_test)
    assert "--label COLUMN" in str(refused.value)


@pytest.mark.parametrize("groups", [np.zeros(40, dtype=np.int64), np.array([0, 1] * 20)])
def test_labels_that_stand_in_one_group_each_cannot_be_divided(groups):
    """Otherwise a fold would be trained on nothing, or on one label."""
    with pytest.raises(DataError, match="group of rows that stay together"):
        design(["a", "b"] * 20, groups, seed=0)


@given(
    sizes=st.lists(st.integers(2, 12), min_size=2, max_size=6),
    spread=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    per_class=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_data_is_divided_into_disjoint_nested_draws(sizes, spread, seed, per_class):
    labels = [f"c{i}" for i, size in enumerate(sizes) for _ in range(size)]
    groups = np.random.default_rng(seed).integers(0, max(4, len(labels) // spread), size=len(labels))
    try:
        divided = design(labels, groups, seed=seed, per_class=per_class)
    except DataError:
        reject()  # by chance the rows of a label all stand in one group
    assert divided.n_train == min(len(draw.order) for draw in divided.draws)
    assert divided.ladder[-1] <= divided.n_train
    assert list(divided.ladder) == sorted(set(divided.ladder))
    for draw in divided.draws:
        assert len(draw.order)
        assert not set(groups[draw.order]) & set(groups[draw.test])
        head = [labels[i] for i in draw.order[: len({labels[i] for i in draw.order})]]
        assert len(set(head)) == len(head)


def test_a_test_that_holds_all_training_rows_is_named_as_what_is_wrong():
    with pytest.raises(DataError, match=r"30 of the 30 rows also stand in the test"):
        design(["a", "b"] * 15, np.arange(30), seed=0, trainable=np.array([], dtype=np.int64), n_given_test=30)


def test_answers_that_are_no_classes_are_divided_without_any():
    divided = design(None, alone(60), seed=0)
    assert divided.kind == "kfold"
    assert (divided.classes, divided.ladder[0]) == (1, 16)
    assert sorted(np.concatenate([draw.test for draw in divided.draws if draw.repeat == 0]).tolist()) == list(range(60))


@pytest.mark.parametrize("n_given_test", [None, 90])
def test_only_what_may_be_tested_is_tested_and_everything_else_is_still_learnt_from(n_given_test):
    inputs = np.repeat(np.arange(30), 3)
    firsts = np.arange(0, 90, 3)
    divided = design(None, inputs, seed=0, testable=firsts, n_given_test=n_given_test)
    assert divided.n_test == 30
    for draw in divided.draws:
        assert set(draw.test.tolist()) <= set(firsts.tolist())
        if n_given_test is None:
            assert not set(inputs[draw.order].tolist()) & set(inputs[draw.test].tolist())
            assert len(draw.order) + 3 * len(draw.test) == 90
        else:
            assert len(draw.order) == 90


def test_too_few_inputs_without_a_test_are_refused():
    with pytest.raises(DataError, match=r"at least 10 different inputs with an answer.*found 4"):
        design(None, np.repeat(np.arange(4), 20), seed=0)
