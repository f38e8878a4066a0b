from __future__ import annotations

import time

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Interval
from nshot.evaluation.comparison import (
    as_constant,
    corrected_score,
    correlations,
    independent_difference,
    mean_ranks,
    paired_difference,
    versus_best,
)
from nshot.evaluation.intervals import TEST_ROWS_ONLY, Block, estimate

ACCURACY = metrics.get("accuracy")
MACRO_F1 = metrics.get("macro_f1")
MAE = metrics.get("mae")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def study(rng, candidates=2, repeats=5, rows=200, draw_spread=0.2, better=0.0):
    """Return blocks of candidates that are equally good, but for the last one, which is `better` by so much (logit)."""
    row = 1.2 + rng.normal(size=rows) * 1.5
    shared = rng.normal(size=repeats) * 0.2
    found = {}
    for i in range(candidates):
        p = sigmoid(
            row[None, :]
            + rng.normal(size=rows)[None, :] * 0.7
            + (shared + rng.normal(size=repeats) * draw_spread)[:, None]
            + better * (i == candidates - 1)
        )
        right = (rng.random(p.shape) < p).astype(float)
        found[f"c{i}"] = [Block(r, 0, np.arange(rows), right[r][:, None]) for r in range(repeats)]
    return found


def best_name(scores):
    return max(scores, key=scores.get)


FRESH = {"rho": 0.0, "target": "a fresh draw"}
MODEL = {"rho": 1.0, "target": "this model"}


@pytest.mark.parametrize("repeats", [3, 5])
def test_equal_candidates_rarely_differ(repeats):
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(400):
        blocks = study(rng, repeats=repeats)
        called += 0.0 not in paired_difference(blocks["c0"], blocks["c1"], ACCURACY, **FRESH).interval
    assert called <= 0.07 * 400


@pytest.mark.parametrize("candidates", [2, 6])
def test_equal_candidates_are_rarely_distinguishable(candidates):
    rng = np.random.default_rng(2)
    called = sum(
        any(one.distinguishable for one in versus_best(study(rng, candidates), ACCURACY, **FRESH).values())
        for _ in range(100)
    )
    assert called <= 0.07 * 100


def test_one_repeat_compares_these_models_only():
    rng = np.random.default_rng(3)
    blocks = study(rng, repeats=1)
    assert paired_difference(blocks["c0"], blocks["c1"], ACCURACY, **FRESH).marked == TEST_ROWS_ONLY
    assert paired_difference(blocks["c0"], blocks["c1"], ACCURACY, **MODEL).marked is None


def test_a_much_better_candidate_is_told_from_the_others():
    rng = np.random.default_rng(4)
    blocks = study(rng, candidates=4, rows=400, better=2.0)
    got = versus_best(blocks, ACCURACY, **FRESH)
    assert got["c3"].best
    assert not got["c3"].distinguishable
    assert got["c3"].mean == got["c3"].shortfall == 0.0
    assert got["c3"].interval.low >= 0.0
    for name in ("c0", "c1", "c2"):
        assert got[name].distinguishable
        assert got[name].mean < 0 < got[name].shortfall
        assert got[name].interval.high < 0
        assert got[name].mean in got[name].interval


def test_two_proportions_of_different_rows_differ_as_in_newcombes_table():
    """Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80 lies in 0.0524 to 0.3339."""
    found = independent_difference(0.8, wilson(56, 70), 0.6, wilson(48, 80))
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def wilson(hits, n):
    share, z = hits / n, 1.959964
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval((centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n))


def test_a_score_outside_its_own_interval_adds_nothing_on_that_side():
    found = independent_difference(0.5, Interval(0.55, 0.7), 0.5, Interval(0.5, 0.5))
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.2))


def test_simultaneous_intervals_cover_all_shortfalls_at_once():
    rng = np.random.default_rng(5)
    truth = np.array([0.70, 0.75, 0.80, 0.80])
    best_other = np.array([max(np.delete(truth, i)) for i in range(4)])
    held = 0
    for _ in range(100):
        right = (rng.random((4, 300)) < truth[:, None]).astype(float)
        blocks = {f"c{i}": [Block(0, 0, np.arange(300), right[i][:, None])] for i in range(4)}
        got = versus_best(blocks, ACCURACY, **MODEL)
        held += all((truth - best_other)[i] in got[f"c{i}"].interval for i in range(4))
    assert held >= 0.92 * 100


def test_errors_are_best_when_small():
    rng = np.random.default_rng(6)
    rows = np.arange(200)
    blocks = {
        "close": [Block(0, 0, rows, rng.random((200, 1)))],
        "far": [Block(0, 0, rows, rng.random((200, 1)) + 1.0)],
    }
    got = versus_best(blocks, MAE, **MODEL)
    assert got["close"].best
    assert got["far"].distinguishable
    assert got["far"].mean == pytest.approx(1.0, abs=0.1)
    assert got["far"].shortfall == got["far"].mean
    assert got["far"].interval.low > 0


def test_pairing_uses_what_candidates_share():
    rng = np.random.default_rng(7)
    a = (rng.random(300) < 0.8).astype(float)
    b = a.copy()
    b[:12] = 0.0
    blocks = [[Block(0, 0, np.arange(300), x[:, None])] for x in (a, b)]
    difference = paired_difference(*blocks, ACCURACY, **MODEL)
    alone = estimate(blocks[0], ACCURACY, **MODEL).standard_error
    assert difference.standard_error < 0.6 * alone
    assert difference.p_value < 0.05
    assert difference.interval.low > 0


def test_agreeing_everywhere_is_no_proof_of_equality():
    right = (np.random.default_rng(8).random(200) < 0.8).astype(float)[:, None]
    blocks = [Block(0, 0, np.arange(200), right)]
    got = paired_difference(blocks, blocks, ACCURACY, **MODEL)
    assert got.mean == 0.0
    assert got.p_value == 1.0
    assert got.interval.low == pytest.approx(-got.interval.high)
    assert 0.005 < got.interval.high < 0.02


def test_smallest_detectable_is_found_about_four_times_in_five():
    rng = np.random.default_rng(9)
    p = 0.75
    plan = [[Block(0, 0, np.arange(400), (rng.random((400, 1)) < p).astype(float))] for _ in range(2)]
    smallest = paired_difference(*plan, ACCURACY, **MODEL).smallest_detectable
    found = 0
    for _ in range(300):
        a, b = (
            [Block(0, 0, np.arange(400), (rng.random((400, 1)) < q).astype(float))]
            for q in (p + smallest / 2, p - smallest / 2)
        )
        found += paired_difference(a, b, ACCURACY, **MODEL).interval.low > 0
    assert 0.72 <= found / 300 <= 0.9


def test_true_differences_are_called_and_never_the_wrong_way_round():
    rng = np.random.default_rng(19)
    wrong, found = 0, []
    for _ in range(200):
        difficulty, better = 1.2 + rng.normal(size=200) * 1.5, rng.normal()
        right = (rng.random((2, 200)) < sigmoid(np.stack([difficulty, difficulty + better]))).astype(float)
        a, b = ([Block(0, 0, np.arange(200), one[:, None])] for one in right)
        truth = float(np.mean(sigmoid(difficulty + better) - sigmoid(difficulty)))
        got = paired_difference(b, a, ACCURACY, **MODEL)
        called = 0.0 not in got.interval
        wrong += called and got.mean * truth < 0
        if abs(truth) > got.smallest_detectable:
            found.append(called)
    assert wrong <= 2
    assert len(found) > 40
    assert np.mean(found) >= 0.75  # of those beyond what the comparison says that it can see


def test_intervals_are_hardly_wider_than_with_the_variance_known():
    rng = np.random.default_rng(20)
    widths, means = [], []
    for _ in range(200):
        blocks = study(rng)
        got = paired_difference(blocks["c0"], blocks["c1"], ACCURACY, **FRESH)
        widths.append(got.interval.high - got.interval.low)
        means.append(got.mean)
    assert np.mean(widths) <= 1.35 * 2 * 1.96 * np.std(means)


def test_only_common_blocks_and_rows_are_compared():
    rng = np.random.default_rng(10)
    right = (rng.random((3, 100)) < 0.7).astype(float)
    a = [Block(r, 0, np.arange(100), right[r][:, None]) for r in range(3)]
    b = [Block(r, 0, np.arange(50, 100)[::-1], right[r, 50:][::-1][:, None]) for r in (0, 1)]
    got = paired_difference(a, b, ACCURACY, **FRESH)
    assert got.mean == 0.0
    assert got.repeats == 2
    with pytest.raises(ValueError, match="in common"):
        paired_difference(a[:1], b[1:], ACCURACY, **FRESH)


def test_zero_shot_is_compared_with_every_repeat_and_fold():
    rng = np.random.default_rng(11)
    right = (rng.random(100) < 0.6).astype(float)
    zero_shot = [Block(0, 0, np.arange(100), right[:, None])]
    trained = []
    for repeat in range(2):
        order = rng.permutation(100)
        trained += [Block(repeat, f, order[f::5], (rng.random((20, 1)) < 0.8).astype(float)) for f in range(5)]
    cut = as_constant(zero_shot, trained)
    assert [(b.repeat, b.fold) for b in cut] == [(b.repeat, b.fold) for b in trained]
    assert all(np.array_equal(b.statistics[:, 0], right[b.rows]) for b in cut)
    got = paired_difference(trained, cut, ACCURACY, rho=1.0, target="this model")
    expected = np.mean([b.statistics.mean() for b in trained]) - right.mean()
    assert got.mean == pytest.approx(expected)


def test_scores_on_the_same_rows_go_together():
    blocks = study(np.random.default_rng(12), candidates=3)
    errors = [estimate(own, ACCURACY, **FRESH).standard_error for own in blocks.values()]
    together = correlations(list(blocks.values()), errors, ACCURACY)
    assert together.shape == (3, 3)
    assert np.diag(together) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(together).min() >= -1e-12
    assert 0.1 < together[0, 1] < 1.0  # the same rows are hard for all


def test_correlations_are_those_seen_over_many_studies():
    rng = np.random.default_rng(21)
    rows = 200
    scores, said = [], []
    for _ in range(400):
        row = 1.2 + rng.normal(size=rows) * 1.5
        right = (rng.random((2, rows)) < sigmoid(row)).astype(float)
        blocks = [[Block(0, 0, np.arange(rows), one[:, None])] for one in right]
        errors = [estimate(own, ACCURACY, **MODEL).standard_error for own in blocks]
        said.append(correlations(blocks, errors, ACCURACY)[0, 1])
        scores.append(right.mean(axis=1))
    assert np.mean(said) == pytest.approx(np.corrcoef(np.transpose(scores))[0, 1], abs=0.1)


def test_points_with_few_draws_do_not_shrink_the_others():
    rng = np.random.default_rng(22)
    blocks = study(rng, candidates=2)
    elsewhere = [Block(0, 0, np.arange(1000, 1200), (rng.random((200, 1)) < 0.7).astype(float))]
    points = [blocks["c0"], blocks["c1"], blocks["c1"][:1], elsewhere]
    errors = [estimate(own, ACCURACY, **FRESH).standard_error for own in points]
    together = correlations(points, errors, ACCURACY)
    assert together[:2, :2] == pytest.approx(correlations(points[:2], errors[:2], ACCURACY))
    assert together[1, 2] > 0.3
    assert together[3, :3] == pytest.approx(0.0)  # no row in common


def test_folds_and_repeats_are_matched_row_by_row():
    rng = np.random.default_rng(23)
    right = (rng.random(100) < 0.7).astype(float)
    order = rng.permutation(100)
    whole = [Block(0, 0, np.arange(100), right[:, None])]
    folds = [Block(0, f, order[f::5], right[order[f::5]][:, None]) for f in range(5)]
    error = estimate(whole, ACCURACY, **MODEL).standard_error
    assert correlations([whole, folds], [error, error], ACCURACY)[0, 1] == pytest.approx(0.99, abs=0.02)


# --- signs and ranks


def draws_of(scores, rows=100):
    """Return blocks of a candidate that is right on exactly these shares of the rows, one draw each."""
    right = [(np.arange(rows) < round(rows * score)).astype(float) for score in scores]
    return [Block(r, 0, np.arange(rows), one[:, None]) for r, one in enumerate(right)]


def test_one_collapsed_draw_stretches_the_mean_and_not_the_signs():
    steady, collapsed = draws_of([0.80] * 5), draws_of([0.82, 0.83, 0.82, 0.81, 0.20])
    got = paired_difference(collapsed, steady, ACCURACY, **FRESH)
    assert got.mean < -0.1
    assert (got.won, got.lost, got.tied) == (4, 1, 0)
    assert got.median == pytest.approx(0.02)


def test_signs_follow_the_metrics_direction():
    rows = np.arange(20)
    far, near = ([Block(r, 0, rows, np.full((20, 1), error)) for r in range(3)] for error in (0.5, 0.2))
    got = paired_difference(near, far, MAE, **FRESH)
    assert (got.won, got.lost, got.tied) == (3, 0, 0)
    assert got.median == pytest.approx(-0.3)


def test_equal_draws_are_ties():
    got = paired_difference(draws_of([0.8, 0.7]), draws_of([0.8, 0.6]), ACCURACY, **FRESH)
    assert (got.won, got.lost, got.tied) == (1, 0, 1)


def test_one_model_is_one_draw_however_often_it_is_listed():
    got = paired_difference(draws_of([0.8] * 3), draws_of([0.7, 0.9, 0.9]), ACCURACY, **MODEL)
    assert (got.won, got.lost, got.tied) == (1, 0, 0)


def test_mean_ranks_share_ties_and_count_draws_in_common():
    # "few" is ahead of both in its only draw; of three draws a wins one, ties one and loses one against b.
    blocks = {"a": draws_of([0.9, 0.8, 0.7]), "b": draws_of([0.8, 0.8, 0.8]), "few": draws_of([0.95])}
    ranks = mean_ranks(blocks, ACCURACY, target="a fresh draw")
    assert ranks == pytest.approx({"a": 2.5, "b": 2.5, "few": 1.0})
    whole = {name: own for name, own in blocks.items() if name != "few"}
    assert mean_ranks(whole, ACCURACY, target="a fresh draw")["a"] == pytest.approx((1 + 1.5 + 2) / 3)
    errors = {"near": [Block(0, 0, np.arange(3), np.full((3, 1), 0.1))]}
    errors["far"] = [Block(0, 0, np.arange(3), np.full((3, 1), 0.2))]
    assert mean_ranks(errors, MAE, target="this model") == {"near": 1.0, "far": 2.0}


# --- the winner's curse


def corrected(blocks, metric, rule, target, **options):
    one = {"this model": 1}.get(target)
    scores = {
        name: float(np.mean([metric.aggregate(block.statistics) for block in own[:one]]))
        for name, own in blocks.items()
    }
    return corrected_score(blocks, metric, rule, scores=scores, target=target, **options)


def test_the_winners_curse_is_taken_off():
    rng = np.random.default_rng(13)
    raw, fixed = [], []
    for _ in range(80):
        right = (rng.random((10, 150)) < 0.75).astype(float)
        blocks = {f"c{i}": [Block(0, 0, np.arange(150), right[i][:, None])] for i in range(10)}
        got = corrected(blocks, ACCURACY, best_name, "this model", resamples=100)
        raw.append(got.score - 0.75)
        fixed.append(got.corrected - 0.75)
    assert np.mean(raw) > 0.04
    assert abs(np.mean(fixed)) < 0.01


@pytest.mark.parametrize("draws", [3, 5])
def test_lucky_draws_are_taken_off_as_well(draws):
    rng = np.random.default_rng(24)
    truth = float(np.mean(sigmoid(1.2 + np.hypot(1.0, 0.5) * rng.normal(size=100_000))))
    raw, fixed = [], []
    for _ in range(100):
        p = sigmoid(1.2 + rng.normal(size=200) + rng.normal(size=(8, draws, 1)) * 0.5)
        right = (rng.random(p.shape) < p).astype(float)
        blocks = {
            f"c{i}": [Block(r, 0, np.arange(200), one[:, None]) for r, one in enumerate(own)]
            for i, own in enumerate(right)
        }
        got = corrected(blocks, ACCURACY, best_name, "a fresh draw", resamples=100)
        raw.append(got.score - truth)
        fixed.append(got.corrected - truth)
    assert np.mean(raw) > 0.035
    assert abs(np.mean(fixed)) < 0.3 * np.mean(raw)


def folds_of(rng, p, rounds=3, rows=100):
    """Return blocks of two candidates in repeated 5-fold, from their chances of being right, shape (2, rows)."""
    found = ([], [])
    for repeat in range(rounds):
        order = rng.permutation(rows)
        for fold in range(5):
            test = order[fold::5]
            for own, chance in zip(found, p, strict=True):
                own.append(Block(repeat, fold, test, (rng.random(len(test)) < chance[test]).astype(float)[:, None]))
    return found


def test_differences_in_k_fold_are_covered_without_being_wide():
    rng = np.random.default_rng(25)
    hits, widths, errors = [], [], []
    for _ in range(200):
        p = sigmoid(1.2 + rng.normal(size=100) * 1.5 + rng.normal(size=(2, 100)) * 0.7)
        a, b = folds_of(rng, p)
        got = paired_difference(a, b, ACCURACY, rho=1.0, target="this model")
        hits.append(0.0 in got.interval)
        widths.append(got.interval.high - got.interval.low)
        errors.append(got.mean)
    assert np.mean(hits) >= 0.93
    # Nothing is learnt here, so that what rows add by being trained on is too much: a factor of 1.26.
    assert np.mean(widths) <= 1.5 * 2 * 1.96 * np.std(errors)


def test_who_is_named_first_does_not_matter():
    rng = np.random.default_rng(26)
    p = sigmoid(1.2 + rng.normal(size=100) * 1.5 + rng.normal(size=(2, 100)) * 0.7)
    blocks = dict(zip("abcd", (*folds_of(rng, p), *folds_of(rng, p)), strict=True))
    options = {"rho": 1.0, "target": "this model"}
    one = versus_best(blocks, ACCURACY, **options)
    assert list(one) == list("abcd")
    assert versus_best(dict(reversed(blocks.items())), ACCURACY, **options) == one


def test_a_candidate_that_collapses_does_not_blur_the_others_in_k_fold():
    rng = np.random.default_rng(27)
    p = sigmoid(1.2 + rng.normal(size=200) * 1.5 + rng.normal(size=(2, 200)) * 0.3)
    a, b = folds_of(rng, p, rows=200)
    moody = [Block(x.repeat, x.fold, x.rows, x.statistics * (rng.random() < 0.6)) for x in b]
    c, d = folds_of(rng, p, rows=200)
    options = {"rho": 1.0, "target": "this model"}
    steady = versus_best({"a": a, "b": b, "c": c, "d": d}, ACCURACY, **options)["b"].interval
    beside = versus_best({"a": a, "b": b, "c": c, "d": moody}, ACCURACY, **options)["b"].interval
    assert beside.high - beside.low < 1.2 * (steady.high - steady.low)


def test_a_pick_with_fewer_draws_than_others_is_corrected_too():
    rng = np.random.default_rng(18)
    raw, fixed = [], []
    for _ in range(60):
        p = sigmoid(1.2 + rng.normal(size=150))
        blocks = {}
        for i in range(8):
            right = (rng.random((3, 150)) < p).astype(float)
            own = [Block(r, 0, np.arange(150), right[r][:, None]) for r in range(1 if i < 4 else 3)]
            blocks[f"c{i}"] = own
        reference = max((f"c{i}" for i in range(4, 8)), key=lambda name: mean_of(blocks[name]))
        level = mean_of(blocks[reference])
        scores = {name: level + mean_of(own) - mean_of(blocks[reference][: len(own)]) for name, own in blocks.items()}
        got = corrected_score(blocks, ACCURACY, best_name, scores=scores, target="a fresh draw", resamples=100)
        assert got.picked == best_name(scores)
        assert got.score == scores[got.picked]
        raw.append(got.score - p.mean())
        fixed.append(got.corrected - p.mean())
    assert np.mean(raw) > 0.02
    assert abs(np.mean(fixed)) < 0.5 * np.mean(raw)


def mean_of(blocks):
    return float(np.mean([block.statistics.mean() for block in blocks]))


def test_a_clear_winner_needs_no_correction():
    blocks = study(np.random.default_rng(14), candidates=3, rows=400, better=3.0)
    got = corrected(blocks, ACCURACY, best_name, "a fresh draw")
    assert got.picked == "c2"
    assert got.picks == {"c2": 1.0}
    assert got.corrected == pytest.approx(got.score, abs=1e-9)


def test_one_candidate_is_not_corrected():
    blocks = {"only": study(np.random.default_rng(15))["c0"]}
    got = corrected(blocks, ACCURACY, best_name, "a fresh draw")
    assert got.corrected == pytest.approx(got.score, abs=1e-12)
    assert versus_best(blocks, ACCURACY, **FRESH)["only"].interval is None


def test_the_whole_rule_is_replayed():
    blocks = study(np.random.default_rng(16), candidates=3)

    def always_the_first(scores):
        return next(iter(scores))

    got = corrected(blocks, ACCURACY, always_the_first, "a fresh draw")
    assert got.picks == {"c0": 1.0}


def many(metric_is_mean, candidates=12, repeats=5, rows=3080, classes=77):
    rng = np.random.default_rng(17)
    true = rng.integers(0, classes, rows)
    found = {}
    for i in range(candidates):
        blocks = []
        for r in range(repeats):
            answer = np.where(rng.random(rows) < 0.85, true, rng.integers(0, classes, rows))
            codes = np.stack([true, answer], axis=1).astype(float)
            statistics = (true == answer).astype(float)[:, None] if metric_is_mean else codes
            blocks.append(Block(r, 0, np.arange(rows), statistics))
        found[f"c{i}"] = blocks
    return found


@pytest.mark.parametrize("metric", [ACCURACY, MACRO_F1], ids=["accuracy", "macro_f1"])
def test_large_studies_are_compared_in_seconds(metric):
    blocks = many(metric.is_mean)
    started = time.process_time()
    corrected(blocks, metric, best_name, "a fresh draw")
    versus_best(blocks, metric, **FRESH)
    # About 1 s on an idle core; a loop over rows or resamples would take minutes.
    assert time.process_time() - started < 20
