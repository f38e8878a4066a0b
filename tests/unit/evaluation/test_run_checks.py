"""Each check of runs fires on facts made for it, and is silent on a healthy study."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Check, Family, Severity
from nshot.evaluation.checks import RUNS, audit_runs, names
from nshot.evaluation.checks.run_facts import Answers, Features, Fitting, Measured, Reading, RunAudit
from nshot.evaluation.intervals import Block

DOCS = Path(__file__).resolve().parents[3] / "docs" / "checks"
LABELS = ("access", "delivery", "money", "other")
ACCURACY = metrics.get("accuracy")
N = 800
CODES = [name[:4].upper() for name in names(RUNS)]


def block(score: float, repeat: int = 0, n: int = N, seed: int = 0, rows: np.ndarray | None = None) -> Block:
    """Return n test rows of which the share `score` is answered rightly; easy rows are easy for everybody."""
    rng = np.random.default_rng([seed, repeat, round(1000 * score)])
    hardness = np.random.default_rng(7).random(n)
    right = hardness + 0.05 * rng.normal(size=n) < score
    return Block(repeat, 0, np.arange(n) if rows is None else rows, right[:, None].astype(float), np.arange(n))


def candidate(method: str, family: Family, score: float, n_labels: int = 3000, **changed) -> Measured:
    blocks = [block(score, seed=len(method))]
    values = {"blocks": blocks, "fittings": (Fitting(n_labels, blocks[0]),), **changed}
    return Measured(name=f"{method}:mini", method=method, family=family, n_labels=n_labels, **values)


def trained(method: str, scores: list[float], n_labels: int = 3000, at: float | None = None, **changed) -> Measured:
    """Return a candidate that trains a network, with one draw per score."""
    fittings = tuple(Fitting(n_labels, block(score, repeat), 0) for repeat, score in enumerate(scores))
    blocks = [fittings[0].block] if at is None else [block(at)]
    values = {"blocks": blocks, "fittings": fittings, **changed}
    return Measured(name=f"{method}:mini", method=method, family=Family.FINE_TUNING, n_labels=n_labels, **values)


def probabilities(n: int = N, seed: int = 0, sharp: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    scores = sharp * rng.normal(size=(n, len(LABELS)))
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    truth = (found.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, len(LABELS) - 1)
    return found, truth


def answers(seed: int = 0, n: int = N, **changed) -> Answers:
    found, truth = probabilities(n, seed)
    answer = found.argmax(axis=1)
    values = {
        "file_rows": np.arange(n) + 10,
        "in_test": False,
        "groups": np.arange(n),
        "truth": truth,
        "answer": answer,
        "statistics": (truth == answer)[:, None].astype(float),
        "probabilities": found,
        "confidence": found.max(axis=1),
        "times": np.random.default_rng(seed).random(n),
        "reading": Reading(np.arange(n), np.zeros(n, bool), 256),
    }
    values.update(changed)
    return Answers(**values)


def features(seed: int = 0, shift: float = 0.0, n: int = 300) -> Features:
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(n, 16)), rng.normal(size=(n, 16))
    test[:, 0] += shift * (np.arange(n) % 2)
    return Features(train, np.arange(n), test, np.arange(n) + n, np.arange(n))


def study(**changed) -> RunAudit:
    """Return the facts of a healthy study."""
    candidates = [
        candidate("majority", Family.BASELINE, 0.3),
        candidate("label_similarity", Family.ZERO_SHOT, 0.6, n_labels=0),
        candidate("linear_probe", Family.FEW_SHOT, 0.85, own_rows=block(0.88, n=200).statistics),
        candidate("prototypes", Family.FEW_SHOT, 0.8),
        trained("full_finetune", [0.84, 0.85, 0.83, 0.845, 0.85]),
    ]
    values = {
        "metric": ACCURACY,
        "labels": LABELS,
        "n_labels": 3000,
        "n_test": N,
        "fold_sizes": (None, None),
        "pick": "linear_probe:mini",
        "candidates": {each.name: each for each in candidates},
        "detectable": 0.02,
        "chance": {(repeat, 0): 0.3 for repeat in range(5)},
        "answers": answers(),
        "features": features(),
    }
    values.update(changed)
    return RunAudit(**values)


def with_candidates(*candidates: Measured, **changed) -> RunAudit:
    return study(candidates={each.name: each for each in candidates}, **changed)


def asked(code: str, runs: RunAudit) -> Check | None:
    name = next(name for name in names(RUNS) if name[:4].upper() == code)
    return importlib.import_module(f"nshot.evaluation.checks.{name}").check(runs)


def fired(code: str, runs: RunAudit) -> Check:
    found = asked(code, runs)
    assert found is not None
    assert json.loads(json.dumps(found.as_json()))["code"] == code
    assert found.explanation.endswith(".")
    assert found.advice.endswith(".")
    return found


def test_every_check_is_found_by_its_file_name():
    assert [f"N{code}" for code in range(201, 213)] == CODES


@pytest.mark.parametrize("code", CODES)
def test_every_check_has_its_page(code):
    assert (DOCS / f"{code}.md").read_text(encoding="utf-8").startswith(f"# {code}")


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_study_has_no_findings(seed):
    assert audit_runs(study(answers=answers(seed), features=features(seed))) == ()


def test_what_is_not_known_is_no_finding():
    """A study of nothing but answers that were given has no answers, features, chance or fits of ours."""
    given = Measured("ours", "given", Family.BASELINE, 0, [block(0.8)])
    bare = RunAudit(ACCURACY, LABELS, 3000, N, (None, None), "ours", {"ours": given})
    assert audit_runs(bare) == ()


# ------------------------------------------------------------------------------------------ one by one


def test_n201_tells_that_nothing_beats_the_constant_answer():
    constant, probe = candidate("majority", Family.BASELINE, 0.5), candidate("linear_probe", Family.FEW_SHOT, 0.505)
    found = fired("N201", with_candidates(constant, probe))
    assert found.severity is Severity.ISSUE
    low, high = found.details["interval"]
    assert low < 0 < high


def test_n201_tells_of_a_best_candidate_that_is_below_the_constant_answer():
    constant, probe = candidate("majority", Family.BASELINE, 0.7), candidate("linear_probe", Family.FEW_SHOT, 0.5)
    assert fired("N201", with_candidates(constant, probe)).details["difference"] < 0


def test_n201_reads_losses_the_other_way_round():
    loss = replace(ACCURACY, name="error", higher_is_better=False)
    constant, probe = candidate("majority", Family.BASELINE, 0.7), candidate("linear_probe", Family.FEW_SHOT, 0.5)
    assert asked("N201", with_candidates(constant, probe, metric=loss)) is None


def test_n202_is_an_issue_where_zero_shot_is_shown_to_be_better():
    zero = candidate("label_similarity", Family.ZERO_SHOT, 0.8, n_labels=0)
    found = fired("N202", with_candidates(zero, trained("full_finetune", [0.6])))
    assert found.severity is Severity.ISSUE
    assert "everything that learnt" in found.explanation


def test_n202_tells_of_fine_tuning_alone_where_other_ways_learn_from_the_labels():
    zero = candidate("label_similarity", Family.ZERO_SHOT, 0.8, n_labels=0)
    probe = candidate("linear_probe", Family.FEW_SHOT, 0.9)
    found = fired("N202", with_candidates(zero, probe, trained("full_finetune", [0.6])))
    assert "fine-tuning" in found.explanation
    assert found.details["best"] == "full_finetune:mini"


def test_n202_is_silent_about_fine_tunes_that_were_not_measured_with_all_labels():
    zero = candidate("label_similarity", Family.ZERO_SHOT, 0.8, n_labels=0)
    probe, small = candidate("linear_probe", Family.FEW_SHOT, 0.9), trained("lora", [0.2], n_labels=16, blocks=())
    assert asked("N202", with_candidates(zero, probe, small)) is None


PROBES = [
    replace(
        candidate(method, Family.FEW_SHOT, 0.8),
        fittings=tuple(Fitting(n, block(0.8, repeat, seed=seed)) for n in (750, 3000) for repeat in range(5)),
    )
    for seed, method in enumerate(("linear_probe", "prototypes", "nearest_neighbours"))
]


def test_n203_names_a_run_that_collapsed_beside_its_siblings():
    found = fired("N203", with_candidates(*PROBES, trained("lora", [0.85, 0.31, 0.84, 0.85, 0.86])))
    assert found.details["collapsed"] == ["lora:mini"]
    assert found.severity is Severity.ISSUE
    assert "1 run of 5" in found.explanation


def test_n203_compares_the_only_run_on_all_labels_with_those_on_fewer():
    lora = trained("lora", [0.31])
    fewer = tuple(Fitting(750, block(0.8, repeat), 0) for repeat in range(5))
    found = fired("N203", with_candidates(*PROBES, replace(lora, fittings=(*fewer, *lora.fittings))))
    assert found.details["collapsed"] == ["lora:mini"]


def test_n203_tells_of_scatter_that_other_candidates_in_the_same_draws_do_not_have():
    found = fired("N203", with_candidates(*PROBES, trained("lora", [0.85, 0.65, 0.84, 0.6, 0.8], n_labels=750)))
    assert found.details["scattered"] == ["lora:mini"]
    assert found.severity is Severity.NOTE
    assert "in 5 runs with 750 labels" in found.explanation


def test_n203_lets_a_draw_be_hard_for_everybody():
    scores = [0.85, 0.65, 0.84, 0.6, 0.8]
    others = [
        replace(probe, fittings=tuple(Fitting(750, block(score - 0.02, i), None) for i, score in enumerate(scores)))
        for probe in PROBES
    ]
    assert asked("N203", with_candidates(*others, trained("lora", scores, n_labels=750))) is None


def test_n203_leaves_alone_what_scatters_with_very_few_labels():
    assert asked("N203", with_candidates(*PROBES, trained("lora", [0.5, 0.31, 0.6, 0.4], n_labels=16))) is None


def test_n203_tells_that_a_training_was_begun_again():
    lora = trained("lora", [0.84])
    again = replace(lora, fittings=(replace(lora.fittings[0], restarts=1),))
    assert fired("N203", with_candidates(*PROBES, again)).details["begun_again"] == ["lora:mini"]


def test_n204_tells_of_a_pick_that_knows_its_own_rows_far_better():
    probe = candidate("linear_probe", Family.FEW_SHOT, 0.7, own_rows=np.ones((200, 1)))
    found = fired("N204", with_candidates(probe))
    assert found.severity is Severity.NOTE
    assert found.details["gap"] == pytest.approx(0.3, abs=0.03)
    worse = candidate("linear_probe", Family.FEW_SHOT, 0.5, own_rows=np.ones((200, 1)))
    assert fired("N204", with_candidates(worse)).severity is Severity.ISSUE


def test_n204_says_nothing_of_few_own_rows_or_of_methods_that_look_rows_up():
    few = candidate("linear_probe", Family.FEW_SHOT, 0.7, own_rows=np.ones((12, 1)))
    assert asked("N204", with_candidates(few)) is None
    neighbours = candidate("nearest_neighbours", Family.FEW_SHOT, 0.5, own_rows=np.ones((200, 1)))
    assert asked("N204", with_candidates(neighbours, pick=neighbours.name)) is None


def test_n205_is_an_issue_where_five_points_cannot_be_seen():
    found = fired("N205", study(detectable=0.1, n_test=100))
    assert found.severity is Severity.ISSUE
    assert "400 test rows" in found.advice


def test_n205_is_a_note_where_all_candidates_lie_closer_than_what_can_be_seen():
    close = [candidate(method, Family.FEW_SHOT, 0.85) for method in ("linear_probe", "prototypes", "primed_probe")]
    assert fired("N205", with_candidates(*close, detectable=0.04)).severity is Severity.NOTE
    assert asked("N205", with_candidates(*close[:2], detectable=0.04)) is None


def test_n206_says_by_how_much_choosing_by_eye_raises_the_score():
    probe = candidate("linear_probe", Family.FEW_SHOT, 0.85, also_tried=("linear_probe(strength=1.0):mini",))
    two = fired("N206", with_candidates(probe))
    assert two.severity is Severity.ISSUE
    many = replace(probe, also_tried=tuple(f"linear_probe(strength={i}):mini" for i in range(9)))
    ten = fired("N206", with_candidates(many))
    error = with_candidates(probe).estimate(probe).standard_error
    # Expected largest of 2 and of 10 standard normal numbers: 0.564 and 1.539 (Harter 1961, table 1).
    assert two.details["raised_by_at_most"] == pytest.approx(0.564 * error, rel=0.06)
    assert ten.details["raised_by_at_most"] == pytest.approx(1.539 * error, rel=0.02)


def test_n207_tells_of_a_tuned_candidate_that_leads_untuned_ones():
    tuned = replace(trained("tuned", [0.9]), trials=3)
    found = fired("N207", with_candidates(tuned, trained("full_finetune", [0.85])))
    assert found.details["untuned"] == ["full_finetune:mini"]
    assert asked("N207", with_candidates(tuned, trained("full_finetune", [0.95]))) is None
    assert asked("N207", with_candidates(replace(tuned, trials=1), trained("full_finetune", [0.85]))) is None


def test_n208_is_an_issue_where_texts_that_are_cut_are_answered_worse():
    some = answers()
    cut = np.arange(N) % 4 == 0
    note = fired("N208", study(answers=replace(some, reading=Reading(np.arange(N), cut, 256))))
    assert note.severity is Severity.NOTE
    wrong = np.where(cut & (np.arange(N) % 8 == 0), (some.truth + 1) % 4, some.answer)
    found = fired("N208", study(answers=replace(some, answer=wrong, reading=Reading(np.arange(N), cut, 256))))
    assert found.severity is Severity.ISSUE
    assert found.details["share_cut"] == 0.25


def test_n208_is_silent_where_few_texts_are_cut():
    cut = np.arange(N) < 0.04 * N
    assert asked("N208", study(answers=answers(reading=Reading(np.arange(N), cut, 256)))) is None


def test_n209_tells_of_a_pick_that_is_worse_on_rows_unlike_the_training():
    shifted = features(shift=4.0)
    some = answers()
    unlike = np.zeros(N, bool)
    unlike[:300] = np.arange(300) % 2 == 1
    worse = replace(some, answer=np.where(unlike & (np.arange(N) % 3 > 0), (some.truth + 1) % 4, some.answer))
    found = fired("N209", study(answers=worse, features=shifted))
    assert found.details["auroc"] > 0.7
    assert found.details["accuracy_unlike"] < found.details["accuracy_alike"]
    assert asked("N209", study(answers=some, features=shifted)) is None
    assert asked("N209", study(answers=worse)) is None


def test_n210_tells_of_a_score_that_falls_over_time():
    some = answers()
    late = some.times > 0.5
    worse = replace(some, statistics=np.where(late & (np.arange(N) % 4 == 0), 0.0, some.statistics[:, 0])[:, None])
    found = fired("N210", study(answers=worse))
    assert found.severity is Severity.ISSUE
    assert found.details["later"] < found.details["earlier"]
    assert "--test" in found.advice
    assert "--test" not in fired("N210", study(answers=replace(worse, in_test=True))).advice


def test_n210_tells_of_labels_whose_shares_move():
    some = answers()
    found = fired("N210", study(answers=replace(some, truth=np.where(some.times > 0.5, 0, some.truth))))
    assert "'access'" in found.explanation


def test_n210_needs_times_and_rows_on_both_sides():
    assert asked("N210", study(answers=answers(times=None))) is None
    assert asked("N210", study(answers=answers(times=np.zeros(N)))) is None


@pytest.mark.parametrize(("power", "words"), [(3.0, "surer than it should be"), (0.3, "more often right")])
def test_n211_says_in_which_direction_probabilities_are_off(power, words):
    found, truth = probabilities(sharp=1.5)
    off = found**power / (found**power).sum(axis=1, keepdims=True)
    some = answers(truth=truth, answer=off.argmax(axis=1), probabilities=off, confidence=off.max(axis=1))
    check = fired("N211", study(answers=some))
    assert words in check.explanation
    assert check.details["by_chance"] < check.details["by_chance_at_most"] < check.details["expected_calibration_error"]


def test_n211_is_silent_on_few_rows():
    off = answers(n=60, confidence=np.ones(60))
    assert asked("N211", study(answers=off)) is None


def test_n212_lists_labels_that_were_changed_the_most_suspicious_first():
    found, truth = probabilities(sharp=8.0)
    changed = np.arange(0, N, 20)
    noisy = truth.copy()
    noisy[changed] = found[changed].argmin(axis=1)
    check = fired("N212", study(answers=answers(truth=noisy, probabilities=found, answer=found.argmax(axis=1))))
    rows = np.array(check.rows) - 10
    assert np.isin(changed, rows).mean() > 0.5
    assert np.isin(rows, changed).mean() > 0.8
    first = check.details["suspected"][0]
    assert (first["row"], first["label"]) == (check.rows[0], LABELS[noisy[rows[0]]])
    assert first["suggested"] == LABELS[found[rows[0]].argmax()]
    assert check.details["test_rows"] == []


def test_n212_names_the_rows_of_a_given_test_apart():
    found, truth = probabilities(sharp=8.0)
    noisy = np.where(np.arange(N) % 20 == 0, found.argmin(axis=1), truth)
    check = fired("N212", study(answers=answers(truth=noisy, probabilities=found, in_test=True)))
    assert check.rows == ()
    assert len(check.details["test_rows"]) == check.count


def test_n212_does_not_accuse_labels_where_a_test_holds_not_every_class():
    found, truth = probabilities(sharp=8.0)
    some = np.flatnonzero(truth != 3)
    noisy = np.where(np.arange(N) % 20 == 0, found[:, :3].argmin(axis=1), truth)[some]
    held = answers(n=len(some), truth=noisy, probabilities=found[some], answer=found[some].argmax(axis=1))
    assert fired("N212", study(answers=held)).count > 15


# ------------------------------------------------------------------------------------------ not by chance


@pytest.mark.parametrize("code", ["N209", "N210", "N211", "N212"])
def test_chance_alone_fires_rarely(code):
    """1 % or less of healthy studies: 4 of 100 would be 3 too many."""
    studies = [study(answers=answers(seed, n=300), features=features(seed, n=150)) for seed in range(100)]
    assert sum(asked(code, runs) is not None for runs in studies) <= 3
