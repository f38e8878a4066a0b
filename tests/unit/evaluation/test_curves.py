from __future__ import annotations

import numpy as np
import pytest

from nshot.evaluation.curves import constant_curve, crossover, fit_curve, gain

NS = (16, 32, 64, 128, 256, 512)


def law(n, a=0.9, b=1.2, c=0.5):
    return a - b * np.asarray(n, dtype=float) ** -c


def test_exact_points_give_back_the_law():
    curve = fit_curve(NS, law(NS), [0.001] * 6, seed=0)
    assert curve.predict(1024)[0] == pytest.approx(float(law(1024)), abs=0.002)
    a, _, c = curve.parameters
    assert a == pytest.approx(0.9, abs=0.005)
    assert c == pytest.approx(0.5, abs=0.03)


def test_errors_go_down():
    curve = fit_curve(NS, 1 - law(NS), [0.001] * 6, seed=0, higher_is_better=False, bound=0.0)
    assert curve.predict(1024)[0] == pytest.approx(1 - float(law(1024)), abs=0.002)
    change, interval = gain(curve, 512, 1024)
    assert interval.low <= change < 0


def test_bands_cover_the_law():
    rng = np.random.default_rng(1)
    inside = 0
    for study in range(100):
        scores = law(NS) + rng.normal(size=6) * 0.015
        curve = fit_curve(NS, scores, [0.015] * 6, seed=study)
        inside += float(law(1000)) in curve.predict(1000)[1]
    assert inside >= 90


def test_the_gain_of_more_labels_is_covered():
    rng = np.random.default_rng(2)
    inside = 0
    truth = float(law(1024) - law(512))
    for study in range(100):
        curve = fit_curve(NS, law(NS) + rng.normal(size=6) * 0.01, [0.01] * 6, seed=study)
        inside += truth in gain(curve, 512, 1024)[1]
    assert inside >= 90


def test_errors_that_points_share_leave_gains_sure():
    shared = np.full((6, 6), 0.02**2) + np.eye(6) * 0.002**2
    alone = fit_curve(NS, law(NS), [0.0201] * 6, seed=0)
    joint = fit_curve(NS, law(NS), [0.0201] * 6, seed=0, covariance=shared)
    widths = [i.high - i.low for i in (gain(c, 256, 512)[1] for c in (alone, joint))]
    assert widths[1] < 0.5 * widths[0]


def test_a_learning_curve_never_goes_down():
    curve = fit_curve(NS, law(NS)[::-1], [0.01] * 6, seed=0)
    assert curve.predict(16)[0] == pytest.approx(curve.predict(2000)[0])


def test_a_score_never_passes_its_bound():
    curve = fit_curve((16, 32, 64), (0.5, 0.75, 0.98), [0.02] * 3, seed=0)
    score, interval = curve.predict(256)
    assert score <= 1.0
    assert interval.high <= 1.0


def test_two_points_are_no_curve():
    assert fit_curve((16, 32), (0.5, 0.6), (0.01, 0.01), seed=0) is None
    assert fit_curve((16, 32, 32), (0.5, 0.6, 0.6), [0.01] * 3, seed=0) is None


def test_nothing_is_said_beyond_four_times_the_data():
    curve = fit_curve(NS, law(NS), [0.001] * 6, seed=0)
    assert gain(curve, 512, 2048) is not None
    assert gain(curve, 512, 2049) is None
    with pytest.raises(ValueError, match="1 to 2048"):
        curve.predict(2049)


def test_same_seed_same_curve():
    one, two = (fit_curve(NS, law(NS), [0.01] * 6, seed=3) for _ in range(2))
    assert np.array_equal(one.draws, two.draws)


def test_crossover_is_found_where_it_is():
    early = fit_curve(NS, law(NS, a=0.80, b=0.6), [0.004] * 6, seed=1)
    late = fit_curve(NS, law(NS, a=0.90, b=1.6), [0.004] * 6, seed=2)
    # 0.80 - 0.6/sqrt(n) = 0.90 - 1.6/sqrt(n) at n = 100.
    found = crossover(early, late, upper=2048)
    assert found.n_labels == pytest.approx(100, rel=0.1)
    assert 100 in found.interval
    assert crossover(late, early, upper=2048) is None


def test_crossovers_cover_the_truth():
    rng = np.random.default_rng(5)
    found = []
    for study in range(50):
        early = fit_curve(NS, law(NS, a=0.80, b=0.6) + rng.normal(size=6) * 0.01, [0.01] * 6, seed=2 * study)
        late = fit_curve(NS, law(NS, a=0.90, b=1.6) + rng.normal(size=6) * 0.01, [0.01] * 6, seed=2 * study + 1)
        found.append(crossover(early, late, upper=2048))
    said = [c for c in found if c is not None]
    assert len(said) >= 40
    assert np.mean([100 in c.interval for c in said]) >= 0.9


def test_equal_candidates_have_no_crossover():
    rng = np.random.default_rng(6)
    said = 0
    for study in range(60):
        a, b = (fit_curve(NS, law(NS) + rng.normal(size=6) * 0.01, [0.01] * 6, seed=2 * study + i) for i in (0, 1))
        said += crossover(a, b, upper=2048) is not None
    assert said <= 3


def test_zero_shot_is_overtaken():
    trained = fit_curve(NS, law(NS), [0.005] * 6, seed=1)
    flat = constant_curve(NS, 0.78, 0.005, seed=2)
    # 0.9 - 1.2/sqrt(n) = 0.78 at n = 100.
    assert crossover(flat, trained, upper=512).n_labels == pytest.approx(100, rel=0.1)
    assert gain(flat, 16, 512)[0] == 0.0


def test_a_crossover_too_far_away_is_not_claimed():
    early = constant_curve(NS, 0.895, 0.005, seed=2)
    assert crossover(early, fit_curve(NS, law(NS), [0.005] * 6, seed=1), upper=1e9) is None
