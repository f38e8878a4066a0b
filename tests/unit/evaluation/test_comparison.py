from __future__ import annotations

import time

import numpy as np
import pytest

from nshot import metrics
from nshot.evaluation.comparison import as_constant, corrected_score, joint_covariance, paired_difference, versus_best
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


def test_joint_covariance_has_each_candidates_variance():
    blocks = study(np.random.default_rng(12), candidates=3)
    together = joint_covariance(blocks, ACCURACY, **FRESH)
    assert together.shape == (3, 3)
    assert np.linalg.eigvalsh(together).min() >= -1e-12
    assert together[0, 1] > 0  # the same rows are hard for all
    alone = estimate(blocks["c0"], ACCURACY, **FRESH).standard_error
    assert together[0, 0] == pytest.approx(alone**2, rel=0.5)


def test_the_winners_curse_is_taken_off():
    rng = np.random.default_rng(13)
    raw, corrected = [], []
    for _ in range(80):
        right = (rng.random((10, 150)) < 0.75).astype(float)
        blocks = {f"c{i}": [Block(0, 0, np.arange(150), right[i][:, None])] for i in range(10)}
        got = corrected_score(blocks, ACCURACY, best_name, target="this model", resamples=100)
        raw.append(got.score - 0.75)
        corrected.append(got.corrected - 0.75)
    assert np.mean(raw) > 0.04
    assert abs(np.mean(corrected)) < 0.01


def test_a_clear_winner_needs_no_correction():
    blocks = study(np.random.default_rng(14), candidates=3, rows=400, better=3.0)
    got = corrected_score(blocks, ACCURACY, best_name, target="a fresh draw")
    assert got.picked == "c2"
    assert got.picks == {"c2": 1.0}
    assert got.corrected == pytest.approx(got.score, abs=1e-9)


def test_one_candidate_is_not_corrected():
    blocks = {"only": study(np.random.default_rng(15))["c0"]}
    got = corrected_score(blocks, ACCURACY, best_name, target="a fresh draw")
    assert got.corrected == pytest.approx(got.score, abs=1e-12)
    assert versus_best(blocks, ACCURACY, **FRESH)["only"].interval is None


def test_the_whole_rule_is_replayed():
    blocks = study(np.random.default_rng(16), candidates=3)

    def always_the_first(scores):
        return next(iter(scores))

    got = corrected_score(blocks, ACCURACY, always_the_first, target="a fresh draw")
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
    corrected_score(blocks, metric, best_name, target="a fresh draw")
    versus_best(blocks, metric, **FRESH)
    # About 1 s on an idle core; a loop over rows or resamples would take minutes.
    assert time.process_time() - started < 20
