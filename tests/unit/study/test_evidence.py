from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot import metrics
from nshot.core import Candidate, Family, Run, RunStatus
from nshot.evaluation.protocol import design
from nshot.study.evidence import Entrant, Evidence
from nshot.study.pick import standings
from nshot.study.spec import RunSpec

ACCURACY = metrics.get("accuracy")
ROWS = 100
PLAN = design(["a", "b"] * (ROWS // 2), np.arange(ROWS), seed=0)


@pytest.fixture
def evidence(tmp_path):
    def made(draws: dict[str, list[int]]) -> Evidence:
        """Return the evidence of candidates that were measured at all rows in these folds of the first round."""
        rng, entrants, runs = np.random.default_rng(0), [], {}
        for name, folds in draws.items():
            candidate = Candidate(name, Family.FINE_TUNING)
            specs = [RunSpec(candidate, PLAN.n_train, 0, fold, 0, f"data {fold}", None) for fold in folds]
            for spec in specs:
                right = (rng.random((len(PLAN.draw(0, spec.fold).test), 1)) < 0.7).astype(float)
                save_file({"metric.accuracy": right}, tmp_path / f"{spec.key}.safetensors")
                runs[spec.key] = Run(
                    spec.key,
                    name,
                    spec.n_labels,
                    0,
                    spec.fold,
                    0,
                    RunStatus.COMPLETE,
                    predictions=f"{spec.key}.safetensors",
                )
            entrants.append(Entrant(name, name, candidate.family, backbone=None, options={}, specs=tuple(specs)))
        return Evidence(tmp_path, PLAN, entrants=entrants, runs=runs, groups=np.arange(ROWS), answers={})

    return made


def test_candidates_that_share_draws_are_compared(evidence):
    found = evidence({"probe": [0, 1, 2, 3, 4], "lora": [0], "ia3": [0, 1]})
    assert found.measured_today() == ["probe", "lora", "ia3"]


def test_a_candidate_without_a_draw_that_the_others_have_is_not_compared(evidence):
    found = evidence({"lora": [1], "full_finetune": [0], "probe": [0, 1, 2, 3, 4]})
    names = found.measured_today()
    assert len(names) == 2
    assert "probe" in names
    blocks = {name: found.comparable(name, ACCURACY) for name in names}
    assert set(standings(blocks, ACCURACY, target="this model", rho=1.0, fold_sizes=found.fold_sizes)) == set(names)
