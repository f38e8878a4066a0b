from __future__ import annotations

import numpy as np
import pytest

from nshot import metrics
from nshot.evaluation.intervals import Block
from nshot.study.options import StudyOptions
from nshot.study.racing import RISK, expected_improvement, reason_to_stop

ACCURACY = metrics.get("accuracy")
FOLDS, ROWS = 5, 60
FOLD_SIZES = (FOLDS * ROWS - ROWS, ROWS)


def folds(rng, shares, draws=FOLDS):
    """Return blocks by candidate: right answers with these shares, rows shared, some difficult for all."""
    blocks = {name: [] for name in shares}
    for fold in range(draws):
        rows = np.arange(ROWS) + fold * ROWS
        difficulty = rng.random(ROWS)
        for name, share in shares.items():
            right = (0.7 * difficulty + 0.3 * rng.random(ROWS) < share).astype(float)
            blocks[name].append(Block(0, fold, rows, right[:, None]))
    return blocks


def stop(blocks, more=10.0, n_racing=1, **options):
    return reason_to_stop(
        "lora",
        blocks,
        ACCURACY,
        fold_sizes=FOLD_SIZES,
        options=StudyOptions.parse(options),
        more=more,
        round_of=FOLDS,
        n_racing=n_racing,
    )


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def first(blocks, name, draws):
    return {**blocks, name: blocks[name][:draws]}


def test_what_is_far_behind_is_not_run_again_after_one_draw(rng):
    blocks = folds(rng, {"probe": 0.8, "lora": 0.3})
    assert "behind probe after 1 draw (-0." in (stop(first(blocks, "lora", 1)) or "")


def test_what_clearly_leads_is_settled(rng):
    assert "settled against probe" in (stop(folds(rng, {"probe": 0.4, "lora": 0.8})) or "")


def test_what_is_open_is_run_again_as_long_as_the_budget_could_settle_it(rng):
    blocks = folds(rng, {"probe": 0.6, "lora": 0.66})
    assert stop(blocks, more=8.0) is None

    def score(name):
        return np.mean([block.statistics for block in blocks[name]])

    assert "too close to probe" in (stop(blocks, more=0.0, worth=100 * (score("lora") - score("probe"))) or "")


def test_until_every_row_was_tested_a_contender_is_repeated_even_if_it_cannot_be_settled(rng):
    blocks = folds(rng, {"probe": 0.6, "lora": 0.66})
    for draws in range(1, FOLDS):
        assert stop(first(blocks, "lora", draws), more=0.0) is None


def test_only_the_best_rival_counts(rng):
    blocks = folds(rng, {"majority": 0.1, "probe": 0.9, "lora": 0.4})
    assert "behind probe" in (stop(blocks) or "")


def test_the_more_candidates_share_the_risk_the_more_it_takes_to_stop_one(rng):
    blocks = first(folds(rng, {"probe": 0.7, "lora": 0.5}), "lora", 1)
    assert "behind" in (stop(blocks) or "")
    assert "behind" not in (stop(blocks, n_racing=10_000) or "")


def test_a_candidate_that_is_as_good_is_rarely_said_to_be_behind_at_any_look(rng):
    studies, wrong = 400, 0
    for _ in range(studies):
        blocks = folds(rng, {"probe": 0.7, "lora": 0.7})
        looks = (stop(first(blocks, "lora", draws), more=5.0) or "" for draws in range(1, FOLDS + 1))
        wrong += any("not run again" in look for look in looks)
    assert wrong / studies <= 2 * RISK


@pytest.mark.parametrize(("lead", "spread", "expected"), [(0.0, 1.0, 0.3989), (1.0, 0.0, 1.0), (-1.0, 0.0, 0.0)])
def test_expected_improvement(lead, spread, expected):
    assert expected_improvement(lead, spread) == pytest.approx(expected, abs=1e-4)


def test_a_wide_prior_promises_more_than_a_narrow_one_behind_the_best():
    assert expected_improvement(-0.02, 0.05) > expected_improvement(-0.02, 0.01) > 0
