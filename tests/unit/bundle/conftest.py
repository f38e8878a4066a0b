"""The example methods of the contract, installed while bundles are tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.cases import CASES, Case, fitted, with_example_methods
from nshot import bundle

Save = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def example_methods() -> Iterator[None]:
    """Install the example methods for one file of tests."""
    with with_example_methods():
        yield


@pytest.fixture
def case() -> Case:
    """Return a classifier with two backbones, one of them remote."""
    return next(case for case in CASES if case.method == "second_opinion")


@pytest.fixture
def score() -> bundle.MeasuredScore:
    """Return a score as a study measures it."""
    return bundle.MeasuredScore(
        metric="macro_f1",
        score=0.861,
        interval=(0.83, 0.89),
        n_labels=12,
        n_test=361,
        target="a fresh draw",
    )


@pytest.fixture
def about(score: bundle.MeasuredScore) -> bundle.BundleInfo:
    """Return what is known about a model."""
    return bundle.BundleInfo(
        model_n_labels=19,
        score=score,
        text_columns=("subject", "message"),
        label_column="queue",
        data_name="tickets.csv",
        data_fingerprint="0" * 32,
        licences={"fake/text-encoder": "Apache-2.0"},
    )


@pytest.fixture
def save(case: Case, about: bundle.BundleInfo, tmp_path: Path) -> Save:
    """Return a function that saves the case's predictor and returns its folder."""

    def saved(name: str = "model", **changes: object) -> Path:
        values = {"method": case.build(), "task": case.sample.task, "predictor": fitted(case), "about": about}
        bundle.save(tmp_path / name, **{**values, **changes})
        return tmp_path / name

    return saved


@pytest.fixture
def saved(save: Save) -> Path:
    """Return the folder of a saved model."""
    return save()


@pytest.fixture
def other_about(about: bundle.BundleInfo) -> bundle.BundleInfo:
    """Return other facts, to tell two saves apart."""
    return bundle.BundleInfo.parse({**about.model_dump(), "model_n_labels": 20})
