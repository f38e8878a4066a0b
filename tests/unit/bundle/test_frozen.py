"""Models that earlier versions saved keep loading, and keep answering what they answered then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nshot import bundle
from nshot.backbones import fake

FROZEN = Path(__file__).parent / "frozen"
RECORDED = json.loads((FROZEN / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(RECORDED["answers"]))
def test_an_old_model_answers_what_it_answered_when_it_was_saved(name: str) -> None:
    loaded = bundle.load(FROZEN / name, fake.open)
    prediction, expected = loaded.predictor.predict(RECORDED["texts"]), RECORDED["answers"][name]
    assert list(prediction.labels) == expected["labels"]
    np.testing.assert_allclose(prediction.probabilities, expected["probabilities"], atol=2e-6)


@pytest.mark.parametrize("name", sorted(RECORDED["answers"]))
def test_an_old_model_still_says_what_it_is(name: str) -> None:
    manifest = bundle.read_manifest(FROZEN / name)
    assert manifest.method.name == name.removeprefix("schema_1_")
    assert manifest.score.interval == (0.6, 0.85)
    assert manifest.score.n_labels == 12
    assert manifest.model_n_labels == 19
    assert manifest.text_columns == ("message",)
    assert manifest.label_column == "queue"
    assert manifest.task.descriptions == {"top_up": "Adding money to the account."}


def test_every_frozen_folder_is_tested() -> None:
    assert {path.name for path in FROZEN.iterdir() if path.is_dir()} == set(RECORDED["answers"])
