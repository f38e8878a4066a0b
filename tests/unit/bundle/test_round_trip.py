"""The difference between what was fitted and what was saved."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from contract.cases import Case, fitted
from nshot import bundle
from nshot.backbones import fake
from nshot.bundle.round_trip import _largest_difference
from nshot.core import Prediction, Span

COLUMNS = {"a": 0, "b": 1}


def test_a_saved_model_differs_by_nothing(saved: Path, case: Case) -> None:
    assert bundle.check_round_trip(saved, fitted(case), case.sample.new, fake.open) == 0.0
    assert bundle.check_round_trip(saved, fitted(case), [], fake.open) == 0.0


def test_another_models_answers_are_seen(saved: Path, case: Case) -> None:
    other = case.fit(train=case.sample.train.take(range(5)))
    assert bundle.check_round_trip(saved, other, case.sample.new, fake.open) > 0.001


def probable(*rows: tuple[float, float], labels: list[str]) -> Prediction:
    return Prediction(labels, np.array(rows, dtype=np.float32))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (probable((0.7, 0.3), labels=["a"]), probable((0.5, 0.5), labels=["a"]), 0.2),
        (Prediction(scores=np.array([1.0, 2.0])), Prediction(scores=np.array([1.0, 2.5])), 0.5),
        (Prediction(values=np.array([1.0, np.nan])), Prediction(values=np.array([1.0, np.nan])), 0.0),
        (Prediction(values=np.array([1.0])), Prediction(values=np.array([np.nan])), math.inf),
        (Prediction(values=np.array([1.0])), Prediction(values=np.array([1.0, 2.0])), math.inf),
        (Prediction(["a"]), Prediction(["b"]), math.inf),
        (Prediction(["a"]), Prediction(["a"]), 0.0),
        (Prediction(["a"]), Prediction(scores=np.array([1.0])), math.inf),
        (Prediction(texts=["a"]), Prediction(texts=["a "]), math.inf),
        (Prediction(spans=[(Span(0, 1, "a"),)]), Prediction(spans=[(Span(0, 1, "b"),)]), math.inf),
        (Prediction(spans=[(Span(0, 1, "a"),)]), Prediction(spans=((Span(0, 1, "a"),),)), 0.0),
    ],
)
def test_the_largest_difference(before: Prediction, after: Prediction, expected: float) -> None:
    assert _largest_difference(before, after, COLUMNS) == pytest.approx(expected)


def test_a_label_that_flips_at_a_tie_counts_as_the_rounding_that_it_is() -> None:
    before, after = probable((0.5, 0.5), labels=["a"]), probable((0.4999, 0.5001), labels=["b"])
    assert _largest_difference(before, after, COLUMNS) == pytest.approx(1e-4, rel=1e-2)


def test_labels_exchanged_under_the_same_probabilities_are_a_loss() -> None:
    before, after = probable((0.9, 0.1), labels=["a"]), probable((0.9, 0.1), labels=["b"])
    assert _largest_difference(before, after, COLUMNS) == math.inf
