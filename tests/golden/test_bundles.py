"""Models that were saved in schema 1 keep loading, and answer what they answered on that day."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nshot
from nshot import bundle

FOLDER = Path(__file__).parent / "bundles" / "v1"
RECORDED = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_saved_model_answers_as_on_the_day_it_was_saved(name):
    recorded = RECORDED[name]
    found = nshot.load(FOLDER / name, threads=1).answer(recorded["examples"])
    assert list(found.labels) == recorded["labels"]
    np.testing.assert_allclose(found.probabilities, recorded["probabilities"], atol=2e-6)


def test_what_later_rows_are_held_against_is_still_there():
    reference = bundle.read_manifest(FOLDER / "row_linear_probe").reference
    assert reference.labels == {"up": 35, "down": 25}
    assert reference.features.backbone == "table"


def test_every_saved_model_is_tested():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(RECORDED)
