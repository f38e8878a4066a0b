from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nshot import metrics
from nshot.core import OptionError
from nshot.evaluation.intervals import Block, estimate, score_interval
from nshot.evaluation.new_labels import (
    MOST_EXAMPLES,
    Answered,
    LabelDraw,
    difference,
    harmonic_mean,
    label_draws,
    taken_in,
)
from nshot.evaluation.protocol import Design, design

ACCURACY = metrics.get("accuracy")


def labelled(sizes: dict[str, int], seed: int = 0) -> list[str]:
    rows = [label for label, n in sizes.items() for _ in range(n)]
    np.random.default_rng(seed).shuffle(rows)
    return rows


def with_test(targets: list[str], tested: list[str]) -> Design:
    return design(targets, np.arange(len(targets)), seed=0, n_given_test=len(tested))


def drawn(sizes: dict[str, int], share: float, seed: int = 0) -> tuple[LabelDraw, ...]:
    targets = labelled(sizes)
    tested = list(sizes) * 2
    return label_draws(with_test(targets, tested), targets, tested, share=share, seed=seed)


# ------------------------------------------------------------------------------------------ which labels


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.2, 2), (0.5, 5), (0.8, 8), (0.99, 8)])
def test_the_share_is_held_out_but_at_least_one_label_and_at_most_all_but_two(share, expected):
    sizes = {f"l{i}": 10 + i for i in range(10)}
    assert {len(draw.held_out) for draw in drawn(sizes, share)} == {expected}


def test_every_label_is_held_out_once_before_any_is_held_out_twice():
    sizes = {f"l{i}": 10 + i for i in range(10)}
    times = Counter(label for draw in drawn(sizes, 0.2) for label in draw.held_out)
    assert times == dict.fromkeys(sizes, 1)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_every_draw_holds_out_another_set(share):
    sizes = {f"l{i}": 10 + i for i in range(8)}
    draws = drawn(sizes, share)
    assert len(draws) == 5
    assert len({draw.held_out for draw in draws}) == 5


def test_there_are_no_more_draws_than_different_sets():
    assert len(drawn({"a": 9, "b": 9, "c": 9}, 0.3)) == 3


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_rare_labels_are_never_all_held_out_nor_all_there(share):
    sizes = {f"rare{i}": 6 for i in range(4)} | {f"frequent{i}": 60 for i in range(4)}
    for draw in drawn(sizes, share):
        rare = sum(label.startswith("rare") for label in draw.held_out)
        assert rare == 4 * share


def test_the_seed_decides_the_draws():
    sizes = {f"l{i:02d}": 10 + i for i in range(30)}

    def sets(seed):
        return [draw.held_out for draw in drawn(sizes, 0.2, seed)]

    assert sets(0) == sets(0)
    assert sets(0) != sets(1)


def test_rows_of_held_out_labels_are_not_trained_on_and_their_examples_are_theirs():
    sizes = {f"l{i}": 10 for i in range(6)}
    targets = np.array(labelled(sizes))
    for draw in drawn(sizes, 0.4):
        assert not set(targets[draw.seen]) & set(draw.held_out)
        assert set(draw.examples) == set(draw.held_out)
        for label, rows in draw.examples.items():
            assert len(set(rows.tolist())) == MOST_EXAMPLES
            assert set(targets[rows]) == {label}
        assert draw.n_removed == len(targets) - len(draw.seen)


def test_fewer_examples_are_the_first_of_more():
    [draw, *_] = drawn({"a": 9, "b": 9, "c": 9, "d": 9}, 0.5)
    one, five = draw.handed_over(1), draw.handed_over(5)
    assert len(one) == 2
    assert len(five) == 10
    assert one.tolist() == five[::5].tolist()
    assert draw.handed_over(0).tolist() == []


def test_a_label_with_fewer_rows_than_examples_gives_all_it_has():
    draws = drawn({"a": 3, "b": 9, "c": 9}, 0.3)
    [rows] = [draw.examples["a"] for draw in draws if "a" in draw.held_out]
    assert len(rows) == 3


def test_folds_of_the_first_repeat_each_have_a_draw_and_their_test_rows_are_not_trained_on():
    targets = labelled({f"l{i}": 20 for i in range(6)})
    plan = design(targets, np.arange(len(targets)), seed=0)
    draws = label_draws(plan, targets, targets, share=0.2, seed=0)
    assert [(draw.repeat, draw.fold) for draw in draws] == [(0, fold) for fold in range(5)]
    for draw in draws:
        given = {*draw.seen.tolist(), *draw.handed_over(5).tolist()}
        assert not given & set(plan.draw(0, draw.fold).test.tolist())
        assert draw.n_removed + len(draw.seen) == plan.n_train


def test_a_label_without_training_rows_or_without_test_rows_is_not_held_out():
    targets = labelled({"a": 9, "b": 9, "c": 9, "untested": 9})
    tested = ["a", "b", "c", "never seen"] * 3
    draws = label_draws(with_test(targets, tested), targets, tested, share=0.5, seed=0)
    assert {label for draw in draws for label in draw.held_out} == {"a", "b", "c"}


def test_two_labels_are_too_few():
    with pytest.raises(OptionError, match=r"at least three labels.*Found 2: no, yes"):
        drawn({"yes": 9, "no": 9}, 0.5)


def test_labels_that_nobody_could_be_tested_on_are_refused():
    targets = labelled({"a": 9, "b": 9, "c": 9})
    tested = ["x", "y"]
    with pytest.raises(OptionError, match="no label has both"):
        label_draws(with_test(targets, tested), targets, tested, share=0.5, seed=0)


# ------------------------------------------------------------------------------------------ scores


def answered(draw: int, right: list[int], new: list[int], rows: list[int] | None = None) -> Answered:
    ids = np.array(range(len(right)) if rows is None else rows)
    return Answered(draw, ids, np.array(right, dtype=bool), np.array(new, dtype=bool), ids)


def many(rng: np.random.Generator, draw: int, n: int, seen: float = 0.8, new: float = 0.5, offset: int = 0) -> Answered:
    is_new = np.arange(n) % 4 == 0
    rows = np.arange(n) + offset
    return Answered(draw, rows, rng.random(n) < np.where(is_new, new, seen), is_new, rows)


def test_the_harmonic_mean_is_low_as_soon_as_one_share_is():
    assert harmonic_mean(0.75, 0.5) == pytest.approx(0.6)
    assert harmonic_mean(0.9, 0.0) == 0.0
    assert harmonic_mean(0.0, 0.0) == 0.0


def test_shares_pool_the_rows_of_all_draws():
    found = taken_in([answered(0, [1, 1, 0, 1, 0], [0, 0, 0, 1, 1]), answered(1, [1, 1], [0, 1])], ACCURACY)
    assert found.seen.score == 3 / 4
    assert found.new.score == 2 / 3
    assert found.harmonic_mean.score == pytest.approx(2 * 0.75 * (2 / 3) / (0.75 + 2 / 3))
    assert found.draws == 2


def test_without_rows_of_one_kind_there_is_no_score():
    assert taken_in([answered(0, [1, 0], [0, 0])], ACCURACY) is None
    assert taken_in([answered(0, [1, 0], [1, 1])], ACCURACY) is None
    assert taken_in([], ACCURACY) is None


@pytest.mark.parametrize("group_size", [1, 4])
def test_of_one_draw_a_share_has_the_interval_of_a_hold_out(group_size):
    own = many(np.random.default_rng(0), 0, 200)
    own = Answered(0, own.rows, own.right, own.new, own.rows // (4 * group_size))
    kept = ~own.new
    block = Block(0, 0, own.rows[kept], own.right[kept, None].astype(float), own.groups[kept])
    expected = estimate([block], ACCURACY, rho=1.0, target="this model").interval
    found = taken_in([own], ACCURACY).seen.interval
    assert found.as_json() == pytest.approx(expected.as_json(), rel=1e-9)


def test_of_equal_folds_a_share_has_the_corrected_resampled_interval():
    rng = np.random.default_rng(1)
    folds = [many(rng, fold, 80, offset=80 * fold, new=0.2 + 0.1 * fold) for fold in range(5)]
    right = [f.right[f.new].astype(float) for f in folds]
    variance = np.var([own.mean() for own in right], ddof=1) * (1 / 5 + 80 / 320)
    every = np.concatenate(right)
    expected = score_interval(float(every.mean()), variance, 4, metric=ACCURACY, mistake=1 / len(every))
    found = taken_in(folds, ACCURACY, overlap=80 / 320).new.interval
    assert found.as_json() == pytest.approx(expected.as_json(), abs=0.005)


def test_draws_that_differ_widen_the_interval():
    rng = np.random.default_rng(2)

    def width(shares):
        found = taken_in([many(rng, draw, 400, new=share) for draw, share in enumerate(shares)], ACCURACY)
        return found.new.interval.high - found.new.interval.low

    assert width([0.1, 0.3, 0.5, 0.7, 0.9]) > 2 * width([0.5] * 5)


def test_nothing_right_keeps_an_interval_that_is_no_point():
    found = taken_in([answered(draw, [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]) for draw in range(3)], ACCURACY)
    assert found.harmonic_mean.score == found.new.score == 0.0
    assert found.new.interval.low == 0.0
    assert found.new.interval.high > 0.1
    assert found.harmonic_mean.interval.high > 0.1


def test_a_difference_is_paired_over_the_common_draws():
    rng = np.random.default_rng(3)
    good = [many(rng, draw, 200, new=0.7) for draw in range(5)]
    worse = [Answered(g.draw, g.rows, g.right & (rng.random(200) < 0.9), g.new, g.groups) for g in good[:2]]
    found = difference(good, worse)
    expected = taken_in(good[:2], ACCURACY).harmonic_mean.score - taken_in(worse, ACCURACY).harmonic_mean.score
    assert found.mean == pytest.approx(expected)
    assert found.interval.low < found.mean < found.interval.high
    assert difference(worse, good).mean == pytest.approx(-found.mean)


def test_what_pairs_row_by_row_is_told_apart_where_separate_intervals_overlap():
    rng = np.random.default_rng(4)
    one = [many(rng, draw, 300) for draw in range(5)]
    other = [Answered(o.draw, o.rows, o.right & (o.rows % 20 > 0), o.new, o.groups) for o in one]
    first, second = (taken_in(own, ACCURACY).harmonic_mean.interval for own in (one, other))
    assert first.low < second.high
    assert difference(one, other).told_apart


def test_the_same_answers_are_not_told_apart():
    own = [many(np.random.default_rng(5), draw, 100) for draw in range(3)]
    found = difference(own, own)
    assert found.mean == 0.0
    assert not found.told_apart


def test_without_a_common_draw_there_is_no_difference():
    rng = np.random.default_rng(6)
    assert difference([many(rng, 0, 50)], [many(rng, 1, 50)]) is None


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(7)
    labels, rows, n = 20, 500, 150
    hits = np.zeros(3)
    for _ in range(n):
        of = rng.integers(labels, size=rows)
        seen, new = rng.beta(16, 4, size=labels), rng.beta(6, 4, size=labels)
        turn = rng.permutation(labels) % 5
        draws = []
        for draw in range(5):
            is_new = turn[of] == draw
            right = rng.random(rows) < np.where(is_new, new[of], seen[of])
            draws.append(Answered(draw, np.arange(rows), right, is_new, np.arange(rows)))
        found = taken_in(draws, ACCURACY)
        truth = seen.mean(), new.mean(), harmonic_mean(seen.mean(), new.mean())
        hits += [t in own.interval for t, own in zip(truth, (found.seen, found.new, found.harmonic_mean), strict=True)]
    assert (hits / n > 0.9).all()
