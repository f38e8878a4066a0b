from __future__ import annotations

import math

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Prediction, Task, TaskKind
from nshot.evaluation.intervals import (
    SHARED,
    SHARED_OF_SCORES,
    TEST_ROWS_ONLY,
    Block,
    components,
    estimate,
    pseudo_values,
    target_of,
    usual_draws,
)

ACCURACY = metrics.get("accuracy")
MACRO_F1 = metrics.get("macro_f1")
AUROC = metrics.get("auroc")


def hold_out(scores):
    """Return blocks of right (1.0) and wrong (0.0) answers, given as (repeats, rows)."""
    rows = np.arange(np.shape(scores)[1])
    return [Block(r, 0, rows, np.asarray(one, dtype=float)[:, None]) for r, one in enumerate(scores)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def coverage(study, truth, studies):
    rng = np.random.default_rng(11)
    return np.mean([truth in study(rng) for _ in range(studies)])


NORMALS = np.random.default_rng(0).normal(size=200_000)


@pytest.mark.parametrize("repeats", [3, 5])
@pytest.mark.parametrize("draw_spread", [0.0, 0.6])
def test_hold_out_covers_a_fresh_draw(repeats, draw_spread):
    truth = float(np.mean(sigmoid(2.0 + math.hypot(1.5, draw_spread) * NORMALS)))

    def study(rng):
        p = sigmoid(2.0 + 1.5 * rng.normal(size=200)[None, :] + draw_spread * rng.normal(size=repeats)[:, None])
        return estimate(hold_out(rng.random(p.shape) < p), ACCURACY, rho=0.0, target="a fresh draw").interval

    # bench/decision/simulation.py measures 91 to 98 % in such worlds; 400 studies are sure to about 1.5 points.
    assert 0.90 <= coverage(study, truth, 400) <= 0.99


@pytest.mark.parametrize(("accuracy", "rows"), [(0.9, 32), (0.99, 64), (0.998, 64), (0.998, 300), (0.995, 1000)])
def test_ties_and_few_rows_are_covered(accuracy, rows):
    def study(rng):
        return estimate(hold_out(rng.random((1, rows)) < accuracy), ACCURACY, rho=1.0, target="this model").interval

    assert coverage(study, accuracy, 400) >= 0.93


def test_few_draws_are_read_together_with_those_of_peers():
    # Eight candidates on the same two draws, whose spreads differ: alone, t with one degree of freedom is lost.
    rng = np.random.default_rng(3)
    fresh = {"rho": 0.0, "target": "a fresh draw"}
    hits, widths = np.zeros(2), np.zeros(2)
    for _ in range(60):
        spreads = 0.6 * np.exp(rng.normal(size=8) * 0.4)
        rows = rng.normal(size=200) * 1.5
        p = [sigmoid(2.0 + rows + one * rng.normal(size=(2, 1))) for one in spreads]
        blocks = [hold_out(rng.random((2, 200)) < one) for one in p]
        usual = usual_draws(blocks, ACCURACY, **fresh)
        for own, one in zip(blocks, spreads, strict=True):
            truth = float(np.mean(sigmoid(2.0 + math.hypot(1.5, one) * NORMALS[:20_000])))
            for i, known in enumerate((None, usual)):
                got = estimate(own, ACCURACY, usual=known, **fresh).interval
                hits[i] += truth in got
                widths[i] += got.high - got.low
    assert 0.93 <= hits[1] / 480 <= 0.99
    assert hits[0] < hits[1]
    assert widths[1] < 0.8 * widths[0]


def test_two_candidates_do_not_say_what_is_usual():
    blocks = [hold_out(np.random.default_rng(i).random((3, 50)) < 0.8) for i in range(2)]
    assert usual_draws(blocks, ACCURACY, rho=0.0, target="a fresh draw") is None


def test_macro_f1_of_few_draws_is_covered_beside_its_peers():
    rng = np.random.default_rng(7)
    shares, fresh = np.array([0.4, 0.3, 0.2, 0.1]), {"rho": 0.0, "target": "a fresh draw"}

    def study(rows, repeats):
        true = rng.choice(4, rows, p=shares)
        wanted, found = rng.normal(size=rows), []
        for repeat in range(repeats):
            p = sigmoid(1.2 + wanted + (rng.normal(size=4) * 0.5)[true])
            answer = np.where(rng.random(rows) < p, true, (true + 1 + rng.choice(3, rows)) % 4)
            found.append(Block(repeat, 0, np.arange(rows), np.stack([true, answer], axis=1).astype(float)))
        return found

    truth = np.mean([MACRO_F1.aggregate(study(5_000, 1)[0].statistics) for _ in range(200)])
    hits = []
    for _ in range(40):
        peers = [study(300, 3) for _ in range(6)]
        usual = usual_draws(peers, MACRO_F1, **fresh)
        hits += [truth in estimate(own, MACRO_F1, usual=usual, **fresh).interval for own in peers]
    assert np.mean(hits) >= 0.91


def test_overlap_of_repeats_from_one_pool_is_allowed_for():
    # Quality = the mean of the pool's items in the subset: exactly the linear case of the formula, rho = 0.45.
    pool_size, n, repeats, rows = 100, 45, 5, 300
    truth = float(np.mean(sigmoid(1.0 + math.hypot(1.0, 0.5) * NORMALS)))

    def study(rng, rho):
        items = rng.normal(size=pool_size) * 0.5 * math.sqrt(n)
        quality = np.array([items[rng.permutation(pool_size)[:n]].mean() for _ in range(repeats)])
        p = sigmoid(1.0 + rng.normal(size=rows)[None, :] + quality[:, None])
        return estimate(hold_out(rng.random(p.shape) < p), ACCURACY, rho=rho, target="a fresh draw").interval

    assert coverage(lambda rng: study(rng, 0.45), truth, 400) >= 0.92
    assert coverage(lambda rng: study(rng, None), truth, 400) < 0.9


@pytest.mark.parametrize("accuracy", [0.8, 0.98])
def test_one_repeat_covers_its_own_model_and_is_marked_for_draws(accuracy):
    def study(rng):
        return estimate(hold_out(rng.random((1, 200)) < accuracy), ACCURACY, rho=1.0, target="this model").interval

    assert 0.925 <= coverage(study, accuracy, 500) <= 0.985
    one = hold_out(np.random.default_rng(0).random((1, 200)) < accuracy)
    assert estimate(one, ACCURACY, rho=1.0, target="this model").marked is None
    assert estimate(one, ACCURACY, rho=0.1, target="a fresh draw").marked == TEST_ROWS_ONLY


def test_k_fold_covers_the_procedure():
    # One feature, threshold between the class means; every row is tested once per repeat.
    from scipy.special import ndtr

    def fit(x, y):
        return (x[y == 0].mean() + x[y == 1].mean()) / 2

    def true_accuracy(threshold):
        return 0.5 * (ndtr(1.0 - threshold) + ndtr(1.0 + threshold))

    y = np.arange(100) % 2
    draws = np.random.default_rng(5)
    truth = float(
        np.mean([true_accuracy(fit(draws.normal(size=80) + 2.0 * y[:80] - 1.0, y[:80])) for _ in range(2000)])
    )

    def study(rng):
        x = rng.normal(size=100) + 2.0 * y - 1.0
        blocks = []
        for repeat in range(3):
            order = rng.permutation(100)
            for fold in range(5):
                test = order[fold::5]
                train = np.setdiff1d(order, test)
                right = (x[test] > fit(x[train], y[train])) == (y[test] == 1)
                blocks.append(Block(repeat, fold, test, right.astype(float)[:, None]))
        return estimate(blocks, ACCURACY, rho=1.0, target="this model").interval

    assert 0.93 <= coverage(study, truth, 300) <= 1.0


def test_groups_that_agree_count_as_one_row_each():
    rng = np.random.default_rng(2)
    scores = np.repeat(rng.random((1, 50)) < 0.8, 4, axis=1).astype(float)
    rows, groups = np.arange(200), np.repeat(np.arange(50), 4)
    alone = estimate([Block(0, 0, rows, scores.T)], ACCURACY, rho=1.0, target="this model")
    grouped = estimate([Block(0, 0, rows, scores.T, groups)], ACCURACY, rho=1.0, target="this model")
    once = estimate([Block(0, 0, np.arange(50), scores.T[::4])], ACCURACY, rho=1.0, target="this model")
    assert grouped.standard_error == pytest.approx(once.standard_error)
    assert grouped.standard_error > 1.9 * alone.standard_error
    assert grouped.score == alone.score


def test_one_repeat_is_the_binomial_wilson_interval():
    # By scipy.stats.binomtest(90, 100).proportion_ci(method="wilson"): 0.82563 to 0.94477;
    # t and n - 1 widen it a little.
    scores = np.array([[1.0] * 90 + [0.0] * 10])
    got = estimate(hold_out(scores), ACCURACY, rho=1.0, target="this model").interval
    assert got.low == pytest.approx(0.8256, abs=0.003)
    assert got.high == pytest.approx(0.9448, abs=0.003)


@pytest.mark.parametrize("repeats", [1, 4])
def test_all_right_still_has_an_interval(repeats):
    got = estimate(hold_out(np.ones((repeats, 100))), ACCURACY, rho=0.1, target="a fresh draw")
    assert got.score == 1.0
    assert got.interval.high == 1.0
    assert 0.955 < got.interval.low < 0.97  # the rule of three says 0.97, Wilson 0.963
    wrong = estimate(hold_out(np.zeros((repeats, 100))), ACCURACY, rho=0.1, target="a fresh draw").interval
    assert wrong.low == 0.0
    assert wrong.high == pytest.approx(1.0 - got.interval.low)


def test_all_right_in_a_small_class_is_less_sure_for_macro_f1():
    true = np.array([0.0] * 95 + [1.0] * 5)
    block = Block(0, 0, np.arange(100), np.stack([true, true], axis=1))
    got = estimate([block], MACRO_F1, rho=1.0, target="this model").interval
    assert got.high == 1.0
    assert got.low < 0.9


def test_a_metric_without_bounds_claims_nothing_from_no_variance():
    block = Block(0, 0, np.arange(20), np.zeros((20, 1)))
    assert estimate([block], metrics.get("mae"), rho=1.0, target="this model").interval is None


def test_one_row_has_no_interval():
    got = estimate([Block(0, 0, np.arange(1), np.ones((1, 1)))], ACCURACY, rho=1.0, target="this model")
    assert got.interval is None
    assert got.standard_error is None


def test_this_model_is_the_first_repeat_not_the_luckiest():
    scores = np.zeros((3, 100))
    scores[0, :70], scores[1, :80], scores[2, :90] = 1.0, 1.0, 1.0
    got = estimate(hold_out(scores)[::-1], ACCURACY, rho=1.0, target="this model")
    assert got.score == pytest.approx(0.7)
    assert got.repeats == 1
    assert got.spread == pytest.approx(0.1)
    assert estimate(hold_out(scores), ACCURACY, rho=0.6, target="this pool").score == pytest.approx(0.8)


def test_zero_shot_in_folds_is_one_model_on_all_rows():
    scores = (np.random.default_rng(1).random(100) < 0.6).astype(float)
    folds = [Block(0, f, np.arange(100)[f::5], scores[f::5][:, None]) for f in range(5)]
    whole = estimate(hold_out(scores[None, :]), ACCURACY, rho=0.0, target="this model")
    assert estimate(folds, ACCURACY, rho=0.0, target="this model").interval == whole.interval


def test_pseudo_values_of_macro_f1_equal_leaving_out_one_by_one():
    rng = np.random.default_rng(4)
    statistics = np.stack([rng.integers(0, 3, 40), rng.integers(0, 3, 40)], axis=1).astype(float)
    score = MACRO_F1.aggregate(statistics)
    slow = np.array([40 * score - 39 * MACRO_F1.aggregate(np.delete(statistics, i, axis=0)) for i in range(40)])
    assert pseudo_values(MACRO_F1, statistics) == pytest.approx(slow - slow.mean() + score)
    assert pseudo_values(MACRO_F1, statistics).mean() == pytest.approx(score)


def test_auroc_standard_error_is_near_delongs():
    rng = np.random.default_rng(6)
    y = (rng.random(200) < 0.3).astype(float)
    scores = rng.normal(size=200) + y
    block = Block(0, 0, np.arange(200), AUROC.statistics(list(y), Prediction(scores=scores), Task(TaskKind.DETECT)))
    wins = (scores[y == 1][:, None] > scores[y == 0][None, :]).astype(float)
    delong = math.sqrt(wins.mean(1).var(ddof=1) / wins.shape[0] + wins.mean(0).var(ddof=1) / wins.shape[1])
    got = estimate([block], AUROC, rho=1.0, target="this model")
    assert got.score == pytest.approx(wins.mean())
    assert got.standard_error == pytest.approx(delong, rel=0.02)


def test_folds_are_pooled_before_macro_f1_and_averaged_for_rankings():
    rng = np.random.default_rng(8)
    true, answer = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    statistics = np.stack([true, answer], axis=1).astype(float)
    folds = [Block(0, f, np.arange(60)[f::3], statistics[f::3]) for f in range(3)]
    got = estimate(folds, MACRO_F1, rho=1.0, target="this model")
    assert got.score == pytest.approx(MACRO_F1.aggregate(statistics))
    marks = np.stack([rng.integers(0, 2, 60), rng.normal(size=60)], axis=1).astype(float)
    marks[:6, 0] = [0, 1, 0, 1, 0, 1]
    folds = [Block(0, f, np.arange(60)[f::3], marks[f::3]) for f in range(3)]
    expected = np.mean([AUROC.aggregate(marks[f::3]) for f in range(3)])
    assert estimate(folds, AUROC, rho=1.0, target="this model").score == pytest.approx(expected)


def rounds(answer, rounds=3, rows=100, seed=9):
    """Return blocks of repeated 5-fold; `answer(rng, test)` says which of a fold's rows a fit gets right."""
    rng = np.random.default_rng(seed)
    found = []
    for repeat in range(rounds):
        order = rng.permutation(rows)
        found += [Block(repeat, f, order[f::5], answer(rng, order[f::5]).astype(float)[:, None]) for f in range(5)]
    return found


def test_fits_that_agree_leave_the_rows_and_what_they_add_by_being_trained_on():
    right = np.random.default_rng(9).random(100) < 0.7
    got = estimate(rounds(lambda rng, test: right[test]), ACCURACY, rho=1.0, target="this pool")
    assert got.standard_error == pytest.approx(math.sqrt((1 + SHARED_OF_SCORES) * right.var(ddof=1) / 100))
    assert got.degrees_of_freedom == pytest.approx(99)


@pytest.mark.parametrize("only", [15, 7], ids=["all folds", "a round and two folds"])
def test_between_fits_is_least_squares_with_rows_and_fits(only):
    quality = np.random.default_rng(3).normal(size=1000) * 0.2
    blocks = rounds(lambda rng, test: rng.random(len(test)) < 0.6 + quality[test[0]])[:only]
    row, fit = np.concatenate([b.rows for b in blocks]), np.repeat(np.arange(only), 20)
    y = np.concatenate([b.statistics[:, 0] for b in blocks])

    def left(*factors):
        table = np.concatenate([np.eye(factor.max() + 1)[factor] for factor in factors], axis=1)
        return y - table @ np.linalg.lstsq(table, y, rcond=None)[0], np.linalg.matrix_rank(table)

    (of_rows, rows), (of_both, both) = left(row), left(row, fit)
    parts = components([blocks], ACCURACY, rho=1.0, target="this pool")
    assert parts.freedom == both - rows == only - 1
    assert parts.fits_by_rows[0][0, 0] == pytest.approx((of_rows @ of_rows - of_both @ of_both) / (only - 1))
    assert parts.fits_by_rows[1][0, 0] == pytest.approx(of_both @ of_both / (20 * only - both))


def test_groups_of_one_row_each_are_those_rows_whatever_they_are_called():
    blocks = rounds(lambda rng, test: rng.random(len(test)) < rng.choice([0.4, 0.9]))
    names = np.random.default_rng(5).permutation(100)
    called = [Block(b.repeat, b.fold, b.rows, b.statistics, names[b.rows]) for b in blocks]
    one, other = (components([own], ACCURACY, rho=1.0, target="this pool") for own in (blocks, called))
    assert one.variance(np.ones(1)) == pytest.approx(other.variance(np.ones(1)))


def test_one_round_tells_fits_apart_by_the_scores_of_their_folds():
    blocks = rounds(lambda rng, test: rng.random(len(test)) < rng.random())[:5]
    parts = components([blocks], ACCURACY, rho=1.0, target="this pool")
    of_folds = np.array([block.statistics.mean() for block in blocks])
    within = np.mean([block.statistics.var(ddof=1) for block in blocks]) / 20
    assert parts.draws(np.ones(1)) == pytest.approx(of_folds.var(ddof=1) - within)


def test_fits_that_differ_widen_the_interval():
    def coin(rng, test):
        return rng.random(len(test)) < 0.7

    def moody(rng, test):
        return rng.random(len(test)) < rng.choice([0.5, 0.9])

    steady, changing = (estimate(rounds(own), ACCURACY, rho=1.0, target="this pool") for own in (coin, moody))
    assert changing.standard_error > 1.2 * steady.standard_error
    assert changing.degrees_of_freedom < steady.degrees_of_freedom


def test_learners_whose_fits_differ_a_lot_are_covered():
    def study(rng):
        right = rng.random(100) < sigmoid(1.0 + rng.normal(size=100))
        collapsed = 0.25

        def answer(rng, test):
            return right[test] & (rng.random(len(test)) < (0.5 if rng.random() < collapsed else 1.0))

        blocks = rounds(answer, seed=int(rng.integers(1 << 30)))
        return estimate(blocks, ACCURACY, rho=1.0, target="this model").interval

    truth = float(np.mean(sigmoid(1.0 + NORMALS))) * 0.875
    assert 0.93 <= coverage(study, truth, 200) <= 1.0


def test_some_folds_of_trained_methods_are_enough_with_the_training_size_given():
    # Two folds of five: their 40 rows are tested, all 100 are trained on.
    blocks = rounds(lambda rng, test: np.arange(len(test)) % 2 == 0)[:2]
    got = estimate(blocks, ACCURACY, rho=1.0, target="this model", n_train=80)
    assert got.standard_error == pytest.approx(math.sqrt((1 + 0.4 * SHARED_OF_SCORES) * 0.25 * 40 / 39 / 40))
    assert got.interval.high - got.interval.low > 0.2


def test_rows_in_another_order_are_the_same_rows():
    rng = np.random.default_rng(10)
    scores = (rng.random((2, 30)) < 0.5).astype(float)
    mixed = rng.permutation(30)
    blocks = hold_out(scores)
    shuffled = [blocks[0].take(mixed), blocks[1]]
    a = components([shuffled], ACCURACY, rho=0.1, target="a fresh draw").variance(np.ones(1))
    assert a == components([blocks], ACCURACY, rho=0.1, target="a fresh draw").variance(np.ones(1))


def test_targets_by_share_of_the_pool():
    assert target_of(0, 500) == "this model"
    assert target_of(100, 500) == "a fresh draw"
    assert target_of(250, 500) == "this pool"
    assert target_of(500, 500) == "this model"


def test_a_fresh_draw_of_the_whole_pool_is_refused():
    with pytest.raises(ValueError, match="0 <= rho < 1"):
        estimate(hold_out(np.ones((2, 10))), ACCURACY, rho=1.0, target="a fresh draw")


def test_what_a_sample_does_to_all_candidates_cancels_in_differences():
    rng = np.random.default_rng(12)
    right = rng.random(100) < 0.7
    other = right ^ (rng.random(100) < 0.1)
    parts = components(
        [rounds(lambda _, test: right[test]), rounds(lambda _, test: other[test])],
        ACCURACY,
        rho=1.0,
        target="this pool",
    )
    gap = right.astype(float) - other.astype(float)
    assert parts.variance(np.array([1.0, -1.0]))[0] == pytest.approx((1 + SHARED) * gap.var(ddof=1) / 100)
    assert parts.variance(np.array([1.0, 0.0]))[0] == pytest.approx((1 + SHARED_OF_SCORES) * right.var(ddof=1) / 100)
