import numpy as np
import pytest

from nshot.training.selection import (
    NEVER,
    best_of,
    calibration,
    clearly_better,
    inner_folds,
    log_loss,
    prior_share,
    surest,
    value_folds,
)


def codes_of(n, n_classes=3, seed=0):
    return np.random.default_rng(seed).integers(n_classes, size=n)


@pytest.mark.parametrize(("n", "n_folds"), [(60, 5), (300, 5), (301, 3), (1_200, 3)])
def test_every_row_is_held_out_once_and_classes_are_spread_evenly(n, n_folds):
    codes = codes_of(n)
    folds = inner_folds(codes)
    assert set(folds.tolist()) == set(range(n_folds))
    for code in range(3):
        per_fold = np.bincount(folds[codes == code], minlength=n_folds)
        assert per_fold.max() - per_fold.min() <= 1


def test_of_many_rows_a_quarter_is_held_out_once():
    folds = inner_folds(codes_of(2_000))
    assert set(folds.tolist()) == {NEVER, 0}
    assert (folds == 0).mean() == pytest.approx(0.25, abs=0.01)


def test_a_group_is_never_on_both_sides():
    codes, groups = codes_of(120), [f"group {i // 4}" for i in range(120)]
    folds = inner_folds(codes, groups)
    for group in set(groups):
        assert len({folds[i] for i in range(120) if groups[i] == group}) == 1
    assert len(set(folds.tolist()) - {NEVER}) == 5


def test_the_only_example_of_a_class_stays_in_training():
    folds = inner_folds(np.array([0, 0, 1, 1, 2]))
    assert folds[4] == NEVER
    assert (folds[:4] != NEVER).all()


def test_the_only_group_of_a_class_stays_in_training():
    folds = inner_folds(np.array([0, 0, 1, 1, 2, 2]), ["a", "b", "c", "d", "e", "e"])
    assert folds.tolist()[4:] == [NEVER, NEVER]


@pytest.mark.parametrize("codes", [[], [0], [0, 1, 2], [0, 0, 0, 1]])
def test_nothing_is_held_out_where_nothing_can_be_chosen(codes):
    assert (inner_folds(np.array(codes, dtype=np.int64)) == NEVER).all()


def test_few_rows_need_a_large_difference():
    assert not clearly_better(0.60, 0.55, 16)
    assert clearly_better(0.60, 0.55, 1_000)


def test_frequencies_are_put_back_only_where_the_judge_wants_them():
    codes = np.repeat([0, 1], [180, 20])
    # Scores that know nothing: the frequent class is right nine times of ten.
    scores = np.random.default_rng(0).normal(size=(200, 2)) * 0.1
    log_prior = np.log([0.9, 0.1])

    def accuracy(scores):
        return float((scores.argmax(axis=1) == codes).mean())

    def balanced(scores):
        return float(np.mean([(scores.argmax(axis=1) == codes)[codes == code].mean() for code in (0, 1)]))

    assert prior_share(scores, log_prior, accuracy) > 0
    assert prior_share(scores, log_prior, balanced) == 0
    assert prior_share(np.zeros((0, 2)), log_prior, accuracy) == 0


def test_calibration_finds_the_factor_that_was_taken_out():
    rng = np.random.default_rng(0)
    true_scores = rng.normal(size=(4_000, 5)) * 2
    odds = np.exp(true_scores) / np.exp(true_scores).sum(axis=1, keepdims=True)
    codes = (odds.cumsum(axis=1) > rng.random((4_000, 1))).argmax(axis=1)
    assert calibration(true_scores / 4, codes) == pytest.approx(4, rel=0.3)
    assert calibration(true_scores[:20], codes[:20]) == 1.0


def test_log_loss_of_a_coin_and_of_a_certain_mistake():
    assert log_loss(np.zeros((3, 2)), np.array([0, 1, 0])) == pytest.approx(np.log(2))
    assert log_loss(np.array([[100.0, 0.0]]), np.array([1])) == pytest.approx(np.log(1e6))


@pytest.mark.parametrize(("n", "n_folds"), [(60, 5), (301, 3)])
def test_every_number_is_held_out_once(n, n_folds):
    folds = value_folds(n)
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 1


def test_of_many_numbers_a_quarter_is_held_out_once():
    folds = value_folds(2_000)
    assert set(folds.tolist()) == {NEVER, 0}
    assert (folds == 0).mean() == 0.25


def test_groups_of_numbers_stay_together_and_one_group_is_never_held_out():
    folds = value_folds(40, [i // 4 for i in range(40)])
    assert all(len(set(folds[at : at + 4].tolist())) == 1 for at in range(0, 40, 4))
    assert set(value_folds(5, ["a"] * 5).tolist()) == {NEVER}
    assert set(value_folds(1).tolist()) == {NEVER}


def test_the_usual_stays_unless_something_is_better_or_can_be_judged():
    assert best_of({1: 0.5, 2: 0.5}, usual=2) == 2
    assert best_of({1: 0.6, 2: 0.5}, usual=2) == 1
    assert best_of({1: float("nan"), 2: 0.5}, usual=1) == 2
    assert best_of({1: float("nan"), 2: float("-inf")}, usual=3) == 3


def test_among_options_that_score_about_the_same_the_least_surprising_is_taken():
    assert surest([0.90, 0.91, 0.60], [0.3, 0.5, 0.1], n=100) == 0
    assert surest([0.70, 0.91, 0.60], [0.3, 0.5, 0.1], n=100) == 1
    assert surest([float("nan"), 0.91], [0.3, 0.5], n=100) == 1
