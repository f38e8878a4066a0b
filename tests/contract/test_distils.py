"""What every method promises that learns from a teacher's probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from contract.cases import Case, answer_bytes, backbone_bytes, cases_where, context, state_bytes
from nshot import bundle
from nshot.core import Distils, Predictor, TaskKind, UnsupportedError
from nshot.training.rowwise import softmax

every_student = cases_where(lambda case: case.kind is TaskKind.CLASSIFY and issubclass(case.type, Distils))


def probabilities(case: Case, sureness: float) -> np.ndarray:
    """Return what a teacher says who is right, and so sure of it; which label comes second differs from row to row."""
    task, targets = case.sample.task, case.sample.train.labelled_targets()
    scores = np.random.default_rng(0).normal(size=(len(targets), len(task.labels)))
    scores[range(len(targets)), [task.labels.index(target) for target in targets]] = 3.0 + sureness
    return softmax(scores).astype(np.float32)


def student(case: Case, sureness: float = 1.0) -> Predictor:
    method = case.build()
    assert isinstance(method, Distils)
    found = probabilities(case, sureness)
    return method.distilled(case.sample.task, case.sample.train, found, case.open(), context())


@every_student
def test_it_learns_how_sure_its_teacher_is(case: Case) -> None:
    task, new = case.sample.task, case.sample.new
    sure, unsure = (student(case, sureness).predict(new) for sureness in (9.0, 0.0))
    assert set(sure.labels) <= set(task.labels)
    np.testing.assert_allclose(sure.probabilities.sum(axis=1), 1, atol=1e-5)
    assert sure.probabilities.max(axis=1).mean() > unsure.probabilities.max(axis=1).mean()


@every_student
def test_the_same_teacher_gives_the_same_bytes_and_is_left_as_it_was(case: Case) -> None:
    backbone = case.open()
    before = None if backbone is None else backbone_bytes(backbone)
    found = probabilities(case, 1.0)
    method = case.build()
    first = method.distilled(case.sample.task, case.sample.train, found, backbone, context())
    assert np.array_equal(found, probabilities(case, 1.0))
    assert backbone is None or backbone_bytes(backbone) == before
    assert state_bytes(student(case).state()) == state_bytes(first.state())


@every_student
def test_saved_and_loaded_it_answers_the_same(case: Case, tmp_path) -> None:
    from contract.cases import open_backbone

    predictor = student(case)
    about = bundle.BundleInfo(model_n_labels=3)
    bundle.save(tmp_path / "m", method=case.build(), task=case.sample.task, predictor=predictor, about=about)
    again = bundle.load(tmp_path / "m", open_backbone).predictor
    new = case.sample.new
    assert answer_bytes(again.predict(new)) == answer_bytes(predictor.predict(new))


@cases_where(
    lambda case: case.kind is TaskKind.CLASSIFY and issubclass(case.type, Distils) and case.backbone is not None
)
def test_what_a_fit_refuses_is_refused(case: Case) -> None:
    with pytest.raises(UnsupportedError, match="backbone"):
        case.build().distilled(case.sample.task, case.sample.train, probabilities(case, 1.0), None, context())
