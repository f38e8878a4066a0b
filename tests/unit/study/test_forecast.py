from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot import metrics
from nshot.core import Candidate, Family, Run, RunStatus
from nshot.evaluation.protocol import Design, Draw
from nshot.study.evidence import Entrant, Evidence
from nshot.study.forecast import ahead_of_no_labels, crossovers, fitted_curves, more_labels, next_few
from nshot.study.spec import RunSpec

ACCURACY = metrics.get("accuracy")
TRAIN, TEST, REPEATS = 1024, 400, 5
LADDER = (16, 64, 256, TRAIN)


def law(n, a=0.9, b=1.2, c=0.5):
    return a - b * n**-c


EARLY = {"a": 0.80, "b": 0.8}
LATE = {"a": 0.92, "b": 2.4}


@pytest.fixture
def evidence(tmp_path):
    """Return a function that makes a hold-out study's evidence from scores by n, for each candidate."""
    draws = tuple(Draw(repeat, 0, np.arange(TRAIN), np.arange(TEST)) for repeat in range(REPEATS))
    design = Design(
        "given", draws, LADDER, n_train=TRAIN, n_test=TEST, n_rows=TRAIN, n_learnt=TRAIN, folds=1, classes=4
    )

    def made(scores_of):
        rng = np.random.default_rng(0)
        difficulty = rng.random(TEST)
        entrants, runs = [], {}
        for method, (family, score_at) in scores_of.items():
            candidate = Candidate(method=method, family=family)
            specs = []
            for n in (0,) if family == Family.ZERO_SHOT else LADDER:
                for repeat in range(1 if n in (0, TRAIN) else REPEATS):
                    spec = RunSpec(candidate, n, repeat, 0, repeat, "data", None)
                    # The same rows are hard for all; each fit adds its own noise.
                    right = difficulty + rng.normal(size=TEST) * 0.1 < np.quantile(difficulty, score_at(max(n, 1)))
                    file = f"{spec.key}.safetensors"
                    save_file({"metric.accuracy": right.astype(np.float64)[:, None]}, tmp_path / file)
                    runs[spec.key] = Run(
                        key=spec.key,
                        candidate=candidate,
                        n_labels=n,
                        repeat=repeat,
                        fold=0,
                        seed=0,
                        status=RunStatus.COMPLETE,
                        predictions=file,
                    )
                    specs.append(spec)
            entrants.append(Entrant(candidate.name, method, family, None, {}, tuple(specs)))
        return Evidence(tmp_path, design, entrants=entrants, runs=runs, groups=np.arange(TEST), answers={})

    return made


def few_and_fine(evidence):
    return evidence(
        {
            "early": (Family.FEW_SHOT, lambda n: law(n, **EARLY)),
            "late": (Family.FINE_TUNING, lambda n: law(n, **LATE)),
            "zero": (Family.ZERO_SHOT, lambda n: 0.5),
        }
    )


def test_every_candidate_with_three_sizes_or_no_labels_has_a_curve(evidence):
    curves = fitted_curves(few_and_fine(evidence), ACCURACY)
    assert set(curves) == {"early", "late", "zero"}
    assert not curves["zero"].rises
    assert curves["late"].predict(4 * TRAIN)[0] == pytest.approx(law(4 * TRAIN, **LATE), abs=0.04)


def test_one_fit_is_less_sure_of_the_curve_than_of_its_test_rows(evidence):
    three = {f"c{i}": (Family.FEW_SHOT, lambda n, i=i: law(n, a=0.9 - 0.05 * i)) for i in range(3)}
    study = evidence(three)
    for name in study.entrants:  # the third fit at 256 labels collapsed, for all of them
        run = next(run for run in study.completed(name, 256) if run.repeat == 2)
        study.arrays(run)["metric.accuracy"][:] *= np.random.default_rng(1).random((TEST, 1)) < 0.6
    assert study.usual_draws(TRAIN, ACCURACY) is None  # one fit each
    assert study.usual_draws(256, ACCURACY).variance > 0.005
    rows_only = study.estimate("c0", TRAIN, ACCURACY).standard_error
    level = fitted_curves(study, ACCURACY)["c0"].drawn.scores[:, -1]
    assert np.std(level) > 2 * rows_only


def test_more_labels_are_worth_what_the_best_one_gains(evidence):
    study = few_and_fine(evidence)
    records = more_labels(fitted_curves(study, ACCURACY), ACCURACY, TRAIN, 0.5, pick="late", worth=0.005)
    assert [record["labels"] for record in records] == [500, TRAIN, 3 * TRAIN]
    assert [record["n_labels"] for record in records] == [TRAIN + 500, 2 * TRAIN, 4 * TRAIN]
    assert [record["money"] for record in records] == [250.0, 512.0, 1536.0]
    assert {record["with"] for record in records} == {"late"}
    gains = [record["gain"] for record in records]
    assert gains == sorted(gains)
    for record in records:
        low, high = record["interval"]
        assert 0.0 <= low <= record["gain"] <= high
        assert low <= law(record["n_labels"], **LATE) - law(TRAIN, **LATE) <= high


def test_without_a_price_labels_cost_no_known_money(evidence):
    records = more_labels(
        fitted_curves(few_and_fine(evidence), ACCURACY), ACCURACY, TRAIN, None, pick="late", worth=0.005
    )
    assert {record["money"] for record in records} == {None}


def test_nothing_is_promised_where_no_curve_rises(evidence):
    flat = evidence({"zero": (Family.ZERO_SHOT, lambda n: 0.5), "flat": (Family.FEW_SHOT, lambda n: 0.6)})
    assert more_labels(fitted_curves(flat, ACCURACY), ACCURACY, TRAIN, None, pick="flat", worth=0.005) == []


def test_nothing_is_promised_where_the_pick_has_no_curve(evidence):
    curves = fitted_curves(few_and_fine(evidence), ACCURACY)
    assert more_labels(curves, ACCURACY, TRAIN, None, pick="measured twice", worth=0.005) == []


def test_more_labels_speak_of_the_pick_where_a_curve_puts_another_above_it_today(evidence):
    curves = fitted_curves(few_and_fine(evidence), ACCURACY)
    records = more_labels(curves, ACCURACY, TRAIN, None, pick="early", worth=0.005)
    assert {record["with"] for record in records} == {"early"}
    assert records[-1]["gain"] < law(4 * TRAIN, **LATE) - law(TRAIN, **EARLY)


def test_another_is_named_only_where_it_is_expected_to_be_ahead_by_what_that_is_worth(evidence):
    study = evidence(
        {
            "early": (Family.FEW_SHOT, lambda n: law(n, **EARLY)),
            "twin": (Family.FEW_SHOT, lambda n: law(n, 0.801, 0.8)),
        }
    )
    records = more_labels(fitted_curves(study, ACCURACY), ACCURACY, TRAIN, None, pick="early", worth=0.03)
    assert {record["with"] for record in records} == {"early"}


def test_where_the_pick_overtook_another_is_told(evidence):
    study = few_and_fine(evidence)
    found = crossovers(fitted_curves(study, ACCURACY), "late", study)
    # 0.80 - 0.8/sqrt(n) = 0.92 - 2.4/sqrt(n) at n = 178.
    [crossing] = [record for record in found if record["from"] == "early"]
    assert crossing["to"] == "late"
    assert crossing["interval"][0] <= 178 <= crossing["interval"][1]
    assert crossovers(fitted_curves(study, ACCURACY), "nobody", study) == []


@pytest.mark.parametrize(
    ("today", "more"), [(16, 5), (20, 10), (64, 50), (100, 50), (150, 50), (843, 300), (1024, 500), (10_003, 5_000)]
)
def test_the_next_few_labels_are_a_round_number(today, more):
    assert next_few(today) == more


def test_a_candidate_that_was_measured_at_a_few_labels_only_has_no_part_in_what_more_labels_bring(evidence):
    found = few_and_fine(evidence)
    curves = fitted_curves(found, ACCURACY)
    short = replace(curves["late"], ns=np.array([4.0, 8.0, 16.0]))
    assert short.farthest < TRAIN
    gains = more_labels({**curves, "late": short}, ACCURACY, TRAIN, None, pick="early", worth=0.005)
    assert {record["with"] for record in gains} == {"early"}
    assert more_labels({**curves, "late": short}, ACCURACY, TRAIN, None, pick="late", worth=0.005) == []


def test_it_is_said_from_how_few_labels_on_they_pay(evidence):
    # Early reaches 0.60 with 16 labels and 0.70 with 64; late comes later, and without labels 0.65 are right.
    study = evidence(
        {
            "early": (Family.FEW_SHOT, lambda n: law(n, **EARLY)),
            "late": (Family.FINE_TUNING, lambda n: law(n, **LATE)),
            "zero": (Family.ZERO_SHOT, lambda n: 0.6),
        }
    )
    found = ahead_of_no_labels(study, ACCURACY)
    assert (found["candidate"], found["than"], found["n_labels"]) == ("early", "zero", 64)
    low, high = found["difference"]["interval"]
    assert 0 < low < found["difference"]["mean"] < high
    assert low <= law(64, **EARLY) - 0.6 <= high


@pytest.mark.parametrize("zero", [0.95, None])
def test_labels_that_never_pay_are_not_said_to(evidence, zero):
    entrants = {"early": (Family.FEW_SHOT, lambda n: law(n, **EARLY))}
    if zero is not None:
        entrants["zero"] = Family.ZERO_SHOT, lambda n: zero
    assert ahead_of_no_labels(evidence(entrants), ACCURACY) is None
