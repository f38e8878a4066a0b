"""Detectors on real sets: the figures that others published, and what a few labels add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nshot import methods, metrics
from nshot.backbones.rows import NumberRows
from nshot.core import DataError, Dataset, FitContext, State, Task, TaskKind

TASK = Task(TaskKind.DETECT, metric="auroc", unit="labelled anomalies")
# pyod's benchmark (its README's tables of ROC): mean of ten splits. Single splits are some hundredths apart.
PUBLISHED = [
    ("6_cardio", "isolation_forest", 0.924),
    ("40_vowels", "nearest_distance", 0.965),
    ("28_pendigits", "isolation_forest", 0.943),
    ("28_pendigits", "hbos", 0.924),
]


def split(folder: Path, name: str) -> tuple[Dataset, Dataset]:
    with np.load(folder / "tabular" / "adbench" / f"{name}.npz") as held:
        columns, marks = held["X"].astype(np.float32), held["y"].astype(bool)
    order = np.random.default_rng(0).permutation(len(columns))
    first = order[: round(0.6 * len(order))]
    spread = columns[first].std(axis=0)
    scaled = (columns - columns[first].mean(axis=0)) / np.where(spread > 0, spread, 1)
    every = Dataset(scaled, "row", targets=marks.tolist(), name=name)
    return every.take(first), every.take(order[len(first) :])


def context() -> FitContext:
    return FitContext(lambda targets, prediction: 0.0)


def fitted(name: str, train: Dataset, pool: Dataset, **options: Any) -> Any:
    backbone = NumberRows(len(pool.examples[0]))
    return methods.build(name, options).fit(TASK, train, pool.without_targets(), backbone, context())


@pytest.mark.parametrize(("data", "name", "auroc"), PUBLISHED)
def test_the_published_area_is_reached(shared_data: Path, data: str, name: str, auroc: float) -> None:
    train, test = split(shared_data, data)
    prediction = fitted(name, train.take([]), train).predict(test.examples)
    found = metrics.get("auroc").score(test.labelled_targets(), prediction, TASK)
    assert found == pytest.approx(auroc, abs=0.04)


@pytest.mark.parametrize("name", ["labelled_distance", "outlier_probe"])
def test_five_labelled_anomalies_overtake_every_score_without_labels(shared_data: Path, name: str) -> None:
    gained = []
    for data in ("40_vowels", "38_thyroid", "6_cardio"):
        train, test = split(shared_data, data)
        marks = np.array(train.labelled_targets())
        labelled = np.flatnonzero(marks)[:5]
        pool = train.take(np.setdiff1d(np.arange(len(train)), labelled))

        def judged(predictor: Any, test: Dataset = test) -> float:
            prediction = predictor.predict(test.examples)
            return metrics.get("average_precision").score(test.labelled_targets(), prediction, TASK)

        without = [judged(fitted(one, train.take([]), train)) for one in ("isolation_forest", "gaussian_distance")]
        gained.append(judged(fitted(name, train.take(labelled), pool)) - max(without))
    assert np.mean(gained) > 0.05


@pytest.mark.parametrize("name", ["labelled_distance", "outlier_probe"])
def test_labelled_rows_without_an_anomaly_are_refused_in_words(name: str) -> None:
    rows = Dataset(np.random.default_rng(0).normal(size=(30, 2)), "row", targets=[False] * 30, name="rows")
    with pytest.raises(DataError, match="of the 30 labelled rows of rows none is one"):
        fitted(name, rows, rows)


def test_the_autoencoder_finds_what_breaks_a_curve() -> None:
    generator = np.random.default_rng(0)
    turn = generator.uniform(0, 2 * np.pi, 1500)
    circle = np.stack([np.cos(turn), np.sin(turn), np.cos(2 * turn)], axis=1) + 0.02 * generator.normal(size=(1500, 3))
    usual, strange = circle[1200:], generator.uniform(-1, 1, size=(60, 3))
    learnt = fitted("autoencoder", Dataset([], "row", targets=[]), Dataset(circle[:1200], "row"), epochs=20, hidden=0.1)
    scores = learnt.predict(np.concatenate([usual, strange])).scores
    marks = [False] * len(usual) + [True] * len(strange)
    assert metrics.get("auroc").score(marks, learnt.predict(np.concatenate([usual, strange])), TASK) > 0.85
    state = learnt.state()
    assert state.settings["training"]["steps"] >= 300
    again = methods.build("autoencoder", {}).restore(
        TASK, State(state.settings, state.tensors), lambda _: NumberRows(3)
    )
    np.testing.assert_array_equal(again.predict(usual).scores, scores[: len(usual)])
