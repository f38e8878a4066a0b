from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot import metrics
from nshot.core import Candidate, Family, Run, RunStatus, Task, TaskKind
from nshot.evaluation.protocol import design
from nshot.study.evidence import Entrant, Evidence
from nshot.study.options import StudyOptions
from nshot.study.prior import shipped
from nshot.study.spec import RunSpec
from nshot.study.verdict import conclude

FOLD = 40
ROWS = 5 * FOLD
LABELS = [("yes", "no")[i % 2] for i in range(ROWS)]
ACCURACY = metrics.get("accuracy")


@pytest.fixture
def concluded(tmp_path):
    """Return a function that concludes a study of 3 x 5 folds from the right answers in each fold that was run."""
    plan = design(LABELS, np.arange(ROWS), seed=0, repeats=3, sizes=(4 * FOLD,))

    def entrant(method, family, n_labels, right_answers, runs):
        candidate = Candidate(method=method, family=family)
        specs = []
        for draw, right in zip(plan.draws, right_answers, strict=False):
            spec = RunSpec(candidate, n_labels, draw.repeat, draw.fold, 0, "data", None)
            file = f"{spec.key}.safetensors"
            save_file({"metric.accuracy": (np.arange(FOLD) < right).astype(np.float64)[:, None]}, tmp_path / file)
            runs[spec.key] = Run(
                key=spec.key,
                candidate=candidate.name,
                n_labels=n_labels,
                repeat=draw.repeat,
                fold=draw.fold,
                seed=0,
                status=RunStatus.COMPLETE,
                predictions=file,
            )
            specs.append(spec)
        return Entrant(candidate.name, method, family, None, {}, tuple(specs))

    def made(zero=None, **trained):
        runs = {}
        entrants = [entrant(name, Family.FINE_TUNING, 4 * FOLD, right, runs) for name, right in trained.items()]
        if zero:
            entrants.append(entrant("zero", Family.ZERO_SHOT, 0, zero, runs))
        evidence = Evidence(tmp_path, plan, entrants=entrants, runs=runs, groups=np.arange(ROWS), answers={})
        task = Task(TaskKind.CLASSIFY, ("yes", "no"), metric="accuracy")
        return conclude(evidence, task, StudyOptions(prefer="score"), ACCURACY, shipped()).record

    return made


def test_a_comparison_speaks_of_the_rows_that_both_were_tested_on(concluded):
    record = concluded(often=[28] * 5, once=[38])
    assert record["pick"]["candidate"] == "once"
    assert {row["candidate"]: row["n_compared"] for row in record["leaderboard"]} == {"once": FOLD, "often": FOLD}
    assert record["smallest_detectable_test_rows"] == FOLD


def test_where_all_were_tested_on_all_rows_a_comparison_speaks_of_all(concluded):
    record = concluded(often=[28] * 5, too=[30] * 5)
    assert {row["n_compared"] for row in record["leaderboard"]} == {ROWS}
    assert record["smallest_detectable_test_rows"] == ROWS


def test_candidates_with_few_draws_are_held_against_the_best_and_not_against_one_that_no_draw_changes(concluded):
    """In its only fold `once` is behind `often`; that `zero` is weak just there must not put it ahead."""
    record = concluded(often=[30, 28, 28, 28, 28], once=[29], zero=[10, 20, 20, 20, 20])
    assert record["pick"]["candidate"] == "often"
    rows = {row["candidate"]: row["versus_best"]["mean"] for row in record["leaderboard"]}
    assert rows["once"] == pytest.approx(-1 / FOLD)
