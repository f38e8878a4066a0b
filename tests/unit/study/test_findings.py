"""The facts that the checks of runs see are what really ran."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nshot import metrics
from nshot.core import Candidate, Dataset, Family, Run, RunStatus, Task, TaskKind
from nshot.evaluation.protocol import design
from nshot.methods import build
from nshot.study.evidence import Entrant, Evidence
from nshot.study.findings import Opened, findings, gathered
from nshot.study.spec import RunSpec
from nshot.study.study import StudyData
from nshot.study.verdict import Verdict
from nshot.study.worker import Fit, Setting, Worker

WORDS = {
    "access": ["password", "login", "account", "locked", "reset"],
    "complaint": ["rude", "awful", "unhappy", "disappointed", "terrible"],
    "delivery": ["parcel", "courier", "late", "shipping", "address"],
    "job": ["vacancy", "apply", "career", "salary", "internship"],
    "money": ["refund", "invoice", "charged", "bill", "price"],
    "opening": ["hours", "monday", "open", "holiday", "closed"],
    "repair": ["broken", "screen", "battery", "fix", "warranty"],
    "thanks": ["great", "lovely", "thank", "perfect", "wonderful"],
}
LABELS = tuple(WORDS)
METRIC = metrics.get("macro_f1")
NO_BACKBONE = Opened((), "fp32")
CONCLUDED = Verdict({"smallest_detectable_difference": 0.02, "smallest_detectable_test_rows": None}, {}, "tfidf_linear")


def texts(n: int, changed: int = 0) -> Dataset:
    """Return n texts whose words tell the label, `changed` of them with another one."""
    rng = np.random.default_rng(0)
    targets = [LABELS[i % 8] for i in range(n)]
    examples = [" ".join([*rng.choice(WORDS[label], 3), f"number{i}"]) for i, label in enumerate(targets)]
    for i in range(changed):
        targets[i * 17] = LABELS[(i * 17 + 3) % 8]
    return Dataset(examples, "text", targets, times=[float(i) for i in range(n)])


class Ran:
    """A study of two methods that need no backbone, run in this process."""

    def __init__(self, folder: Path, train: Dataset, test: Dataset | None = None) -> None:
        self.folder = folder
        (folder / "predictions").mkdir()
        self.task = Task(TaskKind.CLASSIFY, LABELS, metric=METRIC.name)
        groups = np.arange(len(train))
        test_groups = None if test is None else np.arange(len(test)) + len(train)
        rows = [3 * row for row in range(len(test or train))]
        self.data = StudyData(self.task, train, test, None, groups, test_groups, file_rows=rows)
        self.design = design(
            train.labelled_targets(), groups, seed=0, n_given_test=len(test) if test else None, repeats=1, sizes=(16,)
        )
        setting = Setting(
            task=self.task,
            train=train,
            test=test,
            unlabelled=None,
            draws={(draw.repeat, draw.fold): draw for draw in self.design.draws},
            backbones=(),
            metric=METRIC.name,
            metrics=metrics.names(TaskKind.CLASSIFY),
            cache=None,
            precision="fp32",
            device="cpu",
            threads=1,
            predictions=folder / "predictions",
            models=folder / "models",
        )
        self.worker = Worker(setting, lambda done, total, doing="": None)
        self.runs: dict[str, Run] = {}
        self.entrants = [self.fitted(name) for name in ("majority", "tfidf_linear")]

    def fitted(self, name: str) -> Entrant:
        method = build(name, {})
        candidate = Candidate(name, method.family)
        specs = []
        for draw in self.design.draws:
            for n in self.design.ladder:
                spec = RunSpec(candidate, n, draw.repeat, draw.fold, seed=0, data="d", precision=None)
                first = n == self.design.n_train and draw.fold == 0
                fitted = self.worker.fit(
                    Fit(spec.key, name, {}, None, n, draw.repeat, draw.fold, seed=0, latency=first)
                )
                self.runs[spec.key] = Run(
                    spec.key,
                    name,
                    n,
                    draw.repeat,
                    draw.fold,
                    0,
                    RunStatus.COMPLETE,
                    cost=fitted.cost,
                    predictions=fitted.predictions,
                    settings=fitted.settings,
                )
                specs.append(spec)
        return Entrant(name, name, method.family, None, {}, tuple(specs))

    @property
    def evidence(self) -> Evidence:
        groups = self.data.groups if self.data.test_groups is None else self.data.test_groups
        return Evidence(self.folder, self.design, entrants=self.entrants, runs=self.runs, groups=groups, answers={})

    def gathered(self, *more: Run):
        return gathered(
            self.evidence, CONCLUDED, self.data, METRIC, ledger=[*self.runs.values(), *more], opened=NO_BACKBONE
        )


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> Ran:
    return Ran(tmp_path_factory.mktemp("folds"), texts(300, changed=16))


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Ran:
    return Ran(tmp_path_factory.mktemp("given"), texts(300), texts(120))


def test_in_k_fold_every_row_is_answered_once_out_of_sample(folds):
    answers = folds.gathered().answers
    assert sorted(answers.file_rows.tolist()) == [3 * row for row in range(300)]
    assert not answers.in_test
    targets = folds.data.train.labelled_targets()
    assert [LABELS[code] for code in answers.truth] == [targets[row // 3] for row in answers.file_rows]
    assert answers.probabilities.shape == (300, 8)
    assert np.array_equal(answers.probabilities.argmax(axis=1), answers.answer)
    assert answers.times.tolist() == [row / 3 for row in answers.file_rows]


def test_of_a_given_test_the_rows_are_those_of_the_test(given):
    answers = given.gathered().answers
    assert answers.in_test
    assert sorted(answers.file_rows.tolist()) == [3 * row for row in range(120)]


def test_probabilities_are_kept_of_runs_that_may_be_the_picks_only(folds):
    evidence = folds.evidence
    for run in evidence.completed("tfidf_linear"):
        whole = run.n_labels == folds.design.n_train
        assert ("probabilities" in evidence.arrays(run)) == whole
        assert ("own.macro_f1" in evidence.arrays(run)) == (whole and run.fold == 0)


def test_a_fit_is_asked_about_some_of_its_own_rows(folds):
    own = folds.gathered().candidates["tfidf_linear"].own_rows
    assert len(own) == 200
    assert METRIC.aggregate(own) > 0.9


def test_chance_is_the_score_of_the_constant_candidate(folds):
    facts = folds.gathered()
    constant = facts.candidates["majority"]
    for fit in constant.fittings:
        assert facts.chance[fit.block.repeat, fit.block.fold] <= 0.25
        assert facts.chance[fit.block.repeat, fit.block.fold] == pytest.approx(
            METRIC.aggregate(fit.block.statistics), abs=0.05
        )


def test_nothing_trains_a_network_here_so_that_no_fit_has_restarts(folds):
    assert not any(candidate.trains_network for candidate in folds.gathered().candidates.values())


def test_other_options_of_a_method_are_found_in_the_folder(folds):
    whole = next(run for run in folds.runs.values() if run.candidate == "tfidf_linear" and run.n_labels > 16)
    others = [
        replace(whole, key="a", candidate="tfidf_linear(strength=3.0)"),
        replace(whole, key="b", candidate="tfidf_linear(strength=3.0)", fold=1),
        replace(whole, key="c", candidate="tfidf_linear(strength=9.0)", n_labels=16),
        replace(whole, key="d", candidate="tfidf_linear(strength=5.0)", status=RunStatus.FAILED),
        replace(whole, key="e", candidate="tfidf_linear(strength=3.0):mini"),
        replace(whole, key="f", candidate="tfidf(strength=3.0)"),
    ]
    facts = folds.gathered(*others)
    assert facts.candidates["tfidf_linear"].also_tried == ("tfidf_linear(strength=3.0)",)
    assert facts.candidates["majority"].also_tried == ()


def test_labels_that_were_changed_are_found_and_nothing_else_is_wrong(folds):
    found = {
        check.code: check
        for check in findings(folds.evidence, CONCLUDED, folds.data, METRIC, ledger=(), opened=NO_BACKBONE)
    }
    assert set(found) <= {"N211", "N212"}
    changed = {3 * 17 * i for i in range(16)}
    assert len(changed & set(found["N212"].rows)) >= 9
    assert found["N212"].rows[0] in changed


def test_a_pick_that_no_run_of_ours_stands_behind_has_no_answers(folds):
    entrants = [*folds.entrants, Entrant("present", "given", Family.BASELINE, None, {}, ())]
    everywhere = {"metric.macro_f1": np.zeros((300, 2))}
    evidence = Evidence(
        folds.folder,
        folds.design,
        entrants=entrants,
        runs=folds.runs,
        groups=folds.data.groups,
        answers={"present": everywhere},
    )
    told = gathered(evidence, replace(CONCLUDED, pick="present"), folds.data, METRIC, ledger=(), opened=NO_BACKBONE)
    assert told.answers is None
    assert told.candidates["present"].blocks
